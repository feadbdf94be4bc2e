"""Where the server is, what its owner said of it, and how discovery tells what it is at."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeVar

from harness.capabilities.clock import WaitingClock
from harness.progress import time_left
from harness.settings.hosts import endpoint_text

AT_ONCE = 10  # dialogues with a server of which nobody knows what it bears
WAITING_AT_ONCE = 40  # that do nothing most of the time but wait to be greeted
TOLD_EVERY = 10.0  # seconds; nobody waits longer for a word of what goes on

T = TypeVar("T")
R = TypeVar("R")


class DiscoveryError(Exception):
    """The server could not be talked to; the text says what was tried, and what it said."""


@dataclass(frozen=True)
class Place:
    """Where the server is, and where our DNS may listen."""

    address: str
    port: int
    dns: tuple[str, int]

    def __str__(self) -> str:
        """As it is written."""
        return endpoint_text(self.address, self.port)


@dataclass(frozen=True)
class Known:
    """What the owner said of the server: domains, addresses of users who may get mail, seconds to wait."""

    domains: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    wait: float = 0.0  # for a greylist


@dataclass(frozen=True)
class Telling:
    """Says what is looked at and what was seen, and how far the long looks are."""

    say: Callable[[str], None]
    _clocks: list[WaitingClock] = field(default_factory=list)

    def clock(self, seconds: float) -> WaitingClock:
        """Lets so much real time pass at most; whoever waits stops when we are stopped."""
        clock = WaitingClock(seconds)
        self._clocks.append(clock)
        return clock

    def over(
        self,
        what: str,
        act: Callable[[T], R],
        things: Sequence[T],
        *,
        at_once: int = AT_ONCE,
        lasts: float = 0.0,
    ) -> list[R]:
        """What `act` makes of each thing, some side by side, in their order; raises what it raises.

        It `lasts` so many seconds where that is known.
        """
        began = time.monotonic()
        with ThreadPoolExecutor(at_once, thread_name_prefix="discovery") as pool:
            futures = [pool.submit(act, thing) for thing in things]
            try:
                left = set(futures)
                while left:
                    _, left = wait(left, timeout=TOLD_EVERY)
                    if left:
                        done, of = len(futures) - len(left), len(futures)
                        rest = lasts - (time.monotonic() - began)
                        told = f"about {rest:.0f} s left" if rest > 0 else time_left(began, done, of)
                        self.say(f"  {what}: {done} of {of}, {told}")
            except BaseException:  # we are stopped: nobody begins or waits any more
                pool.shutdown(wait=False, cancel_futures=True)
                for clock in self._clocks:
                    clock.stop()
                raise
        return [future.result() for future in futures]
