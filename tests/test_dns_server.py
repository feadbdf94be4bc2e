"""Over real sockets: both transports, both families, sizes, bounds, and hostile clients."""

import contextlib
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fake_dns import (
    DnsServer,
    DnsServerError,
    FakeDns,
    Late,
    NoAnswer,
    ServFail,
    Truncated,
    WrongId,
    listening,
    service,
)
from fake_dns.answer import Transport
from tests.dns_asking import (
    PATIENCE,
    Question,
    ask_raw,
    framed,
    parse,
    rcode,
    read_framed,
    udp_exchange,
    udp_socket,
)

HOST = "mx7.k3.example"
GOOD = Question(HOST)


@pytest.fixture(scope="module")
def dns() -> FakeDns:
    dns = FakeDns()
    dns.zone("k3.example")
    dns.publish(HOST, "A", "198.18.0.7")
    for number in range(100):
        dns.publish("large.k3.example", "A", f"198.18.1.{number}")
    dns.publish("medium.k3.example", "TXT", "x" * 900)
    dns.script("silent.k3.example", None, NoAnswer())
    dns.script("late.k3.example", None, Late(0.2, ServFail()))
    dns.script("forged.k3.example", None, WrongId())
    dns.script("cut.k3.example", None, Truncated())
    return dns


@pytest.fixture(scope="module")
def server(dns: FakeDns) -> Iterator[DnsServer]:
    with DnsServer(dns) as server:
        yield server


@pytest.fixture(scope="module")
def address(server: DnsServer) -> tuple[str, int]:
    return server.addresses[0]


@contextlib.contextmanager
def tcp(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=PATIENCE) as sock:
        yield sock


def over_udp(address: tuple[str, int], question: Question) -> Any:
    return parse(udp_exchange(address, question.packet()))


def over_tcp(address: tuple[str, int], question: Question) -> Any:
    with tcp(address) as sock:
        sock.sendall(framed(question.packet()))
        return parse(read_framed(sock))


def is_closed(sock: socket.socket) -> bool:
    """Waits until the server hangs up; raises `TimeoutError` when it does not."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


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


def test_no_datagram_is_larger_than_promised(dns: FakeDns, address: tuple[str, int]) -> None:
    for number in range(400):
        dns.publish("huge.k3.example", "A", f"198.19.{number // 200}.{number % 200}")
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
        mock.patch.object(service, "MAX_LATE", 1),
        caplog.at_level(logging.WARNING),
        udp_socket(address) as sock,
    ):
        for number in range(3):
            sock.send(Question("late.k3.example", id=number).packet())
        sock.send(Question(HOST, id=9).packet())
        assert [parse(sock.recv(512)).header.id for _ in range(2)] == [9, 0]
    assert "late replies are under way" in caplog.text


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


# What is asked unusually


def test_unusual_questions_get_a_fitting_code(address: tuple[str, int]) -> None:
    for question, code in (
        (Question(HOST, qclass="CH"), "REFUSED"),
        (Question(HOST, "AXFR"), "NOTIMP"),
        (Question(HOST, "OPT"), "FORMERR"),
        (Question(HOST, qclass="*"), "NOERROR"),
    ):
        assert rcode(over_udp(address, question)) == code


@pytest.mark.parametrize(
    ("mangle", "code"),
    [
        (lambda packet: packet[:2] + b"\x28\x00" + packet[4:], "NOTIMP"),  # UPDATE
        (lambda packet: packet[:5] + b"\x02" + packet[6:] + packet[12:], "FORMERR"),  # two questions
        (lambda packet: packet[:4] + b"\x00" * 8, "FORMERR"),  # none
        (lambda packet: packet[:-1], "FORMERR"),  # cut off
        (lambda packet: packet[:12] + b"\xc0\x0c\x00\x01\x00\x01", "FORMERR"),  # a name that points to itself
        (lambda packet: packet[:12] + b"\x40" + packet[13:], "FORMERR"),  # an impossible label
        (
            lambda packet: packet[:12] + (b"\x3f" + b"x" * 63) * 4 + b"\0\0\1\0\1",
            "FORMERR",
        ),  # too long a name
        (lambda packet: packet[:11] + b"\x01" + packet[12:], "FORMERR"),  # announces OPT, has none
        (lambda packet: packet[:11] + b"\x01" + packet[12:] + b"\x00\x00\x29", "FORMERR"),  # half an OPT
        (lambda packet: packet[:11] + b"\x02" + packet[12:] + (b"\0\0\x29" + b"\0" * 8) * 2, "FORMERR"),
        (lambda packet: packet[:7] + b"\x01" + packet[8:] + b"\0\0\x29" + b"\0" * 8, "FORMERR"),
        (lambda packet: packet[:11] + b"\x01" + packet[12:] + b"\xc0\x0c\0\x10" + b"\0" * 8, "NOERROR"),
        (lambda packet: packet + b"trailing", "NOERROR"),
    ],
)
def test_malformed_queries(dns: FakeDns, mangle: Callable[[bytes], bytes], code: str) -> None:
    for transport in Transport:
        reply = ask_raw(dns, mangle(GOOD.packet()), transport)
        assert reply[:2] == GOOD.packet()[:2]
        assert reply[2] & 0x80
        assert rcode(parse(reply)) == code


def test_malformed_queries_are_logged_without_a_name(dns: FakeDns) -> None:
    ask_raw(dns, GOOD.packet()[:-1])
    entry = dns.queries()[-1]
    assert (entry.name, entry.type, entry.answer) == ("", "", "FORMERR (the question is cut off)")


def test_replies_are_not_answered(address: tuple[str, int]) -> None:
    with udp_socket(address) as sock:
        for noise in (GOOD.packet()[:2] + b"\x81" + GOOD.packet()[3:], b"", b"x", b"x" * 11):
            sock.send(noise)
        sock.send(Question(HOST, id=9).packet())
        assert parse(sock.recv(512)).header.id == 9


# TCP manners


def test_many_queries_on_a_connection_in_any_pieces(address: tuple[str, int]) -> None:
    stream = b"".join(framed(Question(HOST, id=number).packet()) for number in range(200))
    with tcp(address) as sock:
        sender = threading.Thread(target=send_in_pieces, args=(sock, stream))
        sender.start()
        assert [parse(read_framed(sock)).header.id for _ in range(200)] == list(range(200))
        sender.join()


def send_in_pieces(sock: socket.socket, stream: bytes) -> None:
    for at in range(0, len(stream), 7):
        sock.sendall(stream[at : at + 7])


@pytest.mark.parametrize("start", [b"", b"\x00", framed(GOOD.packet())[:9]], ids=["idle", "length", "half"])
def test_a_silent_connection_is_closed(dns: FakeDns, start: bytes) -> None:
    with DnsServer(dns, idle=0.05) as server, tcp(server.addresses[0]) as sock:
        sock.sendall(start)
        assert is_closed(sock)


def test_a_client_that_never_reads_is_closed(dns: FakeDns) -> None:
    query = framed(Question("huge.k3.example").packet())
    with DnsServer(dns, idle=0.2) as server, tcp(server.addresses[0]) as sock:
        with pytest.raises(ConnectionError):  # noqa: PT012
            while True:
                sock.sendall(query * 100)
        assert over_tcp(server.addresses[0], GOOD).rr


def test_an_oversized_query_ends_the_connection(address: tuple[str, int]) -> None:
    with tcp(address) as sock:
        sock.sendall(b"\xff\xff" + b"x" * 100)
        assert is_closed(sock)
    assert over_tcp(address, GOOD).rr


def test_a_reset_connection_harms_nobody(address: tuple[str, int]) -> None:
    with tcp(address) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.sendall(framed(GOOD.packet()) * 50)
    assert over_tcp(address, GOOD).rr


def test_connections_are_bounded(dns: FakeDns) -> None:
    with (
        mock.patch.object(service, "MAX_CONNECTIONS", 2),
        DnsServer(dns) as server,
        tcp(server.addresses[0]) as one,
        tcp(server.addresses[0]) as two,
    ):
        for sock in (one, two):
            sock.sendall(framed(GOOD.packet()))
            assert parse(read_framed(sock)).rr
        with tcp(server.addresses[0]) as three:
            assert is_closed(three)
        one.sendall(framed(GOOD.packet()))
        assert parse(read_framed(one)).rr


def test_stopping_cuts_open_connections_without_a_fuss(
    dns: FakeDns, caplog: pytest.LogCaptureFixture
) -> None:
    with DnsServer(dns) as server:
        sock = socket.create_connection(server.addresses[0], timeout=PATIENCE)
        sock.sendall(framed(GOOD.packet()) + framed(Question("late.k3.example").packet()))
        assert parse(read_framed(sock)).rr
    with sock:
        assert is_closed(sock)
    assert caplog.records == []


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


# Hostile clients

HEADER = st.builds(
    lambda ident, flags, counts: ident + flags + b"".join(n.to_bytes(2, "big") for n in counts),
    st.binary(min_size=2, max_size=2),
    st.sampled_from([b"\x01\x00", b"\x00\x00", b"\x01\x10"]),
    st.tuples(*[st.integers(0, 2)] * 4),
)
OPT = st.builds(
    lambda size, rest: b"\x00\x00\x29" + size.to_bytes(2, "big") + rest,
    st.integers(0, 65535),
    st.binary(max_size=12),
)
LABELS = st.lists(
    st.binary(min_size=1, max_size=70).map(lambda label: bytes((len(label),)) + label), max_size=8
).map(b"".join)
PACKETS = st.one_of(
    st.binary(max_size=600),
    st.builds(
        lambda header, name, tail, opt: header + name + b"\x00" + tail + opt,
        HEADER,
        st.one_of(LABELS, st.just(GOOD.packet()[12:-5])),
        st.sampled_from([b"\x00\x01\x00\x01", b"\x00\xff\x00\x01", b"\x00\x10\x00\xff", b"\x00"]),
        st.one_of(st.just(b""), OPT, st.binary(max_size=40)),
    ),
    st.builds(
        lambda at, octet: GOOD.packet()[:at] + octet + GOOD.packet()[at + 1 :],
        st.integers(0, len(GOOD.packet()) - 1),
        st.binary(min_size=1, max_size=1),
    ),
)
FUZZ = settings(deadline=None, derandomize=True, max_examples=300)
STREAMS = st.one_of(st.binary(max_size=300), st.lists(PACKETS.map(framed), max_size=5).map(b"".join))


@FUZZ
@given(packet=PACKETS)
@example(packet=b"")
def test_no_datagram_keeps_the_next_from_being_answered(address: tuple[str, int], packet: bytes) -> None:
    with udp_socket(address) as sock:
        sock.send(packet)
        sock.send(Question(HOST, id=0xBEEF).packet())
        replies = [sock.recv(65535)]
        while not (replies[-1].startswith(b"\xbe\xef") and replies[-1].endswith(b"\xc6\x12\x00\x07")):
            replies.append(sock.recv(65535))
    assert len(replies) <= 2
    assert all(reply[2] & 0x80 for reply in replies)


@FUZZ
@given(packet=PACKETS)
def test_every_reply_is_well_formed_and_every_entry_readable(dns: FakeDns, packet: bytes) -> None:
    for transport in Transport:
        before = time.monotonic()
        reply = dns.respond(packet, "127.0.0.1", transport).packet(packet[:2])
        assert reply is None or well_formed(reply)
        assert [entry.transport for entry in dns.queries(since=before)] == [transport.value]


@settings(FUZZ, max_examples=100)
@given(stream=STREAMS)
def test_no_tcp_stream_keeps_the_next_from_being_answered(address: tuple[str, int], stream: bytes) -> None:
    with tcp(address) as sock, contextlib.suppress(ConnectionError):
        sock.sendall(stream)
    assert over_tcp(address, GOOD).rr


def well_formed(packet: bytes) -> bool:
    """Whether all that the header announces is there, and nothing else."""
    counts = struct.unpack_from("!HHHH", packet, 4)
    position = 12
    for section, count in enumerate(counts):
        for _ in range(count):
            while packet[position] and packet[position] < 0xC0:
                position += 1 + packet[position]
            position += 2 if packet[position] else 1
            position += (
                4 if section == 0 else 10 + int.from_bytes(packet[position + 8 : position + 10], "big")
            )
    return position == len(packet)
