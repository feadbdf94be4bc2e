"""What happens on the sockets: queries come in, replies go out, at once or late, over UDP and TCP.

UDP bypasses asyncio's datagram transports: one readiness callback drains what has arrived, which is what
makes a query cheap.
"""

import asyncio
import contextlib
import functools
import socket
from collections.abc import Iterable
from typing import Any

from fake_dns.answer import Transport
from fake_dns.dns import FakeDns
from fake_dns.late import LateReplies
from fake_dns.listening import Listener
from fake_dns.tcp import MAX_QUERY, TcpClients
from fake_dns.troubles import Troubles

BURST = 128  # queries answered over UDP before other work has its turn


class Service:
    """Serves listeners within a running event loop."""

    def __init__(self, dns: FakeDns, idle: float) -> None:
        """`idle`: seconds that a TCP client may take to ask, and to read its reply."""
        self._dns = dns
        self._troubles = Troubles()
        self._late = LateReplies(self._troubles)
        self._clients = TcpClients(dns, idle, self._late, self._troubles)

    async def serve(self, listeners: Iterable[Listener], stop: asyncio.Event) -> None:
        """Serve until told to stop."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            for listener in listeners:
                loop.add_reader(listener.udp, self._drain, listener.udp)
                undo.callback(loop.remove_reader, listener.udp)
                loop.add_reader(listener.tcp, self._clients.accept, listener.tcp)
                undo.callback(loop.remove_reader, listener.tcp)
            await stop.wait()

    def close(self) -> None:
        """Tell what happened more often than it was told."""
        self._troubles.close()

    def _drain(self, udp: socket.socket) -> None:
        """Answer what has come, up to a burst; the loop calls again when there is more."""
        receive, respond, transport = udp.recvfrom, self._dns.respond, Transport.UDP
        for _ in range(BURST):
            try:
                packet, peer = receive(MAX_QUERY)
            except BlockingIOError:
                return
            except OSError as error:
                self._troubles.tell("a query over UDP cannot be received", error)
                return
            reply = respond(packet, peer[0], transport)
            message = reply.packet(packet[:2])
            if message is None:
                continue
            if reply.delay:
                self._late.later(reply.delay, len(message), functools.partial(self._send, udp, message, peer))
            else:
                self._send(udp, message, peer)

    def _send(self, udp: socket.socket, message: bytes, peer: Any) -> None:
        try:
            udp.sendto(message, peer)
        except OSError as error:
            self._troubles.tell("a reply over UDP cannot be sent", f"to {peer[0]}: {error}")
