"""How late this machine itself is: a verdict about seconds counts only while the harness kept time."""

import threading
import time
from collections import deque
from types import TracebackType
from typing import Self

BEAT = 0.02  # seconds between two looks at the clock
KEPT = 100_000  # beats: more than half an hour


class LagMonitor:
    """A thread that wakes at a steady beat and remembers by how much it woke too late.

    A thread that was not woken in time stands for all the others: whatever a scenario measured in
    that interval may be the harness's own slowness.
    """

    def __init__(self) -> None:
        """Nothing is measured before the monitor is entered."""
        self._lags: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lag-monitor", daemon=True)

    def __enter__(self) -> Self:
        """Start to watch."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()

    def worst(self, since: float, until: float) -> float:
        """The greatest lag in seconds between two moments of `time.monotonic`; 0.0 when none was seen."""
        worst = 0.0
        for woken, lag in reversed(tuple(self._lags)):
            if woken < since:
                break
            if woken - lag <= until:
                worst = max(worst, lag)
        return worst

    def _watch(self) -> None:
        due = time.monotonic() + BEAT
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            now = time.monotonic()
            if now - due > BEAT:
                self._lags.append((now, now - due))
            due = now + BEAT
