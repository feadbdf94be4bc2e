"""Odd, broken and hostile clients: each gets what it deserves, and the next one its answer."""

import contextlib
import errno
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fake_dns import (
    DnsServer,
    FakeDns,
    Late,
)
from fake_dns.answer import Transport
from fake_dns.service import Service
from tests.dns_asking import (
    GOOD,
    HOST,
    PATIENCE,
    Question,
    ask_raw,
    framed,
    is_closed,
    over_tcp,
    over_udp,
    parse,
    rcode,
    read_framed,
    tcp,
    udp_socket,
    world,
)

DESCRIPTORS = Path("/proc/self/fd")


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
        sock.settimeout(60)  # on a busy machine the server takes its time to fill all buffers
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
        mock.patch("fake_dns.tcp.MAX_CONNECTIONS", 2),
        DnsServer(dns) as server,
        tcp(server.addresses[0]) as one,
        tcp(server.addresses[0]) as two,
    ):
        for sock in (one, two):
            sock.sendall(framed(GOOD.packet()))
            assert parse(read_framed(sock)).rr
        one.sendall(framed(GOOD.packet()))
        assert parse(read_framed(one)).rr
        with tcp(server.addresses[0]) as three:  # in the place of the one that has been silent for longer
            three.sendall(framed(GOOD.packet()))
            assert parse(read_framed(three)).rr
            assert is_closed(two)
            one.sendall(framed(GOOD.packet()))
            assert parse(read_framed(one)).rr


@pytest.mark.parametrize("start", [b"", b"\x00", framed(GOOD.packet())[:9]], ids=["idle", "length", "half"])
def test_silent_clients_keep_nobody_waiting(dns: FakeDns, start: bytes) -> None:
    """Their time is not up before the test's own patience is."""
    with contextlib.ExitStack() as silent, DnsServer(dns, idle=10 * PATIENCE) as server:
        for _ in range(110):
            silent.enter_context(tcp(server.addresses[0])).sendall(start)
        assert over_tcp(server.addresses[0], GOOD).rr


def test_clients_that_read_nothing_keep_nobody_waiting(dns: FakeDns) -> None:
    dns.publish("long.k3.example", "TXT", "x" * 60_000)
    stream = framed(Question("long.k3.example", "TXT").packet()) * 400
    with (
        mock.patch("fake_dns.tcp.MAX_CONNECTIONS", 3),
        contextlib.ExitStack() as deaf,
        DnsServer(dns, idle=10 * PATIENCE) as server,
    ):
        for _ in range(4):
            deaf.enter_context(tcp(server.addresses[0])).sendall(stream)
        assert over_tcp(server.addresses[0], GOOD).rr


def test_a_client_that_never_reads_its_late_replies_is_cut(dns: FakeDns) -> None:
    dns.publish("slow.k3.example", "TXT", "x" * 60_000)
    dns.script("slow.k3.example", None, Late(0.3))
    with DnsServer(dns, idle=10 * PATIENCE) as server, tcp(server.addresses[0]) as sock:
        sock.sendall(framed(Question("slow.k3.example", "TXT").packet()) * 300)
        with pytest.raises(ConnectionError):  # noqa: PT012
            while True:
                sock.sendall(framed(GOOD.packet()))
        assert over_tcp(server.addresses[0], GOOD).rr


def test_late_replies_to_a_client_that_left_make_room(dns: FakeDns) -> None:
    dns.script("hour.k3.example", None, Late(3600))
    with mock.patch("fake_dns.late.MAX_LATE", 1), DnsServer(dns) as server:
        with tcp(server.addresses[0]) as sock:
            sock.sendall(framed(Question("hour.k3.example").packet()) + framed(GOOD.packet()))
            assert parse(read_framed(sock)).rr
        assert rcode(over_tcp(server.addresses[0], Question("late.k3.example"))) == "SERVFAIL"


def test_late_replies_are_bounded_by_their_size(dns: FakeDns) -> None:
    size = len(ask_raw(dns, Question("late.k3.example").packet()))
    with (
        mock.patch("fake_dns.late.LATE_OCTETS", size),
        DnsServer(dns) as server,
        udp_socket(server.addresses[0]) as sock,
    ):
        for number in range(3):
            sock.send(Question("late.k3.example", id=number).packet())
        assert parse(sock.recv(512)).header.id == 0
        sock.send(Question("late.k3.example", id=9).packet())
        assert parse(sock.recv(512)).header.id == 9


def test_what_goes_wrong_with_every_packet_is_told_twice_at_most(
    dns: FakeDns, caplog: pytest.LogCaptureFixture
) -> None:
    refusing = mock.Mock(spec=socket.socket)
    refusing.sendto.side_effect = OSError("no buffer")
    served = Service(dns, idle=1)
    for number in range(100):
        refusing.recvfrom.side_effect = [
            (Question(HOST, id=number).packet(), ("127.0.0.1", 9)),
            BlockingIOError,
        ]
        served._drain(refusing)
    served.close()
    assert [record.getMessage() for record in caplog.records] == [
        "a reply over UDP cannot be sent: to 127.0.0.1: no buffer; more of this is counted, not told",
        "a reply over UDP cannot be sent: 100 times in all",
    ]


def test_out_of_descriptors_is_told_once_and_ends(dns: FakeDns, caplog: pytest.LogCaptureFixture) -> None:
    accept = socket.socket.accept
    full = [OSError(errno.EMFILE, "Too many open files")] * 5

    def starved(sock: socket.socket) -> tuple[socket.socket, object]:
        if full:
            raise full.pop()
        return accept(sock)

    with (
        mock.patch("fake_dns.tcp.RETRY", 0.01),
        mock.patch.object(socket.socket, "accept", starved),
        DnsServer(dns) as server,
    ):
        assert over_tcp(server.addresses[0], GOOD).rr
        assert over_udp(server.addresses[0], GOOD).rr
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "a TCP connection cannot be accepted: [Errno 24] Too many open files",
        "a TCP connection cannot be accepted: 5 times in all",
    ]


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="needs /proc")
def test_all_descriptors_come_back(dns: FakeDns) -> None:
    before = len(list(DESCRIPTORS.iterdir()))
    with mock.patch("fake_dns.tcp.MAX_CONNECTIONS", 20), DnsServer(dns, idle=10 * PATIENCE) as server:
        with contextlib.ExitStack() as clients:
            for number in range(40):
                sock = clients.enter_context(tcp(server.addresses[0]))
                sock.sendall((b"", b"\x00", framed(GOOD.packet())[:9], framed(GOOD.packet()))[number % 4])
                if number % 5 == 0:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.close()
        assert over_tcp(server.addresses[0], GOOD).rr
    assert len(list(DESCRIPTORS.iterdir())) == before


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
