"""One try of a scenario: fresh clients, the scenario's fixtures, and how the try ended."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.judge import ORDER, Judge, Timing
from harness.outcome import Outcome, Stage, Verdict
from harness.rules import Rule
from harness.runs.run import Run
from harness.runs.witnessed import WitnessedGreylist, WitnessedMailbox, WitnessedQueue, WitnessedSink
from harness.verdicts import InconclusiveError, NotApplicableError, NotTestableError
from harness.world.client import Client, World
from harness.world.conversation import Attempt, Step
from harness.world.internet import Kind
from harness.world.tools import GreylistOperator, Mailbox, MailHosts, QueueOperator


class UnprovenError(Exception):
    """A scenario that ended without holding anything against its rule proves nothing."""


@dataclass
class Expect:
    """Holds what the server did against what its profile promises for the rule under test."""

    judge: Judge
    expected: tuple[Outcome, ...]
    observed: str = ""
    proven: bool = False

    def __call__(self, attempt: Attempt, *, twin: Attempt, earned: bool = False) -> None:
        """The offence must come out as promised, and its innocent twin must go through.

        `earned` says that the dialogue was meant to earn a delay at the connection or the greeting.
        """
        stage = self.expected[0].stage
        self.observed = f"{stage}: {attempt.step(stage)}"
        self.judge.expect(attempt, self.expected, earned=earned)
        self.judge.through(twin, stage)
        self.proven = True

    def whenever(self, attempt: Attempt, *, twin: Attempt) -> None:
        """The same where lateness says nothing about the rule: both may come out prompt or late."""
        stage = self.expected[0].stage
        self.observed = f"{stage}: {attempt.step(stage)}"
        patient = replace(self.judge, delay=0.0)
        patient.expect(attempt, self.expected)
        patient.through(twin, stage)
        self.proven = True

    def outcome(self, text: str, attempt: Attempt, *, earned: bool = False) -> None:
        """A part of the rule with an outcome of its own, such as `deny at rcpt`."""
        self.judge.expect(attempt, (Outcome.parse(text),), earned=earned)

    def through(self, attempt: Attempt, stage: Stage, who: str = "the innocent twin") -> None:
        """An innocent dialogue must go through up to `stage`."""
        self.judge.through(attempt, stage, who=who)

    def refusal(self, attempt: Attempt, stage: Stage, *, twin: Attempt) -> None:
        """Any permanent refusal at `stage`, prompt or late, will do; the innocent twin must go through."""
        step = attempt.step(stage)
        self.observed = f"{stage}: {step}"
        if step.verdict not in (Verdict.DENY, Verdict.DROP):
            self.judge.expect(attempt, (Outcome(Verdict.DENY, stage),))
        self.judge.through(twin, stage)
        self.proven = True

    def accepted(self, attempt: Attempt, stage: Stage, *, twin: Attempt) -> None:
        """A positive reply at `stage`, prompt or late, will do; the innocent twin must go through."""
        self.observed = f"{stage}: {attempt.step(stage)}"
        if attempt.step(stage).verdict is not Verdict.PASS:
            self.judge.expect(attempt, (Outcome(Verdict.PASS, stage),))
        self.judge.through(twin, stage)
        self.proven = True

    def was_late(self, step: Step) -> bool:
        """Whether a reply was clearly held back."""
        return self.judge.timing(step) is Timing.LATE

    def slowness(self, began: float, ended: float) -> float:
        """The greatest slowness of this machine, the server and its DNS between two moments, seconds."""
        return self.judge.noise(began, ended)

    @property
    def lets_through(self) -> bool:
        """Whether the server documents that the offence gets through, prompt or late."""
        return all(outcome.verdict is Verdict.PASS for outcome in self.expected)

    def applicable(self, condition: bool, reason: str) -> None:
        """What the profile must promise for the case to mean anything; without it it is not applicable."""
        if not condition:
            raise NotApplicableError(reason)

    def needed(self, condition: bool, reason: str) -> None:
        """What the profile must describe for the scenario to be possible; without it it is not testable."""
        if not condition:
            raise NotTestableError(reason)

    def given(self, condition: bool, reason: str) -> None:
        """What must be so for the scenario to mean anything; without it nothing is proven."""
        if not condition:
            raise InconclusiveError(reason)


@dataclass
class Trial:
    """One try: what it is given is made when it is asked for, and kept as evidence."""

    run: Run
    rule: Rule
    world: World = field(init=False)
    expect: Expect = field(init=False)
    _sink: WitnessedSink | None = None

    def __post_init__(self) -> None:
        """A world and a judge of its own."""
        self.world = self.run.world()
        expectation, _ = self.run.profile.expectation(self.rule)
        told = max((outcome.stage for outcome in expectation), key=ORDER.index)
        if ORDER.index(told) > ORDER.index(self.rule.expect[0].stage):
            self.world.later[self.rule.expect[0].stage] = told
        others = self.run.profile.greylist is not None and not self.rule.id.startswith("greylist.")
        self.expect = Expect(replace(self.run.judge, greylisting=others), expectation)

    def play(
        self, scenario: Callable[..., object], given: Mapping[str, Any], wanted: tuple[str, ...]
    ) -> None:
        """Call the scenario with its fixtures; raises what it raises, or `UnprovenError`."""
        with contextlib.ExitStack() as stack:
            if "greylist_outage" in wanted and self.run.tools.outage:
                stack.callback(self.run.tools.outage.end)
            stack.callback(self._close_sink)
            scenario(**given, **{name: FIXTURES[name](self) for name in wanted})
        if not self.expect.proven:
            raise UnprovenError(
                f"the scenario of {self.rule.id} ended without expect(attempt, twin=...): it proves nothing"
            )

    def _close_sink(self) -> None:
        if self._sink:
            self._sink.close()

    def new_client(self, kind: Kind, label: str = "client") -> Client:
        """A fresh innocent host of a kind."""
        return self.run.client(self.world, kind, label)

    @property
    def mailbox(self) -> Mailbox | None:
        """The mailbox, if the profile grants it."""
        mailbox = self.run.tools.mailbox
        return WitnessedMailbox(mailbox, self.world) if mailbox else None

    @property
    def queue(self) -> QueueOperator | None:
        """The operator's hand on the queue, if the profile grants it."""
        queue = self.run.tools.queue
        return WitnessedQueue(queue, self.world) if queue else None

    @property
    def greylist(self) -> GreylistOperator | None:
        """The operator's hand on the greylist, if the profile grants it."""
        operator = self.run.tools.operator
        return WitnessedGreylist(operator, self.world) if operator else None

    @property
    def sink(self) -> MailHosts | None:
        """The mail hosts of everybody else, if the profile grants them."""
        if self._sink is None and self.run.tools.sink:
            self._sink = WitnessedSink(self.run.tools.sink, self.world)
        return self._sink


FIXTURES: Mapping[str, Callable[[Trial], object]] = {
    "client": lambda trial: trial.new_client(Kind.KNOWN),
    "stranger": lambda trial: trial.new_client(Kind.STRANGER, "stranger"),
    "trusted_client": lambda trial: trial.new_client(Kind.TRUSTED, "trusted"),
    "new_client": lambda trial: trial.new_client,
    "expect": lambda trial: trial.expect,
    "sut": lambda trial: trial.run.sut,
    "internet": lambda trial: trial.run.internet,
    "clock": lambda trial: trial.run.tools.clock,
    "greylist": lambda trial: trial.greylist,
    "greylist_outage": lambda trial: trial.run.tools.outage,
    "mailbox": lambda trial: trial.mailbox,
    "sink": lambda trial: trial.sink,
    "queue": lambda trial: trial.queue,
    "rewriter": lambda trial: trial.run.tools.rewriter,
}
