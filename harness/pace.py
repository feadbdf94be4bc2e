"""How fast connections may follow each other: a staging server is shared, and a burst is noise."""

import threading
import time
from dataclasses import dataclass, field

SLOWEST = 1.0  # connections a second


@dataclass
class Pace:
    """Hands out turns at a steady rate, in the order in which they are asked for; thread-safe."""

    rate: float  # connections a second
    _next: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def take_turn(self) -> float:
        """Wait until it is one's turn; the seconds that it took."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + 1.0 / self.rate
        self._over.wait(turn - now)
        return turn - now

    def slow_down(self) -> None:
        """Half as fast from now on, down to `SLOWEST`."""
        with self._lock:
            self.rate = max(SLOWEST, self.rate / 2)

    def end(self) -> None:
        """The run is being broken off: nobody waits for a turn any more."""
        self._over.set()
