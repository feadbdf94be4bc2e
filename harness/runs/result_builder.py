"""Gathers the cases of a run into its result."""

import datetime
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from harness import suites
from harness.results.model import (
    LEFT_OPEN,
    Case,
    Caveat,
    CaveatKind,
    Finding,
    RuleResult,
    RunResult,
    ServerFacts,
    Status,
    Suite,
    aggregate,
)
from harness.rules import Catalogue, Rule, spell
from harness.runs.course import CaseResult
from harness.runs.run import Run
from harness.settings.hosts import endpoint_text


@dataclass(frozen=True)
class RuleCase:
    """One scenario item and what it came to."""

    rule: Rule
    name: str
    test: str
    outcome: CaseResult


@dataclass(frozen=True)
class Planned:
    """A scenario item that was to be tried."""

    rule: Rule
    name: str
    test: str


@dataclass
class ResultBuilder:
    """Collects cases while a run goes on."""

    started: datetime.datetime
    clock: float
    facts: ServerFacts
    cases: list[RuleCase] = field(default_factory=list)
    caveats: list[Caveat] = field(default_factory=list)  # that are known beforehand
    undecided: tuple[Planned, ...] = ()  # when the run ended
    seconds: float = 0.0

    @classmethod
    def begin(cls, facts: ServerFacts) -> "ResultBuilder":
        """Note the time, and what the server says of itself."""
        return cls(datetime.datetime.now(datetime.UTC), time.monotonic(), facts)

    def add(self, case: RuleCase) -> None:
        """Take in a finished case."""
        self.cases.append(case)

    def interrupted(self, why: str, undecided: Sequence[Planned]) -> None:
        """The run ended before these were decided; `why` is a clause about it: «it was interrupted»."""
        self.undecided = tuple(undecided)
        of = len(self.cases) + len(undecided)
        said = f"{why}, and {len(undecided)} of {of} scenarios were not decided by then"
        rules = tuple(dict.fromkeys(one.rule.id for one in undecided))
        self.caveats.append(Caveat(CaveatKind.INTERRUPTED, said, rules))

    def finish(self, run: Run) -> RunResult:
        """The run is over: its length stands."""
        self.seconds = time.monotonic() - self.clock
        return self.result(run)

    def result(self, run: Run) -> RunResult:
        """Everything so far, as one result."""
        tested = {case.rule.id for case in self.cases}
        return RunResult(
            name=run.profile.name,
            started=self.started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            seconds=round(self.seconds, 3),
            harness_version=version("smtp-harness"),
            sut_name=run.profile.name,
            sut_address=endpoint_text(run.profile.server.address, run.profile.server.port),
            route=run.profile.clients.route.value,
            delay=run.profile.policy.delay,
            suites=tuple(_suite(run.catalogue, suite) for suite in run.catalogue.suites.values()),
            server=self.facts,
            rules=tuple(self._rule(run, rule) for rule in run.catalogue if rule.id in tested),
            notes=tuple(filter(None, (run.given_up, *run.obstacles.values(), str(run.steadiness.seen)))),
            findings=self._findings(run),
            caveats=tuple(self._caveats(run)),
        )

    def _caveats(self, run: Run) -> Iterator[Caveat]:
        """Why the run says less than another may, as far as it has come."""
        yield from self.caveats
        if run.unusable:
            untold = dict.fromkeys(case.rule.id for case in self.cases if case.outcome.reason == run.unusable)
            yield Caveat(CaveatKind.GIVEN_UP, f"it was given up: {run.given_up}", tuple(untold))
        if not any(case.outcome.tries for case in self.cases):
            yield Caveat(CaveatKind.UNTRIED, "it tried nothing")

    def _findings(self, run: Run) -> tuple[Finding, ...]:
        """What innocent clients met that the profile does not say, and the rules that it blocks."""
        blocked = {case.rule.id: by for case in self.cases if (by := _blocked_by(run, case.outcome))}
        return tuple(
            Finding(
                id=found.id,
                statement=found.statement,
                said=found.said,
                blocks=tuple(rule for rule, by in blocked.items() if by == found.id),
            )
            for found in (*run.baseline.findings, *run.refusals.findings)
        )

    def _rule(self, run: Run, rule: Rule) -> RuleResult:
        expectation, reason = run.profile.expectation(rule)
        cases = tuple(_case(run, case) for case in self.cases if case.rule.id == rule.id)
        cases += tuple(_left_open(one) for one in self.undecided if one.rule.id == rule.id)
        status = aggregate(cases)
        telling = next((case for case in cases if case.status is status and case.reason), None)
        return RuleResult(
            id=rule.id,
            stage=rule.stage.value,
            level=rule.level.value,
            source=rule.source,
            statement=rule.statement,
            expectation=spell(expectation),
            expectation_from="profile" if reason else "catalogue",
            expectation_reason=reason,
            status=status,
            reason=telling.reason if telling else "",
            cases=cases,
            weakness=rule.weakness,
            suite=rule.suite,
            group=rule.group.title,
            chapter=rule.chapter,
            blocked_by=telling.blocked_by if telling else "",
        )


def _suite(catalogue: Catalogue, suite: suites.Suite) -> Suite:
    rules = tuple(rule.id for rule in catalogue if rule.suite == suite.name)
    return {"name": suite.name, "title": suite.title, "rules": rules}


def _blocked_by(run: Run, outcome: CaseResult) -> str:
    """The finding or the rule that keeps a case from being told: also how innocents are refused by now.

    That has not hidden a failure, which stands only where innocent clients were served right after it.
    """
    if outcome.blocked_by or outcome.status is not Status.INCONCLUSIVE:
        return outcome.blocked_by
    found = run.refusals.finding(outcome.troubled_by)
    return found.id if found else ""


def _case(run: Run, case: RuleCase) -> Case:
    outcome = case.outcome
    return Case(
        name=case.name,
        test=case.test,
        status=outcome.status,
        reason=outcome.reason,
        expected=outcome.expected,
        observed=outcome.observed,
        seconds=round(outcome.seconds, 3),
        tries=outcome.tries,
        blocked_by=_blocked_by(run, outcome),
        came=outcome.came,
        lacks=outcome.lacks,
    )


def _left_open(planned: Planned) -> Case:
    """A case that was not decided, of a rule that others of its cases tell something of."""
    return Case(
        name=planned.name,
        test=planned.test,
        status=Status.INCONCLUSIVE,
        reason=LEFT_OPEN,
        expected="",
        observed="",
        seconds=0.0,
        tries=(),
    )


def of_a_broken_server(mutants: Sequence[str]) -> Caveat:
    """The caveat of a run against a server that was broken on purpose."""
    return Caveat(CaveatKind.MUTANT, f"the server was broken on purpose: --smtp-mutant {', '.join(mutants)}")
