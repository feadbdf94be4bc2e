"""Pairs of sockets, UDP and TCP, on the same port of one address."""

import contextlib
import errno
import ipaddress
import os
import socket
from dataclasses import dataclass
from typing import TypeAlias

Address: TypeAlias = tuple[str, int]

RECEIVE_BUFFER = 1 << 20  # octets, asked of the system for each UDP socket
BACKLOG = 128  # TCP connections that wait to be accepted
BIND_TRIES = 50  # ephemeral ports tried until one is free for both UDP and TCP

_MENDS = {
    errno.EADDRINUSE: "another program listens there; stop it or choose another port (0 takes a free one)",
    errno.EACCES: "only root may listen there; choose a port from 1024 on (0 takes a free one)",
    errno.EADDRNOTAVAIL: "this machine has no such address; choose one of its own, such as 127.0.0.1",
    errno.EAFNOSUPPORT: "this machine has no such address family; choose 127.0.0.1",
}


class DnsServerError(Exception):
    """The server cannot listen; the text names the address and how to mend it."""


@dataclass(frozen=True)
class Listener:
    """Both sockets of an address, non-blocking; the TCP one listens."""

    address: Address
    udp: socket.socket
    tcp: socket.socket

    def close(self) -> None:
        """Close both."""
        self.udp.close()
        self.tcp.close()


def listen(address: Address, *, loopback_only: bool) -> Listener:
    """Open both sockets; port 0 takes one that is free for both. Raises `DnsServerError`."""
    host, port = address
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        raise DnsServerError(f"{host!r} is not an IP address; give one such as 127.0.0.1 or ::1") from None
    if loopback_only and not ip.is_loopback:
        raise DnsServerError(
            f"{host} is not a loopback address; listen on 127.0.0.1 or ::1, or say loopback_only=False"
        )
    if not 0 <= port <= 65535:
        raise DnsServerError(f"{port} is not a port; give one from 1 to 65535, or 0 for a free one")
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    for _ in range(1 if port else BIND_TRIES):
        udp = _bound(family, socket.SOCK_DGRAM, address)
        chosen = (host, int(udp.getsockname()[1]))
        try:
            return Listener(chosen, udp, _bound(family, socket.SOCK_STREAM, chosen))
        except DnsServerError:
            udp.close()
            if port:
                raise
    raise DnsServerError(f"{host}: no port was free for both UDP and TCP in {BIND_TRIES} tries; choose one")


def _bound(family: socket.AddressFamily, kind: socket.SocketKind, address: Address) -> socket.socket:
    try:
        with contextlib.ExitStack() as undo:
            sock = undo.enter_context(socket.socket(family, kind))
            sock.setblocking(False)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if kind == socket.SOCK_DGRAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            elif os.name == "posix":  # elsewhere it would let two programs share the port
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            if kind == socket.SOCK_STREAM:
                sock.listen(BACKLOG)
            undo.pop_all()
            return sock
    except OSError as error:
        transport = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
        mend = _MENDS.get(error.errno or 0, f"{error.strerror}; choose another address or port")
        raise DnsServerError(f"{address[0]} port {address[1]} ({transport}): {mend}") from error
