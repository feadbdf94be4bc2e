"""The reference MTA's stub resolver: what it believes, what it ignores, and when it gives up."""

import asyncio
import struct
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_dns import DnsServer, FakeDns, Late, NoAnswer, Refused, Sequence, ServFail, Truncated, WrongId
from harness.reference_mta import dnswire
from harness.reference_mta.dnswire import Type, WireError
from harness.reference_mta.resolver import FAILED, NOTHING, Answer, Lookup, Resolver

PATIENCE = 0.2  # seconds a question
NAME = "mx.client.example"
ASKED = dnswire.question(NAME, Type.A)


@pytest.fixture
def dns() -> Iterator[tuple[FakeDns, tuple[str, int]]]:
    store = FakeDns()
    with DnsServer(store, addresses=[("127.0.0.1", 0)]) as server:
        yield store, server.addresses[0]


def asked(server: tuple[str, int], name: str, record_type: str, attempts: int = 1) -> Answer:
    async def ask() -> Answer:
        resolver = Resolver(server, PATIENCE, attempts)
        await resolver.start()
        try:
            return await resolver.ask(name, record_type)
        finally:
            resolver.close()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("record_type", "data", "value"),
    [
        ("A", "192.0.2.7", "192.0.2.7"),
        ("AAAA", "2001:db8::7", "2001:db8::7"),
        ("PTR", "Host.Client.example.", "Host.Client.example"),
        ("MX", "10 mail.client.example.", "10 mail.client.example"),
        ("TXT", '"two " "strings"', "two strings"),
    ],
)
def test_records_come_as_text(
    dns: tuple[FakeDns, tuple[str, int]], record_type: str, data: str, value: str
) -> None:
    store, server = dns
    store.publish(NAME, record_type, data)
    assert asked(server, NAME, record_type) == Answer(Lookup.FOUND, (value,))


def test_an_alias_is_followed_by_its_server(dns: tuple[FakeDns, tuple[str, int]]) -> None:
    store, server = dns
    store.publish("www.client.example", "CNAME", f"{NAME}.")
    store.publish(NAME, "A", "192.0.2.7")
    assert asked(server, "www.client.example", "A") == Answer(Lookup.FOUND, ("192.0.2.7",))


def test_no_name_and_no_record_are_nothing(dns: tuple[FakeDns, tuple[str, int]]) -> None:
    store, server = dns
    store.publish(NAME, "A", "192.0.2.7")
    assert asked(server, "nobody.client.example", "A") == NOTHING
    assert asked(server, NAME, "AAAA") == NOTHING


def test_who_asks_when_it_is_closed_has_no_answer_at_once_and_no_line_in_the_log(
    dns: tuple[FakeDns, tuple[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    store, server = dns
    store.script(NAME, "A", NoAnswer())

    async def ask() -> list[Answer]:
        resolver = Resolver(server, 60.0, 2)
        await resolver.start()
        under_way = asyncio.create_task(resolver.ask(NAME, "A"))
        await asyncio.sleep(0)
        resolver.close()
        return [await under_way, *[await resolver.ask(NAME, "A") for _ in range(10)]]

    assert asyncio.run(asyncio.wait_for(ask(), 10.0)) == [FAILED] * 11
    assert caplog.records == []


@pytest.mark.parametrize("fault", [ServFail(), Refused(), NoAnswer(), WrongId(), Late(5.0)])
def test_no_usable_answer_is_a_failure(dns: tuple[FakeDns, tuple[str, int]], fault: object) -> None:
    store, server = dns
    store.publish(NAME, "A", "192.0.2.7")
    store.script(NAME, "A", fault)  # type: ignore[arg-type]
    assert asked(server, NAME, "A", attempts=2) == FAILED


def test_a_lost_question_is_asked_again(dns: tuple[FakeDns, tuple[str, int]]) -> None:
    store, server = dns
    store.script(NAME, "A", Sequence([NoAnswer(), "192.0.2.7"]))
    assert asked(server, NAME, "A", attempts=2) == Answer(Lookup.FOUND, ("192.0.2.7",))


def test_a_truncated_answer_is_asked_for_by_tcp(dns: tuple[FakeDns, tuple[str, int]]) -> None:
    store, server = dns
    store.publish(NAME, "A", "192.0.2.7")
    store.script(NAME, "A", Truncated())
    assert asked(server, NAME, "A").values == ("192.0.2.7",)
    assert [entry.transport for entry in store.queries(under=NAME)] == ["udp", "tcp"]


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64, ".".join(["x" * 60] * 5), "ü.example", "a\\.b"])
def test_a_name_that_dns_cannot_carry_is_asked_of_nobody(
    dns: tuple[FakeDns, tuple[str, int]], name: str
) -> None:
    store, server = dns
    assert asked(server, name, "A") == NOTHING
    assert not store.queries()


Forge = Callable[[bytes], list[bytes]]  # what a hostile server says to a query


def told_by(forge: Forge) -> Answer:
    """The answer from a server that sends what `forge` makes of each query."""

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.DatagramTransport, transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            for packet in forge(data):
                self.transport.sendto(packet, addr)

    async def ask() -> Answer:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
        resolver = Resolver(transport.get_extra_info("sockname"), PATIENCE, 1)
        await resolver.start()
        try:
            return await resolver.ask(NAME, "A")
        finally:
            resolver.close()
            transport.close()

    return asyncio.run(ask())


def answer(query: bytes, address: bytes = bytes((192, 0, 2, 7)), flags: int = 0x8180) -> bytes:
    """The query, answered with an address."""
    header = query[:2] + struct.pack("!5H", flags, 1, 1, 0, 0)
    return header + query[12:] + struct.pack("!3HIH", 0xC00C, 1, 1, 60, len(address)) + address


FORGED = {
    "garbage": lambda query: b"\0" * 7,
    "another id": lambda query: answer(bytes((query[0] ^ 1,)) + query[1:], bytes((198, 51, 100, 1))),
    "another question": lambda query: answer(query.replace(b"client", b"attack"), bytes((198, 51, 100, 1))),
    "a question": lambda query: answer(query, bytes((198, 51, 100, 1)), flags=0x0100),
    "an address of five bytes": lambda query: answer(query, bytes(5)),
    "a record that is cut off": lambda query: answer(query)[:-2],
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_what_is_no_answer_does_not_keep_the_answer_out(forged: Callable[[bytes], bytes]) -> None:
    assert told_by(lambda query: [forged(query), answer(query)]) == Answer(Lookup.FOUND, ("192.0.2.7",))
    assert told_by(lambda query: [forged(query)]) == FAILED


def test_questions_under_way_do_not_mix(dns: tuple[FakeDns, tuple[str, int]]) -> None:
    store, server = dns
    names = [f"h{number}.client.example" for number in range(200)]
    for number, name in enumerate(names):
        store.publish(name, "A", f"192.0.2.{number}")

    async def ask() -> list[Answer]:
        resolver = Resolver(server, 5.0, 1)
        await resolver.start()
        try:
            return await asyncio.gather(*(resolver.ask(name, "A") for name in names))
        finally:
            resolver.close()

    values = [found.values for found in asyncio.run(ask())]
    assert values == [(f"192.0.2.{number}",) for number in range(200)]


def test_a_server_that_is_not_there_is_a_failure_at_once() -> None:
    async def ask() -> Answer:
        loop = asyncio.get_running_loop()
        taken, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        port = taken.get_extra_info("sockname")[1]
        taken.close()
        resolver = Resolver(("127.0.0.1", port), 60.0, 3)
        await resolver.start()
        try:
            async with asyncio.timeout(10):
                return await resolver.ask(NAME, "A")
        finally:
            resolver.close()

    assert asyncio.run(ask()) == FAILED


# The wire format


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    for packet in (data, dnswire.query(7, ASKED)[:2] + b"\x81\x80\0\1\0\3\0\0\0\0" + ASKED + data):
        try:
            response = dnswire.read(packet, ASKED, Type.A)
        except WireError:
            continue
        assert all(value.count(".") == 3 for value in response.values)


@given(st.binary(max_size=200), st.sampled_from([Type.PTR, Type.MX, Type.TXT]))
def test_no_data_break_the_reader(data: bytes, record_type: Type) -> None:
    asked_for = dnswire.question(NAME, record_type)
    record = struct.pack("!3HIH", 0xC00C, record_type, 1, 60, len(data)) + data
    packet = b"\0\7\x81\x80\0\1\0\1\0\0\0\0" + asked_for + record
    try:
        response = dnswire.read(packet, asked_for, record_type)
    except WireError:
        return
    assert len(response.values) == 1
    if record_type is not Type.TXT:
        assert all(" " <= char <= "~" for char in response.values[0])


@pytest.mark.parametrize("pointer", [0xC000 + 12 + len(ASKED) + 12, 0xFFFF, 0xC000 + 12 + len(ASKED) + 14])
def test_a_name_that_points_at_itself_or_ahead_ends(pointer: int) -> None:
    asked_for = dnswire.question(NAME, Type.PTR)
    data = pointer.to_bytes(2, "big") * 2
    record = struct.pack("!3HIH", 0xC00C, Type.PTR, 1, 60, len(data)) + data
    with pytest.raises(WireError):
        dnswire.read(b"\0\7\x81\x80\0\1\0\1\0\0\0\0" + asked_for + record, asked_for, Type.PTR)


@given(st.lists(st.from_regex(r"[a-z0-9_-]{1,20}", fullmatch=True), min_size=1, max_size=8))
def test_a_name_comes_back_as_it_went(labels: list[str]) -> None:
    name = ".".join(labels)
    wire = dnswire.question(name, Type.PTR)
    target = wire[:-4]
    record = struct.pack("!3HIH", 0xC00C, Type.PTR, 1, 60, len(target)) + target
    response = dnswire.read(b"\0\7\x81\x80\0\1\0\1\0\0\0\0" + wire + record, wire, Type.PTR)
    assert response.values == (name,)
