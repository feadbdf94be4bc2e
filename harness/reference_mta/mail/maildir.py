"""A Maildir: one file for each message, in `new`; folders in Maildir++ form beside it, as `.Spam`."""

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.reference_mta.mail.files import make_folder, write_all

MARK = "maildirfolder"  # tells a Maildir++ folder from an inbox


class MaildirCopy:
    """A message on its way into a Maildir, which is made when it is missing."""

    def __init__(
        self,
        folder: Path,
        header: bytes,
        content: bytes,
        shown: str = "new",
        move: Callable[[Path, Path], object] = Path.rename,
    ) -> None:
        """`header` are this server's header lines; `move` brings the whole message to where it is `shown`."""
        self._move = move
        name = f"{time.time_ns()}.{secrets.token_hex(8)}.reference-mta"
        self._folder = folder
        self._parts = (header, content)
        self._unfinished = folder / "tmp" / name
        self._finished = folder / shown / name
        self._changed = [self._finished.parent]
        self._file = -1

    def write(self) -> None:
        """Into `tmp`. Raises `OSError`."""
        try:
            self._file = _create(self._unfinished)
        except FileNotFoundError:  # the first message
            for part in ("cur", "new", "tmp"):  # in this order: where there is a `tmp`, there is all of it
                self._changed += make_folder(self._folder / part)
            if self._folder.name.startswith("."):
                (self._folder / MARK).touch(mode=0o600)
            self._file = _create(self._unfinished)
        write_all(self._file, self._parts)

    def sync(self) -> None:
        """Onto the disk. Raises `OSError`."""
        os.fsync(self._file)

    def show(self) -> None:
        """Into `new`. Raises `OSError`."""
        self._move(self._unfinished, self._finished)

    def changed(self) -> Iterable[Path]:
        """Its `new`; for the first message also what holds the folders that were made."""
        return self._changed

    def undo(self) -> None:
        """As if nothing had come."""
        for path in (self._unfinished, self._finished):
            with contextlib.suppress(OSError):  # the disk is in trouble, and that has been said
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """The file is closed, if it was open."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _create(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
