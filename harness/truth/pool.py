"""Trials side by side, each in a process that is forked from this one, which has read all modules."""

import functools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.pytest_runs import forked
from harness.pytest_runs.here import read_modules
from harness.truth.draw import Draw
from harness.truth.trial import Bench, Trial, try_out

PATIENCE = 300.0  # seconds
PACE = 0.8  # seconds from a trial's beginning until its work shows


@dataclass(frozen=True)
class Order:
    """A server that is to be tried, what is broken in it; `key` is for whoever orders it."""

    key: Any
    drawn: Draw
    mutants: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pool:
    """Forks a process for each trial. As long as it is in use, its own process has one thread."""

    bench: Bench
    parallel: int
    kept: Path | None = None  # where the files of the trials stay; without it they go
    patience: float = PATIENCE  # seconds that one trial may take

    def trials(self, orders: deque[Order]) -> Iterator[tuple[Order, Trial]]:
        """Every order and what became of it, as they end; more may be added meanwhile."""
        try_one = functools.partial(_try_out, self.bench, lean=self.kept is None)
        return forked.Pool(try_one, _lost, self.parallel, self.patience, PACE, self.kept).results(orders)


def _try_out(bench: Bench, order: Order, folder: Path, *, lean: bool) -> Trial:
    return try_out(bench, order.drawn, order.mutants, folder, lean=lean)


def _lost(reason: str, seconds: float) -> Trial:
    return Trial(None, reason, seconds)


def prepared(bench: Bench, parallel: int, kept: Path | None = None, *, patience: float = PATIENCE) -> Pool:
    """A pool whose processes begin with all modules read."""
    read_modules(bench.files)
    forked.share_memory()
    return Pool(bench, parallel, kept, patience)
