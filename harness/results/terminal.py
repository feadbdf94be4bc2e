"""A run as a terminal shows it: a table of the stages, then whatever needs a look, failures first."""

import textwrap
from collections.abc import Iterator

from harness.printable import printable
from harness.results import attention
from harness.results.attention import Group
from harness.results.model import Caveat, CaveatKind, Finding, RunResult, Status, count

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
ALL = "all"
INDENT = " " * 4
REASON = INDENT + "→ "


def table(run: RunResult, width: int, colour: bool) -> str:
    """What innocent clients met, counts by stage and status, then each rule that was not told as passed."""
    rows = [["", *(status.words for status in Status)]]
    for stage, rules in {**run.by_stage, ALL: run.rules}.items():
        rows.append([printable(stage), *(str(number or "·") for number in count(rules).values())])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [line for caveat in run.caveats for line in _caveat(caveat, width, colour)]
    lines += [_folded(note, width, "") for note in run.notes]
    lines += [_finding(finding, width, colour) for finding in run.findings]
    lines += [_row(row, widths, colour) for row in rows]
    lines += [_trouble(group, width, colour) for group in attention.needing_a_look(run)]
    lines += [_untested(group, width, colour) for group in attention.groups(run, Status.NOT_TESTABLE)]
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


def _trouble(group: Group, width: int, colour: bool) -> str:
    """The rules of a group with what they state, then the reason that all of them have."""
    if group.blocked_by:
        head = _painted(f"blocked by {printable(group.blocked_by)}", group.status, colour)
        return f"{head}\n{_folded(', '.join(rule.id for rule in group.rules), width, INDENT)}"
    lines = []
    for rule in group.rules:
        lines.append(f"{_painted(rule.status.words, rule.status, colour)} {printable(rule.id)}")
        lines.append(_folded(rule.statement, width, INDENT))
    several = f"all {len(group.rules)}: " if len(group.rules) > 1 else ""
    return "\n".join([*lines, _folded(several + group.reason, width, REASON)])


def _untested(group: Group, width: int, colour: bool) -> str:
    """The rules of a group in a line or more, then the reason that all of them have."""
    words = group.status.words
    rules = textwrap.fill(
        f"{words} {', '.join(rule.id for rule in group.rules)}",
        max(width, 40),
        subsequent_indent=INDENT,
        break_on_hyphens=False,
    )
    head = _painted(words, group.status, colour)
    return f"{head}{rules.removeprefix(words)}\n{_folded(group.reason, width, INDENT)}"


def _finding(finding: Finding, width: int, colour: bool) -> str:
    head = f"{_painted('finding', Status.FAILED, colour)} {printable(finding.id)}"
    return f"{head}\n{_folded(finding.statement, width, INDENT)}"


def _folded(text: str, width: int, indent: str) -> str:
    return textwrap.fill(
        printable(text),
        max(width, 40),
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
        break_on_hyphens=False,
    )


def _painted(text: str, status: Status, colour: bool) -> str:
    return f"\033[{COLOURS[status]}m{text}\033[0m" if colour else text
