"""How the sender is woken: by this server, or by another process through a named pipe in the state directory.

A pipe, since its path may be as long as a path can be, which that of a socket may not, and since a waker that
nobody hears is told at once. Its lock keeps a second server out of the queue.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path

BELL = "queue.waker"  # in the state directory
RINGS = 4096  # bytes that are read at a time; what they are does not matter


class Waker:
    """The waker of a running server."""

    def __init__(self, file: Path) -> None:
        """Hangs it up at `file`. Raises `OSError`, also when another server has it."""
        self._rung = asyncio.Event()
        with contextlib.suppress(FileExistsError):
            os.mkfifo(file, 0o600)
        self._file = os.open(file, os.O_RDWR | os.O_NONBLOCK)
        try:
            if not stat.S_ISFIFO(os.fstat(self._file).st_mode):
                raise OSError(errno.EEXIST, "is no named pipe; move it away", str(file))
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            if isinstance(error, BlockingIOError):
                raise OSError(
                    errno.EBUSY, "another server works with this state directory", str(file)
                ) from error
            raise
        asyncio.get_running_loop().add_reader(self._file, self._hear)

    @property
    def rung(self) -> bool:
        """Whether it has rung since it was stilled."""
        return self._rung.is_set()

    def ring(self) -> None:
        """There may be something to do."""
        self._rung.set()

    def still(self) -> None:
        """What was rung for so far is being looked at."""
        self._rung.clear()

    async def wait(self, seconds: float | None) -> None:
        """Until it rings, but no longer than so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()

    def close(self) -> None:
        """Take it down; what is left is a pipe that nobody listens to."""
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)

    def _hear(self) -> None:
        os.read(self._file, RINGS)
        self.ring()


def ring(file: Path) -> bool:
    """Ring the waker of a server in another process; whether there is one that hears it. Raises `OSError`."""
    try:
        waker = os.open(file, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):  # nobody listens
            return False
        raise
    try:
        with contextlib.suppress(BlockingIOError):  # it is full: it has been rung a lot
            os.write(waker, b"!")
    finally:
        os.close(waker)
    return True
