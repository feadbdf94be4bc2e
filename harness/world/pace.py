"""How fast connections may follow each other: a staging server is shared, and a burst is noise."""

import threading
import time
import weakref
from dataclasses import dataclass, field

from harness.smtp.session import Session
from harness.verdicts import BrokenOffError

SLOWEST = 1.0  # connections a second


@dataclass
class Pace:
    """Hands out turns to connect at a steady rate, in the order in which they are asked for; thread-safe."""

    rate: float  # connections a second
    _granted: float = 0.0  # the rate that it may come back to
    _next: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)
    _sessions: "weakref.WeakSet[Session]" = field(default_factory=weakref.WeakSet)

    def __post_init__(self) -> None:
        """It begins with all that is granted."""
        self._granted = self.rate

    def take_turn(self, session: Session) -> float:
        """Wait until it is the session's turn; the seconds that it took.

        Raises `BrokenOffError` when the run is broken off before.
        """
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + 1.0 / self.rate
            self._sessions.add(session)
        if self._over.wait(turn - now):
            raise BrokenOffError
        return turn - now

    @property
    def is_over(self) -> bool:
        """Whether the run is over."""
        return self._over.is_set()

    def slow_down(self) -> None:
        """Half as fast from now on, down to `SLOWEST`, and never faster than is granted."""
        with self._lock:
            self.rate = min(self._granted, max(SLOWEST, self.rate / 2))

    def speed_up(self) -> None:
        """Twice as fast from now on, up to the rate that it began with."""
        with self._lock:
            self.rate = min(self._granted, self.rate * 2)

    def end(self) -> None:
        """The run is over: nobody waits for a turn any more, and what is still being said is cut short."""
        self._over.set()
        with self._lock:
            for session in self._sessions:
                session.cut_short()
