"""Ways to let time pass for a server's greylist."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from harness.capabilities import commands
from harness.verdicts import BrokenOffError, InconclusiveError, NotTestableError


@dataclass(frozen=True)
class WaitingClock:
    """Real waiting. Scenarios of one run wait side by side, so the longest wait is what a run costs."""

    limit: float  # seconds that one scenario may wait
    _over: threading.Event = field(default_factory=threading.Event, compare=False)

    def advance(self, client: str, seconds: float) -> None:
        """Wait; raises `NotTestableError` when that takes longer than the profile allows."""
        if seconds > self.limit:
            raise NotTestableError(
                f"{seconds:g} s would have to pass, and clock.limit in the profile allows {self.limit:g} s"
            )
        if self._over.wait(seconds):
            raise BrokenOffError

    def reading(self, client: str) -> float:
        """Real time."""
        return time.monotonic()

    def lag(self, client: str) -> float:
        """It waits as long as it is told to."""
        return 0.0

    def stop(self) -> None:
        """Nobody waits any more."""
        self._over.set()

    def taking_part(self) -> AbstractContextManager[None]:
        """Real time passes for everybody alike."""
        return contextlib.nullcontext()


@dataclass(frozen=True)
class SteeredClock:
    """A server that lets its greylist's clock be moved for one client at a time."""

    move: Callable[[str, float], None]
    _moved: dict[str, float] = field(default_factory=dict, compare=False)  # by client, each of one scenario

    def advance(self, client: str, seconds: float) -> None:
        """Move the clock as that client's triplets see it."""
        self.move(client, seconds)
        self._moved[client] = self._moved.get(client, 0.0) + seconds

    def reading(self, client: str) -> float:
        """Real time and what it was moved by for that client."""
        return time.monotonic() + self._moved.get(client, 0.0)

    def lag(self, client: str) -> float:
        """It is moved at once."""
        return 0.0

    def stop(self) -> None:
        """Nobody waits."""

    def taking_part(self) -> AbstractContextManager[None]:
        """Nobody else's time is moved."""
        return contextlib.nullcontext()


@dataclass
class SharedClock:
    """One clock for all clients. It moves only when everybody who takes part waits for it.

    Whoever wants time to pass waits until all others want that too, or are through. Then the clock moves to
    the earliest moment that somebody waits for. So no scenario's time passes while it is in a dialogue.
    """

    move: Callable[[float], None]  # to so many seconds after the start of the run
    _now: float = 0.0
    _playing: int = 0
    _waiting: list[float] = field(default_factory=list)
    _longest: float = 0.0  # seconds of real time that somebody waited for the others
    _trouble: InconclusiveError | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextlib.contextmanager
    def taking_part(self) -> Iterator[None]:
        """A scenario that is being played: no time passes for it but what it waits for."""
        with self._changed:
            self._playing += 1
        try:
            yield
        finally:
            with self._changed:
                self._playing -= 1
                self._move_on()

    def advance(self, client: str, seconds: float) -> None:
        """Wait for the clock; raises `InconclusiveError` when it cannot be moved."""
        if seconds <= 0:
            return
        began = time.monotonic()
        with self._changed:
            until = self._now + seconds
            self._waiting.append(until)
            self._move_on()
            self._changed.wait_for(lambda: self._now >= until or self._trouble)
            if self._now < until and self._trouble:
                self._waiting.remove(until)
                raise self._trouble
            self._longest = max(self._longest, time.monotonic() - began)

    def lag(self, client: str) -> float:
        """Twice what anybody has waited for the others; whoever asks first finds that out.

        The clock is moved to whole seconds, which is one more.
        """
        if not self._longest:
            self.advance(client, 1.0)
        with self._changed:
            return 2 * self._longest + 1.0

    def reading(self, client: str) -> float:
        """Real time and what it was moved by for everybody."""
        with self._changed:
            return time.monotonic() + self._now

    def stop(self) -> None:
        """Nobody waits any more."""
        with self._changed:
            self._trouble = BrokenOffError()
            self._changed.notify_all()

    def _move_on(self) -> None:
        if not self._waiting or len(self._waiting) < self._playing or self._trouble:
            return
        earliest = min(self._waiting)
        try:
            self.move(earliest)
        except InconclusiveError as error:
            self._trouble = error
        else:
            self._now = earliest
            self._waiting = [until for until in self._waiting if until > earliest]
        self._changed.notify_all()


@dataclass
class FakeTimeFile:
    """The offset file of libfaketime, and a command that tells the greylist to look at the time again.

    A server that is up for several runs keeps what it noted in the last one, so its clock never goes back.
    """

    file: Path
    then: Sequence[str] = ()
    _start: int = field(init=False, default=0)  # the offset when the run began

    def __post_init__(self) -> None:
        """Where the run before has left the clock."""
        with contextlib.suppress(OSError, ValueError):  # what is wrong with the file shows when it is written
            self._start = int(self.file.read_text("ascii"))

    def move(self, seconds: float) -> None:
        """So many seconds after the start of the run; raises `InconclusiveError` when it does not work."""
        beginning = self.file.with_name(f"{self.file.name}.new")
        try:
            beginning.write_text(f"+{self._start + math.ceil(seconds)}\n", "ascii")
            beginning.chmod(0o644)
            beginning.replace(self.file)  # half a file would stop whoever reads it
        except OSError as error:
            raise InconclusiveError(f"clock.file: {error}") from error
        if self.then:
            commands.run("clock.then", self.then)
