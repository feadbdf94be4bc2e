"""Routes: from which address a connection comes, and what is said of it before the dialogue."""

import asyncio
import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterator

import pytest
from aiosmtpd.proxy_protocol import AF, PROTO, V2_CMD, ProxyData, get_proxy
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.smtp.endpoint import Endpoint
from harness.smtp.identity import PROXY_V2_SIGNATURE, Bind, Identity, Own, ProxyV1, ProxyV2
from harness.smtp.transport import Tcp

TIMEOUT = 5.0
ROUTES: list[Identity] = [Own(), Bind(), ProxyV1(), ProxyV2()]
PROXIES: list[Identity] = [ProxyV1(), ProxyV2()]
addresses = st.one_of(
    st.sampled_from(["192.0.2.0/24", "198.18.0.0/15"]).flatmap(lambda net: st.ip_addresses(network=net)),
    st.ip_addresses(network="2001:db8::/32"),
)


@contextlib.contextmanager
def listening(host: str = "127.0.0.1") -> Iterator[tuple[str, int]]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, backlog=200) as server:
        yield server.getsockname()[:2]


def preamble(route: Identity, server: tuple[str, int], client: str) -> tuple[bytes, int, int]:
    """What the route would send, and the ports at both ends."""
    connected, sent = Endpoint(Tcp(*server), route).connect(client, TIMEOUT)
    with connected:
        return sent, connected.getsockname()[1], server[1]


def parsed(header: bytes) -> ProxyData:
    """As aiosmtpd, which is not ours, reads it."""

    async def read() -> ProxyData:
        stream = asyncio.StreamReader()
        stream.feed_data(header)
        stream.feed_eof()
        return await get_proxy(stream)

    return asyncio.run(read())


def here(address: str) -> bool:
    try:
        with listening(address):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not here("::1"), reason="this machine has no ::1")
needs_all_of_loopback = pytest.mark.skipif(not here("127.9.8.7"), reason="loopback is 127.0.0.1 alone here")


def test_the_names_differ() -> None:
    assert [route.name for route in ROUTES] == ["direct", "bind", "proxy-v1", "proxy-v2"]


def test_direct_says_nothing() -> None:
    with listening() as server:
        assert preamble(Own(), server, "192.0.2.1")[0] == b""


@needs_all_of_loopback
def test_bind_comes_from_the_address_of_the_client() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connected, sent = Endpoint(Tcp(*server.getsockname()), Bind()).connect("127.9.8.7", TIMEOUT)
        with connected:
            accepted, origin = server.accept()
            accepted.close()
    assert origin[0] == "127.9.8.7"
    assert sent == b""


def test_bind_to_an_address_of_another_family_fails() -> None:
    with pytest.raises(OSError, match="family"):
        Endpoint(Tcp("192.0.2.1", 25), Bind()).connect("2001:db8::1", TIMEOUT)


@needs_ipv6
def test_bind_reaches_a_server_on_loopback_in_the_family_of_the_client() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        connected, _ = Endpoint(Tcp("127.0.0.1", port), Bind()).connect("::1", TIMEOUT)
        with connected:
            assert connected.getpeername()[0] == "::1"


@pytest.mark.parametrize(
    ("client", "line"),
    [
        ("192.0.2.7", "PROXY TCP4 192.0.2.7 127.0.0.1 {} {}\r\n"),
        ("2001:db8::7", "PROXY TCP6 2001:db8::7 {mapped} {} {}\r\n"),
    ],
)
def test_proxy_v1_to_the_byte(client: str, line: str) -> None:
    with listening() as server:
        sent, source, target = preamble(ProxyV1(), server, client)
    mapped = str(ipaddress.IPv6Address("::ffff:127.0.0.1"))
    assert sent.decode() == line.format(source, target, mapped=mapped)


@pytest.mark.parametrize(
    ("client", "family", "ends"),
    [
        ("192.0.2.7", b"\x11\x00\x0c", bytes([192, 0, 2, 7, 127, 0, 0, 1])),
        (
            "2001:db8::7",
            b"\x21\x00\x24",
            bytes.fromhex("20010db8000000000000000000000007 00000000000000000000ffff7f000001"),
        ),
    ],
)
def test_proxy_v2_to_the_byte(client: str, family: bytes, ends: bytes) -> None:
    with listening() as server:
        sent, source, target = preamble(ProxyV2(), server, client)
    assert sent == PROXY_V2_SIGNATURE + b"\x21" + family + ends + struct.pack("!HH", source, target)


@settings(max_examples=40, deadline=None)
@given(addresses)
def test_both_are_read_as_they_are_meant(client: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    with listening() as server:
        for route in PROXIES:
            sent, source, target = preamble(route, server, str(client))
            read = parsed(sent)
            assert read.valid, read.error
            assert ipaddress.ip_address(str(read.src_addr)) == client
            assert (read.src_port, read.dst_port) == (source, target)
            assert read.family == (AF.INET if client.version == 4 else AF.INET6)
            assert read.protocol == PROTO.STREAM
            assert not read.rest
            assert read.command in (None, V2_CMD.PROXY)


@needs_ipv6
@pytest.mark.parametrize("route", PROXIES, ids=lambda route: route.name)
@pytest.mark.parametrize(
    ("client", "server_end"), [("2001:db8::7", "::1"), ("192.0.2.7", "0.0.0.0")], ids=["same", "other"]
)
def test_to_a_server_with_ipv6(route: Identity, client: str, server_end: str) -> None:
    with listening("::1") as server:
        read = parsed(preamble(route, server, client)[0])
    assert read.valid, read.error
    assert (str(read.src_addr), str(read.dst_addr)) == (client, server_end)


@pytest.mark.parametrize("route", [Bind(), *PROXIES], ids=lambda route: route.name)
def test_a_client_address_that_is_none(route: Identity) -> None:
    with listening() as server, pytest.raises(ValueError, match=r"client\.example"):
        Endpoint(Tcp(*server), route).connect("client.example", TIMEOUT)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_nobody_listens(route: Identity) -> None:
    with listening() as server:
        pass
    with pytest.raises(ConnectionRefusedError):
        Endpoint(Tcp(*server), route).connect("127.0.0.1", TIMEOUT)


@pytest.mark.parametrize("route", PROXIES, ids=lambda route: route.name)
def test_a_connection_that_breaks_at_once_is_closed(route: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = socket.socket()  # as after a reset: it has no peer
    monkeypatch.setattr("harness.smtp.transport.dialled", lambda *_: broken)
    with pytest.raises(OSError, match="not connected"):
        Endpoint(Tcp("127.0.0.1", 25), route).connect("192.0.2.7", TIMEOUT)
    assert broken.fileno() == -1
