"""A comparison of two runs as a terminal shows it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from harness.printable import printable, shortened
from harness.results.compare import ABSENT, LOSSES, Change, Comparison, Direction, RuleChange

SHOWN_PLACES = 3  # rules or cases
SHOWN_REASON = 400  # characters
COLOURS = {Direction.WORSE: "31;1", Direction.UNTESTED: "33", Direction.BETTER: "32", Direction.OTHER: "36"}


def render(comparison: Comparison, *, colour: bool) -> str:
    """The comparison for a terminal."""
    lines = [f"before: {printable(comparison.old)}", f"after:  {printable(comparison.new)}"]
    lines += [*map(printable, comparison.doubts), ""]
    for direction, code in COLOURS.items():
        word = f"\033[{code}m{direction:8}\033[0m" if colour else f"{direction:8}"
        found = [change for change in comparison.rules if change.direction is direction]
        for line, reason in _alike(found):
            lines.append(f"{word} {printable(line)}")
            if reason and direction in LOSSES:
                lines.append(f"         {printable(shortened(reason, SHOWN_REASON))}")
    for title, changes in (
        ("the server's own words", comparison.server),
        ("replies", comparison.replies),
        ("latencies", comparison.latencies),
    ):
        if changes:
            lines += ["", f"{title}:", *(printable(line) for change in changes for line in _told(change))]
    if comparison.varying:
        lines += ["", f"not compared, for it differs from connection to connection: {_names(comparison)}"]
    return "\n".join([*lines, "", _summary(comparison)])


def _alike(changes: Sequence[RuleChange]) -> Iterator[tuple[str, str]]:
    """A line and a reason for each change, and for all that changed alike for the same reason together."""
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for change in changes:
        absent = ABSENT in (change.before, change.after)
        alone = "" if change.reason or absent else change.rule
        before = change.before if change.after != ABSENT else ""
        groups[before, change.after, change.reason or alone].append(change.rule)
    for (before, after, why), rules in groups.items():
        many = _rules(len(rules))
        reason = "" if why in rules else why
        if after == ABSENT:
            yield f"{many} {ABSENT} after: {_some(rules)}", reason
        elif before == ABSENT:
            yield f"{many} {ABSENT} before: {_some(rules)}", ""
        elif len(rules) == 1:
            yield f"{rules[0]}: {before} -> {after}", reason
        else:
            yield f"{many}, {before} -> {after}: {_some(rules)}", reason


def _summary(comparison: Comparison) -> str:
    worse, untested = (
        sum(change.direction is direction for change in comparison.rules) for direction in LOSSES
    )
    less = f"{_rules(untested)} no longer tested" if untested else ""
    if worse:
        return f"{_rules(worse)} got worse" + (f", {less}" if less else "")
    others = len(comparison.server) + len(comparison.replies) + len(comparison.latencies)
    more = f"{others} other changes to look at" if others else "" if less else "nothing else changed"
    return "; ".join(filter(None, ("no rule got worse", less, more)))


def _names(comparison: Comparison) -> str:
    return ", ".join(printable(name.replace("_", " ").replace("tls.", "TLS ")) for name in comparison.varying)


def _rules(number: int) -> str:
    return f"{number} {'rule' if number == 1 else 'rules'}"


def _some(places: Sequence[str]) -> str:
    more = f" and {len(places) - SHOWN_PLACES} more" if len(places) > SHOWN_PLACES else ""
    return f"{', '.join(places[:SHOWN_PLACES])}{more}"


def _told(change: Change) -> list[str]:
    lines = [f"  {change.what}", *(f"    - {line}" for line in change.before.splitlines() or ["(nothing)"])]
    lines += [f"    + {line}" for line in change.after.splitlines() or ["(nothing)"]]
    if change.places:
        lines.append(f"      in {_some(change.places)}")
    return lines
