"""Putting something that a server rests on out of reach, by the commands that the profile names."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.capabilities import commands


@dataclass
class CommandOutage:
    """Stops something for everybody, so nothing else may run meanwhile."""

    begin: Sequence[str] = field(repr=False)
    restore: Sequence[str] = field(repr=False)
    table: str = "outage"  # of the profile
    shared: bool = True
    _lasts: bool = False

    def cut(self, client: str) -> None:
        """Stop it; raises `InconclusiveError` when the command fails."""
        self._lasts = True  # even if the command fails: it may have come half the way
        commands.run(f"{self.table}.begin", self.begin)

    def end(self) -> None:
        """Start it again if it was stopped; raises `InconclusiveError` when the command fails."""
        if self._lasts:
            commands.run(f"{self.table}.end", self.restore)
            self._lasts = False
