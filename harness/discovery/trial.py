"""The scenarios, run with a draft: the rules that do not hold as it has them, and what came instead."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.discovery.dialect import NEVER_MEANT
from harness.discovery.facts import Seen
from harness.discovery.recipients import passed_in_time
from harness.outcome import Outcome, Treatment
from harness.pytest_runs.commanded import PATIENCE, run_pytest
from harness.results.model import Case, RuleResult, RunResult, Status, Try
from harness.rules import Catalogue, Rule
from harness.world.conversation import REFUSES

JOBS = 20  # scenarios at a time
WAITING_JOBS = 120  # where most of them wait for a greylist, without a connection
SHORTEST_WAIT = 1.0  # seconds
LONGEST_WAIT = 5  # delays that a scenario may wait for
DECIDED = (Status.FAILED, Status.PASSED)
CHANCES = 6  # times as long as it may take, and it is given up


@dataclass(frozen=True)
class Deviation:
    """A rule that did not hold, or of which nobody can tell, and what was seen.

    Its `outcomes` are what its cases came to, all of them. Without any no outcome describes it: it is about
    something else; `seen` is the verdict's reason then.
    """

    id: str
    expectation: str
    seen: str
    outcomes: tuple[str, ...] = ()
    undecided: bool = False
    blocked: bool = False  # by a rule that did not hold


def jobs_for(seen: Seen) -> int:
    """How many scenarios may be under way at a time."""
    return WAITING_JOBS if passed_in_time(seen.deferral) else JOBS


def time_to_try(seen: Seen, rules: int) -> float:
    """The seconds that the scenarios of so many rules may take."""
    greylist = passed_in_time(seen.deferral)
    wait = (
        seen.speech.delay
        + seen.speech.pause
        + seen.speech.refusals_take
        + (greylist.delay if greylist else 0.0)
    )
    return max(60.0, LONGEST_WAIT * max(wait, SHORTEST_WAIT) * rules / jobs_for(seen))


def try_rules(
    drafted: Callable[[Sequence[Deviation]], str], scenarios: Path, catalogue: Catalogue, time: float
) -> list[Deviation]:
    """Run the scenarios with a draft; raises `BrokenRunError` when that leaves no result.

    What is `drafted` depends on what was found so far: where rules were blocked by others that are described
    by then, the scenarios are run once more. `time` is what they may take, in seconds.
    """
    found = _try_once(drafted([]), scenarios, catalogue, time)
    if not any(one.blocked for one in found):
        return found
    described = [one for one in found if one.outcomes]
    again = _try_once(drafted(described), scenarios, catalogue, time)
    new = {one.id for one in again}
    return [*(one for one in described if one.id not in new), *again]


def _try_once(profile: str, scenarios: Path, catalogue: Catalogue, time: float) -> list[Deviation]:
    """One run; every dialogue goes on to the end of DATA, so that nothing passes that is refused later.

    How far the scenarios are is told on standard error.
    """
    with tempfile.TemporaryDirectory(prefix="smtp-harness-") as folder:
        file = Path(folder) / "draft.toml"
        file.write_text(profile, "utf-8")
        patience = max(PATIENCE, CHANCES * time)
        options = [f"--smtp-sut={file}", "--smtp-to-the-end"]
        return deviations(
            run_pytest(scenarios, Path(folder), options, patience=patience, progress=True), catalogue
        )


def deviations(result: RunResult, catalogue: Catalogue) -> list[Deviation]:
    """What a run with the draft showed: the rules that did not hold, and what the server did instead."""
    found = []
    for rule in result.rules:
        if rule.status is Status.FAILED:
            found.append(_deviation(rule, catalogue.rules.get(rule.id)))
        elif rule.status is Status.INCONCLUSIVE:
            blocked = rule.blocked_by in catalogue.rules
            found.append(Deviation(rule.id, rule.expectation, rule.reason, undecided=True, blocked=blocked))
    return found


def _deviation(result: RuleResult, rule: Rule | None) -> Deviation:
    failed = [case for case in result.cases if case.status is Status.FAILED]
    outcomes = tuple(dict.fromkeys(case.came for case in result.cases if case.status in DECIDED))
    alike = all(_all_tries_alike(case) for case in failed)
    described = alike and all(outcomes) and set(outcomes) != set(result.expectation.split(" or "))
    if not described or not all(_may_be_meant(rule, outcome) for outcome in outcomes):
        return Deviation(result.id, result.expectation, failed[0].reason)
    return Deviation(result.id, result.expectation, failed[0].observed or failed[0].reason, outcomes)


def _all_tries_alike(case: Case) -> bool:
    """Whether all tries that failed met the same; the last alone does not say what is documented."""
    return len({_met(one) for one in case.tries if one.status is Status.FAILED}) <= 1


def _met(one: Try) -> tuple[frozenset[tuple[bool, str, str, int]], bool]:
    """What was refused in a try, and to whom, and whether anything was held back."""
    told = [(talk, step, step.reply) for talk in one.dialogues for step in talk.told if step.reply]
    refused = frozenset(
        (talk.is_of_twin, talk.label, step.stage, reply.code)
        for talk, step, reply in told
        if reply.code >= REFUSES
    )
    return refused, any(reply.late for _, _, reply in told)


def _may_be_meant(rule: Rule | None, outcome: str) -> bool:
    """Whether a server may have documented that; an open relay never has."""
    if rule is None or rule.about_innocents:
        return False
    return rule.offence not in NEVER_MEANT or Outcome.parse(outcome).treatment is not Treatment.PASS
