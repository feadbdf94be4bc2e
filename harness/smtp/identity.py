"""How a client's address is chosen: what a connection has, or says, so that we are taken for the client."""

import ipaddress
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar, Protocol

from harness.smtp.reply import Reply, parse_keywords

Address = IPv4Address | IPv6Address
Ask = Callable[[bytes], Reply]  # sends a command line, to which CRLF is added, and reads the reply

PROXY_V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_PROXY_V2_COMMAND = 0x21  # version 2, PROXY
_TCP_OVER = {4: 0x11, 6: 0x21}
_NOWHERE = ("127.0.0.1", 25)  # where a client has connected to, as is told through a unix socket
_ANY_PORT = 49152  # of a client that is told of through a unix socket: a dynamic one (RFC 6335 §6)

_XCLIENT_ERRORS = (421, 500, 501, 502, 503, 504)  # what XCLIENT can be answered with, beside 550


class IntroductionError(Exception):
    """The server does not take a client's address from us; the text says why, and what to do."""


class Identity(Protocol):
    """A way to have a client's address."""

    @property
    def name(self) -> str:
        """As profiles and reports call it."""

    def source(self, client_address: str) -> str:
        """The address of this host to connect from, where it matters; empty otherwise.

        Raises `ValueError` for an address of the client that is none.
        """

    def preamble(self, client_address: str, connected: socket.socket) -> bytes:
        """What is to be sent before anything else. Raises `OSError`."""


@dataclass(frozen=True)
class Own:
    """That of this host, whatever the system chooses."""

    name: ClassVar[str] = "direct"

    def source(self, client_address: str) -> str:
        """Nothing is done about the client's address."""
        return ""

    def preamble(self, client_address: str, connected: socket.socket) -> bytes:
        """Nothing is said."""
        return b""


@dataclass(frozen=True)
class Argument:
    """A command is told of the client when it is started."""

    name: ClassVar[str] = "command"

    def source(self, client_address: str) -> str:
        """The command gets the client's address by itself."""
        return ""

    def preamble(self, client_address: str, connected: socket.socket) -> bytes:
        """Nothing is said."""
        return b""


@dataclass(frozen=True)
class Bind:
    """The client's address itself, which must be one of this host's."""

    name: ClassVar[str] = "bind"

    def source(self, client_address: str) -> str:
        """The connection comes from there."""
        return str(ipaddress.ip_address(client_address))

    def preamble(self, client_address: str, connected: socket.socket) -> bytes:
        """Nothing is said."""
        return b""


@dataclass(frozen=True)
class ProxyV1:
    """The client's address in a line of text (HAProxy's PROXY protocol §2.1)."""

    name: ClassVar[str] = "proxy-v1"

    def source(self, client_address: str) -> str:
        """The connection comes from this host."""
        return _told(client_address)

    def preamble(self, client_address: str, connected: socket.socket) -> bytes:
        """The line goes before the dialogue, and before TLS."""
        return _version_1(_ends(client_address, connected))


@dataclass(frozen=True)
class ProxyV2:
    """The client's address in a binary header (HAProxy's PROXY protocol §2.2)."""

    name: ClassVar[str] = "proxy-v2"

    def source(self, client_address: str) -> str:
        """The connection comes from this host."""
        return _told(client_address)

    def preamble(self, client_address: str, connected: socket.socket) -> bytes:
        """The header goes before the dialogue, and before TLS."""
        return _version_2(_ends(client_address, connected))


@dataclass(frozen=True)
class XClient:
    """This host tells the server whose connection it passes on (Postfix's XCLIENT).

    The server looks no name up: it is told the client's name as well.
    """

    name_of: Callable[[str], str]  # a client's address to its host name, empty when it has none
    name: ClassVar[str] = "xclient"

    def source(self, client_address: str) -> str:
        """The connection comes from this host."""
        return _told(client_address)

    def preamble(self, client_address: str, connected: socket.socket) -> bytes:
        """All of it comes when the server has greeted."""
        return b""

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


def _told(client_address: str) -> str:
    ipaddress.ip_address(client_address)
    return ""


def _ends(client_address: str, connected: socket.socket) -> _Ends:
    client = ipaddress.ip_address(client_address)
    if connected.family == socket.AF_UNIX:
        host, port = _NOWHERE
        return _Ends(client, _like(client, ipaddress.ip_address(host)), _ANY_PORT, port)
    host, port = connected.getpeername()[:2]
    server_end = ipaddress.ip_address(host.partition("%")[0])  # a zone means nothing elsewhere
    return _Ends(client, _like(client, server_end), connected.getsockname()[1], port)


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
