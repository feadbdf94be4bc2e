"""Much of everything: what is kept stays bounded, and the work grows no faster than the data."""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import pytest

from fake_dns import FakeDns, dns, message, records
from fake_dns.answer import Transport
from fake_dns.names import wire_name
from fake_dns.zonemaster import apply_master
from tests.dns_asking import Question, ask, ask_raw, parse

MIB = 1 << 20
MANY = 1000


@contextmanager
def grows_by_less_than(octets: int) -> Iterator[None]:
    """What is allocated within the context and still there at its end."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield
        assert tracemalloc.get_traced_memory()[0] - before < octets
    finally:
        tracemalloc.stop()


@contextmanager
def calls(target: object, name: str, at_most: int) -> Iterator[None]:
    """How often a function is called within the context, which is what the work consists of."""
    with mock.patch.object(target, name, wraps=getattr(target, name)) as counted:
        yield
    assert 0 < counted.call_count <= at_most


# What is kept


def test_the_log_keeps_no_answers() -> None:
    world = FakeDns()
    world.publish("large.k3.example", "TXT", "x" * 60_000)
    packet = Question("large.k3.example", "TXT").packet()
    with grows_by_less_than(MIB):
        for _ in range(200):
            assert len(ask_raw(world, packet, Transport.TCP)) > 60_000
    assert len(world.queries()) == 200


def test_the_log_is_bounded_by_octets_and_counts_what_it_drops() -> None:
    head, tail = Question("x.example").packet()[:12], b"\x07example\0\0\1\0\1"
    with mock.patch("fake_dns.log.SEGMENT", 64):
        world = FakeDns(log_limit=10**9, log_octets=MIB // 4)
        for number in range(3000):
            name = b"\x3c%060d" % number + (b"\x3c" + b"y" * 60) * 3
            world.respond(head + name + tail, "127.0.0.1", Transport.TCP)
    kept = world.queries()
    assert 64 <= len(kept) <= MIB // 4 // 255
    assert len(kept) + world.dropped == 3000
    assert kept[-1].name.startswith(f"{2999:060d}.")


def test_what_was_asked_last_stays_however_little_is_allowed() -> None:
    with mock.patch("fake_dns.log.SEGMENT", 64):
        world = FakeDns(log_octets=0)
        for _ in range(128):
            ask(world, Question("x.example"))
    assert len(world.queries()) >= 64


def test_replies_kept_ready_are_bounded_by_octets() -> None:
    world, packet = FakeDns(), Question("x.example").packet()
    with mock.patch.object(dns, "PREPARED_OCTETS", 100_000), grows_by_less_than(MIB):
        for number in range(500):
            ask_raw(world, packet + number.to_bytes(3000, "big"))


def test_long_texts_are_not_kept_twice() -> None:
    world = FakeDns()
    with grows_by_less_than(MIB):
        for number in range(10):
            world.publish(f"n{number}.example", "TXT", "x" * 60_000)


# How the work grows


@pytest.mark.parametrize(
    "line",
    [
        lambda number: f"many.k3.example. A 198.18.{number // 250}.{number % 250}",
        lambda number: f"many.k3.example. {number} A 198.18.{number // 250}.{number % 250}",
        lambda number: f"many.k3.example. TYPE{10_000 + number} \\# 1 ff",
        lambda number: f"z{number}.example. SOA ns.example. me.example. 1 2 3 4 5",
        lambda number: f"many.k3.example. TXT text-{number}",
    ],
    ids=["addresses", "TTLs", "types", "zones", "texts"],
)
def test_each_record_is_made_once(line: Callable[[int], str]) -> None:
    text = "\n".join(map(line, range(MANY)))
    with calls(records, "check_ttl", MANY):
        apply_master(text, FakeDns())


def test_answering_takes_as_much_work_as_fits_into_the_reply() -> None:
    world = FakeDns()
    for number in range(MANY):
        world.publish("many.k3.example", "A", f"198.18.{number // 250}.{number % 250}", ttl=number)
    for kind in ("A", "ANY"):
        with calls(message, "_record", message.MAX_UDP // 11):
            assert ask(world, Question("many.k3.example", kind, edns=4096)).header.tc
    reply = parse(ask_raw(world, Question("many.k3.example").packet(), Transport.TCP))
    assert {record.ttl for record in reply.rr} == {MANY - 1}
    with calls(message, "_record", MANY):
        ask_raw(world, Question("many.k3.example").packet(), Transport.TCP)


def test_more_than_a_reply_can_carry_is_truncated_over_tcp_too() -> None:
    world = FakeDns()
    owner = wire_name("many.k3.example")
    for number in range(7000):
        world.publish_record(owner, records.Record(1, 60, number.to_bytes(4, "big"), "x"))
    reply = parse(ask_raw(world, Question("many.k3.example").packet(), Transport.TCP))
    assert (reply.header.tc, reply.rr) == (1, [])


def test_a_pointer_that_points_anywhere_is_never_followed() -> None:
    head = Question("x.example").packet()
    loops = b"".join(b"\xc0" + bytes((at,)) + b"\0\1\0\1\0\0\0\0\0\0" for at in range(12, 252, 12))
    packet = head[:10] + (len(loops) // 12).to_bytes(2, "big") + head[12:] + loops
    assert parse(ask_raw(FakeDns(), packet)).header.rcode == 3
