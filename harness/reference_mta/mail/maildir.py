"""Keeping accepted mail: a Maildir for each recipient, on disk before the client hears of it.

Messages that arrive while others are being written are written together: the disk is waited for once.
"""

import asyncio
import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LONGEST = 200  # bytes of a folder's name, short enough for every file system
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789@.-_+=")


class Parcel:
    """A message and the Maildirs that it goes to: all of them, or none."""

    def __init__(self, folders: Iterable[Path], content: bytes) -> None:
        """Nothing is written yet."""
        name = f"{time.time_ns()}.{secrets.token_hex(8)}.reference-mta"
        self._content = content
        self._copies = [(folder, folder / "tmp" / name, folder / "new" / name) for folder in folders]
        self._open: list[int] = []

    def write(self) -> None:
        """Hand the copies to the system. Raises `OSError`."""
        for folder, unfinished, _ in self._copies:
            try:
                file = _create(unfinished)
            except FileNotFoundError:  # the first message
                for part in (
                    "cur",
                    "new",
                    "tmp",
                ):  # in this order: where there is a `tmp`, there is all of it
                    (folder / part).mkdir(parents=True, exist_ok=True, mode=0o700)
                file = _create(unfinished)
            self._open.append(file)
            rest = memoryview(self._content)
            while rest:
                rest = rest[os.write(file, rest) :]

    def finish(self) -> None:
        """Wait until the copies are on disk, and show them. Raises `OSError`."""
        for file in self._open:
            os.fsync(file)
        for _, unfinished, finished in self._copies:
            unfinished.rename(finished)

    def close(self) -> None:
        """Give the files back to the system."""
        for file in self._open:
            os.close(file)

    def abandon(self) -> None:
        """Leave nothing unfinished behind."""
        for _, unfinished, _ in self._copies:
            with contextlib.suppress(OSError):  # the disk is in trouble, and that has been said
                unfinished.unlink(missing_ok=True)


class Keeper:
    """Writes what connections hand in, on one thread."""

    def __init__(self) -> None:
        """Nothing is under way."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keeper")
        self._handed_in: list[tuple[Parcel, asyncio.Future[None]]] = []
        self._at_work: asyncio.Task[None] | None = None

    async def keep(self, folders: Iterable[Path], content: bytes) -> None:
        """The message is on disk in every folder when this returns; raises `OSError` when it is in none."""
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handed_in.append((Parcel(folders, content), kept))
        if self._at_work is None:
            self._at_work = asyncio.create_task(self._work())
        await kept

    def close(self) -> None:
        """Let what is being written be written."""
        self._thread.shutdown()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        errors: Sequence[Exception | None]
        while self._handed_in:
            batch, self._handed_in = self._handed_in, []
            try:
                errors = await loop.run_in_executor(self._thread, deliver, [parcel for parcel, _ in batch])
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


def deliver(parcels: Iterable[Parcel]) -> list[OSError | None]:
    """Keep messages; what became of each. All are written before the disk is waited for."""
    written = [(parcel, _error_of(parcel.write)) for parcel in parcels]
    errors = [error or _error_of(parcel.finish) for parcel, error in written]
    for (parcel, _), error in zip(written, errors, strict=True):
        parcel.close()
        if error:
            parcel.abandon()
    return errors


def folder_name(address: str) -> str:
    """A file name for an address: what could lead out of the folder or confuse a shell is replaced."""
    plain = "".join(char if char in PLAIN else "_" for char in address.lower()).lstrip(".") or "_"
    if len(plain) <= LONGEST:
        return plain
    return f"{plain[:LONGEST]}-{hashlib.sha256(address.lower().encode()).hexdigest()[:16]}"


def _create(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _error_of(action: Callable[[], None]) -> OSError | None:
    try:
        action()
    except OSError as error:
        return error
    return None
