"""A server that is no daemon: a command that speaks SMTP on its standard input and output.

Such as `exim4 -bh 192.0.2.1`, Exim's own dry run, here or behind ssh. It does not wait where a daemon would;
it says on its standard error for how long it would have, and that counts as if it had.
"""

import contextlib
import math
import os
import re
import selectors
import socket
import subprocess
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

EXIM_DELAY = r"delay modifier requests (\d+)-second delay"  # what `exim -bh` says instead of waiting
ENDS_WITHIN = 5.0  # seconds after its standard error was closed
LONGEST_NOTICE = 65536  # bytes
SHORTEST_WAIT = 0.001  # seconds
KEPT = 4096  # characters of the trace that a pattern may still begin in
CHUNK = 65536  # bytes


class UnreadableDelayError(Exception):
    """A command tells of a delay, and not for how long; `told` is the text in place of the seconds."""

    def __init__(self, key: str, told: str) -> None:
        """`key` is that of the pattern which found the text."""
        self.key = key
        self.told = told
        super().__init__(f"{key}: what its group finds is no number of seconds: {told!r}")


@dataclass(eq=False)
class _Trace:
    """The standard error of one command, read as it comes."""

    process: subprocess.Popen[bytes]
    delay: re.Pattern[str]
    key: str  # of the pattern
    _text: str = ""
    _told: float = 0.0
    _unreadable: UnreadableDelayError | None = None  # the first; from then on nobody knows the time
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def held(self) -> float:
        """What was told before the reply was written is in the pipe when the reply is here.

        Raises `UnreadableDelayError`.
        """
        self.read()
        with self._lock:
            if self._unreadable:
                raise self._unreadable
            told, self._told = self._told, 0.0
        return told

    def read(self) -> bool:
        """Take in what is there; whether there may be more."""
        with self._lock:
            while self.process.stderr and not self.process.stderr.closed:
                try:
                    data = os.read(self.file, CHUNK)
                except BlockingIOError:
                    return True
                except OSError:
                    return False
                if not data:
                    return False
                self._take(data.decode("utf-8", "replace"))
            return False

    def _take(self, text: str) -> None:
        self._text += text
        end = 0
        for match in self.delay.finditer(self._text):
            try:
                self._told += _seconds(match[1])
            except ValueError:
                self._unreadable = self._unreadable or UnreadableDelayError(self.key, match[1] or "")
            end = match.end()
        self._text = self._text[end:][-KEPT:]

    @property
    def file(self) -> int:
        if self.process.stderr is None:
            raise RuntimeError("the command was started with its standard error as a pipe")
        return self.process.stderr.fileno()

    def follow(self) -> None:
        """Read until it ends, so that it is never held up by a full pipe; then see to its end."""
        if self.process.stderr is None:
            return
        with selectors.DefaultSelector() as selector:
            selector.register(self.file, selectors.EVENT_READ)
            while selector.select() and self.read():
                pass
        with self._lock:
            self.process.stderr.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(ENDS_WITHIN)
        self.end()

    def end(self) -> None:
        """Leave no process behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True)
class Command:
    """Starts a command for each connection, with the client's address in place of `{client}`."""

    words: tuple[str, ...] = field(repr=False)  # among which a password may be
    delay: str = EXIM_DELAY  # a pattern with the seconds in its first group
    key: str = "delays"  # of that pattern in the profile
    kind: ClassVar[str] = "standard input"
    _traces: "weakref.WeakKeyDictionary[socket.socket, _Trace]" = field(
        default_factory=weakref.WeakKeyDictionary, compare=False
    )

    def __str__(self) -> str:
        """The place; not the words, among which a password may be."""
        return "a command"

    def connect(
        self, client_address: str, source: str, timeout: float, begun: Callable[[socket.socket], None]
    ) -> socket.socket:
        """A loopback connection, there at once, whose other end is the command; raises `OSError`."""
        ours, theirs = _pair(timeout)
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603 - the profile's own command, without a shell
                    [word.replace("{client}", client_address) for word in self.words],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.PIPE,
                )
            except OSError:
                ours.close()
                raise
        trace = _Trace(process, re.compile(self.delay), self.key)
        os.set_blocking(trace.file, False)
        self._traces[ours] = trace
        threading.Thread(target=trace.follow, name="trace", daemon=True).start()
        try:
            _skip_notice(ours, time.monotonic() + timeout)
        except OSError:
            ours.close()
            raise
        return ours

    def held(self, connection: socket.socket) -> float:
        """Seconds by which the command says that it would have held replies back, since last asked.

        Raises `UnreadableDelayError` once it has told of a delay in other words than a number.
        """
        trace = self._traces.get(connection)
        return trace.held() if trace else 0.0

    def close(self) -> None:
        """End every command that is still there."""
        for trace in list(self._traces.values()):
            trace.end()


def _seconds(text: str | None) -> float:
    """The seconds that a group has found, if it has found anything; raises `ValueError`."""
    seconds = float(text or "")
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{seconds} is no time that can pass")
    return seconds


def _skip_notice(connection: socket.socket, deadline: float) -> None:
    """Read what a command says to people before it speaks SMTP, as `exim -bh` does.

    That is whole lines which do not begin with a digit; raises `TimeoutError` when nothing else comes.
    """
    seen, within_line = 0, False
    while seen < LONGEST_NOTICE:
        connection.settimeout(max(SHORTEST_WAIT, deadline - time.monotonic()))
        ahead = connection.recv(CHUNK, socket.MSG_PEEK)
        if not ahead or (ahead[:1].isdigit() and not within_line):
            return
        line, line_end, _ = ahead.partition(b"\n")
        seen += len(connection.recv(len(line) + len(line_end)))
        within_line = not line_end


def _pair(timeout: float) -> tuple[socket.socket, socket.socket]:
    """Two ends of a loopback connection; nobody else's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname(), timeout)
        theirs, peer = listener.accept()
    if peer != ours.getsockname():
        ours.close()
        theirs.close()
        raise OSError("somebody else took the connection that was meant for the command")
    return ours, theirs
