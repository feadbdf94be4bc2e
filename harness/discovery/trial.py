"""The scenarios, run with a draft: the rules that do not hold as it has them, and what came instead."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.discovery.dialect import NEVER_MEANT
from harness.mutants import PATIENCE, run_pytest
from harness.outcome import Outcome, Verdict
from harness.results.model import Case, RuleResult, RunResult, Status
from harness.rules import Catalogue, Rule

JOBS = 20  # scenarios at a time
SHORTEST_WAIT = 1.0  # seconds
LONGEST_WAIT = 5  # delays that a scenario may wait for
CHANCES = 6  # times as long as it may take, and it is given up


@dataclass(frozen=True)
class Deviation:
    """A rule that did not hold, and what was seen.

    Without an `outcome` no other one describes it: its cases came out differently, or it is about something
    else; `seen` is the verdict's reason then.
    """

    id: str
    expectation: str
    seen: str
    outcome: str


def time_to_try(wait: float, rules: int) -> float:
    """The seconds that the scenarios of so many rules may take; `wait` is what some are kept waiting for."""
    return max(60.0, LONGEST_WAIT * max(wait, SHORTEST_WAIT) * rules / JOBS)


def try_rules(profile: str, scenarios: Path, catalogue: Catalogue, time: float) -> list[Deviation]:
    """Run the scenarios with a draft; raises `BrokenRunError` when that leaves no result.

    Every dialogue goes on to the end of DATA, so that nothing is said to pass that is refused later. `time`
    is what they may take, in seconds; how far they are is told on standard error.
    """
    with tempfile.TemporaryDirectory(prefix="smtp-harness-") as folder:
        file = Path(folder) / "draft.toml"
        file.write_text(profile, "utf-8")
        patience = max(PATIENCE, CHANCES * time)
        options = [f"--sut={file}", "--to-the-end"]
        return deviations(
            run_pytest(scenarios, Path(folder), options, patience=patience, progress=True), catalogue
        )


def deviations(result: RunResult, catalogue: Catalogue) -> list[Deviation]:
    """What a run with the draft showed: the rules that did not hold, and what the server did instead."""
    failed = [rule for rule in result.rules if rule.status is Status.FAILED]
    return [_deviation(rule, catalogue.rules.get(rule.id)) for rule in failed]


def _deviation(result: RuleResult, rule: Rule | None) -> Deviation:
    failed = [case for case in result.cases if case.status is Status.FAILED]
    outcome = _outcome_of(result.cases)
    if not outcome or outcome in result.expectation.split(" or ") or not _may_be_meant(rule, outcome):
        return Deviation(result.id, result.expectation, failed[0].reason, "")
    return Deviation(result.id, result.expectation, failed[0].observed, outcome)


def _outcome_of(cases: Sequence[Case]) -> str:
    """What every case that proves something came to; empty when they differ."""
    telling = {case.came for case in cases if case.status in (Status.FAILED, Status.PASSED)}
    return telling.pop() if len(telling) == 1 else ""


def _may_be_meant(rule: Rule | None, outcome: str) -> bool:
    """Whether a server may have documented that; an open relay never has."""
    if rule is None or rule.about_innocents:
        return False
    return rule.offence not in NEVER_MEANT or Outcome.parse(outcome).verdict is not Verdict.PASS
