"""How far a run of pytest is."""

import os
import time
from dataclasses import dataclass, field

import pytest

TENTHS = 10  # of a run, each told once
SILENT = 15.0  # seconds after which it is told all the same how far the run is


@dataclass
class Progress:
    """Tells it, behind the cursor."""

    config: pytest.Config
    tenths_told: int = 0
    began: float = field(default_factory=time.monotonic)
    told_at: float = 0.0  # time.monotonic()

    def tell(self, done: int, of: int) -> None:
        """So many of so many scenarios are done."""
        self._beside_the_dots(f"  {done} of {of} scenarios done")
        now = time.monotonic()
        due = TENTHS * done // of > self.tenths_told or now - max(self.told_at, self.began) >= SILENT
        if self.config.option.progress_to is not None and due:
            self.tenths_told, self.told_at = TENTHS * done // of, now
            gone = now - self.began
            left = f", about {gone / done * (of - done):.0f} s left" if 0 < done < of else ""
            os.write(self.config.option.progress_to, f"  {done} of {of} scenarios done{left}\n".encode())

    def clear(self) -> None:
        """Take it away."""
        self._beside_the_dots("")

    def _beside_the_dots(self, text: str) -> None:
        """Write behind the cursor and leave it where it is; pytest's own output goes on from there."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and reporter.isatty:
            out = reporter._tw._file
            out.write(f"\0337{text}\033[K\0338")
            out.flush()
