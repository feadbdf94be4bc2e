"""A server that does to its clients whatever a list of steps says, for tests of what can go wrong."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from select import select
from types import TracebackType
from typing import Protocol, Self


class Hangup(Exception):
    """The script is over: the connection is gone, or a step has ended it."""


@dataclass
class Visitor:
    """A client that has connected."""

    socket: socket.socket
    heard: list[bytes]  # what the server's `heard` is, too
    over: threading.Event  # the test is
    buffer: bytes = b""

    @property
    def has_more(self) -> bool:
        """Whether it has said something that nobody has read."""
        return bool(self.buffer) or bool(select([self.socket], [], [], 0.0)[0])

    def hear(self, until: bytes) -> bytes:
        while until not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise Hangup
            self.buffer += data
        end = self.buffer.index(until) + len(until)
        heard, self.buffer = self.buffer[:end], self.buffer[end:]
        return heard


class Step(Protocol):
    """One thing that the server does."""

    def play(self, visitor: Visitor) -> None:
        """Do it; raises `Hangup` where the script ends, `OSError` where the client does."""


@dataclass(frozen=True)
class Say:
    """Send some bytes at once."""

    data: bytes

    def play(self, visitor: Visitor) -> None:
        visitor.socket.sendall(self.data)


@dataclass(frozen=True)
class Hear:
    """Read a command, or whatever else ends that way, and note it."""

    until: bytes = b"\r\n"

    def play(self, visitor: Visitor) -> None:
        visitor.heard.append(visitor.hear(self.until))


@dataclass(frozen=True)
class Drip:
    """Send some bytes one by one, with a pause in seconds before each."""

    data: bytes
    pause: float

    def play(self, visitor: Visitor) -> None:
        for byte in self.data:
            if visitor.over.wait(self.pause):
                raise Hangup
            visitor.socket.sendall(bytes([byte]))


@dataclass(frozen=True)
class Flood:
    """Send the same bytes again and again for as long as the client takes them."""

    data: bytes

    def play(self, visitor: Visitor) -> None:
        while not visitor.over.is_set():
            visitor.socket.sendall(self.data * 100)


@dataclass(frozen=True)
class Ring:
    """Tell the test that the steps before have been done."""

    done: threading.Event

    def play(self, visitor: Visitor) -> None:
        self.done.set()


@dataclass(frozen=True)
class Stall:
    """Listen and say nothing until the client goes."""

    def play(self, visitor: Visitor) -> None:
        while visitor.socket.recv(65536):
            pass
        raise Hangup


@dataclass(frozen=True)
class Deafen:
    """Neither listen nor say anything until the test is over."""

    def play(self, visitor: Visitor) -> None:
        visitor.over.wait()
        raise Hangup


@dataclass(frozen=True)
class Reset:
    """Break the connection off (RST)."""

    def play(self, visitor: Visitor) -> None:
        visitor.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Hangup


@dataclass(frozen=True)
class StartTls:
    """Do the server's part of a handshake."""

    context: ssl.SSLContext

    def play(self, visitor: Visitor) -> None:
        secured = self.context.wrap_socket(visitor.socket, server_side=True, do_handshake_on_connect=False)
        visitor.socket = secured
        secured.do_handshake()


@dataclass
class HostileServer:
    """Listens on 127.0.0.1; the first visitor gets the first script, and the last is for all that follow.

    A script that has come to its end closes the connection (FIN, if all has been heard that was said).
    """

    scripts: Sequence[Sequence[Step]]
    heard: list[bytes] = field(default_factory=list)  # of all visitors

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._visitors: list[Visitor] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._bell, self._button = socket.socketpair()
        self._threads = [threading.Thread(target=self._receive)]
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._button.close()
        self._threads[0].join()
        for visitor in self._visitors:
            with contextlib.suppress(OSError):  # most are closed already
                visitor.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        self._listening.close()
        self._bell.close()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listening.getsockname()
        return host, port

    def _receive(self) -> None:
        while True:
            ready, _, _ = select([self._listening, self._bell], [], [])
            if self._bell in ready:
                return
            connection, _ = self._listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is said is said at once
            visitor = Visitor(connection, self.heard, self._over)
            script = self.scripts[min(len(self._visitors), len(self.scripts) - 1)]
            self._visitors.append(visitor)
            self._threads.append(threading.Thread(target=_entertain, args=(visitor, script)))
            self._threads[-1].start()


def _entertain(visitor: Visitor, script: Sequence[Step]) -> None:
    try:
        for step in script:
            step.play(visitor)
    except (Hangup, OSError):
        pass  # what the client makes of it is what tests look at
    finally:
        visitor.socket.close()
