"""The operator of a server's queue, by the commands that the profile names."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.capabilities import commands
from harness.printable import printable, shortened
from harness.profile.mail_tables import Queue
from harness.verdicts import InconclusiveError

SHOWN = 100  # characters of an entry, in a reason


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
        """The messages whose entry mentions a word.

        Raises `InconclusiveError` when the command fails, or a message has no id in what it prints.
        """
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
            if not start[1]:
                found = shortened(printable(entry.partition("\n")[0]), SHOWN)
                raise InconclusiveError(
                    f"queue.entry: its group holds no id where it finds «{found}»; write a pattern whose "
                    "group is around the id of every message"
                )
            yield Queued(start[1], re.search(self.table.frozen, entry) is not None, entry)


def _filled(words: Sequence[str], message: str) -> list[str]:
    return [word.replace("{id}", message) for word in words]
