"""The operator's hand on the queue: list, remove, thaw, run (wiki 1612–1620), while the server runs or not.

Each action has a connection of its own to the database, so that it works from any process and any thread;
what is to be tried at once wakes the server, see `waking.py`.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.reference_mta.mail.queue import QUEUE, Queue, QueueEntry
from harness.reference_mta.mail.waking import WAKER_FILE, wake
from harness.reference_mta.replies import escaped

ACTIONS = ("list", "remove", "thaw", "run")


@dataclass(frozen=True)
class QueueParts:
    """Each as it should be; another one may take its place."""

    entries: Callable[[Queue], list[QueueEntry]] = Queue.entries
    remove: Callable[[Queue, str], bool] = Queue.remove
    thaw: Callable[[Queue, str], bool] = Queue.thaw


AS_IT_SHOULD_BE = QueueParts()


@dataclass(frozen=True)
class QueueCommands:
    """The queue in a state directory. Every method raises `QueueError`, and `OSError` for the waker."""

    state: Path
    parts: QueueParts = AS_IT_SHOULD_BE

    def entries(self) -> list[QueueEntry]:
        """All messages, oldest first; frozen ones are among them."""
        with self._queue() as queue:
            return self.parts.entries(queue)

    def remove(self, number: str) -> bool:
        """Forget a message; nobody is told. An attempt that is under way is not broken off."""
        with self._queue() as queue:
            return self.parts.remove(queue, number)

    def thaw(self, number: str) -> bool:
        """Let a frozen message be tried at once; whether there was one of that id."""
        with self._queue() as queue:
            found = self.parts.thaw(queue, number)
        wake(self.state / WAKER_FILE)
        return found

    def run(self) -> int:
        """Let every message that is not frozen be tried at once; how many those are."""
        with self._queue() as queue:
            count = queue.run()
        wake(self.state / WAKER_FILE)
        return count

    @contextlib.contextmanager
    def _queue(self) -> Iterator[Queue]:
        with contextlib.closing(Queue(self.state / QUEUE)) as queue:
            yield queue


def facts(entry: QueueEntry) -> dict[str, Any]:
    """A message for other programs: ages in seconds, times in seconds of the epoch, the size in bytes."""
    return asdict(entry) | {"age": max(0.0, time.time() - entry.arrived)}


def lines(entries: Sequence[QueueEntry]) -> Iterator[str]:
    """Messages for people: a line for each, and one for each of its recipients."""
    for entry in entries:
        age = max(0, int(time.time() - entry.arrived))
        frozen = "  frozen" if entry.frozen else ""
        yield escaped(f"{entry.id}  {age} s  {entry.size} bytes  <{entry.sender}>{frozen}")
        for each in entry.recipients:
            tries = "not tried yet" if not each.attempts else f"attempt {each.attempts}: {each.reply}"
            yield escaped(f"    {each.address}  {each.state}, {tries}"[:1000])
    if not entries:
        yield "The queue is empty."
