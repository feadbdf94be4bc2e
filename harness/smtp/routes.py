"""How a connection is made to look as if it came from a client's address."""

import errno
import ipaddress
import math
import os
import select
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, ClassVar, Protocol

from harness.smtp.reply import Reply, parse_keywords

Address = IPv4Address | IPv6Address
Ask = Callable[[bytes], Reply]  # sends a command line, to which CRLF is added, and reads the reply

PROXY_V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_PROXY_V2_COMMAND = 0x21  # version 2, PROXY
_TCP_OVER = {4: 0x11, 6: 0x21}

_XCLIENT_ERRORS = (421, 500, 501, 502, 503, 504)  # what XCLIENT can be answered with, beside 550


Begun = Callable[[socket.socket], None]


def unwatched(connecting: socket.socket) -> None:
    """Nobody wants to end the wait for a connection."""


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


class IntroductionError(Exception):
    """The server does not take a client's address from us; the text says why, and what to do."""


class Route(Protocol):
    """A way to a server."""

    @property
    def name(self) -> str:
        """As reports call it."""

    def connect(
        self, server: tuple[str, int], client_address: str, timeout: float, begun: Begun = unwatched
    ) -> tuple[socket.socket, bytes]:
        """A connected socket, and what is to be sent on it before the dialogue.

        `timeout` is in seconds. Who connects over the network tells `begun` of the socket meanwhile: to
        shut it down from another thread ends the wait. Raises `OSError`, and `ValueError` for an address
        of the client that is none.
        """


@dataclass(frozen=True)
class Direct:
    """As this host: the server sees whatever address the system chooses."""

    name: ClassVar[str] = "direct"

    def connect(
        self, server: tuple[str, int], client_address: str, timeout: float, begun: Begun = unwatched
    ) -> tuple[socket.socket, bytes]:
        """Nothing is done about the client's address."""
        return dialled(server, timeout, begun), b""


@dataclass(frozen=True)
class BindSource:
    """From the client's address itself, which must be one of this host's."""

    name: ClassVar[str] = "bind"

    def connect(
        self, server: tuple[str, int], client_address: str, timeout: float, begun: Begun = unwatched
    ) -> tuple[socket.socket, bytes]:
        """Bind the client's address, any port; on loopback a server is reached in either family."""
        client, (host, port) = ipaddress.ip_address(client_address), server
        server_end = ipaddress.ip_address(host.partition("%")[0])
        if server_end.is_loopback and client.version != server_end.version:
            host = "::1" if client.version == 6 else "127.0.0.1"
        return dialled((host, port), timeout, begun, (client_address, 0)), b""


@dataclass(frozen=True)
class ProxyV1:
    """As this host, with the client's address in a line of text (HAProxy's PROXY protocol §2.1)."""

    name: ClassVar[str] = "proxy-v1"

    def connect(
        self, server: tuple[str, int], client_address: str, timeout: float, begun: Begun = unwatched
    ) -> tuple[socket.socket, bytes]:
        """The line goes before the dialogue."""
        return _announce(_version_1, client_address, lambda: dialled(server, timeout, begun))


@dataclass(frozen=True)
class ProxyV2:
    """As this host, with the client's address in a binary header (HAProxy's PROXY protocol §2.2)."""

    name: ClassVar[str] = "proxy-v2"

    def connect(
        self, server: tuple[str, int], client_address: str, timeout: float, begun: Begun = unwatched
    ) -> tuple[socket.socket, bytes]:
        """The header goes before the dialogue."""
        return _announce(_version_2, client_address, lambda: dialled(server, timeout, begun))


@dataclass(frozen=True)
class XClient:
    """As this host, which then tells the server whose connection it passes on (Postfix's XCLIENT).

    The server looks no name up: it is told the client's name as well.
    """

    name_of: Callable[[str], str]  # a client's address to its host name, empty when it has none
    name: ClassVar[str] = "xclient"

    def connect(
        self, server: tuple[str, int], client_address: str, timeout: float, begun: Begun = unwatched
    ) -> tuple[socket.socket, bytes]:
        """All of it comes when the server has greeted."""
        ipaddress.ip_address(client_address)
        return dialled(server, timeout, begun), b""

    def introduce(self, client_address: str, greeting: Reply, ask: Ask) -> Reply:
        """EHLO and XCLIENT, when the server has greeted us; the answer is its greeting for the client.

        Raises `IntroductionError`, and what `ask` raises.
        """
        if greeting.code != 220:
            raise IntroductionError(f"the server refuses our own address: {_said(greeting)}")
        answer = ask(b"EHLO xclient.invalid")
        offered = parse_keywords(answer).get("XCLIENT")
        if offered is None:
            raise IntroductionError(
                "the server does not offer us XCLIENT; name the harness's address to it "
                f"(Postfix: smtpd_authorized_xclient_hosts). EHLO was answered {_said(answer)}"
            )
        reply = ask(self._command(client_address, offered.upper().split()))
        if reply.code in _XCLIENT_ERRORS or (reply.code == 550 and reply.enhanced in (None, "5.7.0")):
            raise IntroductionError(f"the server does not take XCLIENT from us: {_said(reply)}")
        return reply

    def _command(self, client_address: str, offered: list[str]) -> bytes:
        if "ADDR" not in offered:
            raise IntroductionError(f"the server's XCLIENT has no ADDR, only {' '.join(offered)}")
        prefix = "IPV6:" if ":" in client_address else ""
        name = self.name_of(client_address) or "[UNAVAILABLE]"
        attributes = {"ADDR": prefix + client_address, "NAME": name, "REVERSE_NAME": name}
        words = [f"{key}={value}" for key, value in attributes.items() if key in offered]
        return " ".join(["XCLIENT", *words]).encode("ascii")


def _said(reply: Reply) -> str:
    return f"{reply.code} {reply.lines[0]}".strip()


@dataclass(frozen=True)
class _Ends:
    """A connection as the PROXY protocol tells of it; both addresses are of one family."""

    client: Address
    server: Address
    client_port: int
    server_port: int


def _announce(
    header: Callable[[_Ends], bytes],
    client_address: str,
    dial: Callable[[], socket.socket],
) -> tuple[socket.socket, bytes]:
    client = ipaddress.ip_address(client_address)
    connected = dial()
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
