"""Runs a suite set by set, the cases of a set side by side, and makes a result of it."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import Self

from harness import suites
from harness.grants.addresses import DNS
from harness.grants.mail import MAILBOX
from harness.outcome import Outcome, Stage
from harness.profile.tables import Claims
from harness.results.model import Case as CaseResult
from harness.results.model import RuleResult, RunResult, ServerFacts
from harness.rules import Catalogue, Level, Rule
from harness.runs.course import run_scenario
from harness.runs.ending import why
from harness.runs.result_builder import Planned, ResultBuilder, RuleCase
from harness.runs.run import Run
from harness.runs.trial import Plan
from harness.spf_suite.play import SpfDialogue
from harness.spf_suite.suite import Case, CaseSet, Suite
from harness.spf_suite.zones import published
from harness.world.endpoints import TOLD, endpoints_of

NOTE = (
    "The cases name addresses of strangers: they stood only in what the server was told of its clients by "
    "{route}, and in DNS answers; nothing was sent there."
)
Progress = Callable[[int, int], None]  # how many cases are done, of how many


class UnfitProfileError(Exception):
    """A profile with which the suite cannot be run; the text says why and how to mend it."""


def subject(run: Run, suite: Suite) -> Run:
    """The run as the suite needs it: its cases as rules, and the server that checks SPF.

    Raises `UnfitProfileError`.
    """
    profile = run.profile
    if profile.spf is None:
        raise UnfitProfileError(
            'there is no [spf]; write mode = "mark" or "reject" where the server checks it'
        )
    name = profile.spf.route or profile.clients.route
    if name not in TOLD:
        raise UnfitProfileError(
            f"{'spf' if profile.spf.route else 'clients'}.route is {name}, and the cases come from addresses "
            "that nobody has here: the server can only be told of them; set spf.route to "
            f"{', '.join(TOLD)}"
        )
    if reason := DNS.lacking(profile):
        raise UnfitProfileError(reason)
    if run.tools.get(MAILBOX) is None:
        raise UnfitProfileError("there is no [mailbox], and most results stand in delivered messages")
    address, port = profile.spf.server or (profile.server.address, profile.server.port)
    server = profile.server.model_copy(update={"address": address, "port": port})
    clients = profile.clients.model_copy(update={"route": name})
    rules = [rule_of(case, suite) for case in suite.cases]
    fitting = profile.model_copy(update={"server": server, "clients": clients, "rules": Claims()})
    return replace(
        run,
        profile=fitting,
        catalogue=Catalogue(
            {rule.id: rule for rule in rules}, {suite.name: suites.Suite(suite.name, suite.name)}
        ),
        endpoints=endpoints_of(fitting, run.internet),
    )


def rule_of(case: Case, suite: Suite) -> Rule:
    """A case as a rule of its own."""
    return Rule(
        id=f"spf-suite.{case.name}",
        suite=suite.name,
        stage=Stage.MAIL,
        level=Level.OPTIONAL,
        source=case.sections,
        statement=case.statement,
        expect=(Outcome.parse("pass at data"),),
        needs=frozenset(),
    )


@dataclass
class Playing:
    """One suite as it is played, set by set; what is decided stands when it is interrupted."""

    run: Run
    suite: Suite
    builder: ResultBuilder
    decided: set[str] = field(default_factory=set)  # names of cases

    @classmethod
    def begin(cls, run: Run, facts: ServerFacts, suite: Suite) -> Self:
        """A suite whose zone data was rehearsed; nothing is played yet."""
        return cls(run, suite, ResultBuilder.begin(facts))

    def play(self, progress: Progress) -> None:
        """Every case; what interrupts it is noted, and goes on."""
        try:
            for number, cases in enumerate(self.suite.sets, 1):
                self._play_set(_title(number, cases), cases, progress)
        except BaseException as ending:
            self.builder.interrupted(why(ending), [*self._undecided()])
            raise

    @property
    def result(self) -> RunResult:
        """What every case came to, with what it expects in the suite's own words."""
        return _worded(self.builder.finish(self.run), self.suite)

    def _play_set(self, where: str, cases: CaseSet, progress: Progress) -> None:
        with published(self.run.internet.dns, cases), _pool(self.run, len(cases.cases)) as pool:
            under_way = {}
            for case in cases.cases:
                rule = rule_of(case, self.suite)
                plan = Plan(rule, frozenset(), SpfDialogue(case, cases), has_twin=False)
                under_way[pool.submit(run_scenario, self.run, plan)] = case
            for future in as_completed(under_way):
                case, outcome = under_way[future], future.result()
                self.builder.add(RuleCase(rule_of(case, self.suite), where, self._test(case), outcome))
                self.decided.add(case.name)
                progress(len(self.decided), len(self.suite.cases))

    def _undecided(self) -> Iterator[Planned]:
        for number, cases in enumerate(self.suite.sets, 1):
            for case in cases.cases:
                if case.name not in self.decided:
                    yield Planned(rule_of(case, self.suite), _title(number, cases), self._test(case))

    def _test(self, case: Case) -> str:
        return f"{self.suite.name}::{case.name}"


def _title(number: int, cases: CaseSet) -> str:
    return f"set {number}: {cases.title or 'untitled'}"


@contextlib.contextmanager
def _pool(run: Run, cases: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for the cases of a set; when the run is broken off, they are not waited for to the end."""
    pool = ThreadPoolExecutor(min(cases, run.profile.server.jobs), thread_name_prefix="case")
    try:
        yield pool
    except BaseException:
        run.break_off()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _worded(result: RunResult, suite: Suite) -> RunResult:
    """The result with what each case expects in the suite's own words."""
    expected = {f"spf-suite.{case.name}": _expectation(case) for case in suite.cases}
    rules = tuple(_rule(rule, expected[rule.id]) for rule in result.rules)
    return replace(result, rules=rules, notes=(*result.notes, NOTE.format(route=result.route)))


def _rule(rule: RuleResult, expected: str) -> RuleResult:
    cases: tuple[CaseResult, ...] = tuple(replace(case, expected=expected) for case in rule.cases)
    return replace(rule, expectation=expected, cases=cases)


def _expectation(case: Case) -> str:
    words = " or ".join(case.results)
    if case.explanation is None:
        return words
    return f"{words}, explained as {case.explanation!r}"
