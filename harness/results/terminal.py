"""A run as a terminal shows it: a table of the stages, then whatever needs a look."""

import textwrap
from collections.abc import Iterator

from harness.results.model import Caveat, CaveatKind, Finding, RuleResult, RunResult, Status, count
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
    Status.INCONCLUSIVE: "inconclusive: each reason says what was seen; the report has the dialogues",
    Status.NOT_TESTABLE: "not testable: each reason names the line that the profile lacks",
}
TROUBLES = (Status.FAILED, Status.INCONCLUSIVE)
ALL = "all"
INDENT = " " * 4


def table(run: RunResult, width: int, colour: bool) -> str:
    """What innocent clients met, counts by stage and status, then each rule that was not told as passed."""
    rows = [["", *(status.words for status in Status)]]
    for stage, rules in {**run.by_stage, ALL: run.rules}.items():
        rows.append([stage, *(str(number or "·") for number in count(rules).values())])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [line for caveat in run.caveats for line in _caveat(caveat, width, colour)]
    lines += [_folded(note, width, "") for note in run.notes]
    lines += [_finding(finding, width, colour) for finding in run.findings]
    lines += [_row(row, widths, colour) for row in rows]
    for status in (*TROUBLES, Status.NOT_TESTABLE):
        lines += [
            _trouble(rule, width, colour)
            for rule in run.rules
            if rule.status is status and not rule.blocked_by
        ]
    lines += _blocked(run, width, colour)
    hints = [NEXT[status] for status in NEXT if run.counts[status]]
    return "\n".join([*lines, *hints])


def _caveat(caveat: Caveat, width: int, colour: bool) -> Iterator[str]:
    """Why this is no whole run, and the rules that have no verdict because of it."""
    head = _painted("not a whole run", Status.INCONCLUSIVE, colour)
    yield f"{head}\n{_folded(caveat.said, width, INDENT)}"
    if caveat.kind is CaveatKind.INTERRUPTED:
        yield _folded(f"not decided: {', '.join(caveat.rules)}", width, INDENT)


def _row(cells: list[str], widths: list[int], colour: bool) -> str:
    padded = [cells[0].ljust(widths[0])]
    for status, cell, room in zip(Status, cells[1:], widths[1:], strict=True):
        text = cell.rjust(room)
        padded.append(_painted(text, status, colour and cell != "·"))
    return "  ".join(padded)


def _trouble(rule: RuleResult, width: int, colour: bool) -> str:
    head = f"{_painted(rule.status.words, rule.status, colour)} {rule.id}"
    return f"{head}\n{_folded(rule.reason, width, INDENT)}"


def _finding(finding: Finding, width: int, colour: bool) -> str:
    head = f"{_painted('finding', Status.FAILED, colour)} {finding.id}"
    return f"{head}\n{_folded(finding.statement, width, INDENT)}"


def _blocked(run: RunResult, width: int, colour: bool) -> list[str]:
    """The rules that cannot be told, by what keeps them from it."""
    by: dict[str, list[str]] = {}
    for rule in run.rules:
        if rule.blocked_by and rule.status is Status.INCONCLUSIVE:
            by.setdefault(rule.blocked_by, []).append(rule.id)
    return [
        f"{_painted(f'blocked by {cause}', Status.INCONCLUSIVE, colour)}\n"
        + _folded(", ".join(rules), width, INDENT)
        for cause, rules in by.items()
    ]


def _folded(text: str, width: int, indent: str) -> str:
    return textwrap.fill(
        visible(text), max(width, 40), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def _painted(text: str, status: Status, colour: bool) -> str:
    return f"\033[{COLOURS[status]}m{text}\033[0m" if colour else text
