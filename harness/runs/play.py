"""One play of a scenario, with the offence or without: fresh clients, and its fixtures."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.outcome import Stage, Treatment, later
from harness.profile.model import Profile
from harness.rules import Rule
from harness.runs.expect import Expect, UnprovenError
from harness.runs.recorded_tools import (
    RecordedGreylist,
    RecordedMailbox,
    RecordedOutage,
    RecordedQueue,
    RecordedSink,
)
from harness.runs.run import Run
from harness.verdicts import NotTestableError
from harness.world.cast import NothingDescribed
from harness.world.client import Client
from harness.world.internet import Kind
from harness.world.tools import GreylistOperator, Mailbox, MailHosts, QueueOperator
from harness.world.world import World


@dataclass
class Play:
    """What a scenario is given is made when it is asked for, and kept as evidence."""

    run: Run
    rule: Rule
    offence: bool = True
    world: World = field(init=False)
    expect: Expect = field(init=False)
    outage: RecordedOutage | None = field(init=False)  # of the greylist, if the profile grants it
    ended_with: BaseException | None = None
    _sink: RecordedSink | None = None

    def __post_init__(self) -> None:
        """A world and expectations of its own."""
        profile = self.run.profile
        self.world = self.run.world()
        outage = self.run.tools.outage
        self.outage = RecordedOutage(outage, self.world) if outage else None
        self.world.goal = Stage.DATA if self.run.to_the_end else goal_of(profile, self.rule)
        judge = replace(self.run.judge, greylist=None if self.rule.about_greylist else profile.greylist)
        self.expect = Expect(judge, profile, self.run.catalogue, self.rule, self.offence, self.mailbox)

    def call(
        self, scenario: Callable[..., object], given: Mapping[str, Any], wanted: tuple[str, ...]
    ) -> None:
        """Call the scenario with its fixtures; raises what it raises, or `UnprovenError`."""
        for value in given.values():
            if isinstance(value, NothingDescribed):
                raise NotTestableError(value.reason)
        with contextlib.ExitStack() as stack:
            if "greylist_outage" in wanted and self.outage:
                stack.callback(self.outage.end)
            if "directory_outage" in wanted and self.run.tools.directory_outage:
                stack.callback(self.run.tools.directory_outage.end)
            stack.callback(self._close_sink)
            scenario(**given, **{name: FIXTURES[name](self) for name in wanted})
        if not self.expect.proven:
            raise UnprovenError(
                f"the scenario of {self.rule.id} ended without expect(attempt): it proves nothing"
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
        return RecordedMailbox(mailbox, self.world) if mailbox else None

    @property
    def queue(self) -> QueueOperator | None:
        """The operator's hand on the queue, if the profile grants it."""
        queue = self.run.tools.queue
        return RecordedQueue(queue, self.world) if queue else None

    @property
    def greylist(self) -> GreylistOperator | None:
        """The operator's hand on the greylist, if the profile grants it."""
        operator = self.run.tools.operator
        return RecordedGreylist(operator, self.world) if operator else None

    @property
    def sink(self) -> MailHosts | None:
        """The mail hosts of everybody else, if the profile grants them."""
        if self._sink is None and self.run.tools.sink:
            self._sink = RecordedSink(self.run.tools.sink, self.world)
        return self._sink


def goal_of(profile: Profile, rule: Rule) -> Stage:
    """How far the dialogues of a rule go: to the stage at which this server tells its verdict."""
    goal = Stage.CONNECT
    for outcome in profile.expectation(rule)[0]:
        goal = later(goal, outcome.stage)
        if outcome.treatment is Treatment.PASS:
            goal = later(goal, profile.settles(outcome.stage))
        if outcome.marked:
            goal = Stage.DATA
    return goal


FIXTURES: Mapping[str, Callable[[Play], object]] = {
    "client": lambda play: play.new_client(Kind.KNOWN),
    "stranger": lambda play: play.new_client(Kind.STRANGER, "stranger"),
    "trusted_client": lambda play: play.new_client(Kind.TRUSTED, "trusted"),
    "new_client": lambda play: play.new_client,
    "offence": lambda play: play.offence,
    "expect": lambda play: play.expect,
    "sut": lambda play: play.run.sut,
    "internet": lambda play: play.world.internet,
    "clock": lambda play: play.world.clock,
    "greylist": lambda play: play.greylist,
    "greylist_outage": lambda play: play.outage,
    "directory": lambda play: play.run.tools.directory,
    "directory_outage": lambda play: play.run.tools.directory_outage,
    "mailbox": lambda play: play.mailbox,
    "sink": lambda play: play.sink,
    "queue": lambda play: play.queue,
    "rewriter": lambda play: play.run.tools.rewriter,
}
TWIN = "offence"  # the fixture by which a scenario says that it has a twin
