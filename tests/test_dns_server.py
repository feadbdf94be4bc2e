"""Over real sockets: both transports, both families, sizes, scripts, and where it may listen."""

import logging
import os
import socket
from collections.abc import Iterator
from unittest import mock

import pytest

from fake_dns import (
    DnsServer,
    DnsServerError,
    FakeDns,
    late,
    listening,
)
from tests.dns_asking import (
    GOOD,
    HOST,
    Question,
    ask_raw,
    framed,
    over_tcp,
    over_udp,
    parse,
    rcode,
    read_framed,
    tcp,
    udp_exchange,
    udp_socket,
    world,
)


@pytest.fixture(scope="module")
def dns() -> FakeDns:
    return world()


@pytest.fixture(scope="module")
def server(dns: FakeDns) -> Iterator[DnsServer]:
    with DnsServer(dns) as server:
        yield server


@pytest.fixture(scope="module")
def address(server: DnsServer) -> tuple[str, int]:
    return server.addresses[0]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


# Both transports, both families


def test_udp_and_tcp_share_a_port(dns: FakeDns, address: tuple[str, int]) -> None:
    for ask, transport in ((over_udp, "udp"), (over_tcp, "tcp")):
        reply = ask(address, GOOD)
        assert [str(record.rdata) for record in reply.rr] == ["198.18.0.7"]
        assert (dns.queries()[-1].transport, dns.queries()[-1].client) == (transport, "127.0.0.1")


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
def test_several_addresses_of_both_families(dns: FakeDns) -> None:
    with DnsServer(dns, [("127.0.0.1", 0), ("::1", 0)]) as server:
        for address in server.addresses:
            assert over_udp(address, GOOD).rr
            assert over_tcp(address, GOOD).rr
            assert dns.queries()[-1].client == address[0]


def test_two_servers_share_one_world(dns: FakeDns, address: tuple[str, int]) -> None:
    with DnsServer(dns) as other:
        assert other.addresses != [address]
        assert over_udp(other.addresses[0], GOOD).rr
    assert over_udp(address, GOOD).rr


def test_the_log_knows_the_query_before_the_client_knows_the_reply(
    dns: FakeDns, address: tuple[str, int]
) -> None:
    for number in range(50):
        name = f"n{number}.k3.example"
        over_udp(address, Question(name))
        assert [entry.answer for entry in dns.queries(under=name)] == ["NXDOMAIN"]


def test_nothing_listens_afterwards(dns: FakeDns) -> None:
    with DnsServer(dns) as server:
        address = server.addresses[0]
    with pytest.raises(ConnectionRefusedError):
        over_tcp(address, GOOD)
    with DnsServer(dns, [address]):
        assert over_udp(address, GOOD).rr


# Sizes


def test_a_large_answer_is_truncated_and_comes_whole_over_tcp(address: tuple[str, int]) -> None:
    question = Question("large.k3.example")
    reply = over_udp(address, question)
    assert (reply.header.tc, reply.rr) == (1, [])
    whole = over_tcp(address, question)
    assert (whole.header.tc, len(whole.rr)) == (0, 100)


@pytest.mark.parametrize(
    ("offered", "fits"), [(None, False), (0, False), (512, False), (1000, True), (65535, True)]
)
def test_the_offered_size_is_honoured(address: tuple[str, int], offered: int | None, fits: bool) -> None:
    reply = over_udp(address, Question("medium.k3.example", "TXT", edns=offered))
    assert bool(reply.rr) is fits
    assert bool(reply.header.tc) is not fits
    assert [record.rtype for record in reply.ar] == ([] if offered is None else [41])


def test_an_answer_of_just_the_offered_size_fits(dns: FakeDns) -> None:
    def question(offered: int) -> bytes:
        return Question("medium.k3.example", "TXT", edns=offered).packet()

    size = len(ask_raw(dns, question(4096)))
    assert len(ask_raw(dns, question(size))) == size
    assert parse(ask_raw(dns, question(size - 1))).header.tc == 1


def test_no_datagram_is_larger_than_promised(address: tuple[str, int]) -> None:
    reply = udp_exchange(address, Question("huge.k3.example", edns=65535).packet())
    assert parse(reply).header.tc == 1
    assert len(over_tcp(address, Question("huge.k3.example")).rr) == 400


def test_edns_is_answered_in_kind(address: tuple[str, int]) -> None:
    plain = over_udp(address, Question(HOST, edns=1232))
    secure = over_udp(address, Question(HOST, edns=1232, dnssec_ok=True))
    assert [record.edns_do for record in plain.ar + secure.ar] == [0, 1]
    unknown = over_udp(address, Question(HOST, edns=1232, edns_version=1))
    assert (unknown.ar[0].edns_rcode << 4) + unknown.header.rcode == 16
    assert unknown.rr == []


# Scripts on the wire


def test_silence_concerns_only_the_scripted(address: tuple[str, int]) -> None:
    with udp_socket(address) as sock:
        sock.send(Question("silent.k3.example", id=1).packet())
        sock.send(Question(HOST, id=2).packet())
        assert parse(sock.recv(512)).header.id == 2
    with tcp(address) as sock:
        sock.sendall(framed(Question("silent.k3.example", id=1).packet()))
        sock.sendall(framed(Question(HOST, id=2).packet()))
        assert parse(read_framed(sock)).header.id == 2


def test_a_late_answer_lets_others_pass(address: tuple[str, int]) -> None:
    late, prompt = Question("late.k3.example", id=1).packet(), Question(HOST, id=2).packet()
    with udp_socket(address) as sock:
        sock.send(late)
        sock.send(prompt)
        replies = [parse(sock.recv(512)) for _ in range(2)]
    assert [(reply.header.id, rcode(reply)) for reply in replies] == [(2, "NOERROR"), (1, "SERVFAIL")]
    with tcp(address) as sock:
        sock.sendall(framed(late) + framed(prompt))
        assert [parse(read_framed(sock)).header.id for _ in range(2)] == [2, 1]


def test_late_answers_under_way_are_bounded(
    address: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        mock.patch.object(late, "MAX_LATE", 1),
        caplog.at_level(logging.WARNING),
        udp_socket(address) as sock,
    ):
        for number in range(3):
            sock.send(Question("late.k3.example", id=number).packet())
        sock.send(Question(HOST, id=9).packet())
        assert [parse(sock.recv(512)).header.id for _ in range(2)] == [9, 0]
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        "a late reply is not sent"
    ]


def test_a_late_answer_finds_its_client_gone(address: tuple[str, int]) -> None:
    with tcp(address) as sock:
        sock.sendall(framed(Question("late.k3.example").packet()))
    with udp_socket(address) as sock:
        sock.send(Question("late.k3.example").packet())
    assert rcode(over_udp(address, Question("late.k3.example"))) == "SERVFAIL"
    assert over_tcp(address, GOOD).rr


def test_wrong_id_and_truncation(address: tuple[str, int]) -> None:
    assert over_udp(address, Question("forged.k3.example", id=77)).header.id != 77
    assert over_udp(address, Question("cut.k3.example")).header.tc == 1
    assert rcode(over_tcp(address, Question("cut.k3.example"))) == "NXDOMAIN"


# Listening


def test_a_taken_port_is_a_clear_error(dns: FakeDns, address: tuple[str, int]) -> None:
    with pytest.raises(DnsServerError) as caught, DnsServer(dns, [address]):
        pass
    assert f"127.0.0.1 port {address[1]}" in str(caught.value)
    assert "choose another port" in str(caught.value)


def test_a_taken_tcp_port_is_a_clear_error_too_and_nothing_stays_open(dns: FakeDns) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DnsServerError, match=r"\(TCP\)"), DnsServer(dns, [("127.0.0.1", port)]):
            pass
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", port))


def test_a_free_port_is_free_for_both(dns: FakeDns) -> None:
    """The first ephemeral UDP port is taken for TCP: another one is tried."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = [taken.getsockname()[1]]
        bound = listening._bound

        def steered(
            family: socket.AddressFamily, kind: socket.SocketKind, address: tuple[str, int]
        ) -> socket.socket:
            if kind == socket.SOCK_DGRAM and wanted:
                address = (address[0], wanted.pop())
            return bound(family, kind, address)

        with mock.patch.object(listening, "_bound", steered), DnsServer(dns) as server:
            assert server.addresses[0][1] != taken.getsockname()[1]
            assert over_tcp(server.addresses[0], GOOD).rr
        assert not wanted


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        (("0.0.0.0", 0), "not a loopback address"),
        (("192.0.2.1", 53), "not a loopback address"),
        (("localhost", 53), "not an IP address"),
        (("127.0.0.1", 65536), "not a port"),
    ],
)
def test_unusable_addresses(dns: FakeDns, address: tuple[str, int], complaint: str) -> None:
    with pytest.raises(DnsServerError, match=complaint), DnsServer(dns, [address]):
        pass


def test_an_address_of_another_machine(dns: FakeDns) -> None:
    with (
        pytest.raises(DnsServerError, match="no such address"),
        DnsServer(dns, [("192.0.2.1", 0)], loopback_only=False),
    ):
        pass


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="only an ordinary user is refused")
def test_a_privileged_port(dns: FakeDns) -> None:
    with pytest.raises(DnsServerError, match="only root"), DnsServer(dns, [("127.0.0.1", 53)]):
        pass
