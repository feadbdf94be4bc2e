"""Two runs side by side: what got worse, what got better, what else the server does differently."""

import dataclasses
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.results.model import ReplyFact, RuleResult, RunResult, Status
from harness.results.visible import shortened, visible, visible_json
from harness.wording import counted

SLOWER_BY = 1.5  # a stage's latency changed when its median did by this factor …
SLOWER_FROM = 0.25  # … and by this many seconds
SHOWN_TEXT = 160  # characters of a reply
SHOWN_PLACES = 3  # rules or cases

PROVED = Status.PASSED
SILENT = (Status.NOT_TESTABLE, Status.NOT_APPLICABLE)
ABSENT = "not in the run"


class ComparisonError(Exception):
    """Two runs that say nothing about each other; the text says why and what to compare instead."""


class Direction(StrEnum):
    """What a change of a rule's status means before an upgrade."""

    WORSE = "worse"  # it failed, or is no longer proved
    BETTER = "better"
    OTHER = "changed"


@dataclass(frozen=True)
class RuleChange:
    """A rule whose status differs; `not in the run` where one of the runs did not look at it."""

    rule: str
    before: str
    after: str
    direction: Direction
    reason: str  # what the later run says


@dataclass(frozen=True)
class Change:
    """Something else that differs, and at how many places."""

    what: str
    before: str
    after: str
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Everything that differs between two runs."""

    old: str
    new: str
    doubts: tuple[str, ...]  # why the two may say little about each other, each a sentence
    rules: tuple[RuleChange, ...]
    server: tuple[Change, ...]  # greeting, keywords, TLS
    replies: tuple[Change, ...]  # codes and texts
    latencies: tuple[Change, ...]

    @property
    def exit_status(self) -> int:
        """0 when nothing got worse, 1 otherwise."""
        return 1 if any(change.direction is Direction.WORSE for change in self.rules) else 0


def compare(old: RunResult, new: RunResult) -> Comparison:
    """What changed from `old` to `new`; raises `ComparisonError` for runs of different suites.

    A rule got worse when it failed, when more of its cases fail than before, or when it was proved and no
    longer is, for whatever reason: also one that the new run could not test or did not look at. A latency
    changed when the median of a stage, over all replies of it, did by half and by a quarter of a second.
    """
    if old.suite["name"] != new.suite["name"]:
        raise ComparisonError(
            f"the runs are of different suites, {old.suite['name']} and {new.suite['name']}; "
            "compare two runs of the same scenarios"
        )
    if not {rule.id for rule in old.rules} & {rule.id for rule in new.rules}:
        raise ComparisonError("the runs have no rule in common; compare two runs of the same scenarios")
    return Comparison(
        old=f"{old.name}, {old.started}",
        new=f"{new.name}, {new.started}",
        doubts=tuple(_doubts(old, new)),
        rules=tuple(_rule_changes(old, new)),
        server=tuple(_server_changes(old, new)),
        replies=tuple(_reply_changes(old, new)),
        latencies=tuple(_latency_changes(old, new)),
    )


def to_json(comparison: Comparison) -> str:
    """The comparison as a JSON object, with its `exit_status`."""
    fields = dataclasses.asdict(comparison) | {"exit_status": comparison.exit_status}
    return visible_json(json.dumps(fields, indent=2, ensure_ascii=False))


def render(comparison: Comparison, *, colour: bool) -> str:
    """The comparison for a terminal."""
    lines = [f"before: {visible(comparison.old)}", f"after:  {visible(comparison.new)}"]
    lines += [*map(visible, comparison.doubts), ""]
    for direction, code in ((Direction.WORSE, "31;1"), (Direction.BETTER, "32"), (Direction.OTHER, "36")):
        word = f"\033[{code}m{direction:7}\033[0m" if colour else f"{direction:7}"
        found = [change for change in comparison.rules if change.direction is direction]
        for change in found:
            if ABSENT not in (change.before, change.after):
                lines.append(f"{word} {change.rule}: {change.before} -> {change.after}")
                if direction is Direction.WORSE and change.reason:
                    lines.append(f"        {visible(shortened(change.reason, 400))}")
        for which in ("before", "after"):
            absent = [change.rule for change in found if getattr(change, which) == ABSENT]
            if absent:
                lines.append(f"{word} {_rules(len(absent))} {ABSENT} {which}: {_some(absent)}")
    for title, changes in (
        ("the server's own words", comparison.server),
        ("replies", comparison.replies),
        ("latencies", comparison.latencies),
    ):
        if changes:
            lines += ["", f"{title}:", *(line for change in changes for line in _told(change))]
    return "\n".join([*lines, "", _summary(comparison)])


def _summary(comparison: Comparison) -> str:
    worse = sum(change.direction is Direction.WORSE for change in comparison.rules)
    if worse:
        unseen = sum(
            change.after == ABSENT for change in comparison.rules if change.direction is Direction.WORSE
        )
        return f"{_rules(worse)} got worse" + (f", {unseen} of them not looked at any more" if unseen else "")
    others = len(comparison.server) + len(comparison.replies) + len(comparison.latencies)
    return "no rule got worse" + (
        f"; {others} other changes to look at" if others else ", nothing else changed"
    )


def _rules(number: int) -> str:
    return counted(number, "rule")


def _some(places: Sequence[str]) -> str:
    more = f" and {len(places) - SHOWN_PLACES} more" if len(places) > SHOWN_PLACES else ""
    return f"{', '.join(places[:SHOWN_PLACES])}{more}"


def _told(change: Change) -> list[str]:
    lines = [f"  {change.what}", *(f"    - {line}" for line in change.before.splitlines() or ["(nothing)"])]
    lines += [f"    + {line}" for line in change.after.splitlines() or ["(nothing)"]]
    if change.places:
        lines.append(f"      in {_some(change.places)}")
    return lines


def _doubts(old: RunResult, new: RunResult) -> Iterator[str]:
    """Ports are left out: the reference MTA has another one in every run."""
    if (old.sut_name, _host(old)) != (new.sut_name, _host(new)):
        yield (
            f"These are two servers: {old.sut_name} at {old.sut_address} before, "
            f"{new.sut_name} at {new.sut_address} after."
        )
    for when, run in (("before", old), ("after", new)):
        unseen = set(run.suite["rules"]) - {rule.id for rule in run.rules}
        if unseen:
            whole = len(run.suite["rules"])
            yield f"The run {when} looked at {whole - len(unseen)} of its {counted(whole, 'rule')} only."


def _host(run: RunResult) -> str:
    return run.sut_address.rpartition(":")[0]


def _rule_changes(old: RunResult, new: RunResult) -> Iterator[RuleChange]:
    before = {rule.id: rule for rule in old.rules}
    after = {rule.id: rule for rule in new.rules}
    for rule_id in dict.fromkeys([*before, *after]):
        was = before[rule_id].status if rule_id in before else None
        now = after[rule_id].status if rule_id in after else None
        if was is not now:
            reason = after[rule_id].reason if rule_id in after else ""
            words = [status.words if status else ABSENT for status in (was, now)]
            yield RuleChange(rule_id, words[0], words[1], _direction(was, now), reason)
        elif was is Status.FAILED:
            yield from _more_failures(before[rule_id], after[rule_id])


def _more_failures(old: RuleResult, new: RuleResult) -> Iterator[RuleChange]:
    """Cases of a failed rule that have failed since."""
    proved = {case.name for case in old.cases if case.status is PROVED}
    for case in new.cases:
        if case.name in proved and case.status is Status.FAILED:
            where = f"{new.id} ({case.name})"
            yield RuleChange(where, PROVED.words, case.status.words, Direction.WORSE, case.reason)


def _direction(was: Status | None, now: Status | None) -> Direction:
    if was is PROVED or now is Status.FAILED:
        return Direction.WORSE
    if now is PROVED:
        return Direction.BETTER
    return Direction.OTHER


def _server_changes(old: RunResult, new: RunResult) -> Iterator[Change]:
    if old.server.greeting != new.server.greeting:
        yield Change("greeting", visible(old.server.greeting), visible(new.server.greeting))
    for what, was, now in (
        ("EHLO keywords in clear text", old.server.keywords, new.server.keywords),
        ("EHLO keywords under TLS", old.server.keywords_tls, new.server.keywords_tls),
    ):
        gone, come = set(was) - set(now), set(now) - set(was)
        if gone or come:
            yield Change(what, visible(", ".join(sorted(gone))), visible(", ".join(sorted(come))))
    for fact in dict.fromkeys([*old.server.tls, *new.server.tls]):
        was_fact, now_fact = old.server.tls.get(fact, ""), new.server.tls.get(fact, "")
        if was_fact != now_fact:
            yield Change(f"TLS {fact.replace('_', ' ')}", visible(was_fact), visible(now_fact))


def _reply_changes(old: RunResult, new: RunResult) -> Iterator[Change]:
    """Changed codes and texts, the same change at several places told once."""
    before = dict(_replies(old))
    places: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for place, fact in _replies(new):
        was = before.get(place)
        if was is not None and (was.code, was.text) != (fact.code, fact.text):
            rule, case, *_ = place
            places[fact.stage, _said(was), _said(fact)].append(f"{rule} ({case})")
    for (stage, was_said, now_said), where in places.items():
        yield Change(f"reply at {stage}", was_said, now_said, tuple(dict.fromkeys(where)))


def _latency_changes(old: RunResult, new: RunResult) -> Iterator[Change]:
    before, after = _medians(old), _medians(new)
    for stage in (stage for stage in before if stage in after):
        low, high = sorted((before[stage], after[stage]))
        if high > SLOWER_BY * low and high - low > SLOWER_FROM:
            yield Change(f"median wait at {stage}", f"{before[stage]:.2f} s", f"{after[stage]:.2f} s")


def _medians(run: RunResult) -> dict[str, float]:
    seconds: dict[str, list[float]] = defaultdict(list)
    for _, fact in _replies(run):
        seconds[fact.stage].append(fact.seconds)
    return {stage: statistics.median(waits) for stage, waits in seconds.items()}


def _replies(run: RunResult) -> Iterator[tuple[tuple[str, str, int, str, int], ReplyFact]]:
    """Every reply of the last try of each case, with its place: rule, case, dialogue, its part, reply."""
    for rule in run.rules:
        for case in rule.cases:
            for number, dialogue in enumerate(case.tries[-1].dialogues if case.tries else ()):
                for position, fact in enumerate(dialogue.replies):
                    yield (rule.id, case.name, number, dialogue.label, position), fact


def _said(fact: ReplyFact) -> str:
    text = visible(shortened(fact.text, SHOWN_TEXT), keep="\n")
    return f"{fact.code} {text}" if fact.code else "no reply"
