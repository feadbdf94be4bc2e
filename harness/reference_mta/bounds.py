"""How much of the log one client, or one kind of trouble, may fill; the rest is counted and told in one line.

A client has a number of lines for a visit, which lasts until the log has had nothing of it for a minute. What
goes wrong here is told at once and then once a minute, with so many different lines of a kind.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.reference_mta.decisions import CLIENT, Decision

LINES = 1000  # of a client's visit
TROUBLES = 20  # different lines of one kind of trouble in a minute
MINUTE = 60.0
MOST_KEPT = 4096  # visits and troubles; the oldest are told and forgotten


@dataclass
class _Counted:
    """Lines that belong together: what they are about, until when, how many there were and were left out."""

    about: str
    until: float
    lines: int = 0
    left_out: int = 0


class Bounds:
    """Says of each record whether it is written."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._counted: OrderedDict[tuple[str, str], _Counted] = OrderedDict()  # by the end of their time
        self._told: list[str] = []

    def admits(self, record: logging.LogRecord) -> bool:
        """Whether there is room for it; what is left out is counted."""
        self._end(self._clock())
        if record.levelno >= logging.WARNING:
            return self._admits_trouble(record)
        visit = self._visit(client_of(record))
        visit.lines += 1
        if visit.lines <= LINES:
            return True
        if not visit.left_out:
            self._told.append(f"{visit.about}: {LINES} lines are enough, what follows is counted only")
        visit.left_out += 1
        return False

    def summaries(self, *, at_the_end: bool = False) -> Iterator[str]:
        """What there is to say of lines that were left out; `at_the_end` of all of them."""
        self._end(float("inf") if at_the_end else self._clock())
        told, self._told = self._told, []
        yield from told

    def _admits_trouble(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        kind = self._trouble("kind", f"{record.name} {record.msg}", f"troubles such as «{message}»")
        if line := self._counted.get(("line", message)):
            line.left_out += 1
            return False
        if kind.lines >= TROUBLES:
            kind.left_out += 1
            return False
        kind.lines += 1
        self._trouble("line", message, message)
        return True

    def _visit(self, client: str) -> _Counted:
        visit = self._counted.pop(("client", client), None) or _Counted(client, 0.0)
        visit.until = self._clock() + MINUTE
        return self._keep(("client", client), visit)

    def _trouble(self, sort: str, key: str, about: str) -> _Counted:
        return self._counted.get((sort, key)) or self._keep(
            (sort, key), _Counted(about, self._clock() + MINUTE)
        )

    def _keep(self, key: tuple[str, str], counted: _Counted) -> _Counted:
        self._counted[key] = counted
        if len(self._counted) > MOST_KEPT:
            self._forget_oldest()
        return counted

    def _end(self, now: float) -> None:
        while self._counted and next(iter(self._counted.values())).until <= now:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, counted = self._counted.popitem(last=False)
        if counted.left_out:
            self._told.append(f"{counted.about}: {counted.left_out:,} more lines were left out")


def client_of(record: logging.LogRecord) -> str:
    """On whose behalf a record was made; for the server's own work the name of what did it."""
    decision = getattr(record, "decision", None)
    return decision.client if isinstance(decision, Decision) else CLIENT.get() or record.name
