"""The reference MTA as a server that can be broken: its defects, declared collateral, and forked runs."""

import contextlib
import fnmatch
import functools
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from harness import settings
from harness.embedded.forked import WaitingMta, waiting_mta
from harness.embedded.process import ReferenceMta as EmbeddedMta
from harness.embedded.servers import SERVERS, reference_mta
from harness.mutants.subject import Defect, Order
from harness.pytest_runs import forked
from harness.pytest_runs.commanded import PATIENCE, BrokenRunError, run_pytest
from harness.pytest_runs.here import play, read_modules
from harness.reference_mta.defects import MUTANTS
from harness.results.model import RunResult
from harness.runs.reach import Reach, ReachFileError

DECLARED = "collateral.toml"
PACE = 0.3  # seconds between two beginnings of runs
REACHED = "reached.json"  # in the folder of a sound run


class Declaration(settings.Settings):
    """A mutant that other rules cannot help but notice, and why."""

    mutants: tuple[str, ...] = Field(min_length=1)  # patterns of mutant names
    rules: tuple[str, ...] = Field(min_length=1)  # patterns of rule ids
    reason: str = Field(min_length=1)


class Declarations(settings.Settings):
    """The content of `collateral.toml`."""

    pair: tuple[Declaration, ...] = ()


@dataclass(frozen=True)
class ReferenceMta:
    """The embedded reference MTA, whose mutants it knows itself."""

    scenarios: Path
    title: str = "reference MTA"

    @property
    def defects(self) -> list[Defect]:
        """Each mutant breaks one rule."""
        return [Defect(mutant.name, (mutant.rule,), mutant.description, mutant.parts) for mutant in MUTANTS]

    def sound(self, folder: Path) -> RunResult:
        """As a user has it; it notes what is reached."""
        folder.mkdir(parents=True, exist_ok=True)
        return run_pytest(self.scenarios, folder, [f"--smtp-reached-to={folder / REACHED}"], progress=True)

    def play_all(
        self, orders: Sequence[Order], parallel: int
    ) -> Iterator[tuple[Order, RunResult | BrokenRunError]]:
        """Each in a process that is forked from this one, which reads all modules first."""
        read_modules([str(self.scenarios)])
        forked.share_memory()
        play_one = functools.partial(_play, self.scenarios)
        return forked.Pool(play_one, _lost, parallel, PATIENCE, PACE).results(deque(orders))

    def reach(self, folder: Path) -> Reach | None:
        """As the sound run noted it."""
        try:
            return Reach.read(folder / REACHED)
        except ReachFileError as error:
            raise BrokenRunError(str(error)) from error

    def fits(self, defects: Sequence[Defect]) -> bool:
        """Each is a switch of its own."""
        return True

    def expects(self, defect: Defect, rule: str) -> bool:
        """By the pairs in every `collateral.toml` beside the scenarios."""
        return any(
            any(fnmatch.fnmatchcase(defect.name, pattern) for pattern in pair.mutants)
            and any(fnmatch.fnmatchcase(rule, pattern) for pattern in pair.rules)
            for pair in self._declarations
        )

    @functools.cached_property
    def _declarations(self) -> list[Declaration]:
        files = self.scenarios.rglob(DECLARED)
        return [pair for file in files for pair in settings.read(file, Declarations).pair]


def _play(scenarios: Path, order: Order, folder: Path) -> RunResult | BrokenRunError:
    """One run, in this process, which has one thread and no other use."""
    names = [defect.name for defect in order.defects]
    options = [str(scenarios), "--smtp-lean", *([] if order.heavy else ["--smtp-skip-heavy"])]
    if order.only is not None:
        options.append(f"--smtp-only={_listed(order.only, folder)}")
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(waiting_mta()) for _ in range(SERVERS)]
        broken = functools.partial(reference_mta, mutants=names, started=functools.partial(_begun, waiting))
        result, trouble = play(options, folder, lambda dns, _: broken(dns))
    return result or BrokenRunError(trouble)


@contextlib.contextmanager
def _begun(waiting: Sequence[WaitingMta], configs: Sequence[Path]) -> Iterator[list[EmbeddedMta]]:
    """Servers that have been waiting for their configurations; they end with the process."""
    yield [one.begin(config) for one, config in zip(waiting, configs, strict=False)]


def _lost(reason: str, _: float) -> BrokenRunError:
    return BrokenRunError(reason)


def _listed(tests: Collection[str], folder: Path) -> Path:
    """A file with the ids of the scenarios that a run is to play."""
    file = folder / "only.txt"
    file.write_text("".join(f"{test}\n" for test in sorted(tests)), "utf-8")
    return file
