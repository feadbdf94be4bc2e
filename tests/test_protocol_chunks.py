"""Messages in chunks (RFC 3030): what is taken and what is not, in whatever pieces it comes."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.reference_mta.protocol.events import ChunkReceived, ContentReceived, Event, Greeted
from harness.reference_mta.protocol.limits import InFlight, Limits
from harness.reference_mta.protocol.machine import Machine
from harness.reference_mta.protocol.table import State

LISTED = "250-mx.example\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 BINARYMIME"
HELLO = b"EHLO a.example\r\n"
MAIL = b"MAIL FROM:<a@b.example>\r\n"
RCPT = b"RCPT TO:<c@d.example>\r\n"
ENVELOPE = HELLO + MAIL + RCPT
BINARY = HELLO + b"MAIL FROM:<a@b.example> BODY=BINARYMIME\r\n" + RCPT
ROOM = 10_000_000


def machine(limits: Limits | None = None, room: InFlight | None = None) -> Machine:
    found = Machine(limits or Limits(), room or InFlight(ROOM))
    found.next_event()
    found.answered("220 mx.example")
    return found


def play(
    server: Machine, said: bytes, *, refuse_recipients: bool = False, listed: str = LISTED
) -> Iterator[tuple[Event, str]]:
    """Say something; each event with its reply."""
    server.receive(said)
    while event := server.next_event():
        reply = event.answer or (listed if isinstance(event, Greeted) else "250 2.0.0 Yes")
        if refuse_recipients and event.line.startswith(b"RCPT"):
            reply = "550 5.1.1 No"
        farewell = server.answered(reply)
        yield event, reply
        if farewell:
            yield event, farewell


def codes(server: Machine, said: bytes, *, refuse_recipients: bool = False) -> list[str]:
    return [reply[:3] for _, reply in play(server, said, refuse_recipients=refuse_recipients)]


def content(server: Machine, said: bytes) -> list[tuple[bytes, str]]:
    return [
        (event.content, event.answer[:3])
        for event, _ in play(server, said)
        if isinstance(event, ContentReceived)
    ]


def test_a_message_in_chunks_is_answered_chunk_by_chunk() -> None:
    said = ENVELOPE + b"BDAT 10\r\nSubject: xBDAT 7\r\n\r\n\r\n.\r\nBDAT 3 last\r\nx\r\nNOOP\r\n"
    told = list(play(machine(), said))
    assert [reply[:3] for _, reply in told] == ["250"] * 7
    assert [type(event) for event, _ in told[3:6]] == [ChunkReceived, ChunkReceived, ContentReceived]
    event = told[5][0]
    assert isinstance(event, ContentReceived)
    assert event.content == b"Subject: x\r\n\r\n.\r\nx\r\n", "a dot is content as any other"


def test_a_chunk_without_bytes_may_be_the_last() -> None:
    said = ENVELOPE + b"BDAT 6\r\nX: y\r\nBDAT 0 LAST\r\n"
    assert content(machine(), said) == [(b"X: y\r\n", "")]
    assert content(machine(), ENVELOPE + b"BDAT 0 LAST\r\n") == [(b"", "")]


@pytest.mark.parametrize(
    "text", [b"x\r", b"a\nb\r\n", b"a\rb\r\n", b"x" * 1001 + b"\r\n"], ids=["cr", "lf", "cr within", "long"]
)
def test_what_is_no_text_is_taken_where_it_is_announced(text: bytes) -> None:
    said = b"\r\n" + text
    chunk = f"BDAT {len(said)} LAST\r\n".encode() + said
    ((_, refusal),) = content(machine(), ENVELOPE + chunk)
    assert refusal in ("550", "500")
    assert content(machine(), BINARY + chunk) == [(said, "")]


def test_the_last_line_of_a_text_is_ended_and_of_binary_content_it_is_not() -> None:
    chunk = b"BDAT 5 LAST\r\n\r\nabc"
    assert content(machine(), ENVELOPE + chunk) == [(b"\r\nabc\r\n", "")]
    assert content(machine(), BINARY + chunk) == [(b"\r\nabc", "")]


@pytest.mark.parametrize("header", [b"X: y\nZ: y", b"X: y\rZ: y", b"X: y\r", b"X: y\n", b"X" * 1001])
def test_the_header_of_binary_content_is_made_of_lines(header: bytes) -> None:
    for said in (header, header + b"\r\n\r\n\0\n"):
        chunk = f"BDAT {len(said)} LAST\r\n".encode() + said
        ((_, refusal),) = content(machine(), BINARY + chunk)
        assert refusal in ("550", "500")


def test_binary_content_in_a_loop_is_refused() -> None:
    said = b"Received: by x\r\n" * 3 + b"\r\n\0\n"
    chunk = f"BDAT {len(said)} LAST\r\n".encode() + said
    assert content(machine(Limits(hops=2)), BINARY + chunk) == [(b"", "554")]
    assert content(machine(Limits(hops=3)), BINARY + chunk) == [(said, "")]


# Order


def test_chunks_without_a_recipient_are_read_and_refused() -> None:
    said = MAIL + RCPT + b"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nRSET\r\nNOOP\r\n"
    server = machine()
    list(play(server, HELLO))
    assert codes(server, said, refuse_recipients=True) == ["250", "550", "503", "503", "250"]
    assert server.state is State.SENDER


def test_behind_a_refused_chunk_others_are_read_and_refused() -> None:
    said = b"BDAT 300\r\n" + b"QUIT\r\n" * 50 + b"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n" + MAIL
    server = machine(Limits(content=200))
    list(play(server, ENVELOPE))
    assert codes(server, said) == ["552", "503", "503", "250"]


def test_the_largest_message_counts_over_all_chunks() -> None:
    server = machine(Limits(content=20))
    first = ENVELOPE + b"BDAT 10\r\n12345678\r\n"
    assert codes(server, first + b"BDAT 10 LAST\r\n12345678\r\n")[-2:] == ["250", "250"]
    assert codes(server, first + b"BDAT 11 LAST\r\n123456789\r\nNOOP\r\n")[-3:] == ["250", "552", "250"]
    assert codes(server, first + b"BDAT 11\r\n123456789\r\nNOOP\r\n")[-3:] == ["250", "552", "250"]


def test_data_and_chunks_do_not_mix() -> None:
    server = machine()
    assert codes(server, ENVELOPE + b"BDAT 3\r\nx\r\nDATA\r\n")[-2:] == ["250", "503"]
    assert codes(server, MAIL + RCPT + b"RSET\r\n" + MAIL) == ["503", "503", "250", "250"]
    assert codes(server, RCPT + b"DATA\r\nx\r\n.\r\n") == ["250", "354", "250"]


def test_binary_content_never_comes_by_data() -> None:
    assert codes(machine(), BINARY + b"DATA\r\nBDAT 3 LAST\r\n\r\n\0")[-2:] == ["503", "250"]


@pytest.mark.parametrize("forgets", [b"RSET\r\n", HELLO])
def test_chunks_are_forgotten_with_their_message(forgets: bytes) -> None:
    server, room = machine(room=(room := InFlight(10))), room
    list(play(server, ENVELOPE))
    assert codes(server, b"BDAT 10\r\n12345678\r\n" + forgets) == ["250", "250"]
    assert codes(server, b"BDAT 1 LAST\r\nx") == ["503"]
    assert room.take(10), "and what they took is given back"
    room.give_back(10)
    assert content(server, MAIL + RCPT + b"BDAT 3 LAST\r\ny\r\n") == [(b"y\r\n", "")]


def test_other_commands_between_chunks_change_nothing() -> None:
    said = ENVELOPE + b"BDAT 3\r\nx\r\nNOOP\r\nVRFY x\r\nBDAT 3 LAST\r\ny\r\n"
    assert content(machine(), said) == [(b"x\r\ny\r\n", "")]


def test_content_in_flight_is_bounded() -> None:
    room = InFlight(10)
    first, second = machine(room=room), machine(room=room)
    for server in (first, second):
        list(play(server, ENVELOPE))
    assert codes(first, b"BDAT 8\r\n123456\r\n") == ["250"]
    assert codes(second, b"BDAT 8\r\n123456\r\n") == ["452"]
    first.end()
    assert codes(second, MAIL + RCPT + b"BDAT 8 LAST\r\n123456\r\n") == ["250", "250", "250"]


@pytest.mark.parametrize("argument", [b"", b"x", b"-1", b"1 FIRST", b"1  LAST", b"1LAST", b"9" * 21])
def test_a_chunk_of_unknown_length_is_the_end(argument: bytes) -> None:
    server = machine()
    assert codes(server, ENVELOPE + b"BDAT " + argument + b"\r\nRSET\r\n")[3:] == ["501"]
    assert server.ended


def test_chunks_have_to_be_offered() -> None:
    said = HELLO.replace(b"EHLO", b"HELO") + MAIL + RCPT + b"BDAT 6 LAST\r\nNOOP\r\n"
    assert codes(machine(), said) == ["250", "250", "250", "503", "250"]


def test_chunks_may_be_none_of_a_server_s_business() -> None:
    server = machine()
    assert [
        reply[:3] for _, reply in play(server, ENVELOPE + b"BDAT 6 LAST\r\nNOOP\r\n", listed="250 x")
    ] == [
        *["250"] * 3,
        "502",
        "250",
    ]


def test_nobody_sends_empty_chunks_for_ever() -> None:
    server = machine(Limits(idle_commands=5))
    assert codes(server, ENVELOPE + b"BDAT 0\r\n" * 9)[-1] == "421"


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1), st.sampled_from([ENVELOPE, BINARY, HELLO]))
def test_pieces_make_no_difference(sizes: list[int], before: bytes) -> None:
    said = (
        before
        + b"BDAT 8\r\nX: y\r\n\r\nNOOP\r\nBDAT 4\r\n\r\n.\rBDAT 9 LAST\r\nRSET\r\n\n\0xBDAT 6\r\nQUIT\r\n"
        + RCPT
        + b"BDAT 500\r\n"
        + b"QUIT\r\n" * 83
        + b"\r\nNOOP\r\nBDAT ?\r\nNOOP\r\n"
    )
    limits = Limits(content=300)
    whole = list(play(machine(limits), said))
    server, told, at = machine(limits), [], 0
    while at < len(said):
        size = sizes[at % len(sizes)]
        told += list(play(server, said[at : at + size]))
        at += size
    assert told == whole
    assert server.ended
