"""What happens on the sockets: queries come in, replies go out, at once or late, over UDP and TCP.

UDP bypasses asyncio's datagram transports: one readiness callback drains what has arrived, which is what
makes a query cheap. TCP (RFC 7766) is rare and takes asyncio's streams.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any

from fake_dns.answer import Transport
from fake_dns.dns import FakeDns
from fake_dns.listening import Listener

BURST = 128  # queries answered over UDP before other work has its turn
MAX_QUERY = 4096  # octets of a query that are read; no honest one is longer
MAX_CONNECTIONS = 100  # TCP clients at a time; one more is closed at once
MAX_LATE = 10_000  # scripted late replies under way; one more is never sent

_log = logging.getLogger(__name__)


class Service:
    """Serves listeners within a running event loop."""

    def __init__(self, dns: FakeDns, idle: float) -> None:
        """`idle`: seconds that a TCP client may take to ask, and to read its reply."""
        self._dns = dns
        self._idle = idle
        self._late = 0
        self._clients: set[asyncio.Task[None]] = set()

    async def serve(self, listeners: Iterable[Listener], stop: asyncio.Event) -> None:
        """Serve until told to stop."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as undo:
            for listener in listeners:
                loop.add_reader(listener.udp, self._drain, listener.udp)
                undo.callback(loop.remove_reader, listener.udp)
                server = await asyncio.start_server(self._accept, sock=listener.tcp, limit=2 * MAX_QUERY)
                undo.callback(server.close)
            await stop.wait()

    def _drain(self, udp: socket.socket) -> None:
        """Answer what has come, up to a burst; the loop calls again when there is more."""
        receive, respond, transport = udp.recvfrom, self._dns.respond, Transport.UDP
        for _ in range(BURST):
            try:
                packet, peer = receive(MAX_QUERY)
            except BlockingIOError:
                return
            except OSError as error:
                _log.warning("receiving a query failed: %s", error)
                return
            reply = respond(packet, peer[0], transport)
            message = reply.packet(packet[:2])
            if message is None:
                continue
            if reply.delay:
                self._later(reply.delay, _send, udp, message, peer)
            else:
                _send(udp, message, peer)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MAX_CONNECTIONS:
            writer.close()
            return
        client = asyncio.get_running_loop().create_task(self._serve_client(reader, writer))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All queries of one TCP connection, until it ends, idles, or sends what no client would."""
        client = writer.get_extra_info("peername")[0]
        try:
            while packet := await self._read(reader):
                await self._answer(writer, packet, client)
            writer.close()
            async with asyncio.timeout(self._idle):
                await writer.wait_closed()
        except (ConnectionError, TimeoutError) as ending:
            _log.debug("the connection of %s was cut: %r", client, ending)
        finally:
            writer.transport.abort()  # else what a client never reads would keep the socket open

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        """The next query; empty when the client is done, or sends what is too long to be one."""
        async with asyncio.timeout(self._idle):
            try:
                length = int.from_bytes(await reader.readexactly(2), "big")
                return await reader.readexactly(length) if length <= MAX_QUERY else b""
            except asyncio.IncompleteReadError:
                return b""

    async def _answer(self, writer: asyncio.StreamWriter, packet: bytes, client: str) -> None:
        reply = self._dns.respond(packet, client, Transport.TCP)
        message = reply.packet(packet[:2])
        if message is None:
            return
        framed = len(message).to_bytes(2, "big") + message
        if reply.delay:  # later queries of the connection need not wait: RFC 7766 section 6.2.1.1
            self._later(reply.delay, _write, writer, framed)
        else:
            writer.write(framed)
            async with asyncio.timeout(self._idle):
                await writer.drain()

    def _later(self, delay: float, send: Callable[..., None], *arguments: Any) -> None:
        if self._late >= MAX_LATE:
            _log.warning("%d late replies are under way; this one will not be sent", self._late)
            return
        self._late += 1
        asyncio.get_running_loop().call_later(delay, self._send_late, send, arguments)

    def _send_late(self, send: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._late -= 1
        send(*arguments)


def _send(udp: socket.socket, message: bytes, peer: Any) -> None:
    try:
        udp.sendto(message, peer)
    except OSError as error:
        _log.warning("the reply to %s was lost: %s", peer, error)


def _write(writer: asyncio.StreamWriter, framed: bytes) -> None:
    if not writer.is_closing():
        writer.write(framed)
