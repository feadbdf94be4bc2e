"""Two runs side by side: what got worse, what got better, what else the server does differently."""

import dataclasses
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.printable import printable, printable_json, shortened
from harness.results.comparable import check_pair, in_common, only_known_to
from harness.results.model import (
    DECIDED,
    LEFT_OPEN,
    Case,
    CaveatKind,
    RuleResult,
    RunResult,
    Status,
    StepFact,
)
from harness.wording import counted

SLOWER_BY = 1.5  # a stage's latency changed when its median did by this factor …
SLOWER_FROM = 0.25  # … and by this many seconds
SHOWN_TEXT = 160  # characters of a reply
SHOWN_RULES = 3  # ids of a suite that one run only knows


class Direction(StrEnum):
    """What a change of a rule's status means before an upgrade."""

    WORSE = "worse"  # it fails, or was tried and is no longer proved
    UNTESTED = "untested"  # it was decided, and nobody has tried it this time
    BETTER = "better"
    OTHER = "changed"


REGRESSIONS, LESS_TESTED = 1, 3  # exit statuses; 2 is for what cannot be compared
PROVED = (Status.PASSED, Status.STALE)  # one that is stale holds, though it is listed as a deviation
SILENT = (Status.NOT_TESTABLE, Status.NOT_APPLICABLE)
LOSSES = (Direction.WORSE, Direction.UNTESTED)
ABSENT = "not in the run"
GIVEN_UP = "the run was given up"
SPOKEN_AT = {"connect": "greeting", "helo": "ehlo"}  # the stage of a reply -> the words that may vary there


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
    varying: tuple[str, ...] = ()  # what the server says otherwise on each connection, and is not compared

    @property
    def exit_status(self) -> int:
        """1 when a rule got worse; 3 when none did, and some are no longer tested; 0 otherwise."""
        found = {change.direction for change in self.rules}
        if Direction.WORSE in found:
            return REGRESSIONS
        return LESS_TESTED if Direction.UNTESTED in found else 0


def compare(old: RunResult, new: RunResult) -> Comparison:
    """What changed from `old` to `new`; raises `ComparisonError` for runs that say nothing about each other.

    A rule got worse when it failed, when a case of it was proved and now fails or came to nothing, or when it
    was proved and no longer is though it was tried. What was decided and is not tried any more is a class of
    its own; what was not selected for one of the runs is not compared. A latency changed when the median of a
    stage, over all replies of it, did by half and by a quarter of a second.
    """
    check_pair(old, new)
    doubts = tuple(_doubts(old, new))
    old, new = in_common(old, new)
    nothing_said = new.caveat(CaveatKind.UNTRIED) is not None
    return Comparison(
        old=f"{old.name}, {old.started}",
        new=f"{new.name}, {new.started}",
        doubts=doubts,
        rules=tuple(_rule_changes(old, new)),
        server=() if nothing_said else tuple(_server_changes(old, new)),
        replies=tuple(_reply_changes(old, new)),
        latencies=tuple(_latency_changes(old, new)),
        varying=() if nothing_said else tuple(sorted(_varying(old, new))),
    )


def to_json(comparison: Comparison) -> str:
    """The comparison as a JSON object, with its `exit_status`."""
    fields = dataclasses.asdict(comparison) | {"exit_status": comparison.exit_status}
    return printable_json(json.dumps(fields, indent=2, ensure_ascii=False))


def _doubts(old: RunResult, new: RunResult) -> Iterator[str]:
    """Ports are left out: the reference MTA has another one in every run."""
    if (old.sut_name, _host(old)) != (new.sut_name, _host(new)):
        yield (
            f"These are two servers: {old.sut_name} at {old.sut_address} before, "
            f"{new.sut_name} at {new.sut_address} after."
        )
    for when, run in (("before", old), ("after", new)):
        for caveat in run.caveats:
            part = caveat.kind is CaveatKind.PART
            left_out = f"; of {len(caveat.rules)} rules what it left out is not compared" if part else ""
            yield f"The run {when} is no whole one: {caveat.said}{left_out}."
        other = new if run is old else old
        for title, rules in only_known_to(run, other).items():
            shown = ", ".join(rules[:SHOWN_RULES]) + (", …" if len(rules) > SHOWN_RULES else "")
            yield (
                f"Only the run {when} knows the suite «{title}»; not compared: "
                f"{counted(len(rules), 'rule')} ({shown})."
            )
        unseen = set(run.all_rules) - {rule.id for rule in run.rules}
        if unseen and not run.caveats:
            whole = len(run.all_rules)
            yield f"The run {when} looked at {whole - len(unseen)} of its {counted(whole, 'rule')} only."


def _host(run: RunResult) -> str:
    return run.sut_address.rpartition(":")[0]


def _rule_changes(old: RunResult, new: RunResult) -> Iterator[RuleChange]:
    before = {rule.id: rule for rule in old.rules}
    after = {rule.id: rule for rule in new.rules}
    given_up = new.caveat(CaveatKind.GIVEN_UP) is not None
    for rule_id in dict.fromkeys([*before, *after]):
        was, now = before.get(rule_id), after.get(rule_id)
        found = [*filter(None, (_rule_change(was, now),))]
        if was and now and not any(change.direction in LOSSES for change in found):
            found += [*_case_changes(was, now), *_new_failures(was, now)]
        for change in found:
            undecided = change.after == Status.INCONCLUSIVE.words
            yield replace(change, reason=GIVEN_UP) if given_up and undecided else change


def _rule_change(was: RuleResult | None, now: RuleResult | None) -> RuleChange | None:
    before, after = was.status if was else None, now.status if now else None
    rule = was or now
    if before is after or rule is None:
        return None
    untried = now is None or _untried(now.cases)
    words = [status.words if status else ABSENT for status in (before, after)]
    reason = now.reason if now else ""
    return RuleChange(rule.id, words[0], words[1], _direction(before, after, untried=untried), reason)


def _case_changes(was: RuleResult, now: RuleResult) -> Iterator[RuleChange]:
    """Cases that were decided, and that fail now or came to nothing, or that nobody has tried."""
    after = {case.name: case for case in now.cases}
    for case in was.cases:
        found = after.get(case.name)
        untried = found is None or _untried([found])
        direction = _direction(case.status, found.status if found else None, untried=untried)
        if direction in LOSSES and (found is None or found.status is not case.status):
            come = (found.status.words, found.reason) if found else (ABSENT, "")
            yield RuleChange(f"{now.id} ({case.name})", case.status.words, come[0], direction, come[1])


def _new_failures(was: RuleResult, now: RuleResult) -> Iterator[RuleChange]:
    """Cases that fail and that nobody had tried before, as of a list or a domain that was added."""
    before = {case.name for case in was.cases}
    for case in now.cases:
        if case.status is Status.FAILED and case.name not in before:
            name = f"{now.id} ({case.name})"
            yield RuleChange(name, ABSENT, case.status.words, Direction.WORSE, case.reason)


def _untried(cases: Sequence[Case]) -> bool:
    """Whether the cases that came to nothing did so because the run ended before they were decided."""
    return all(
        case.reason == LEFT_OPEN and not case.tries for case in cases if case.status is Status.INCONCLUSIVE
    )


def _direction(was: Status | None, now: Status | None, *, untried: bool) -> Direction:
    """`untried`: whether an inconclusive one is so because nobody has tried it."""
    if now is Status.FAILED:
        return Direction.WORSE
    if was in DECIDED and (now is None or now in SILENT or (now is Status.INCONCLUSIVE and untried)):
        return Direction.UNTESTED
    if was in PROVED:
        return Direction.OTHER if now in PROVED else Direction.WORSE
    return Direction.BETTER if now in PROVED else Direction.OTHER


def _varying(old: RunResult, new: RunResult) -> frozenset[str]:
    return frozenset((*old.server.varying, *new.server.varying))


def _server_changes(old: RunResult, new: RunResult) -> Iterator[Change]:
    """What the server says of itself, but for what it says otherwise on each connection."""
    varying = _varying(old, new)
    if old.server.greeting != new.server.greeting and "greeting" not in varying:
        yield Change("greeting", printable(old.server.greeting), printable(new.server.greeting))
    for what, key, was, now in (
        ("EHLO keywords in clear text", "keywords", old.server.keywords, new.server.keywords),
        ("EHLO keywords under TLS", "keywords_tls", old.server.keywords_tls, new.server.keywords_tls),
    ):
        differ = {word for word in {*was} ^ {*now} if f"{key}.{word.partition(' ')[0]}" not in varying}
        if differ:
            gone, come = sorted(differ & {*was}), sorted(differ & {*now})
            yield Change(what, printable(", ".join(gone)), printable(", ".join(come)))
    for fact in dict.fromkeys([*old.server.tls, *new.server.tls]):
        was_fact, now_fact = old.server.tls.get(fact, ""), new.server.tls.get(fact, "")
        if was_fact != now_fact and f"tls.{fact}" not in varying:
            yield Change(f"TLS {fact.replace('_', ' ')}", printable(was_fact), printable(now_fact))


def _reply_changes(old: RunResult, new: RunResult) -> Iterator[Change]:
    """Changed codes and texts, the same change at several places told once."""
    before, varying = dict(_told(old)), _varying(old, new)
    places: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for place, step in _told(new):
        was = before.get(place)
        if was is None or _code_and_text(was) == _code_and_text(step):
            continue
        if _code(was) != _code(step) or SPOKEN_AT.get(step.stage) not in varying:
            rule, case, *_ = place
            places[step.stage, _said(was), _said(step)].append(f"{rule} ({case})")
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
    for _, step in _told(run):
        if step.reply:
            seconds[step.stage].append(step.reply.seconds)
    return {stage: statistics.median(waits) for stage, waits in seconds.items()}


def _told(run: RunResult) -> Iterator[tuple[tuple[object, ...], StepFact]]:
    """Every step that tells of a stage, of the last try of each case, and its place: rule, case and so on."""
    for rule in run.rules:
        for case in rule.cases:
            for number, talk in enumerate(case.tries[-1].dialogues if case.tries else ()):
                for position, step in enumerate(talk.told):
                    yield (rule.id, case.name, number, talk.is_of_twin, talk.label, position), step


def _code(step: StepFact) -> int | None:
    return step.reply.code if step.reply else None


def _code_and_text(step: StepFact) -> tuple[int, str] | None:
    return (step.reply.code, step.reply.text) if step.reply else None


def _said(step: StepFact) -> str:
    if step.reply is None:
        return "no reply"
    text = printable(shortened(step.reply.text, SHOWN_TEXT), keep="\n")
    return f"{step.reply.code} {text}"
