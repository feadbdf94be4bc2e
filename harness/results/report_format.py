"""The form that a run is written in."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.results.model import RunResult


@dataclass(frozen=True)
class View:
    """Where a reader looks at a report while it is written: a terminal, so many characters wide."""

    width: int = 80
    colour: bool = False


@dataclass(frozen=True)
class Format:
    """One way to write a run.

    `suffix` is that of its file, with the dot; what has none is shown and not kept. Its writer makes what
    others say harmless for its medium. One that is `data` is written also where verdicts only are wanted.
    """

    name: str
    suffix: str
    write: Callable[[RunResult, View], bytes]
    data: bool = False
