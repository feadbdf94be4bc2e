"""A run as a terminal shows it: a table of the stages, then whatever needs a look."""

import textwrap

from harness.results.model import RuleResult, RunResult, Status, count
from harness.results.visible import visible

COLOURS = {
    Status.PASSED: "32",
    Status.FAILED: "31;1",
    Status.INCONCLUSIVE: "33",
    Status.NOT_TESTABLE: "36",
    Status.NOT_APPLICABLE: "2",
}
NEXT = {
    Status.FAILED: "failed: open the report; it has the dialogue of each try and the server's DNS questions",
    Status.INCONCLUSIVE: "inconclusive: run again when all is quiet; the report has what was seen",
    Status.NOT_TESTABLE: "not testable: each reason names the line that the profile lacks",
}
TROUBLES = (Status.FAILED, Status.INCONCLUSIVE)
ALL = "all"


def table(run: RunResult, width: int, colour: bool) -> str:
    """Counts by stage and status, then each rule that failed, proved nothing or could not be tested."""
    rows = [["", *(status.words for status in Status)]]
    for stage, rules in {**run.by_stage, ALL: run.rules}.items():
        rows.append([stage, *(str(number or "·") for number in count(rules).values())])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [_row(row, widths, colour) for row in rows]
    for status in (*TROUBLES, Status.NOT_TESTABLE):
        lines += [_trouble(rule, width, colour) for rule in run.rules if rule.status is status]
    hints = [NEXT[status] for status in NEXT if run.counts[status]]
    return "\n".join([*lines, *hints])


def _row(cells: list[str], widths: list[int], colour: bool) -> str:
    padded = [cells[0].ljust(widths[0])]
    for status, cell, room in zip(Status, cells[1:], widths[1:], strict=True):
        text = cell.rjust(room)
        padded.append(_painted(text, status, colour and cell != "·"))
    return "  ".join(padded)


def _trouble(rule: RuleResult, width: int, colour: bool) -> str:
    head = f"{_painted(rule.status.words, rule.status, colour)} {rule.id}"
    indent = " " * 4
    reason = textwrap.fill(
        visible(rule.reason), max(width, 40), initial_indent=indent, subsequent_indent=indent
    )
    return f"{head}\n{reason}"


def _painted(text: str, status: Status, colour: bool) -> str:
    return f"\033[{COLOURS[status]}m{text}\033[0m" if colour else text
