"""How slow everything but the server's policy is: a verdict about seconds counts only beside that.

A pulse beats through the whole run. Each beat looks at the harness's own punctuality, at the time that
the fake DNS takes to answer, and at the time that the server takes for a NOOP, which no policy delays. Now
and then an innocent host waits for a greeting: where connections queue, that is late while NOOPs are quick.
"""

import contextlib
import math
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from harness.smtp.session import Session, SessionEnded

KEPT = 100_000  # beats
NOOPS = 8  # on one connection: some servers end a session after ten commands that carry no mail
DNS_PATIENCE = 1.0  # seconds
FEW = 4  # beats without a measurement, after which nobody knows any more
BETWEEN_GREETINGS = 3  # beats
NOTICEABLE = 0.5  # of a beat: a slowness that may be the end of one that began before it was looked for
FAREWELL = 2.0  # seconds for the replies to QUIT at the end of a run
LULL = 10.0  # seconds for which it is waited that nothing is slow any more, from when it was so


class Probe(Protocol):
    """Something whose slowness is the world's, not the policy's."""

    def prepare(self) -> bool:
        """What is needed for the next measurement and is not measured itself; whether there can be one."""

    def measure(self) -> bool:
        """Take as long as things take at the moment; whether it was measured and not broken off."""

    def break_off(self) -> None:
        """From another thread: whatever is waited for comes too late."""

    def close(self) -> None:
        """Leave nothing behind."""


@dataclass
class Beats:
    """What one probe measured: when each measurement was due, and when it ended, by `time.monotonic`.

    `gap` are the seconds without a measurement after which nobody knows any more. What each takes by policy
    is no slowness: that is the `policy` in seconds and, where it may be more, as much as the quickest took.
    """

    gap: float = math.inf
    policy: float = 0.0
    may_be_more: bool = False
    rest: float = 0.0  # seconds between two of them
    tried: threading.Event = field(default_factory=threading.Event)  # whatever came of it
    _done: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=KEPT))
    _due: float = math.inf  # of the one that is going on
    _quickest: float = math.inf
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, due: float) -> None:
        """One is going on."""
        with self._lock:
            self._due = due

    def end(self) -> None:
        """It is over."""
        self.add(self._due, time.monotonic())

    def drop(self) -> None:
        """It came to nothing."""
        with self._lock:
            self._due = math.inf

    @property
    def measured(self) -> bool:
        """Whether anything was measured."""
        with self._lock:
            return bool(self._done)

    def add(self, due: float, ended: float) -> None:
        """One that was due then is over."""
        with self._lock:
            self._done.append((due, ended))
            self._quickest = min(self._quickest, ended - due)
            self._due = math.inf

    def worst(self, since: float, until: float) -> float:
        """The greatest slowness in seconds that overlaps an interval.

        It is infinite when nothing was measured then, or for too long nothing: nobody knows.
        """
        slow = []
        with self._lock:
            now = time.monotonic()
            known_from = min(until, now)  # from there on until the end
            usual = self._usual
            for due, ended in (*((self._due, now),) * (self._due < now), *reversed(self._done)):
                if ended < since:
                    break
                if due > until:
                    continue
                if known_from - ended > self.gap:
                    return math.inf
                known_from = min(known_from, due)
                slow.append(max(0.0, ended - due - usual))
        return max(slow, default=math.inf) if known_from - since <= self.gap else math.inf

    def taken(self, since: float, until: float) -> float:
        """The seconds that slowness may have taken altogether within an interval; infinite as `worst` is.

        What was slow may have been so since the measurement before, and more than once.
        """
        if math.isinf(self.worst(since, until)):
            return math.inf
        taken = 0.0
        with self._lock:
            now, usual = time.monotonic(), self._usual
            for due, ended in (*((self._due, now),) * (self._due < now), *reversed(self._done)):
                if ended < since:
                    break
                slow = ended - due - usual
                if due <= until and slow > NOTICEABLE * self.rest:
                    taken += slow + self.rest
        return taken

    @property
    def _usual(self) -> float:
        learned = self._quickest if self.may_be_more and math.isfinite(self._quickest) else 0.0
        return max(self.policy, learned)


@dataclass
class Pulse:
    """Lets each probe measure at a steady beat, and remembers what it measured.

    `greetings` measures what it takes to be greeted, of which `pause` seconds are known to be policy.
    """

    beat: float  # seconds
    probes: list[Probe] = field(default_factory=list)
    greetings: Probe | None = None
    pause: float = 0.0
    _beats: list[Beats] = field(default_factory=list)
    _greeted: Beats | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _beaten: threading.Condition = field(default_factory=threading.Condition)
    _slow_since: float = math.inf  # time.monotonic(), as far as anybody waited for a lull
    _threads: list[tuple[Probe, threading.Thread]] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start to beat, each probe on a thread of its own."""
        for probe in [Punctuality(), *self.probes]:
            self._beats.append(self._begin(probe, Beats(FEW * self.beat, rest=self.beat)))
        if self.greetings:
            gap = (FEW + BETWEEN_GREETINGS) * self.beat
            self._greeted = self._begin(self.greetings, Beats(gap, self.pause, may_be_more=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop beating."""
        self._stop.set()
        for probe, thread in self._threads:
            probe.break_off()
            thread.join()

    def worst(self, since: float, until: float) -> float:
        """The greatest slowness in seconds that overlaps an interval of `time.monotonic`.

        It is infinite when one of the probes measured nothing meanwhile: nobody knows then.
        """
        return max((beats.worst(since, until) for beats in self._beats), default=math.inf)

    def taken(self, since: float, until: float) -> float:
        """The seconds that slowness may have taken altogether within an interval; infinite as `worst` is."""
        return max((beats.taken(since, until) for beats in self._beats), default=math.inf)

    def get_going(self, patience: float) -> None:
        """Wait, no longer than so many seconds, until what is to be measured was measured once.

        A server that greets at once, or not at all, needs no wait.
        """
        began = time.monotonic()
        if not self._greeted or not self._greeted.tried.wait(patience):
            return
        greeted = time.monotonic()
        if self._greeted.measured and greeted - began > self.beat:
            for beats in self._beats:
                beats.tried.wait(max(0.0, began + patience - time.monotonic()))

    def await_lull(self, below: float, over: threading.Event) -> None:
        """Wait until nothing is slow by `below` seconds or more, or it is `over`.

        What was too slow to be judged is not tried again amid the same slowness. Where that lasts longer than
        `LULL` seconds, nobody waits for it any more until there was a lull.
        """
        with self._beaten:
            while not over.is_set() and not self._stop.is_set():
                now = time.monotonic()
                if self.worst(now - 2 * self.beat, now) < below:
                    self._slow_since = math.inf
                    return
                self._slow_since = min(self._slow_since, now)
                if now - self._slow_since > LULL:
                    return
                self._beaten.wait(self.beat)

    def arrival(self, since: float, until: float) -> float:
        """The greatest time in seconds, beyond what is usual, that an innocent host waited for a greeting.

        It is infinite when that was not measured meanwhile.
        """
        return self._greeted.worst(since, until) if self._greeted else math.inf

    def _begin(self, probe: Probe, beats: Beats) -> Beats:
        thread = threading.Thread(target=self._watch, args=(probe, beats), name="pulse", daemon=True)
        self._threads.append((probe, thread))
        thread.start()
        return beats

    def _watch(self, probe: Probe, beats: Beats) -> None:
        rest = 0.0
        while not self._stop.is_set():
            ready = probe.prepare()
            due = time.monotonic() + rest
            if self._stop.wait(rest):
                break
            rest = self.beat
            if ready:
                beats.begin(due)
                if probe.measure():
                    beats.end()
                else:
                    beats.drop()
                beats.tried.set()
                with self._beaten:
                    self._beaten.notify_all()
        probe.close()


class Punctuality:
    """Being woken in time is all that is measured."""

    def prepare(self) -> bool:
        """Nothing is needed."""
        return True

    def measure(self) -> bool:
        """Nothing is done."""
        return True

    def break_off(self) -> None:
        """Nothing is waited for."""

    def close(self) -> None:
        """Nothing is left."""


@dataclass
class DnsProbe:
    """Asks the fake DNS for something that needs no answer but NXDOMAIN."""

    address: tuple[str, int]

    def prepare(self) -> bool:
        """Nothing is needed."""
        return True

    def break_off(self) -> None:
        """It is over in a moment."""

    def close(self) -> None:
        """Nothing is left."""

    def measure(self) -> bool:
        """One question over UDP, and its answer; where none comes, that is how slow it is."""
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as asking, contextlib.suppress(OSError):
            asking.settimeout(DNS_PATIENCE)
            asking.connect(self.address)
            asking.send(QUESTION)
            asking.recv(512)
        return True


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
        self._parting: list[Future[None]] = []
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self._session: Session | None = None
        self._left = 0  # NOOPs for this connection

    def prepare(self) -> bool:
        """See to the connection: a fresh one after some commands, or when it is gone."""
        while len(self._opening) < self._wanted:
            session = self._connect()
            self._sessions.add(session)
            self._opening.append((session, self._pool.submit(_opened, session)))
        if self._left == 0 and self._opening[0][1].done():
            if self._session:
                self._parting = [one for one in self._parting if not one.done()]
                self._parting.append(self._pool.submit(_part, self._session))
            self._session, opened = self._opening.popleft()
            self._left = NOOPS if opened.result() else 0
        if self._left == 0:
            return False
        self._left -= 1
        return True

    def measure(self) -> bool:
        """One NOOP and its reply; one that never came counts for as long as it was waited for."""
        if self._session:
            try:
                self._session.command("NOOP")
            except SessionEnded:
                self._left = 0
        return True

    def break_off(self) -> None:
        """No reply is waited for."""
        if session := self._session:
            session.cut_short()

    def close(self) -> None:
        """End every connection, those that no greeting has come on yet as well."""
        for session, opened in self._opening:
            if not opened.done():
                session.cut_short()
        left = [one for one in (self._session, *(session for session, _ in self._opening)) if one]
        wait([*self._parting, *(self._pool.submit(_part, session) for session in left)], timeout=FAREWELL)
        for session in [*self._sessions]:  # a server that does not answer QUIT is not waited for
            session.cut_short()
        self._pool.shutdown(wait=True)


class GreetingProbe:
    """Comes now and then, waits for the greeting, and goes."""

    def __init__(self, connect: Callable[[], Session]) -> None:
        """`connect` gives a session of an innocent host that is not connected yet."""
        self._connect = connect
        self._session: Session | None = None
        self._rest = 1  # beats
        self._over = False

    def prepare(self) -> bool:
        """Go, and come again after a few beats."""
        self.close()
        self._rest = (self._rest or BETWEEN_GREETINGS) - 1
        if self._rest == 0:
            self._session = self._connect()
        return self._session is not None

    def measure(self) -> bool:
        """From the connection to the greeting; nothing where none comes."""
        return self._session is not None and not self._over and _opened(self._session)

    def break_off(self) -> None:
        """No greeting is waited for."""
        self._over = True
        if session := self._session:
            session.cut_short()

    def close(self) -> None:
        """Nothing is left."""
        if self._session:
            _part(self._session)
            self._session = None


def _opened(session: Session) -> bool:
    with contextlib.suppress(SessionEnded):
        session.open()
        return True
    return False


def _part(session: Session) -> None:
    with contextlib.suppress(SessionEnded):
        session.quit_politely()
    session.close()
