"""Putting a greylist out of reach, by the commands that the profile names."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.capabilities import commands


@dataclass(frozen=True)
class CommandOutage:
    """Stops the greylist for everybody, so nothing else may run meanwhile."""

    begin: Sequence[str] = field(repr=False)
    restore: Sequence[str] = field(repr=False)
    shared: bool = True

    def cut(self, client: str) -> None:
        """Stop the greylist; raises `InconclusiveError` when the command fails."""
        commands.run("outage.begin", self.begin)

    def end(self) -> None:
        """Start it again; raises `InconclusiveError` when the command fails."""
        commands.run("outage.end", self.restore)
