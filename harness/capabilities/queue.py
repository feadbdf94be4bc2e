"""The operator of a server's queue, by the commands that the profile names."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.capabilities import commands
from harness.profile.mail_tables import Queue


@dataclass(frozen=True)
class Queued:
    """A message in the queue, as the list shows it."""

    id: str
    frozen: bool
    entry: str  # all that the list says of it


@dataclass(frozen=True)
class CommandQueue:
    """Runs the profile's commands."""

    table: Queue

    def entries(self, word: str) -> list[Queued]:
        """The messages whose entry mentions a word; raises `InconclusiveError` when the command fails."""
        shown = commands.run("queue.list", self.table.list)
        return [one for one in self._read(shown) if word.lower() in one.entry.lower()]

    def remove(self, message: str) -> None:
        """Take a message off the queue; raises `InconclusiveError` when the command fails."""
        commands.run("queue.remove", _filled(self.table.remove, message))

    def thaw(self, message: str) -> None:
        """Let a frozen message be tried again; raises `InconclusiveError` when the command fails."""
        commands.run("queue.thaw", _filled(self.table.thaw, message))

    def _read(self, shown: str) -> Iterator[Queued]:
        starts = list(re.finditer(self.table.entry, shown, re.MULTILINE))
        for start, after in zip(starts, [*starts[1:], None], strict=False):  # without any, none
            entry = shown[start.start() : after.start() if after else len(shown)]
            yield Queued(start[1], re.search(self.table.frozen, entry) is not None, entry)


def _filled(words: Sequence[str], message: str) -> list[str]:
    return [word.replace("{id}", message) for word in words]
