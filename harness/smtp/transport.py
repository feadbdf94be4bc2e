"""How bytes travel to a server: over TCP, or through a unix socket. (A command's input: `command.py`.)"""

import contextlib
import errno
import ipaddress
import math
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from harness.settings.hosts import endpoint_text

Begun = Callable[[socket.socket], None]

LONGEST_SOCKET = 107  # bytes in the path of a unix socket (unix(7))
A_TURN = 0.25  # seconds for which nobody can end the wait for a place at a unix socket


def unwatched(connecting: socket.socket) -> None:
    """Nobody wants to end the wait for a connection."""


class Transport(Protocol):
    """A way for bytes to a server; its text is the place that they go to."""

    @property
    def kind(self) -> str:
        """As transcripts call it."""

    def connect(self, client_address: str, source: str, timeout: float, begun: Begun) -> socket.socket:
        """A connected socket.

        `source` is the address of this host that it comes from, where that is chosen; empty where not.
        `timeout` is in seconds. Who connects over the network tells `begun` of the socket meanwhile: to shut
        it down from another thread ends the wait. Raises `OSError`.
        """

    def close(self) -> None:
        """Nobody connects any more."""


@dataclass(frozen=True)
class Tcp:
    """TCP over IPv4 or IPv6."""

    host: str
    port: int
    kind: ClassVar[str] = "TCP"

    def __str__(self) -> str:
        """The place, such as `[::1]:25`."""
        return endpoint_text(self.host, self.port)

    def connect(self, client_address: str, source: str, timeout: float, begun: Begun) -> socket.socket:
        """From a `source` of this host any port; on loopback a server is reached in either family."""
        if not source:
            return dialled((self.host, self.port), timeout, begun)
        client, host = ipaddress.ip_address(source), self.host
        server_end = ipaddress.ip_address(host.partition("%")[0])
        if server_end.is_loopback and client.version != server_end.version:
            host = "::1" if client.version == 6 else "127.0.0.1"
        return dialled((host, self.port), timeout, begun, (source, 0))

    def close(self) -> None:
        """There is nothing to close."""


@dataclass(frozen=True)
class UnixSocket:
    """A stream socket in the file system of this host."""

    path: str
    kind: ClassVar[str] = "unix socket"

    def __str__(self) -> str:
        """The place."""
        return self.path

    def connect(self, client_address: str, source: str, timeout: float, begun: Begun) -> socket.socket:
        """Where its queue is full, a place in it is waited for."""
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        deadline = time.monotonic() + timeout
        try:
            while not _has_connected(connecting, self.path, min(A_TURN, deadline - time.monotonic())):
                begun(connecting)  # which raises when nobody wants the connection any more
            connecting.settimeout(timeout)
            begun(connecting)
        except BaseException:
            connecting.close()
            raise
        return connecting

    def close(self) -> None:
        """There is nothing to close."""


def _has_connected(connecting: socket.socket, path: str, turn: float) -> bool:
    """Whether it has within a `turn` of so many seconds; raises `OSError`."""
    if turn <= 0:
        raise TimeoutError("timed out")
    seconds, part = divmod(turn, 1.0)
    wait = struct.pack("ll", int(seconds), max(1, int(part * 1e6)))
    connecting.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
    with contextlib.suppress(BlockingIOError):  # its time is over (socket(7))
        connecting.connect(path)
        return True
    return False


def dialled(
    server: tuple[str, int], timeout: float, begun: Begun, source: tuple[str, int] | None = None
) -> socket.socket:
    """A connected socket, of which `begun` was told before that; `timeout` in seconds. Raises `OSError`."""
    trouble: OSError = OSError(f"no address of {server[0]} is known")
    for family, kind, protocol, _, address in socket.getaddrinfo(*server, type=socket.SOCK_STREAM):
        try:
            connecting = socket.socket(family, kind, protocol)
        except OSError as error:
            trouble = error
            continue
        try:
            if source:
                connecting.bind(source)
            _connect(connecting, address, timeout, begun)
        except OSError as error:
            connecting.close()
            trouble = error
        except BaseException:
            connecting.close()
            raise
        else:
            return connecting
    raise trouble


def _connect(connecting: socket.socket, address: Any, timeout: float, begun: Begun) -> None:
    # Whoever is told of the socket may shut it down from then on; before it connects that would do nothing.
    connecting.setblocking(False)
    code = connecting.connect_ex(address)
    begun(connecting)
    if code == errno.EINPROGRESS:
        waiting = select.poll()
        waiting.register(connecting, select.POLLOUT)
        if not waiting.poll(math.ceil(timeout * 1000)):
            raise TimeoutError("timed out")
        code = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
    connecting.settimeout(timeout)
