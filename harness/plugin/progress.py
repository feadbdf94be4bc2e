"""How far a run of pytest is: behind its dots, or now and then on a line of its own."""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from harness import progress

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter  # pytest has no public name for it before 9.1

SHORTEST = 20  # columns; where fewer are left in the line, nothing is told behind the dots


@dataclass
class RunProgress:
    """Tells it to the terminal, never to what pytest captures of a test."""

    config: pytest.Config
    pace: progress.Pace = field(default_factory=lambda: progress.Pace("scenarios done"))
    beside: progress.Progress | None = None  # for the command that runs pytest

    def __post_init__(self) -> None:
        """Where to tell it stands in the options."""
        number = self.config.option.smtp_progress_to
        if number is not None:
            out = os.fdopen(os.dup(number), "w")
            self.config.add_cleanup(out.close)
            self.beside = progress.Progress("scenarios done", out, indent="  ")

    def tell(self, done: int, of: int) -> None:
        """So many of so many scenarios are done."""
        if self.beside:
            self.beside.tell(done, of)
        reporter = self._reporter
        if reporter is None:
            return
        if self._is_live(reporter):
            self._behind_the_dots(f"  {self.pace.words(done, of)}")
        elif not reporter.isatty and self.pace.is_due(done, of, tenths=False):
            with self._uncaptured():
                reporter.ensure_newline()
                reporter.write_line(self.pace.words(done, of))

    def clear(self) -> None:
        """Take it away."""
        reporter = self._reporter
        if reporter is not None and self._is_live(reporter):
            self._behind_the_dots("")

    @property
    def _reporter(self) -> "TerminalReporter | None":
        """Who writes to the terminal, unless nobody does, or little is wanted."""
        reporter: TerminalReporter | None = self.config.pluginmanager.get_plugin("terminalreporter")
        return reporter if reporter is not None and self.config.get_verbosity() >= 0 else None

    def _is_live(self, reporter: "TerminalReporter") -> bool:
        return bool(reporter.isatty) and progress.is_live(sys.__stdout__ or sys.stdout)

    def _behind_the_dots(self, text: str) -> None:
        """Write behind the cursor and leave it where it is; pytest's own output goes on from there."""
        writer = self.config.get_terminal_writer()
        room = writer.fullwidth - writer.width_of_current_line - 1
        with self._uncaptured():
            sys.stdout.write(f"\0337{text[:room] if room >= SHORTEST else ''}\033[K\0338")
            sys.stdout.flush()

    @contextlib.contextmanager
    def _uncaptured(self) -> Iterator[None]:
        capturing = self.config.pluginmanager.get_plugin("capturemanager")
        with capturing.global_and_fixture_disabled() if capturing else contextlib.nullcontext():
            yield
