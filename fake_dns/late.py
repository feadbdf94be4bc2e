"""Scripted late replies that are under way, bounded in number and octets."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from fake_dns.troubles import Troubles

MAX_LATE = 10_000  # replies under way; one more is never sent
LATE_OCTETS = 32 << 20  # of all of them


@dataclass(slots=True, eq=False)
class Late:
    """One reply that is still to be sent."""

    octets: int
    send: Callable[[], None]
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)


class LateReplies:
    """Sends replies after their delay. To be used within one event loop."""

    def __init__(self, troubles: Troubles) -> None:
        """`troubles` is told of replies that are too many."""
        self._troubles = troubles
        self._under_way: set[Late] = set()
        self._octets = 0

    def later(self, delay: float, octets: int, send: Callable[[], None]) -> Late | None:
        """Call `send` after `delay` seconds, for a reply of that size; `None` where it will never be sent."""
        if len(self._under_way) >= MAX_LATE or self._octets + octets > LATE_OCTETS:
            self._troubles.tell("a late reply is not sent, for too many are under way", len(self._under_way))
            return None
        late = Late(octets, send)
        late.timer = asyncio.get_running_loop().call_later(delay, self._due, late)
        self._under_way.add(late)
        self._octets += octets
        return late

    def drop(self, late: Late) -> None:
        """Nobody waits for that one any more; nothing happens when it was sent already."""
        if late in self._under_way:
            self._under_way.remove(late)
            self._octets -= late.octets
            if late.timer:
                late.timer.cancel()

    def _due(self, late: Late) -> None:
        self.drop(late)
        late.send()
