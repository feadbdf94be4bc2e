"""What may come back: reply codes, classes of them, or no reply at all, as one set."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from harness.outcome import Outcome, Treatment

_CLASS = re.compile(r"[2-5](?:[0-5][0-9x]|xx)")


class NoReply(StrEnum):
    """What may be there instead of a reply."""

    SILENCE = "no reply"  # nothing whole within the time in which this server would have said it
    CLOSED = "the end of the connection"  # closed or reset by the server, or announced by 421


SILENCE, CLOSED = NoReply.SILENCE, NoReply.CLOSED

THROUGH = ("2xx", "3xx")  # what lets a client go on

_CLASSES = {
    Treatment.PASS: [*THROUGH],
    Treatment.DEFER: ["4xx"],
    Treatment.DENY: ["5xx"],
    Treatment.DROP: ["5xx"],
}

Wanted = int | str | NoReply | Collection[int | str]


@dataclass(frozen=True)
class ReplySet:
    """A set of replies; in `classes` an x stands for any digit: `550`, `55x`, `5xx`."""

    classes: tuple[str, ...]
    instead: frozenset[NoReply] = frozenset()

    @classmethod
    def of(cls, *wanted: Wanted) -> "ReplySet":
        """Such as `of(250)`, `of({500, 501, 503})`, `of("5xx", SILENCE)`; raises `ValueError`."""
        classes: list[str] = []
        instead: set[NoReply] = set()
        for one in _each(wanted):
            if isinstance(one, NoReply):
                instead.add(one)
            else:
                classes.append(str(one))
        for one in classes:
            if not _CLASS.fullmatch(one):
                raise ValueError(
                    f"{one!r} is no reply code; write one such as 250, or '2xx', SILENCE, CLOSED"
                )
        if not classes and not instead:
            raise ValueError("nothing may come back; name codes such as 250, or SILENCE, or CLOSED")
        return cls(tuple(dict.fromkeys(classes)), frozenset(instead))

    @classmethod
    def promised(cls, outcomes: Iterable[Outcome]) -> "ReplySet":
        """The replies that any of these outcomes has: with its codes, or of its class where it names none."""
        words: list[str] = []
        for one in outcomes:
            words += [code for code in one.codes if "." not in code] or _CLASSES[one.treatment]
        return cls.of(*words)

    def has(self, code: int) -> bool:
        """Whether a reply with this code is one of them."""
        return any(
            all(digit in ("x", found) for digit, found in zip(one, str(code), strict=True))
            for one in self.classes
            if len(str(code)) == len(one)
        )

    @property
    def codes(self) -> tuple[int, ...]:
        """The codes that are named one by one."""
        return tuple(int(one) for one in self.classes if one.isdigit())

    def __str__(self) -> str:
        """Such as `500, 501 or no reply`."""
        words = [*self.classes, *(one.value for one in NoReply if one in self.instead)]
        return _either(words)


def _each(wanted: Iterable[Wanted]) -> Iterator[int | str | NoReply]:
    for one in wanted:
        if isinstance(one, int | str):
            yield one
        else:
            yield from one


def _either(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
