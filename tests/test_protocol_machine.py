"""The protocol's core: bytes in, events out, and what replies lead to; nothing here listens or waits."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.reference_mta.protocol.content import ContentReader
from harness.reference_mta.protocol.events import (
    ChunkReceived,
    ContentAsked,
    ContentReceived,
    CredentialsAsked,
    Event,
    Greeted,
    Misspoken,
    RecipientGiven,
    Secret,
    SenderGiven,
    TlsAsked,
)
from harness.reference_mta.protocol.limits import InFlight, Limits
from harness.reference_mta.protocol.machine import Machine
from harness.reference_mta.protocol.parameters import ParameterError, read_parameters
from harness.reference_mta.protocol.parts import AS_IT_SHOULD_BE, ProtocolParts
from harness.reference_mta.protocol.table import END_OF_CONTENT, SESSION, TABLE, State

LISTED = (
    "250-mx.example greets you\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-DSN\r\n250-CHUNKING\r\n250 AUTH PLAIN"
)
ENVELOPE = b"EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"
ROOM = 10_000_000
CHUNKED = TABLE["BDAT"].where


def machine(
    limits: Limits | None = None, room: InFlight | None = None, parts: ProtocolParts = AS_IT_SHOULD_BE
) -> Machine:
    """One that has greeted its client."""
    found = Machine(limits or Limits(), room or InFlight(ROOM), parts)
    found.next_event()
    found.answered("220 mx.example")
    return found


def play(server: Machine, said: bytes, refused: tuple[type[Event], ...] = ()) -> Iterator[tuple[Event, str]]:
    """Say something; each event with the reply that it got: the core's own, or a yes, or for some a no."""
    server.receive(said)
    while event := server.next_event():
        reply = event.answer or (LISTED if isinstance(event, Greeted) else "250 2.0.0 Yes")
        reply = "550 5.7.1 No" if isinstance(event, refused) else reply
        farewell = server.answered(reply)
        yield event, reply
        if farewell:
            yield event, farewell


def codes(server: Machine, said: bytes, refused: tuple[type[Event], ...] = ()) -> list[str]:
    return [reply[:3] for _, reply in play(server, said, refused)]


def test_a_message_in_one_write_is_answered_in_order() -> None:
    said = ENVELOPE + b"DATA\r\nSubject: x\r\n\r\n..\r\n.\r\nRSET\r\nQUIT\r\n"
    told = list(play(machine(), said))
    assert [reply[:3] for _, reply in told] == ["250", "250", "250", "354", "250", "250", "221"]
    assert [event.content for event, _ in told if isinstance(event, ContentReceived)] == [
        b"Subject: x\r\n\r\n.\r\n"
    ]


@settings(deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1))
def test_pieces_make_no_difference(sizes: list[int]) -> None:
    said = ENVELOPE + b"DATA\r\n.x\r\n..\r\n\r\n.\r\nNOOP\r\nRCPT TO:<a@b.example>\r\nQUIT\r\n"
    whole = list(play(machine(), said))
    server, told, at = machine(), [], 0
    while at < len(said):
        size = sizes[at % len(sizes)]
        told += list(play(server, said[at : at + size]))
        at += size
    assert told == whole


@pytest.mark.parametrize("state", sorted(SESSION, key=str))
@pytest.mark.parametrize("verb", list(TABLE))
def test_each_command_has_its_place(state: State, verb: str) -> None:
    way = {
        State.UNGREETED: b"",
        State.GREETED: ENVELOPE[:16],
        State.SENDER: ENVELOPE[: ENVELOPE.index(b"RCPT")],
        State.RECIPIENTS: ENVELOPE,
        State.CHUNKS: ENVELOPE + b"BDAT 0\r\n",
    }
    arguments = {
        "EHLO": "x",
        "HELO": "x",
        "MAIL": "FROM:<>",
        "RCPT": "TO:<x@y>",
        "VRFY": "x",
        "AUTH": "PLAIN",
        "BDAT": "0 LAST",
    }
    server = machine()
    list(play(server, way[state]))
    assert server.state is state
    ((event, _),) = play(server, f"{verb} {arguments.get(verb, '')}".rstrip().encode() + b"\r\n")
    assert isinstance(event, Misspoken) == (state not in TABLE[verb].where)
    assert (event.answer[:3] == "503") == (state not in TABLE[verb].where)


def test_a_greeting_ends_a_message_unless_it_is_refused() -> None:
    server = machine()
    list(play(server, ENVELOPE))
    assert codes(server, b"EHLO b.example\r\n", refused=(Greeted,)) == ["550"]
    assert codes(server, b"DATA\r\n.\r\n") == ["354", "250"]
    list(play(server, ENVELOPE[16:]))
    assert codes(server, b"EHLO b.example\r\nDATA\r\n") == ["250", "503"]


@pytest.mark.parametrize(
    "line",
    [
        "MAIL FROM: <a@b.example>",
        "MAIL FROM :<a@b.example>",
        "MAIL FROM<a@b.example>",
        "MAIL  FROM:<a@b.example>",
        "MAIL FROM:a@b.example",
        "MAIL FROM:<x>",
        "MAIL FROM:<a..b@c.example>",
        "MAIL FROM:<a@b.example>x",
        "MAIL FROM:<a@b.example>  SIZE=3",
        "MAIL TO:<a@b.example>",
        "MAIL",
        "RSET now",
        "QUIT now",
        "VRFY",
        "EHLO",
        "STARTTLS now",
    ],
)
def test_what_is_no_command_by_the_grammar_changes_nothing(line: str) -> None:
    server = machine()
    list(play(server, ENVELOPE[:16]))
    assert codes(server, line.encode() + b"\r\n") == ["501"]
    assert server.state is State.GREETED


@pytest.mark.parametrize(
    "line", [b"", b" ", b"\0", b"NOOP\0", b"NOOP\rRSET", b"NOOP\nRSET", b"\xff", b"XYZZY"]
)
def test_what_cannot_be_read_is_answered_once(line: bytes) -> None:
    assert codes(machine(), line + b"\r\nNOOP\r\n") == ["500", "250"]


@pytest.mark.parametrize("line", [b"mail from:<a@b.example> \t", b"MaIl FrOm:<a@b.example> siZe=3"])
def test_letter_case_and_space_at_the_end_do_not_count(line: bytes) -> None:
    assert codes(machine(), b"eHlO x\r\n" + line + b"\r\nNoOp \r\n") == ["250", "250", "250"]


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1", b"POST /", b"Host: mx.example", b"CONNECT x:25 HTTP/1.1"]
)
def test_a_web_client_is_not_served(line: bytes) -> None:
    server = machine()
    assert codes(server, line + b"\r\nEHLO a.example\r\n") == ["500"]
    assert server.ended


def test_the_longest_line_and_the_one_that_is_longer() -> None:
    server = machine(Limits(command_line=60))
    assert codes(server, b"NOOP " + b"x" * 53 + b"\r\n") == ["250"]
    assert codes(server, b"NOOP " + b"x" * 54 + b"\r\nNOOP\r\n") == ["500", "250"]
    for piece in (b"NOOP " + b"x" * 500, b"x" * 500, b"x\r"):
        assert codes(server, piece) == []
    assert server.pending < 60
    assert codes(server, b"\nNOOP\r\n") == ["500", "250"]


# Parameters


def test_a_parameter_is_known_where_its_extension_is_listed() -> None:
    line = b"MAIL FROM:<a@b.example> SIZE=10 BODY=8BITMIME AUTH=<> RET=HDRS ENVID=x+2B\r\n"
    server = machine()
    told = list(play(server, b"EHLO x\r\n" + line))
    assert isinstance(told[1][0], SenderGiven)
    assert told[1][0].parameters.size == 10
    assert codes(machine(), b"HELO x\r\n" + line) == ["250", "555"]


@pytest.mark.parametrize(
    ("verb", "text", "code"),
    [
        ("MAIL", " SIZE=1 SIZE=1", "501"),
        ("MAIL", " SIZE=x", "501"),
        ("MAIL", " SIZE", "501"),
        ("MAIL", " BODY=9BIT", "501"),
        ("MAIL", " SMTPUTF8", "555"),
        ("MAIL", " AUTH=a@b.example", ""),
        ("MAIL", " AUTH=a b", "501"),
        ("MAIL", " AUTH=+", "501"),
        ("MAIL", " NOTIFY=NEVER", "555"),
        ("MAIL", " =3", "501"),
        ("MAIL", " ", "501"),
        ("MAIL", " X=1", "555"),
        ("RCPT", " SIZE=1", "555"),
        ("RCPT", " NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+40b@c", ""),
        ("RCPT", " NOTIFY=NEVER,DELAY", "501"),
        ("RCPT", " NOTIFY=DELAY,DELAY", "501"),
        ("RCPT", " ORCPT=rfc822", "501"),
        ("RCPT", " ORCPT=;x", "501"),
        ("RCPT", " ORCPT=rfc822;a+0Ab", "501"),
    ],
)
def test_values_of_parameters(verb: str, text: str, code: str) -> None:
    offered = frozenset(("SIZE", "8BITMIME", "DSN", "AUTH"))
    expected = pytest.raises(ParameterError, match=f"^{code} ") if code else contextlib.nullcontext()
    with expected:
        read_parameters(text, verb, offered)


def test_a_size_that_is_too_large_is_refused_at_once() -> None:
    said = b"EHLO x\r\nMAIL FROM:<> SIZE=1001\r\nMAIL FROM:<> SIZE=1000\r\n"
    assert codes(machine(Limits(content=1000)), said) == ["250", "552", "250"]


def test_an_address_beyond_ascii_needs_its_extension() -> None:
    said = "EHLO x\r\nMAIL FROM:<é@b.example>\r\nMAIL FROM:<>\r\nRCPT TO:<é@b.example>\r\n".encode()
    assert codes(machine(), said) == ["250", "553", "250", "553"]


# Content


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([b".", b"..", b"\r\n", b"x", b"\r", b"\n", b".\r\n", b"\r\n."]), max_size=30),
    st.integers(1, 5),
)
def test_content_is_read_as_a_reader_of_lines_would(parts: list[bytes], size: int) -> None:
    sent = b"".join(parts) + b"\r\n.\r\nNOOP\r\n"
    lines = sent.split(b"\r\n")
    end = lines.index(b".")
    expected = b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:end])
    reader = ContentReader(Limits(content=len(expected)), InFlight(ROOM))
    at = 0
    while (rest := reader.feed(bytearray(sent[at : at + size]))) is None:
        at += size
    content, refusal = reader.message()
    assert refusal[:3] in ("", "550")
    assert content == expected
    assert rest + sent[at + size :] == b"\r\n".join(lines[end + 1 :])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 5000])
@pytest.mark.parametrize(("more", "code"), [(0, "250"), (1, "552")])
def test_the_largest_message_and_the_one_that_is_larger(size: int, more: int, code: str) -> None:
    server = machine(Limits(content=200))
    list(play(server, ENVELOPE))
    text = b"..\r\n" * 20 + b"x" * (138 + more) + b"\r\n"
    sent = b"DATA\r\n" + text + b".\r\nNOOP\r\n"
    told = [one for at in range(0, len(sent), size) for one in codes(server, sent[at : at + size])]
    assert told == ["354", code, "250"]


def test_content_in_flight_is_bounded_and_given_back() -> None:
    room = InFlight(1000)
    first, second = machine(room=room), machine(room=room)
    for server in (first, second):
        list(play(server, ENVELOPE + b"DATA\r\n" + b"x" * 60 + b"\r\n" * 300))
    assert codes(second, b".\r\n") == ["452"]
    assert codes(first, b".\r\n") == ["250"]
    list(play(first, ENVELOPE[16:] + b"DATA\r\n" + b"x\r\n" * 300))
    first.end()
    assert codes(second, ENVELOPE[16:] + b"DATA\r\n" + b"x\r\n" * 300 + b".\r\n") == [
        "250",
        "250",
        "354",
        "250",
    ]


@pytest.mark.parametrize(("hops", "code"), [(3, "250"), (4, "554")])
def test_a_message_that_goes_round_and_round_is_refused(hops: int, code: str) -> None:
    header = b"Received: by a.example\r\nX: y\r\n" * hops
    server = machine(Limits(hops=3))
    said = ENVELOPE + b"DATA\r\n" + header + b"\r\nReceived: in the body\r\n.\r\n"
    assert codes(server, said)[-1] == code
    assert codes(server, b"RCPT TO:<c@d.example>\r\n") == ["503"]


# AUTH and TLS


def test_an_answer_to_a_prompt_is_no_command() -> None:
    server = machine()
    list(play(server, b"EHLO x\r\n"))
    server.receive(b"AUTH plain\r\nQUIT\r\nNOOP\r\n")
    assert server.next_event() == CredentialsAsked(line=b"AUTH plain\r\n", mechanism="PLAIN")
    server.answered("334 ")
    assert server.next_event() == Secret(text="QUIT")
    server.answered("535 5.7.8 No")
    assert codes(server, b"") == ["250"]


def test_nothing_is_left_of_what_was_said_before_tls() -> None:
    server = machine()
    server.receive(ENVELOPE + b"STARTTLS\r\nNOOP\r\n")
    for _ in range(3):
        server.next_event()
        server.answered("250 2.0.0 Yes")
    event = server.next_event()
    assert isinstance(event, TlsAsked)
    server.answered(event.answer)
    assert server.next_event() is None
    server.begin_tls()
    assert codes(server, b"RCPT TO:<c@d.example>\r\nAUTH PLAIN\r\nSTARTTLS\r\n") == ["503", "503", "503"]


def test_who_is_refused_in_place_of_the_greeting_may_only_leave() -> None:
    server = Machine(Limits(), InFlight(ROOM))
    server.next_event()
    server.answered("554 5.7.1 Not you")
    assert codes(server, b"EHLO x\r\nNOOP\r\nQUIT\r\n") == ["503", "503", "221"]
    assert server.ended


# Limits


@pytest.mark.parametrize(
    ("limits", "said", "expected"),
    [
        (Limits(errors=3), b"XX\r\n" * 4, ["500", "500", "500", "421"]),
        (Limits(idle_commands=3), b"NOOP\r\nRSET\r\nHELP\r\nNOOP\r\n", ["250", "250", "214", "421"]),
        (
            Limits(credentials=2),
            b"EHLO x\r\nAUTH PLAIN x\r\nAUTH PLAIN x\r\nNOOP\r\n",
            ["250", "550", "550", "421"],
        ),
    ],
)
def test_each_limit_ends_the_connection(limits: Limits, said: bytes, expected: list[str]) -> None:
    server = machine(limits)
    assert codes(server, said, refused=(CredentialsAsked,)) == expected
    assert server.ended


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(ENVELOPE.splitlines(keepends=True)),
            st.sampled_from(
                [
                    *(b"DATA\r\n", b".\r\n", b"\r\n.\r\n", b"RSET\r\n", b"AUTH PLAIN\r\n", b"STARTTLS\r\n"),
                    *(b"BDAT 3\r\n", b"BDAT 0 LAST\r\n", b"BDAT 20 LAST\r\n", b"BDAT x\r\n"),
                ]
            ),
        ),
        max_size=30,
    )
)
def test_whatever_comes_each_event_has_a_reply_and_its_place(pieces: list[bytes]) -> None:
    server = machine()
    for piece in pieces:
        server.receive(piece)
        while True:
            before = server.state
            event = server.next_event()
            if event is None:
                break
            assert not isinstance(event, RecipientGiven) or before in TABLE["RCPT"].where
            assert not isinstance(event, ContentAsked) or before is State.RECIPIENTS
            assert not isinstance(event, ContentReceived) or before in (*CHUNKED, State.CONTENT)
            assert not isinstance(event, ChunkReceived) or before in CHUNKED
            server.answered(event.answer or "250 2.0.0 Yes")


def test_another_row_may_say_where_a_misspoken_command_leads() -> None:
    dropping = replace(TABLE["RCPT"], misspoken=State.GREETED)
    for parts, data in (
        (AS_IT_SHOULD_BE, "354"),
        (AS_IT_SHOULD_BE.with_command("RCPT", row=dropping), "503"),
        (AS_IT_SHOULD_BE.with_command("MAIL", row=replace(TABLE["MAIL"], misspoken=State.GREETED)), "354"),
    ):
        assert codes(machine(parts=parts), ENVELOPE + b"RCPT TO:<>\r\nDATA\r\n")[-2:] == ["501", data]


def test_another_row_may_say_where_the_end_of_content_leads() -> None:
    going_on = replace(AS_IT_SHOULD_BE, end_of_content=replace(END_OF_CONTENT, accepted=State.RECIPIENTS))
    said = ENVELOPE + b"DATA\r\nx\r\n.\r\nDATA\r\n"
    for parts, data in ((AS_IT_SHOULD_BE, "503"), (going_on, "354")):
        assert codes(machine(parts=parts), said)[-1] == data
