"""How a connection is made to look as if it came from a client's address."""

import ipaddress
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar, Protocol

Address = IPv4Address | IPv6Address

PROXY_V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_PROXY_V2_COMMAND = 0x21  # version 2, PROXY
_TCP_OVER = {4: 0x11, 6: 0x21}


class Route(Protocol):
    """A way to a server."""

    @property
    def name(self) -> str:
        """As reports call it."""

    def connect(
        self, server: tuple[str, int], client_address: str, timeout: float
    ) -> tuple[socket.socket, bytes]:
        """A connected socket, and what is to be sent on it before the dialogue.

        `timeout` is in seconds. Raises `OSError`, and `ValueError` for a client address that is none.
        """


@dataclass(frozen=True)
class Direct:
    """As this host: the server sees whatever address the system chooses."""

    name: ClassVar[str] = "direct"

    def connect(
        self, server: tuple[str, int], client_address: str, timeout: float
    ) -> tuple[socket.socket, bytes]:
        """Nothing is done about the client's address."""
        return socket.create_connection(server, timeout), b""


@dataclass(frozen=True)
class BindSource:
    """From the client's address itself, which must be one of this host's."""

    name: ClassVar[str] = "bind"

    def connect(
        self, server: tuple[str, int], client_address: str, timeout: float
    ) -> tuple[socket.socket, bytes]:
        """Bind the client's address, any port; on loopback a server is reached in either family."""
        client, (host, port) = ipaddress.ip_address(client_address), server
        server_end = ipaddress.ip_address(host.partition("%")[0])
        if server_end.is_loopback and client.version != server_end.version:
            host = "::1" if client.version == 6 else "127.0.0.1"
        return socket.create_connection((host, port), timeout, source_address=(client_address, 0)), b""


@dataclass(frozen=True)
class ProxyV1:
    """As this host, with the client's address in a line of text (HAProxy's PROXY protocol §2.1)."""

    name: ClassVar[str] = "proxy-v1"

    def connect(
        self, server: tuple[str, int], client_address: str, timeout: float
    ) -> tuple[socket.socket, bytes]:
        """The line goes before the dialogue."""
        return _announce(_version_1, server, client_address, timeout)


@dataclass(frozen=True)
class ProxyV2:
    """As this host, with the client's address in a binary header (HAProxy's PROXY protocol §2.2)."""

    name: ClassVar[str] = "proxy-v2"

    def connect(
        self, server: tuple[str, int], client_address: str, timeout: float
    ) -> tuple[socket.socket, bytes]:
        """The header goes before the dialogue."""
        return _announce(_version_2, server, client_address, timeout)


@dataclass(frozen=True)
class _Ends:
    """A connection as the PROXY protocol tells of it; both addresses are of one family."""

    client: Address
    server: Address
    client_port: int
    server_port: int


def _announce(
    header: Callable[[_Ends], bytes], server: tuple[str, int], client_address: str, timeout: float
) -> tuple[socket.socket, bytes]:
    client = ipaddress.ip_address(client_address)
    connected = socket.create_connection(server, timeout)
    try:
        host, port = connected.getpeername()[:2]
        server_end = ipaddress.ip_address(host.partition("%")[0])  # a zone means nothing elsewhere
        ends = _Ends(client, _like(client, server_end), connected.getsockname()[1], port)
        return connected, header(ends)
    except BaseException:
        connected.close()
        raise


def _like(client: Address, server: Address) -> Address:
    """The server's address in the client's family: mapped, or unspecified where there is no such form."""
    if client.version == server.version:
        return server
    if server.version == 4:
        return IPv6Address(f"::ffff:{server}")
    return server.ipv4_mapped or IPv4Address(0)


def _version_1(ends: _Ends) -> bytes:
    line = f"PROXY TCP{ends.client.version} {ends.client} {ends.server} {ends.client_port} {ends.server_port}"
    return f"{line}\r\n".encode("ascii")


def _version_2(ends: _Ends) -> bytes:
    addresses = ends.client.packed + ends.server.packed
    ports = struct.pack("!HH", ends.client_port, ends.server_port)
    prefix = struct.pack(
        "!BBH", _PROXY_V2_COMMAND, _TCP_OVER[ends.client.version], len(addresses) + len(ports)
    )
    return PROXY_V2_SIGNATURE + prefix + addresses + ports
