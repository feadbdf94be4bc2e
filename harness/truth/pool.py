"""Trials side by side, each in a process that is forked from this one, which has read all modules."""

import contextlib
import gc
import multiprocessing
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from harness.truth.draw import Draw
from harness.truth.trial import Bench, Trial, try_out, warm_up

PATIENCE = 300.0  # seconds
PACE = 1.5  # seconds between two beginnings: each trial begins with its work, and waits later
FORKING = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Order:
    """A server that is to be tried, what is broken in it; `key` is for whoever orders it."""

    key: Any
    drawn: Draw
    mutants: tuple[str, ...] = ()


@dataclass
class _Running:
    order: Order
    process: BaseProcess
    result: Connection
    folder: Path
    began: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Pool:
    """Forks a process for each trial. As long as it is in use, its own process has one thread."""

    bench: Bench
    parallel: int
    kept: Path | None = None  # where the files of the trials stay; without it they go
    patience: float = PATIENCE  # seconds that one trial may take

    def trials(self, orders: deque[Order]) -> Iterator[tuple[Order, Trial]]:
        """Every order and what became of it, as they end; more may be added meanwhile."""
        running: list[_Running] = []
        next_begins = time.monotonic()
        with self._place() as place, _ended(running):
            while orders or running:
                free = len(running) < self.parallel and bool(orders)
                if free and time.monotonic() >= next_begins:
                    running.append(self._begin(orders.popleft(), place))
                    next_begins = time.monotonic() + PACE
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
                prefix="smtp-harness-truth-", ignore_cleanup_errors=True
            ) as place:
                yield Path(place)

    def _begin(self, order: Order, place: Path) -> _Running:
        folder = Path(tempfile.mkdtemp(prefix="server-", dir=place))
        ours, theirs = FORKING.Pipe(duplex=False)
        process = FORKING.Process(
            target=_try_out, args=(self.bench, order, folder, theirs, self.kept is None), daemon=False
        )
        process.start()
        theirs.close()
        return _Running(order, process, ours, folder)

    def _over(self, running: list[_Running], until: float | None) -> list[_Running]:
        """Those that have ended, or had their time, when there are any, or it is time for another one."""
        moments = [one.began + self.patience for one in running]
        moments += [] if until is None else [until]
        ready = wait([one.result for one in running], max(0.0, min(moments) - time.monotonic()))
        late = time.monotonic() - self.patience
        return [one for one in running if one.result in ready or one.began <= late]

    def _end(self, one: _Running) -> Trial:
        seconds = time.monotonic() - one.began
        trial = Trial(None, f"it was not over after {self.patience:g} s", seconds)
        if one.result.poll():
            try:
                trial = one.result.recv()
            except EOFError:
                trial = Trial(None, "its process ended without a word", seconds)
            one.process.join(self.patience)
        one.process.kill()
        one.process.join()
        one.result.close()
        if self.kept is None:
            shutil.rmtree(one.folder, ignore_errors=True)
        return trial


@contextlib.contextmanager
def _ended(running: list[_Running]) -> Iterator[None]:
    """Whatever happens, none of them goes on afterwards."""
    try:
        yield
    finally:
        for one in running:
            one.process.kill()
            one.process.join()


def _try_out(bench: Bench, order: Order, folder: Path, result: Connection, lean: bool) -> None:
    result.send(try_out(bench, order.drawn, order.mutants, folder, lean=lean))


def prepared(bench: Bench, parallel: int, kept: Path | None = None, *, patience: float = PATIENCE) -> Pool:
    """A pool whose processes begin with all modules read."""
    warm_up(bench)
    gc.collect()
    gc.freeze()  # what all have in common is not looked through again by each
    return Pool(bench, parallel, kept, patience)
