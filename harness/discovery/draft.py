"""Drafts the profile of a server from what was seen of it.

What can be seen from outside is written down as keys; what cannot stands as a question in a comment.
"""

import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import jinja2

from harness.discovery.discover import Place, Seen
from harness.judge import LATE_FROM
from harness.mutants import PATIENCE, run_pytest
from harness.outcome import Outcome, Stage, Verdict
from harness.results.model import Case, RuleResult, RunResult, Status
from harness.results.visible import shortened, visible

SUPPOSED_DELAY = 1.0  # seconds
JOBS = 20  # scenarios at a time
LONGEST_WAIT = 5  # delays that a scenario may wait for
CHANCES = 6  # times as long as it may take, and it is given up
TEMPLATE = "draft.toml.jinja"
LONGEST = 160  # characters of what a server said, in a comment
OBSERVED = re.compile(r"(?P<stage>\w+): (?P<code>\d{3})\b.* after (?P<seconds>[\d.]+) s", re.DOTALL)


@dataclass(frozen=True)
class Deviation:
    """A rule that did not hold, and what was seen instead.

    Without an `outcome` the offence met the documented one, or none, and `seen` is the verdict's reason.
    """

    id: str
    expectation: str
    seen: str
    outcome: str


def draft(place: Place, seen: Seen, rules: Iterable[Deviation] = ()) -> str:
    """The profile as far as it was seen, in TOML, with questions in comments."""
    shown = [replace(rule, seen=visible(shortened(rule.seen, LONGEST))) for rule in rules]
    return environment().get_template(TEMPLATE).render(place=place, seen=seen, rules=shown, jobs=JOBS)


def environment() -> jinja2.Environment:
    """Templates for TOML: what is filled in is quoted by `tojson`, whose strings are TOML's too."""
    loader = jinja2.PackageLoader("harness.discovery", "")
    return jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701


def time_to_try(seen: Seen, rules: int) -> float:
    """The seconds that the scenarios of so many rules may take."""
    return max(60.0, LONGEST_WAIT * (seen.delay or SUPPOSED_DELAY) * rules / JOBS)


def try_rules(place: Place, seen: Seen, scenarios: Path, time: float) -> list[Deviation]:
    """Run the scenarios with the draft; raises `BrokenRunError` when that leaves no result.

    Where nobody is kept waiting they still look for delays, so that what comes instead is seen. `time` is
    what they may take, in seconds; how far they are is told on standard error.
    """
    profile = draft(place, replace(seen, delay=seen.delay or SUPPOSED_DELAY))
    with tempfile.TemporaryDirectory(prefix="smtp-harness-") as folder:
        file = Path(folder) / "draft.toml"
        file.write_text(profile, "utf-8")
        patience = max(PATIENCE, CHANCES * time)
        return deviations(
            run_pytest(scenarios, Path(folder), [f"--sut={file}"], patience=patience, progress=True)
        )


def deviations(result: RunResult) -> list[Deviation]:
    """What a run with the draft showed: the rules that did not hold, and what the server did instead."""
    found = []
    for rule in result.rules:
        case = next((case for case in rule.cases if case.status is Status.FAILED), None)
        if case:
            found.append(_deviation(rule, case, result.delay))
    return found


def _deviation(rule: RuleResult, case: Case, delay: float) -> Deviation:
    outcome = outcome_of(case.observed, delay)
    if not outcome or outcome in rule.expectation.split(" or "):
        return Deviation(rule.id, rule.expectation, case.reason, "")
    return Deviation(rule.id, rule.expectation, case.observed, outcome)


def outcome_of(observed: str, delay: float) -> str:
    """What a case saw, such as `rcpt: 550 No such user after 0.02 s`, in the words of a profile."""
    match = OBSERVED.fullmatch(observed)
    if match is None:
        return ""
    code, seconds = int(match["code"]), float(match["seconds"])
    verdict = Verdict.PASS if code < 400 else Verdict.DEFER if code < 500 else Verdict.DENY
    late = delay > 0 and seconds >= LATE_FROM * delay
    return str(Outcome(verdict, Stage(match["stage"]), late=late))
