"""How slow everything but the server's policy is: a verdict about seconds counts only beside that.

A pulse beats through the whole run. Each beat looks at the harness's own punctuality, at the time that
the fake DNS takes to answer, and at the time that the server takes for a NOOP, which no policy delays.
"""

import contextlib
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from harness.smtp.session import Session, SessionEnded

KEPT = 100_000  # beats
NOOPS = 8  # on one connection: some servers end a session after ten commands that carry no mail
DNS_PATIENCE = 1.0  # seconds


class Probe(Protocol):
    """Something whose slowness is the world's, not the policy's."""

    def prepare(self) -> bool:
        """What is needed for the next measurement and is not measured itself; whether there can be one."""

    def measure(self) -> None:
        """Take as long as things take at the moment."""

    def close(self) -> None:
        """Leave nothing behind."""


@dataclass
class Beats:
    """What one probe measured: when each measurement was due, and when it ended, by `time.monotonic`."""

    _done: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=KEPT))
    _due: float = math.inf  # of the one that is going on
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, due: float) -> None:
        """One is going on."""
        with self._lock:
            self._due = due

    def end(self) -> None:
        """It is over."""
        self.add(self._due, time.monotonic())

    def add(self, due: float, ended: float) -> None:
        """One that was due then is over."""
        with self._lock:
            self._done.append((due, ended))
            self._due = math.inf

    def worst(self, since: float, until: float) -> float:
        """The greatest slowness in seconds that overlaps an interval; infinite when nothing was measured."""
        slow = []
        with self._lock:
            now = time.monotonic()
            for due, ended in (*((self._due, now),) * (self._due < now), *reversed(self._done)):
                if ended < since:
                    break
                if due <= until:
                    slow.append(ended - due)
        return max(slow, default=math.inf)


@dataclass
class Pulse:
    """Lets each probe measure at a steady beat, and remembers what it measured."""

    beat: float  # seconds
    probes: list[Probe] = field(default_factory=list)
    _beats: list[Beats] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start to beat, each probe on a thread of its own."""
        for probe in [Punctuality(), *self.probes]:
            beats = Beats()
            self._beats.append(beats)
            thread = threading.Thread(target=self._watch, args=(probe, beats), name="pulse", daemon=True)
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
        """The greatest slowness in seconds that overlaps an interval of `time.monotonic`.

        It is infinite when one of the probes measured nothing meanwhile: nobody knows then.
        """
        return max((beats.worst(since, until) for beats in self._beats), default=math.inf)

    def _watch(self, probe: Probe, beats: Beats) -> None:
        while not self._stop.is_set():
            ready = probe.prepare()
            due = time.monotonic() + self.beat
            if self._stop.wait(self.beat):
                break
            if ready:
                beats.begin(due)
                probe.measure()
                beats.end()
        probe.close()


class Punctuality:
    """Being woken in time is all that is measured."""

    def prepare(self) -> bool:
        """Nothing is needed."""
        return True

    def measure(self) -> None:
        """Nothing is done."""

    def close(self) -> None:
        """Nothing is left."""


@dataclass
class DnsProbe:
    """Asks the fake DNS for something that needs no answer but NXDOMAIN."""

    address: tuple[str, int]

    def prepare(self) -> bool:
        """Nothing is needed."""
        return True

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


class ServerProbe:
    """Sends a NOOP on a connection that is kept for a few of them, while the next ones are opened."""

    def __init__(self, connect: Callable[[], Session], spare: int = 1) -> None:
        """`spare` connections are opened ahead: one is to be ready when another has had its NOOPs."""
        self._connect = connect
        self._wanted = spare
        self._pool = ThreadPoolExecutor(spare + 1, thread_name_prefix="pulse")
        self._opening: deque[tuple[Session, Future[bool]]] = deque()
        self._session: Session | None = None
        self._left = 0  # NOOPs for this connection

    def prepare(self) -> bool:
        """See to the connection: a fresh one after some commands, or when it is gone."""
        while len(self._opening) < self._wanted:
            session = self._connect()
            self._opening.append((session, self._pool.submit(_opened, session)))
        if self._left == 0 and self._opening[0][1].done():
            if self._session:
                self._pool.submit(_part, self._session)
            self._session, opened = self._opening.popleft()
            self._left = NOOPS if opened.result() else 0
        if self._left == 0:
            return False
        self._left -= 1
        return True

    def measure(self) -> None:
        """One NOOP and its reply."""
        if self._session:
            try:
                self._session.command("NOOP")
            except SessionEnded:
                self._left = 0

    def close(self) -> None:
        """End every connection, those that no greeting has come on yet as well."""
        for session, opened in self._opening:
            if not opened.done():
                session.cut_short()
        self._pool.shutdown(wait=True)
        for left in (self._session, *(session for session, _ in self._opening)):
            if left:
                _part(left)


def _opened(session: Session) -> bool:
    with contextlib.suppress(SessionEnded):
        session.open()
        return True
    return False


def _part(session: Session) -> None:
    with contextlib.suppress(SessionEnded):
        session.quit_politely()
    session.close()
