"""An mbox: one file for all messages (RFC 4155), lines ending in LF, quoted reversibly (mboxrd).

Readers and this server keep out of each other's way by a lock on the file (fcntl).
"""

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from harness.reference_mta.mail.files import make_folder, write_all
from harness.reference_mta.replies import word

NOBODY = "MAILER-DAEMON"  # stands for the null sender, as RFC 4155 has it
SEPARATOR = b"\n\n"  # before every From_ line but the first: the end of a line and an empty one
DIVIDES = re.compile(rb"\n(?=>*+From )")  # no message begins with such a line: header lines of ours do


class MboxCopy:
    """A message on its way into an mbox, which is made when it is missing."""

    def __init__(self, file: Path, text: bytes) -> None:
        """`text` is what is appended, see `entry`."""
        self._path = file
        self._text = text
        self._changed: list[Path] = []
        self._file = -1
        self._began = -1  # size of the file before this message

    def write(self) -> None:
        """Lock the file and append. Raises `OSError`, `BlockingIOError` while somebody else has the lock."""
        self._changed += make_folder(self._path.parent)
        if not self._path.exists():
            self._changed.append(self._path.parent)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = os.fstat(self._file).st_size
        if not os.path.samestat(os.fstat(self._file), self._path.stat()):
            raise BlockingIOError(f"{self._path} has just been replaced")
        self._began = size
        write_all(self._file, (self._divider(size), self._text))

    def sync(self) -> None:
        """Onto the disk. Raises `OSError`."""
        os.fsync(self._file)

    def show(self) -> None:
        """It is to be seen as soon as the lock is gone."""

    def changed(self) -> Iterable[Path]:
        """The folder of a file that was made."""
        return self._changed

    def undo(self) -> None:
        """As long as the lock is held, cutting the file restores it."""
        if self._began >= 0:
            with contextlib.suppress(OSError):  # the disk is in trouble, and that has been said
                os.ftruncate(self._file, self._began)

    def close(self) -> None:
        """The file is closed, and with it the lock is gone."""
        self._began = -1
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _divider(self, size: int) -> bytes:
        """What is missing at the end of the file: a message that was cut short must not swallow this one."""
        end = os.pread(self._file, len(SEPARATOR), max(0, size - len(SEPARATOR)))
        if not size or end == SEPARATOR:
            return b""
        return b"\n" if end.endswith(b"\n") else SEPARATOR


def entry(sender: str, message: bytes, divides: re.Pattern[bytes] = DIVIDES) -> bytes:
    """From_ line, message, empty line: a message with CRLF line ends, as an mbox has it.

    `divides` finds where a line would be taken for a From_ line, and is quoted.
    """
    line = f"From {word(sender) or NOBODY} {time.asctime(time.gmtime())}\n"
    text = divides.sub(b"\n>", message.replace(b"\r\n", b"\n"))
    end = b"\n" if text.endswith(b"\n") else SEPARATOR
    return line.encode("ascii") + text + end
