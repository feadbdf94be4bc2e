"""How pytest shows what a scenario came to."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import pytest

from harness.printable import encodable, printable
from harness.results.model import Status
from harness.runs.course import CaseResult
from harness.verdicts import ScenarioEnd

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter  # pytest has no public name for it before 9.1

SHOWN: dict[Status, tuple[str, str, dict[str, bool]]] = {
    Status.PASSED: (".", "PASSED", {"green": True}),
    Status.FAILED: ("F", "FAILED", {"red": True}),
    Status.STALE: ("S", "STALE", {"red": True}),
    Status.INCONCLUSIVE: ("?", "INCONCLUSIVE", {"yellow": True}),
    Status.KNOWN_DEVIATION: ("k", "KNOWN DEVIATION", {"purple": True}),
    Status.NOT_TESTABLE: ("t", "NOT TESTABLE", {"cyan": True}),
    Status.NOT_APPLICABLE: ("-", "NOT APPLICABLE", {"light": True}),
}
STATUS = "scenario_status"  # where a report carries the status of its scenario


def rule_lines(scenarios: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A line for each scenario: the rule that it tests, and its node id."""
    width = max((len(rule) for rule, _ in scenarios), default=0)
    for rule, test in scenarios:
        yield printable(f"{rule:{width}}  {test}")


def write_lines(reporter: "TerminalReporter", text: str, **markup: bool) -> None:
    """Write a text line by line, in characters that the terminal has.

    pytest would show a text with others as one line, its line ends escaped as well.
    """
    for line in encodable(text, getattr(reporter._tw._file, "encoding", None)).split("\n"):
        reporter.write_line(line, **markup)


def tell(outcome: CaseResult) -> None:
    """Let pytest see the outcome: nothing for a pass, a skip, or what was raised."""
    if outcome.status in (Status.NOT_TESTABLE, Status.NOT_APPLICABLE, Status.KNOWN_DEVIATION):
        pytest.skip(outcome.reason)
    if isinstance(outcome.error, ScenarioEnd):  # its text says it all; where in the harness does not help
        raise outcome.error.with_traceback(_of_the_scenario(outcome.error.__traceback__)) from None
    if outcome.error is not None:
        raise outcome.error


def _of_the_scenario(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of the harness."""
    if traceback is None:
        return None
    rest = _of_the_scenario(traceback.tb_next)
    if traceback.tb_frame.f_globals.get("__name__", "").startswith("harness."):
        return rest
    return TracebackType(rest, traceback.tb_frame, traceback.tb_lasti, traceback.tb_lineno)
