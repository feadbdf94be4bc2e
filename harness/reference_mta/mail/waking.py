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

WAKER_FILE = "queue.waker"  # in the state directory
READ_AT_ONCE = 4096  # bytes that are read at a time; what they are does not matter


class Waker:
    """The waker of a running server."""

    def __init__(self, file: Path) -> None:
        """Makes the pipe `file`. Raises `OSError`, also when another server has it."""
        self._woken = asyncio.Event()
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
        asyncio.get_running_loop().add_reader(self._file, self._read)

    @property
    def woken(self) -> bool:
        """Whether it was woken since it was reset."""
        return self._woken.is_set()

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    def reset(self) -> None:
        """What it was woken for so far is being looked at."""
        self._woken.clear()

    async def wait(self, seconds: float | None) -> None:
        """Until it is woken, but no longer than so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    def close(self) -> None:
        """Close the pipe; what is left is a pipe that nobody listens to."""
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)

    def _read(self) -> None:
        os.read(self._file, READ_AT_ONCE)
        self.wake()


def wake(file: Path) -> bool:
    """Wake the server of another process; whether there is one that notices. Raises `OSError`."""
    try:
        waker = os.open(file, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):  # nobody listens
            return False
        raise
    try:
        with contextlib.suppress(BlockingIOError):  # it is full: it was woken a lot
            os.write(waker, b"!")
    finally:
        os.close(waker)
    return True
