"""The locks of this host's packages: while they are held nobody changes the files that a sandbox lies over.

apt and dpkg lock these files with fcntl, so the system knows which process holds one.
"""

import contextlib
import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness.printable import printable, shortened
from harness.systems.sandbox import SandboxError

LOCKS = (  # in the order in which apt takes them
    Path("/var/lib/apt/lists/lock"),
    Path("/var/lib/dpkg/lock-frontend"),
    Path("/var/cache/apt/archives/lock"),
)
PATIENCE = 300.0  # seconds that somebody else may hold one
LOOK = 0.2  # seconds between two tries: of who waits in vain nobody tells the system
SHOWN = 100  # characters of a command
FLOCK = "@hhlli"  # struct flock (fcntl(2)): type, whence, start, length, process


@contextlib.contextmanager
def held(say: Callable[[str], None], locks: Sequence[Path], *, patience: float) -> Iterator[None]:
    """The locks are ours for the length of the context; those whose folder is not there are left out.

    `say` gets a sentence when somebody has to be waited for. Raises `SandboxError` that names the holder when
    a lock is not free after `patience` seconds, or cannot be taken at all.
    """
    deadline = time.monotonic() + patience
    with contextlib.ExitStack() as stack:
        for path in locks:
            if path.parent.is_dir():
                try:
                    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
                    stack.callback(os.close, file)
                    _take(file, path, deadline, patience, say)
                except OSError as error:
                    raise SandboxError(
                        f"{path} cannot be locked: {error.strerror}; nothing is installed while this host's "
                        "packages may change"
                    ) from None
        yield


def _take(file: int, path: Path, deadline: float, patience: float, say: Callable[[str], None]) -> None:
    told = ""
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(file)
        else:
            return
        if time.monotonic() >= deadline:
            raise SandboxError(
                f"this host's packages are locked: {holder or 'a process that is gone by now'} held {path} "
                f"for {patience:g} s; wait until it has ended, then say this again"
            )
        if holder and holder != told:
            left = deadline - time.monotonic()
            say(f"waiting, for {left:.0f} s at most: {holder} holds {path}, the lock of this host's packages")
            told = holder
        time.sleep(LOOK)


def _holder(file: int) -> str:
    """Who holds a lock; empty when nobody does any more."""
    asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, process = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    if kind == fcntl.F_UNLCK:
        return ""
    if process <= 0:
        return "a process of another container"
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return f"process {process}"
    command = shortened(printable(" ".join(words).strip()), SHOWN)
    return f"process {process} ({command})" if command else f"process {process}"
