"""A run as a terminal shows it: a table of the stages, then whatever needs a look, failures first."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from harness.printable import printable, shortened
from harness.results import attention
from harness.results.attention import Group
from harness.results.model import LISTED, Caveat, CaveatKind, Finding, RuleResult, RunResult, Status, count

COLOURS = {
    Status.PASSED: "32",
    Status.FAILED: "31;1",
    Status.STALE: "31",
    Status.INCONCLUSIVE: "33",
    Status.KNOWN_DEVIATION: "35",
    Status.NOT_TESTABLE: "36",
    Status.NOT_APPLICABLE: "2",
}
NEXT = {
    Status.FAILED: "failed: open the report; it has the dialogue of each try and the server's DNS questions",
    Status.STALE: "stale: what is listed as a known deviation holds; each reason says what to take out",
    Status.INCONCLUSIVE: "inconclusive: each reason says what was seen; the report has the dialogues",
    Status.NOT_TESTABLE: "not testable: each reason names the line that the profile lacks",
}
ALL = "all"
HEADING = 40  # characters
INDENT = " " * 4
REASON = INDENT + "→ "


def table(run: RunResult, width: int, colour: bool) -> str:
    """What innocent clients met, counts by stage and status, then each rule that was not told as passed."""
    shown = [status for status in Status if status not in LISTED or run.counts[status]]
    chapters = run.chapters
    many = len({chapter.suite for chapter in chapters}) > 1
    rows = [["", *(status.words for status in shown)]]
    for chapter in chapters:
        rows.append(_cells(chapter.heading, chapter.rules, shown))
    rows.append(_cells(ALL, run.rules, shown))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [line for caveat in run.caveats for line in _caveat(caveat, width, colour)]
    lines += [_folded(note, width, "") for note in run.notes]
    lines += [_finding(finding, width, colour) for finding in run.findings]
    lines.append(_row(rows[0], shown, widths, colour))
    suite = ""
    for chapter, row in zip(chapters, rows[1:-1], strict=True):
        if chapter.suite != suite:
            suite = chapter.suite
            lines.append(_folded(suite, width, ""))
        lines.append(_row(row, shown, widths, colour))
    if many:
        lines.append("")
    lines.append(_row(rows[-1], shown, widths, colour))
    lines += [_trouble(group, width, colour) for group in attention.needing_a_look(run)]
    for status in (Status.KNOWN_DEVIATION, Status.NOT_TESTABLE):
        lines += [_untested(group, width, colour) for group in attention.groups(run, status)]
    hints = [NEXT[status] for status in NEXT if run.counts[status]]
    return "\n".join([*lines, *hints])


def _caveat(caveat: Caveat, width: int, colour: bool) -> Iterator[str]:
    """Why this is no whole run, and the rules that have no verdict because of it."""
    head = _painted("not a whole run", Status.INCONCLUSIVE, colour)
    yield f"{head}\n{_folded(caveat.said, width, INDENT)}"
    if caveat.kind is CaveatKind.INTERRUPTED:
        yield _folded(f"not decided: {', '.join(caveat.rules)}", width, INDENT)


def _cells(heading: str, rules: Iterable[RuleResult], shown: Sequence[Status]) -> list[str]:
    counts = count(rules)
    return [printable(shortened(heading, HEADING)), *(str(counts[status] or "·") for status in shown)]


def _row(cells: list[str], shown: Sequence[Status], widths: list[int], colour: bool) -> str:
    padded = [cells[0].ljust(widths[0])]
    for status, cell, room in zip(shown, cells[1:], widths[1:], strict=True):
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
        head = _painted(rule.status.words, rule.status, colour)
        lines.append(f"{head} {printable(rule.id)} ({printable(rule.level)})")
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
