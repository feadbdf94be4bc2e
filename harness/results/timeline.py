"""A dialogue as a reader follows it: lines, the server's DNS questions and the waiting, on one clock."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from harness.results.model import Dialogue, Line, Query
from harness.results.visible import shortened

_KEPT_FIRST = 160  # moments shown of a dialogue without end
_KEPT_LAST = 60
_TEXT = 1200  # characters of a line


class Kind(StrEnum):
    """What a moment shows."""

    CLIENT = "C"
    SERVER = "S"
    EVENT = "*"  # something happened to the connection
    QUESTION = "DNS"
    WAIT = "wait"  # a reply was held back until now
    GAP = "…"  # what is left out


@dataclass(frozen=True, slots=True)
class Moment:
    """One row of the transcript."""

    at: float  # seconds since the connection attempt began
    kind: Kind
    text: str
    waited: float = 0.0  # seconds, of a wait

    @property
    def clock(self) -> str:
        """When it was, to the millisecond."""
        return f"{self.at:.3f}"


def moments(dialogue: Dialogue) -> list[Moment]:
    """Everything that happened, in the order of time; the middle of a very long dialogue is left out."""
    held = dict(_held_back(dialogue))
    rows = [_asked(query) for query in dialogue.queries]
    for index, line in enumerate(dialogue.lines):
        if index in held:
            rows.append(Moment(line.at, Kind.WAIT, f"reply held back {held[index]:.2f} s", held[index]))
        rows.append(Moment(line.at, Kind(line.direction), shortened(line.text, _TEXT)))
    rows.sort(key=lambda moment: moment.at)
    left_out = len(rows) - _KEPT_FIRST - _KEPT_LAST
    if left_out <= 0:
        return rows
    gap = Moment(rows[_KEPT_FIRST].at, Kind.GAP, f"{left_out} lines left out here; the result file has them")
    return [*rows[:_KEPT_FIRST], gap, *rows[-_KEPT_LAST:]]


def length(dialogue: Dialogue) -> float:
    """Seconds from the connection attempt to the last thing that happened."""
    moments = [line.at for line in dialogue.lines] + [query.at for query in dialogue.queries]
    return max(moments, default=0.0)


def _asked(query: Query) -> Moment:
    text = f"{query.type} {query.name} → {query.answer or 'no answer'} ({query.transport})"
    return Moment(query.at, Kind.QUESTION, shortened(text, _TEXT))


def _held_back(dialogue: Dialogue) -> Iterator[tuple[int, float]]:
    """The first line of each late reply, by index, and the seconds that it took.

    What came before the client was introduced (XCLIENT) is no reply to the client.
    """
    introduced = [index for index, line in enumerate(dialogue.lines) if _introduces(line)]
    starts = [start for start in _reply_starts(dialogue.lines) if start > max(introduced, default=-1)]
    position = 0
    for fact in dialogue.replies:
        for place in range(position, len(starts)):
            if dialogue.lines[starts[place]].text.startswith(str(fact.code)):
                if fact.late:
                    yield starts[place], fact.seconds
                position = place + 1
                break


def _introduces(line: Line) -> bool:
    return line.direction == "C" and line.text.startswith("XCLIENT ")


def _reply_starts(lines: tuple[Line, ...]) -> Iterator[int]:
    within = False
    for index, line in enumerate(lines):
        if line.direction == "C":
            within = False
        elif line.direction == "S":
            if not within:
                yield index
            within = line.text[3:4] == "-"  # RFC 5321 §4.2.1: more lines of this reply follow
