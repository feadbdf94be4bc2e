"""Work side by side, each piece in a process that is forked from this one, which has read all modules."""

import contextlib
import gc
import multiprocessing
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness.pytest_runs.cores import Cores

FREE = 0.25  # of all cores; where there is less, what is begun makes all others late
LONGEST = 5  # times its pace, which is how long a beginning waits at most, for others may keep the cores busy
FORKING = multiprocessing.get_context("fork")
Order = TypeVar("Order")
Found = TypeVar("Found")


@dataclass
class _Running(Generic[Order]):
    order: Order
    process: BaseProcess
    result: Connection
    folder: Path
    began: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Pool(Generic[Order, Found]):
    """Forks a process for each order. As long as it is in use, its own process has one thread.

    `do` is called in the new process, with the order and a folder for its files; what it returns is pickled.
    `lost` makes a result of the reason why there is none, and of the seconds that it took to know.
    """

    do: Callable[[Order, Path], Found]
    lost: Callable[[str, float], Found]
    parallel: int
    patience: float  # seconds that one may take
    pace: float = 0.0  # seconds between two beginnings, or two looks for free cores
    kept: Path | None = None  # where the folders stay; without it they go

    def results(self, orders: deque[Order]) -> Iterator[tuple[Order, Found]]:
        """Every order and what came of it, as they end; more may be added meanwhile."""
        running: list[_Running[Order]] = []
        begun = next_begins = time.monotonic()
        cores = Cores()
        with self._place() as place, _ended(running):
            while orders or running:
                free = len(running) < self.parallel and bool(orders)
                if free and time.monotonic() >= next_begins:
                    waited = time.monotonic() - begun >= LONGEST * self.pace
                    if cores.free() >= FREE or waited or not running:
                        running.append(self._begin(orders.popleft(), place))
                        begun = time.monotonic()
                    next_begins = time.monotonic() + self.pace
                    continue
                for one in self._over(running, next_begins if free else None):
                    running.remove(one)
                    yield one.order, self._end(one)

    @contextlib.contextmanager
    def _place(self) -> Iterator[Path]:
        if self.kept:
            self.kept.mkdir(parents=True, exist_ok=True)
            yield self.kept
        else:
            with tempfile.TemporaryDirectory(
                prefix="smtp-harness-runs-", ignore_cleanup_errors=True
            ) as place:
                yield Path(place)

    def _begin(self, order: Order, place: Path) -> _Running[Order]:
        folder = Path(tempfile.mkdtemp(prefix="server-", dir=place))
        ours, theirs = FORKING.Pipe(duplex=False)
        process = FORKING.Process(target=self._work, args=(order, folder, theirs), daemon=False)
        process.start()
        theirs.close()
        return _Running(order, process, ours, folder)

    def _work(self, order: Order, folder: Path, result: Connection) -> None:
        """In the new process; an interrupt is for its parent, which ends this one."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        result.send(self.do(order, folder))

    def _over(self, running: list[_Running[Order]], until: float | None) -> list[_Running[Order]]:
        """Those that have ended, or had their time, when there are any, or it is time for another one."""
        moments = [one.began + self.patience for one in running]
        moments += [] if until is None else [until]
        ready = wait([one.result for one in running], max(0.0, min(moments) - time.monotonic()))
        late = time.monotonic() - self.patience
        return [one for one in running if one.result in ready or one.began <= late]

    def _end(self, one: _Running[Order]) -> Found:
        seconds = time.monotonic() - one.began
        found: Any = self.lost(f"it was not over after {self.patience:g} s", seconds)
        if one.result.poll():
            try:
                found = one.result.recv()
            except EOFError:
                found = self.lost("its process ended without a word", seconds)
            one.process.join(self.patience)
        one.process.kill()
        one.process.join()
        one.result.close()
        if self.kept is None:
            shutil.rmtree(one.folder, ignore_errors=True)
        result: Found = found
        return result


@contextlib.contextmanager
def _ended(running: list[_Running[Order]]) -> Iterator[None]:
    """Whatever happens, none of them goes on afterwards."""
    try:
        yield
    finally:
        for one in running:
            one.process.kill()
            one.process.join()


def share_memory() -> None:
    """What this process has read by now is not looked through again by each that is forked from it."""
    gc.collect()
    gc.freeze()
