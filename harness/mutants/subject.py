"""A server that can be broken on purpose, and what a proof asks of it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.pytest_runs.commanded import BrokenRunError
from harness.results.model import RunResult
from harness.runs.reach import Reach


@dataclass(frozen=True)
class Defect:
    """One way to break a server: the rules that must fail by it."""

    name: str
    rules: tuple[str, ...]
    about: str
    parts: tuple[str, ...] = ()  # of the server that it replaces, as `Reach` knows them; empty: unknown


@dataclass(frozen=True)
class Order:
    """One run that a proof wants."""

    defects: tuple[Defect, ...]
    heavy: bool  # cases that strain a server are played too
    only: frozenset[str] | None  # pytest ids of the scenarios; None: all
    folder: Path  # its own, for what it leaves behind


class Subject(Protocol):
    """A server that can be broken on purpose."""

    @property
    def title(self) -> str:
        """As the matrix calls it."""

    @property
    def scenarios(self) -> Path:
        """Where the scenarios lie."""

    @property
    def defects(self) -> Sequence[Defect]:
        """All ways to break it."""

    def sound(self, folder: Path) -> RunResult:
        """The scenarios against it as it should be, all of them; raises `BrokenRunError`."""

    def reach(self, folder: Path) -> Reach | None:
        """Which scenarios came to which of its parts in the sound run of that folder, if that was noted.

        Raises `BrokenRunError`.
        """

    def fits(self, defects: Sequence[Defect]) -> bool:
        """Whether one server can have them all."""

    def expects(self, defect: Defect, rule: str) -> bool:
        """Whether it is declared, with a reason, that another rule cannot help but notice."""

    def play_all(
        self, orders: Sequence[Order], parallel: int
    ) -> Iterator[tuple[Order, RunResult | BrokenRunError]]:
        """So many at a time, as they end; `side_by_side` does it for whoever has no better way."""


def side_by_side(
    play: Callable[[Order], RunResult], orders: Sequence[Order], parallel: int
) -> Iterator[tuple[Order, RunResult | BrokenRunError]]:
    """Each run from a thread. When we are stopped, those that have not begun never do."""

    def run(order: Order) -> RunResult | BrokenRunError:
        try:
            return play(order)
        except BrokenRunError as error:
            return error

    with ThreadPoolExecutor(parallel) as pool:
        try:
            futures = {pool.submit(run, order): order for order in orders}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
