"""Accepts connections, and goes on doing so when the system has no descriptor for another one.

asyncio's own server tries as often as connections may wait to be accepted, and tells each failure with a
traceback.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Self

from harness.reference_mta.config import Config

BACKLOG = 2048  # connections that may wait to be accepted
AT_A_TIME = 100  # of them are accepted before others of the server have their turn
RETRY = 0.25  # seconds; the system tells nobody when it has a descriptor again
log = logging.getLogger(__name__)


def addresses(config: Config) -> tuple[str, ...]:
    """Where a server listens: its address, as the configuration has it."""
    return (config.server.listen,)


class Listener:
    """A socket that listens; each connection gets a protocol of its own."""

    def __init__(self, sock: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        """`sock` listens already and belongs to this listener from now on."""
        self._socket = sock
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.TimerHandle | None = None
        self._beginning: set[asyncio.Task[None]] = set()
        sock.setblocking(False)
        self._listen()

    @classmethod
    def on(cls, host: str, port: int, protocol: Callable[[], asyncio.Protocol]) -> Self:
        """A listener at an address of this host; port 0 is any that is free. Raises `OSError`."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return cls(socket.create_server((host, port), family=family, backlog=BACKLOG), protocol)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    def close(self) -> None:
        """Nobody is accepted any more; connections that stand go on."""
        if self._again:
            self._again.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _listen(self) -> None:
        self._again = None
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_A_TIME):
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no connection can be accepted, which is tried again and again: %s", error)
                self._loop.remove_reader(self._socket)
                self._again = self._loop.call_later(RETRY, self._listen)
                return
            accepted.setblocking(False)
            beginning = self._loop.create_task(self._begin(accepted))
            self._beginning.add(beginning)
            beginning.add_done_callback(self._beginning.discard)

    async def _begin(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, accepted)
        except OSError as error:
            accepted.close()
            log.error("a connection ended before it began: %s", error)
