"""The course of a play: its dialogues, and all that was done beside them, in order of time on one clock."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.results.model import Dialogue, Event, Try
from harness.results.timeline import length

_KEPT = 200  # entries shown of a course


@dataclass(frozen=True, slots=True)
class Moment:
    """One row of a course."""

    at: float  # seconds, on the clock of the try
    who: str
    text: str
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Course:
    """One play, with the offence or without."""

    title: str  # empty where there is one play only
    entries: tuple[Moment, ...]  # empty where a single dialogue says it all
    left_out: int  # how many more entries there are
    dialogues: tuple[Dialogue, ...]
    events: tuple[Event, ...]


def courses(attempt: Try) -> list[Course]:
    """The plays of a try: with the offence, then without."""
    events = (*attempt.events, *(Event(act.at, "operator", act.act, act.shown) for act in attempt.operator))
    plays = []
    for is_of_twin in (False, True):
        talks = tuple(talk for talk in attempt.dialogues if talk.is_of_twin is is_of_twin)
        beside = tuple(event for event in events if event.is_of_twin is is_of_twin)
        if talks or beside:
            plays.append((is_of_twin, talks, beside))
    return [
        _course(
            ("The innocent twin" if is_of_twin else "The offence") if len(plays) > 1 else "", talks, beside
        )
        for is_of_twin, talks, beside in plays
    ]


def _course(title: str, talks: tuple[Dialogue, ...], events: tuple[Event, ...]) -> Course:
    entries = [Moment(event.at, event.who, event.text, event.shown) for event in events]
    entries = sorted([*entries, *_held(talks)], key=lambda entry: entry.at)
    if not events and len(talks) == 1:
        entries = []
    return Course(title, tuple(entries[:_KEPT]), max(0, len(entries) - _KEPT), talks, events)


def _held(talks: tuple[Dialogue, ...]) -> Iterator[Moment]:
    """Each dialogue in a row; those with another mail host with the time since the one before."""
    before: dict[str, tuple[int, float]] = {}
    timed = [(talk.began, talk) for talk in talks if talk.began is not None]
    for began, talk in sorted(timed, key=lambda one: one[0]):
        until = f"until {began + length(talk):.3f}"
        if not talk.called:
            yield Moment(began, "client", f"{talk.label}, {until}: {talk.outcome or 'nothing was said'}")
            continue
        number, last = before.get(talk.called, (0, began))
        before[talk.called] = number + 1, began
        again = f" again, {began - last:.2f} s after call {number} began," if number else ""
        called = f"calls {talk.called}{again}"
        yield Moment(began, "server", f"{called} {until}: {talk.outcome}")
