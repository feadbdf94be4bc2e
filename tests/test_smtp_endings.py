"""Endings: whatever a server does, a session ends in a word for it."""

import contextlib
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.smtp.endpoint import Endpoint
from harness.smtp.reply import MAX_LINES
from harness.smtp.session import Ending, Session, SessionEnded
from harness.smtp.transport import Tcp, Transport
from tests.hostile_server import Deafen, Drip, Flood, Hear, Reset, Say, Stall, Step
from tests.smtp_dialogue import BYE, CLIENT, GO_ON, GREETING, HASTY, OK, PATIENT, SOON, events, playing


def ending(session: Session, *commands: str) -> SessionEnded:
    """The end that a session comes to before the last command, or the greeting, is answered."""
    with pytest.raises(SessionEnded) as ended:  # noqa: PT012 - which of them it is depends on the server
        session.open()
        for command in commands:
            session.command(command)
    assert session.ending is ended.value.ending
    assert ended.value.reason in events(session)
    assert not session.connected
    return ended.value


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = listening.getsockname()
    session = Session(Endpoint(Tcp(*server)), CLIENT, reply_timeout=PATIENT)
    assert ending(session).ending is Ending.REFUSED


class NoWay:
    """A transport that has no way."""

    kind = "nowhere"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def connect(self, client_address: str, source: str, timeout: float, begun: object) -> socket.socket:
        raise self.error

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(113, "No route to host"), Ending.UNREACHABLE),
        (OSError(99, "Cannot assign requested address"), Ending.UNREACHABLE),
        (socket.gaierror(-2, "Name or service not known"), Ending.UNREACHABLE),
        (UnicodeError("label too long"), Ending.UNREACHABLE),
        (TimeoutError("timed out"), Ending.TIMED_OUT),
        (ConnectionResetError(104, "Connection reset by peer"), Ending.RESET),
    ],
)
def test_there_is_no_way(error: Exception, expected: Ending) -> None:
    transport: Transport = NoWay(error)
    session = Session(Endpoint(transport), CLIENT, reply_timeout=PATIENT)
    assert ending(session).ending is expected


STAGES: dict[str, tuple[list[Step], list[str]]] = {
    "greeting": ([], []),
    "ehlo": ([GREETING, Hear()], ["EHLO client.example"]),
    "mail": ([GREETING, Hear(), OK, Hear()], ["EHLO client.example", "MAIL FROM:<>"]),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ([], Ending.SERVER_CLOSED),
        ([Reset()], Ending.RESET),
        ([Say(b"250-the beginning of"), Reset()], Ending.RESET),
        ([Say(b"250-whole\r\n250 the beginning of")], Ending.SERVER_CLOSED),
        ([Say(b"HTTP/1.1 400 Bad Request\r\n")], Ending.GARBAGE),
        ([Say(b"\x16\x03\x01\x00\xa5\n")], Ending.GARBAGE),
        ([Say(b"250 " + b"x" * 5000 + b"\r\n"), Stall()], Ending.GARBAGE),
        ([Flood(b"x" * 1000)], Ending.GARBAGE),
        ([Flood(b"250-more\r\n")], Ending.GARBAGE),
        ([Flood(b"\0")], Ending.GARBAGE),
    ],
)
def test_it_ends_in_a_word_at_every_stage(stage: str, last: list[Step], expected: Ending) -> None:
    before, commands = STAGES[stage]
    with playing(*before, *last) as (session, _):
        ended = ending(session, *commands)
        assert ended.ending is expected
        where = {commands[-1].split()[0]} if commands else {"connecting", "the greeting"}
        assert ended.stage in where
        assert (ended.reply is None) == (stage == "greeting")
        with pytest.raises(SessionEnded) as again:
            session.command("NOOP")
        assert (again.value.ending, again.value.reason) == (expected, ended.reason)


@pytest.mark.parametrize(
    "last",
    [
        [],
        [Say(b"250-more\r\n")],
        [Drip(b"250 " + b"x" * 400 + b"\r\n", 0.02)],
        [Drip(b"250-x\r\n" * 60 + b"250 x\r\n", 0.02)],
    ],
    ids=["nothing", "half", "bytes", "lines"],
)
def test_no_server_prolongs_a_reply(last: list[Step]) -> None:
    with playing(GREETING, Hear(), *last, Stall(), timeout=HASTY) as (session, _):
        ended = ending(session, "EHLO client.example")
        assert (ended.ending, ended.stage) == (Ending.TIMED_OUT, "EHLO")


def test_a_reply_within_the_bounds_is_taken() -> None:
    longest = b"250-x\r\n" * (MAX_LINES - 1) + b"250 x\r\n"
    with playing(GREETING, Hear(), Drip(longest[:40], 0.001), Say(longest[40:]), *BYE) as (session, _):
        session.open()
        assert len(session.command("HELP").lines) == MAX_LINES


def test_flaws_of_a_reply_are_passed_on() -> None:
    with playing(GREETING, Hear(), Say(b"250 a\0b\n"), *BYE) as (session, _):
        session.open()
        assert session.command("NOOP").flaws == ("bare LF", "NUL byte")


def test_garbage_behind_a_reply_is_for_the_next_command() -> None:
    with playing(GREETING, Hear(), Say(b"250 ok\r\nrubbish\r\n"), Stall()) as (session, _):
        session.open()
        assert session.command("NOOP").code == 250
        with pytest.raises(SessionEnded) as ended:
            session.command("NOOP")
        assert ended.value.ending is Ending.GARBAGE
        assert "rubbish" in ended.value.reason


def test_a_server_that_does_not_take_the_message() -> None:
    with playing(GREETING, Hear(), GO_ON, Deafen(), timeout=HASTY) as (session, _):
        session.open()
        session.command("DATA")
        with pytest.raises(SessionEnded) as ended:
            session.send_content(b"x" * 30_000_000)
    assert ended.value.ending is Ending.TIMED_OUT
    assert ended.value.stage == "the message"


def test_the_last_words_of_a_server_that_breaks_off_the_message() -> None:
    script: list[Step] = [GREETING, Hear(), GO_ON, Hear(b"x" * 1000), Say(b"552 too big\r\n"), Reset()]
    with playing(*script) as (session, _):
        session.open()
        session.command("DATA")
        with contextlib.suppress(SessionEnded):  # the reset may overtake the reply
            assert session.send_content(b"x" * 30_000_000).code == 552
        assert session.closed_by_server(SOON)
        assert session.ending is Ending.RESET


def test_closed_by_the_client() -> None:
    with playing(GREETING, Stall()) as (session, _):
        session.open()
        session.close()
        session.close()
        assert session.ending is Ending.CLIENT_CLOSED
        assert session.quit_politely() is None
        with pytest.raises(SessionEnded, match="closed by the client"):
            session.command("NOOP")


def test_a_context_says_quit() -> None:
    with playing(GREETING, *BYE) as (session, server):
        with session:
            session.open()
        assert server.heard == [b"QUIT\r\n"]
        assert session.ending is Ending.QUIT


def test_a_context_that_is_left_by_an_exception_just_closes() -> None:
    with playing(GREETING, Stall()) as (session, server):
        session.open()
        with pytest.raises(ZeroDivisionError), session:
            raise ZeroDivisionError
        assert server.heard == []
        assert session.ending is Ending.CLIENT_CLOSED


def test_a_context_without_a_connection_is_harmless() -> None:
    with Session(Endpoint(Tcp("127.0.0.1", 1)), CLIENT, reply_timeout=HASTY) as session:
        pass
    assert session.ending is Ending.CLIENT_CLOSED
    with pytest.raises(RuntimeError, match="once"):
        session.open()


# A drop is not a refusal


def test_a_drop_is_told_from_a_refusal() -> None:
    refusal = Say(b"550 no\r\n")
    with playing(GREETING, Hear(), refusal, *BYE) as (session, _):
        session.open()
        session.command("EHLO client.example")
        assert not session.closed_by_server(0.05)
        assert session.quit_politely()
        assert not session.closed_by_server(0.05)
    with playing(GREETING, Hear(), refusal) as (session, _):
        session.open()
        session.command("EHLO client.example")
        assert session.closed_by_server(SOON)
        assert session.closed_by_server(0.0)
        assert session.ending is Ending.SERVER_CLOSED
        assert session.quit_politely() is None


def test_a_drop_by_reset() -> None:
    with playing(GREETING, Hear(), Say(b"550 no\r\n"), Reset()) as (session, _):
        session.open()
        with contextlib.suppress(SessionEnded):  # the reset may overtake the reply
            session.command("EHLO client.example")
        assert session.closed_by_server(SOON)
        assert session.ending is Ending.RESET


def test_a_close_after_221_is_no_drop() -> None:
    with playing(GREETING, *BYE) as (session, _):
        session.open()
        session.command("QUIT")
        assert session.closed_by_server(SOON)
        assert session.ending is Ending.QUIT


# Nothing else escapes


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30).map(Say),
            st.sampled_from([b"220 hi\r\n", b"250-a\r\n", b"250 b\r\n", b"354 c\r\n", b"421 d\n"]).map(Say),
            st.just(Hear()),
            st.just(Reset()),
        ),
        max_size=8,
    )
)
def test_no_server_makes_anything_but_an_ending(steps: list[Step]) -> None:
    with playing(*steps, timeout=0.1) as (session, _):
        with contextlib.suppress(SessionEnded):
            session.open()
            session.command("EHLO client.example")
            session.send_raw(b"RSET\r\nDATA\r\n", replies=2)
            session.read_reply()
            session.send_content(b"x")
        session.closed_by_server(0.0)
        session.close()
        assert session.ending is not Ending.OPEN
        assert not session.connected
        assert all(line.text.isprintable() for line in session.transcript.lines)
