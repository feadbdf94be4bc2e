"""Keeping accepted mail: every copy on disk before the client hears of it.

Messages that arrive while others are being written are written together: the disk is waited for once.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from harness.reference_mta.mail.files import sync_folder

LOCK_PATIENCE = 5.0  # seconds in which another program gives a mailbox free
LOOK = 0.05  # seconds between two looks at it; the system tells nobody when it is free

Result = TypeVar("Result")


class Copy(Protocol):
    """A message on its way into one mailbox. After `undo` and `close` it can be written again."""

    def write(self) -> None:
        """Hand it to the system. Raises `OSError`; `BlockingIOError` while the mailbox is locked."""

    def sync(self) -> None:
        """Wait until it is on disk. Raises `OSError`."""

    def show(self) -> None:
        """Let readers of the mailbox see it. Raises `OSError`."""

    def changed(self) -> Iterable[Path]:
        """The folders that have other entries by now; a name is on disk once its folder is."""

    def undo(self) -> None:
        """Leave nothing of it behind, as far as it has come."""

    def close(self) -> None:
        """Give files and locks back to the system."""


class NotStoredError(Exception):
    """A message was not kept; `copy` is the one that could not be written, and `reason` why."""

    def __init__(self, copy: Copy, reason: OSError) -> None:
        """The text is the reason's."""
        super().__init__(str(reason))
        self.copy = copy
        self.reason = reason


class Storage:
    """Writes what connections hand in, on one thread."""

    def __init__(self) -> None:
        """Nothing is under way."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="storage")
        self._handed_in: list[tuple[Sequence[Copy], asyncio.Future[None]]] = []
        self._at_work: asyncio.Task[None] | None = None

    async def keep(self, copies: Sequence[Copy]) -> None:
        """All copies of a message are on disk when this returns; raises `NotStoredError` when none is."""
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                return await self._keep(copies)
            except NotStoredError as error:
                if not isinstance(error.reason, BlockingIOError) or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(LOOK)

    async def run(self, act: Callable[[], Result]) -> Result:
        """What `act` returns, done on the thread that writes, and so never amid a message's copies."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, act)

    def close(self) -> None:
        """Let what is being written be written."""
        self._thread.shutdown()

    async def _keep(self, copies: Sequence[Copy]) -> None:
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handed_in.append((copies, kept))
        if self._at_work is None:
            self._at_work = asyncio.create_task(self._work())
        await kept

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        errors: Sequence[Exception | None]
        while self._handed_in:
            batch, self._handed_in = self._handed_in, []
            try:
                errors = await loop.run_in_executor(self._thread, deliver, [copies for copies, _ in batch])
            except Exception as defect:  # noqa: BLE001 - a defect: whoever waits for a message hears of it
                errors = [defect] * len(batch)
            for (_, kept), error in zip(batch, errors, strict=True):
                if kept.done():  # the client is gone; its message stays
                    continue
                if error:
                    kept.set_exception(error)
                else:
                    kept.set_result(None)
        self._at_work = None


def deliver(messages: Sequence[Sequence[Copy]]) -> list[NotStoredError | None]:
    """Keep messages, each given by its copies; what became of each: all of its copies are kept, or none.

    They are tried together; when one of them cannot be kept, each by itself.
    """
    error = _keep_all([copy for copies in messages for copy in copies])
    if error is None or len(messages) == 1:
        return [error] * len(messages)
    return [_keep_all(copies) for copies in messages]


def _keep_all(copies: Sequence[Copy]) -> NotStoredError | None:
    begun: list[Copy] = []
    try:
        for copy in copies:
            begun.append(copy)
            copy.write()
        for copy in begun:
            copy.sync()
        for copy in begun:
            copy.show()
        synced: set[Path] = set()
        for copy in begun:
            for folder in set(copy.changed()) - synced:
                sync_folder(folder)
                synced.add(folder)
    except Exception as error:
        for each in reversed(begun):
            each.undo()
        if not isinstance(error, OSError):
            raise
        return NotStoredError(copy, error)
    finally:
        for each in begun:
            each.close()
    return None
