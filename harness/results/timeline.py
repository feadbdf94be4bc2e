"""A dialogue as a reader follows it: lines, the server's DNS questions and the waiting, on one clock."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from harness.printable import shortened
from harness.results.model import Dialogue, Event, Query, ReplyFact

_KEPT_FIRST = 160  # moments shown of a dialogue without end
_KEPT_LAST = 60
_TEXT = 1200  # characters of a line
_TOLD_REPEATS = 5  # moments at which a question was asked again
_PERMILLE = 1000


class Kind(StrEnum):
    """What a moment shows."""

    CLIENT = "C"
    SERVER = "S"
    EVENT = "*"  # something happened to the connection
    QUESTION = "DNS"
    WAIT = "wait"  # a reply was held back until now
    MISSED = "time"  # a reply took another time than it had to
    ACT = "act"  # something was done meanwhile, beside the dialogue
    GAP = "…"  # what is left out


@dataclass(frozen=True, slots=True)
class Bar:
    """How long a reply took, drawn over the length of its dialogue: thousandths of that."""

    start: int
    took: int
    missed: int = 0  # where it had to be, from the same start


@dataclass(frozen=True, slots=True)
class Moment:
    """One row of the transcript."""

    at: float  # seconds, on the clock of the try
    kind: Kind
    text: str
    bar: Bar | None = None
    who: str = ""  # of an act

    @property
    def clock(self) -> str:
        """When it was, to the millisecond."""
        return f"{self.at:.3f}"


def moments(dialogue: Dialogue, events: Iterable[Event] = ()) -> list[Moment]:
    """Everything that happened, in the order of time; the middle of a very long dialogue is left out.

    What was done beside the dialogue while it was held is among it.
    """
    began, end = dialogue.began or 0.0, length(dialogue)
    marked = dict(_marked(dialogue))
    rows = [row for query in dialogue.queries for row in _asked(query, began)]
    for index, line in enumerate(dialogue.lines):
        if index in marked:
            rows.append(_marking(marked[index], line.at, began, end))
        rows.append(Moment(began + line.at, Kind(line.direction), shortened(line.text, _TEXT)))
    if dialogue.began is not None:
        meanwhile = (event for event in events if began <= event.at <= began + end)
        rows += [Moment(one.at, Kind.ACT, shortened(one.text, _TEXT), who=one.who) for one in meanwhile]
    rows.sort(key=lambda moment: moment.at)
    return without_middle(rows)


def without_middle(rows: list[Moment]) -> list[Moment]:
    """Rows in order of time; of very many the first and the last, and how many are left out."""
    left_out = len(rows) - _KEPT_FIRST - _KEPT_LAST
    if left_out <= 0:
        return rows
    gap = Moment(rows[_KEPT_FIRST].at, Kind.GAP, f"{left_out} lines left out here; the result file has them")
    return [*rows[:_KEPT_FIRST], gap, *rows[-_KEPT_LAST:]]


def length(dialogue: Dialogue) -> float:
    """Seconds from the connection attempt to the last thing that happened."""
    moments = [line.at for line in dialogue.lines] + [query.at for query in dialogue.queries]
    return max(moments, default=0.0)


def spoken(query: Query, began: float = 0.0) -> str:
    """A question, its answer, and how often it was asked so; `began` is when its clock began."""
    same = [one.at for one in query.again if _as_before(query, one.answer, one.transport)]
    text = f"{query.type} {query.name} → {query.answer or 'no answer'} ({query.transport})"
    if not same:
        return text
    others = sum(not _as_before(query, one.answer, one.transport) for one in query.again)
    moments = ", ".join(f"{began + at:.3f}" for at in same[:_TOLD_REPEATS])
    more = " …" if query.times - others - 1 > _TOLD_REPEATS else ""
    return f"{text}; asked {query.times - others} times, again at {moments}{more}"


def _as_before(query: Query, answer: str, transport: str) -> bool:
    return (answer, transport) == (query.answer, query.transport)


def _asked(query: Query, began: float) -> Iterator[Moment]:
    """A question, once; when it was asked again and answered otherwise, that answer as well."""
    yield Moment(began + query.at, Kind.QUESTION, shortened(spoken(query, began), _TEXT))
    for one in query.again:
        if not _as_before(query, one.answer, one.transport):
            text = f"asked again: {query.type} {query.name} → {one.answer or 'no answer'} ({one.transport})"
            yield Moment(began + one.at, Kind.QUESTION, shortened(text, _TEXT))


def _marking(fact: ReplyFact, at: float, began: float, end: float) -> Moment:
    """The row before a reply that was held back, or that took another time than it had to."""
    held = f"reply held back {fact.seconds:.2f} s" if fact.late else f"reply after {fact.seconds:.2f} s"
    wanted, kind = "", Kind.WAIT
    if fact.missed is not None:
        too_soon, kind = fact.seconds < fact.missed, Kind.MISSED
        bound = f"{fact.missed:.2f} s"
        wanted = (
            f": too soon, held back is {bound} or more" if too_soon else f": less than {bound} was wanted"
        )
    whole = max(end, at - fact.seconds + (fact.missed or 0.0), 0.001)
    bar = Bar(
        start=round(_PERMILLE * max(0.0, at - fact.seconds) / whole),
        took=round(_PERMILLE * fact.seconds / whole),
        missed=round(_PERMILLE * (fact.missed or 0.0) / whole),
    )
    return Moment(began + at, kind, held + wanted, bar)


def _marked(dialogue: Dialogue) -> Iterator[tuple[int, ReplyFact]]:
    """Each reply that was late or took another time than it had to, by the index of its first line."""
    for step in dialogue.steps:
        for fact in step.replies:
            if fact.line is not None and (fact.late or fact.missed is not None):
                yield fact.line, fact
