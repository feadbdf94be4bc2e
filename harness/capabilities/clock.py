"""Ways to let time pass for a server's greylist."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from harness.verdicts import NotTestableError


@dataclass(frozen=True)
class WaitingClock:
    """Real waiting. Scenarios of one run wait side by side, so the longest wait is what a run costs."""

    limit: float  # seconds that one scenario may wait

    def advance(self, client: str, seconds: float) -> None:
        """Wait; raises `NotTestableError` when that takes longer than the profile allows."""
        if seconds > self.limit:
            raise NotTestableError(
                f"{seconds:g} s would have to pass, and clock.limit in the profile allows {self.limit:g} s"
            )
        threading.Event().wait(seconds)


@dataclass(frozen=True)
class SteeredClock:
    """A server that lets its greylist's clock be moved for one client at a time."""

    move: Callable[[str, float], None]

    def advance(self, client: str, seconds: float) -> None:
        """Move the clock as that client's triplets see it."""
        self.move(client, seconds)
