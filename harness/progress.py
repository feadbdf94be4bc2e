"""How far something long is, and how long the rest will take."""

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO

TENTHS = 10  # of the whole, each told once where lines stay
SILENT = 15.0  # seconds after which it is told all the same
LONG = 90.0  # seconds from which on minutes are told


def time_left(began: float, done: int, of: int) -> str:
    """How long the rest will take at the pace so far; `began` is a `time.monotonic`."""
    gone = time.monotonic() - began
    return f"about {_span(gone / done * (of - done))} left" if done else f"{_span(gone)} so far"


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= LONG else f"{seconds:.0f} s"


def is_live(out: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a line can be written over: on a terminal that is not dumb, and that somebody looks at."""
    return out.isatty() and environment.get("TERM", "dumb") != "dumb" and not environment.get("CI")


@dataclass
class Pace:
    """When it is time to say how far it is, and in which words."""

    things: str  # what is counted: "scenarios done"
    began: float = field(default_factory=time.monotonic)
    told_at: float = 0.0  # time.monotonic()
    tenths: int = 0

    def words(self, done: int, of: int, more: str = "") -> str:
        """So many are done of so many."""
        return f"{done} of {of} {self.things}{more}, {time_left(self.began, done, of)}"

    def is_due(self, done: int, of: int, *, tenths: bool = True) -> bool:
        """Whether another line is worth it: it was silent for long, or another of the `tenths` is done."""
        now, tenth = time.monotonic(), TENTHS * done // of if of else TENTHS
        due = now - max(self.told_at, self.began) >= SILENT or (tenths and tenth > self.tenths)
        if due:
            self.told_at, self.tenths = now, tenth
        return due


@dataclass
class Progress:
    """Tells it on a line of its own, by default of standard error."""

    things: str  # what is counted: "mutants"
    out: TextIO = field(default_factory=lambda: sys.stderr)
    indent: str = ""
    pace: Pace = field(init=False)
    is_live: bool = field(init=False)

    def __post_init__(self) -> None:
        """It begins now."""
        self.pace = Pace(self.things)
        self.is_live = is_live(self.out)

    def tell(self, done: int, of: int, more: str = "") -> None:
        """So many are done of so many; `more` stands behind what is counted."""
        words = f"{self.indent}{self.pace.words(done, of, more)}"
        if self.is_live:
            self._write(f"\r{words}\033[K" if done < of else "\r\033[K")
        elif self.pace.is_due(done, of):
            self._write(f"{words}\n")

    def say(self, text: str) -> None:
        """Print a line on standard output, which is often the same terminal."""
        self.clear()
        print(text, flush=True)

    def clear(self) -> None:
        """Take the line away, where it can be."""
        if self.is_live:
            self._write("\r\033[K")

    def _write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()
