"""What becomes of a run's result: the reports, and how it stands beside the run that it is held against."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.printable import printable
from harness.results.comparable import ComparisonError, check_before
from harness.results.compare import Comparison, compare
from harness.results.compare_text import render
from harness.results.formats import filed
from harness.results.model import RunResult
from harness.results.store import ReportError, load, prepare, save

REPORTS_LOST = 6  # the exit status when all went well, and the reports could not be written


class BaselineError(Exception):
    """No run can be held against this one; the text says why, and what to name instead."""


@dataclass
class Filing:
    """Where the reports go, and the earlier run, if any, that the new one is held against."""

    folder: Path
    data_alone: bool = False  # whether only what can be read back is kept
    baseline: Path | None = None
    before: RunResult | None = None  # what is in that file
    written: tuple[Path, ...] = ()
    trouble: str = ""  # why not all reports were written; empty when they were
    comparison: Comparison | None = None
    incomparable: str = ""  # why there is none

    def prepare(self) -> None:
        """What can be known before a run: whether reports can be written, and what it is held against.

        Raises `ReportError`, `ResultFileError` or `BaselineError`.
        """
        prepare(self.folder)
        if self.baseline:
            self.before = load(self.baseline)
            try:
                check_before(self.before)
            except ComparisonError as error:
                raise BaselineError(f"{self.baseline}: {error}") from None

    def take(self, result: RunResult) -> None:
        """Write the reports and compare; what comes in the way is `trouble`, and costs no verdict."""
        try:
            self.written = save(result, self.folder, filed(data_alone=self.data_alone))
        except ReportError as error:
            self.written, self.trouble = error.written, str(error)
        if self.before:
            try:
                self.comparison = compare(self.before, result)
            except ComparisonError as error:
                self.incomparable = f"{self.baseline}: {error}"

    @property
    def is_no_worse(self) -> bool:
        """Whether this run was held against an earlier one, and nothing is worse or no longer tested."""
        return self.comparison is not None and self.comparison.exit_status == 0

    def compared(self, *, colour: bool) -> str:
        """The comparison for a terminal, or why there is none; empty where none was asked for."""
        return render(self.comparison, colour=colour) if self.comparison else printable(self.incomparable)

    def told(self, result: RunResult) -> Iterator[str]:
        """Where the reports lie, and what became of the latest, each a line."""
        if self.written:
            yield printable(f"report: {', '.join(str(path) for path in reversed(self.written))}")
        if self.trouble:
            yield printable(self.trouble)
        elif result.caveats:
            yield "latest.* stays as it was, for this run is no whole one"
