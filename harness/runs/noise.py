"""How slow everything but the server's policy is: a verdict about seconds counts only beside that.

A pulse beats through the whole run. Each beat looks at the harness's own punctuality, at the time that
the fake DNS takes to answer, and at the time that the server takes for a NOOP, which no policy delays.
"""

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from harness.smtp.session import Session, SessionEnded

KEPT = 100_000  # beats
NOOPS = 8  # on one connection: some servers end a session after ten commands that carry no mail
DNS_PATIENCE = 1.0  # seconds


class Probe(Protocol):
    """Something whose slowness is the world's, not the policy's."""

    def prepare(self) -> None:
        """What is needed for the next measurement and is not measured itself."""

    def measure(self) -> None:
        """Take as long as things take at the moment."""

    def close(self) -> None:
        """Leave nothing behind."""


@dataclass
class Pulse:
    """Measures at a steady beat and remembers the slowest of each beat's measurements."""

    beat: float  # seconds
    probes: list[Probe] = field(default_factory=list)
    _beats: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=KEPT))
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start to beat, each probe on a thread of its own."""
        for probe in [Punctuality(), *self.probes]:
            thread = threading.Thread(target=self._watch, args=(probe,), name="pulse", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop beating."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def worst(self, since: float, until: float) -> float:
        """The greatest slowness in seconds that overlaps an interval of `time.monotonic`; 0.0 when none."""
        worst = 0.0
        for ended, slowness in reversed(tuple(self._beats)):
            if ended < since - 2 * self.beat:
                break
            if ended - slowness <= until and ended >= since:
                worst = max(worst, slowness)
        return worst

    def _watch(self, probe: Probe) -> None:
        while not self._stop.is_set():
            probe.prepare()
            due = time.monotonic() + self.beat
            if self._stop.wait(self.beat):
                break
            probe.measure()
            now = time.monotonic()
            self._beats.append((now, now - due))
        probe.close()


class Punctuality:
    """Being woken in time is all that is measured."""

    def prepare(self) -> None:
        """Nothing is needed."""

    def measure(self) -> None:
        """Nothing is done."""

    def close(self) -> None:
        """Nothing is left."""


@dataclass
class DnsProbe:
    """Asks the fake DNS for something that needs no answer but NXDOMAIN."""

    address: tuple[str, int]

    def prepare(self) -> None:
        """Nothing is needed."""

    def close(self) -> None:
        """Nothing is left."""

    def measure(self) -> None:
        """One question over UDP, and its answer."""
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as asking, contextlib.suppress(OSError):
            asking.settimeout(DNS_PATIENCE)
            asking.connect(self.address)
            asking.send(QUESTION)
            asking.recv(512)


QUESTION = (  # pulse.invalid A, recursion not desired
    b"\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05pulse\x07invalid\x00\x00\x01\x00\x01"
)


@dataclass
class ServerProbe:
    """Sends a NOOP on a connection that is kept for a few of them."""

    connect: Callable[[], Session]
    _session: Session | None = None
    _left: int = 0

    def measure(self) -> None:
        """One NOOP and its reply."""
        if self._session is not None:
            try:
                self._session.command("NOOP")
            except SessionEnded:
                self._left = 0

    def prepare(self) -> None:
        """See to the connection: a fresh one after some commands, or when it is gone."""
        if self._session is not None and self._left > 0:
            self._left -= 1
            return
        self.close()
        session = self.connect()
        with contextlib.suppress(SessionEnded):
            session.open()
            self._session, self._left = session, NOOPS

    def close(self) -> None:
        """End the connection."""
        if self._session is not None:
            with contextlib.suppress(SessionEnded):
                self._session.quit_politely()
            self._session.close()
            self._session = None
