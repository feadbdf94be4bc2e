"""DNS over TCP (RFC 7766): connections, many queries on each, and no client that keeps another waiting.

When all places are taken, a newcomer gets that of the client which has brought no query for the longest
(RFC 7766 section 6.2.3 lets a server close idle connections to save its resources).
"""

import asyncio
import functools
import logging
import socket

from fake_dns.answer import Transport
from fake_dns.dns import FakeDns
from fake_dns.late import Late, LateReplies
from fake_dns.troubles import Troubles

MAX_QUERY = 4096  # octets of a query that are read; no honest one is longer
MAX_CONNECTIONS = 100  # clients at a time
ACCEPTED_AT_ONCE = 16  # connections accepted before other work has its turn
MAX_UNREAD = 1 << 20  # octets that wait for a client which does not read its late replies
RETRY = 0.5  # seconds until connections are accepted again, after the system had no descriptor for one

_log = logging.getLogger(__name__)


class TcpClients:
    """All TCP clients of a server. To be used within one event loop."""

    def __init__(self, dns: FakeDns, idle: float, late: LateReplies, troubles: Troubles) -> None:
        """`idle`: seconds that a client may take to ask, and to read its reply."""
        self._dns = dns
        self._idle = idle
        self._late = late
        self._troubles = troubles
        self._clients: dict[asyncio.Task[None], None] = {}  # whoever brought a query last stands last

    def accept(self, listening: socket.socket) -> None:
        """Take the connections that wait, up to a few; the loop calls again when there are more."""
        loop = asyncio.get_running_loop()
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, peer = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor, no memory: it would be the same at once
                self._troubles.tell("a TCP connection cannot be accepted", error)
                self._make_room()
                loop.remove_reader(listening)
                loop.call_later(RETRY, self._resume, listening)
                return
            if len(self._clients) >= MAX_CONNECTIONS:
                self._make_room()
            connection.setblocking(False)
            client = loop.create_task(self._serve(connection, peer[0]))
            self._clients[client] = None
            client.add_done_callback(functools.partial(self._ended, connection))

    def _resume(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            asyncio.get_running_loop().add_reader(listening, self.accept, listening)

    def _make_room(self) -> None:
        """Cut the client that has been silent for the longest."""
        if self._clients:
            silent = next(iter(self._clients))
            del self._clients[silent]
            silent.cancel()

    def _ended(self, connection: socket.socket, client: asyncio.Task[None]) -> None:
        self._clients.pop(client, None)
        connection.close()  # also where the client was cut before it was served

    async def _serve(self, connection: socket.socket, address: str) -> None:
        """All queries of one connection, until it ends, idles, is cut, or sends what no client would."""
        try:
            reader, writer = await asyncio.open_connection(sock=connection, limit=2 * MAX_QUERY)
        except OSError as ending:
            _log.debug("the connection of %s was cut at once: %r", address, ending)
            return
        late: set[Late] = set()
        try:
            while packet := await self._read(reader):
                self._move_up()
                self._answer(writer, packet, address, late)
                async with asyncio.timeout(self._idle):
                    await writer.drain()
                await asyncio.sleep(0)  # others have their turn, however many queries came at once
            writer.close()
            async with asyncio.timeout(self._idle):
                await writer.wait_closed()
        except (ConnectionError, TimeoutError) as ending:
            _log.debug("the connection of %s was cut: %r", address, ending)
        finally:
            writer.transport.abort()  # else what a client never reads would keep the socket open
            for reply in late:
                self._late.drop(reply)

    def _move_up(self) -> None:
        client = asyncio.current_task()
        if client in self._clients:
            del self._clients[client]
            self._clients[client] = None

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        """The next query; empty when the client is done, or sends what is too long to be one."""
        async with asyncio.timeout(self._idle):
            try:
                length = int.from_bytes(await reader.readexactly(2), "big")
                return await reader.readexactly(length) if length <= MAX_QUERY else b""
            except asyncio.IncompleteReadError:
                return b""

    def _answer(self, writer: asyncio.StreamWriter, packet: bytes, address: str, late: set[Late]) -> None:
        reply = self._dns.respond(packet, address, Transport.TCP)
        message = reply.packet(packet[:2])
        if message is None:
            return
        framed = len(message).to_bytes(2, "big") + message
        if not reply.delay:
            writer.write(framed)
            return

        def send() -> None:
            if waiting:
                late.discard(waiting)
            _write_late(writer, framed)

        # later queries of the connection need not wait: RFC 7766 section 6.2.1.1
        waiting = self._late.later(reply.delay, len(framed), send)
        if waiting:
            late.add(waiting)


def _write_late(writer: asyncio.StreamWriter, framed: bytes) -> None:
    if writer.is_closing():
        return
    writer.write(framed)
    if writer.transport.get_write_buffer_size() > MAX_UNREAD:
        writer.transport.abort()
