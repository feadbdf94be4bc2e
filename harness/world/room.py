"""How many dialogues there may be at a time: what a server is said to stand is not exceeded."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.verdicts import BrokenOffError


@dataclass
class Room:
    """Places for dialogues; thread-safe.

    Who has a place already never waits for another: what it opens beside its first dialogue counts at once,
    and those who come later wait the longer. So nobody waits for one who waits.
    """

    places: float = math.inf
    _taken: int = 0
    _over: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def place(self) -> Iterator[float]:
        """A place, as soon as one is free; gives the seconds that it took.

        Raises `BrokenOffError` when the run is broken off before.
        """
        began = time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._taken < self.places)
            if self._over:
                raise BrokenOffError
            self._taken += 1
        try:
            yield time.monotonic() - began
        finally:
            self._leave()

    @contextmanager
    def beside(self) -> Iterator[float]:
        """One more for somebody who has a place, at once."""
        with self._changed:
            self._taken += 1
        try:
            yield 0.0
        finally:
            self._leave()

    def end(self) -> None:
        """The run is over: nobody waits for a place any more."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _leave(self) -> None:
        with self._changed:
            self._taken -= 1
            self._changed.notify_all()
