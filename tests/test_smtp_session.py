"""Sessions: what is said goes out to the byte, and each reply is taken for what it answers."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.smtp.endpoint import Endpoint
from harness.smtp.identity import ProxyV1
from harness.smtp.reply import Reply
from harness.smtp.session import Ending, Session, SessionEnded, parse_keywords
from harness.smtp.transcript import Direction
from harness.smtp.transport import Tcp
from tests.hostile_server import Drip, Flood, Hear, HostileServer, Ring, Say, Stall, Step
from tests.smtp_dialogue import (
    BYE,
    CLIENT,
    CONTENT,
    GO_ON,
    GREETING,
    OK,
    PATIENT,
    SOON,
    events,
    lines,
    playing,
)


def test_a_whole_dialogue() -> None:
    ehlo = Say(b"250-mx.example.org\r\n250-SIZE 1000\r\n250 HELP\r\n")
    script: list[Step] = [GREETING, Hear(), ehlo, Hear(), OK, Hear(), OK, Hear(), GO_ON, CONTENT, OK, *BYE]
    with playing(*script) as (session, server):
        assert (session.ending, session.connected) == (Ending.OPEN, False)
        assert session.open().code == 220
        assert (session.ending, session.connected) == (Ending.OPEN, True)
        assert parse_keywords(session.command("EHLO client.example")) == {"SIZE": "1000", "HELP": ""}
        assert session.command("MAIL FROM:<a@client.example>").code == 250
        assert session.command(b"RCPT TO:<b@example.org>").code == 250
        assert session.command("DATA").code == 354
        assert session.send_content(b"Subject: x\r\n\r\n.dot\r\n").code == 250
        farewell = session.quit_politely()
        assert farewell is not None
        assert farewell.code == 221
    assert session.ending is Ending.QUIT
    assert [reply.code for reply in session.replies] == [220, 250, 250, 250, 354, 250, 221]
    assert lines(session, Direction.CLIENT) == b"".join(server.heard)
    assert lines(session, Direction.SERVER) == b"".join(step.data for step in script if isinstance(step, Say))
    assert "connected to 127.0.0.1" in events(session)


def test_times_are_those_of_one_clock() -> None:
    with playing(GREETING, Hear(), OK, *BYE) as (session, _):
        greeting = session.open()
        reply = session.command("NOOP")
        session.quit_politely()
    sent, received = session.transcript.lines[2:4]
    assert 0 < session.connected_at <= greeting.at
    assert greeting.seconds == greeting.at == session.transcript.lines[1].at
    assert greeting.at <= sent.at <= received.at == reply.at
    assert reply.seconds == pytest.approx(reply.at - sent.at)
    assert [line.at for line in session.transcript.lines] == sorted(
        line.at for line in session.transcript.lines
    )


def test_a_held_back_reply_counts_from_its_command() -> None:
    held = Drip(b"250 ok\r\n", 0.02)
    with playing(GREETING, Hear(), held, *BYE) as (session, _):
        session.open()
        assert session.command("NOOP").seconds >= len(held.data) * held.pause


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (b"", b".\r\n"),
        (b"x", b"x\r\n.\r\n"),
        (b"x\r\n", b"x\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.b\r\n..c\r\n", b"a\r\n..b\r\n...c\r\n.\r\n"),
        (b"a\n.b\r.c\0\xff", b"a\n.b\r.c\0\xff\r\n.\r\n"),
    ],
)
def test_the_message_is_stuffed_and_ended(content: bytes, sent: bytes) -> None:
    with playing(GREETING, Hear(), GO_ON, Hear(sent), OK, *BYE) as (session, server):
        session.open()
        session.command("DATA")
        assert session.send_content(content).code == 250
        session.quit_politely()
    assert server.heard[1] == sent


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([b".", b"\r\n", b"\n", b"\r", b"x", b"\0"]), max_size=30).map(b"".join))
def test_any_message_arrives_as_it_was(content: bytes) -> None:
    with playing(GREETING, Hear(), GO_ON, Hear(b"\r\n.\r\n"), OK, *BYE) as (session, server):
        session.open()
        session.command("DATA")
        session.send_content(b"\r\n" + content)
        session.quit_politely()
    lines = server.heard[1].removesuffix(b".\r\n").split(b"\r\n")
    unstuffed = b"\r\n".join(line.removeprefix(b".") for line in lines)
    assert unstuffed in (b"\r\n" + content, b"\r\n" + content + b"\r\n")


@pytest.mark.parametrize("line", ["NOOP\r\nQUIT", "NOOP\n", b"NOOP\r"])
def test_a_command_is_one_line(line: str | bytes) -> None:
    with playing(GREETING, Stall()) as (session, _):
        session.open()
        with pytest.raises(ValueError, match="one line"):
            session.command(line)


def test_any_text_can_be_said() -> None:
    with playing(GREETING, Hear(), Say(b"501 no\r\n"), *BYE) as (session, server):
        session.open()
        assert session.command("EHLO grüße\udcff").code == 501
        session.quit_politely()
    assert server.heard[0] == "EHLO grüße\\udcff\r\n".encode()


def test_the_preamble_goes_first_and_is_no_dialogue() -> None:
    with HostileServer([[Hear(), GREETING, *BYE]]) as server:
        session = Session(Endpoint(Tcp(*server.address), ProxyV1()), CLIENT, reply_timeout=PATIENT)
        session.open()
        session.quit_politely()
    assert server.heard[0].startswith(b"PROXY TCP4 192.0.2.7 127.0.0.1 ")
    assert "preamble PROXY TCP4 192.0.2.7" in events(session)
    assert lines(session, Direction.CLIENT) == b"QUIT\r\n"


def test_a_session_begins_once_and_with_open() -> None:
    with playing(GREETING, Stall()) as (session, _):
        with pytest.raises(RuntimeError, match=r"open\(\)"):
            session.command("NOOP")
        session.open()
        with pytest.raises(RuntimeError, match="once"):
            session.open()


# Replies that nothing asked for, and replies in bulk


def unsolicited(session: Session) -> list[Reply]:
    return [reply for reply in session.replies if "unsolicited" in reply.flaws]


def test_a_second_reply_is_not_taken_for_the_next() -> None:
    twice = Say(b"250 first\r\n250 second\r\n")
    with playing(GREETING, Hear(), twice, Hear(), Say(b"550 third\r\n"), *BYE) as (session, _):
        session.open()
        assert session.command("NOOP").text == "first"
        assert session.command("NOOP").text == "third"
        assert [reply.text for reply in unsolicited(session)] == ["second"]
        assert "nothing had asked for the reply 250" in events(session)


def test_early_talk_is_not_taken_for_an_answer() -> None:
    said = threading.Event()
    early: list[Step] = [Say(b"250 early\r\n"), Ring(said)]
    with playing(GREETING, Hear(), OK, *early, Hear(), Say(b"550 asked for\r\n"), *BYE) as (session, _):
        session.open()
        session.command("NOOP")
        assert said.wait(PATIENT)
        assert session.command("NOOP").text == "asked for"
        assert [reply.text for reply in unsolicited(session)] == ["early"]


def test_a_reply_that_straggles_in_is_not_taken_for_the_next() -> None:
    script: list[Step] = [
        GREETING,
        Hear(),
        Say(b"250 first\r\n250 sec"),
        Hear(),
        Say(b"ond\r\n550 third\r\n"),
        *BYE,
    ]
    with playing(*script) as (session, _):
        session.open()
        assert session.command("NOOP").text == "first"
        assert session.command("NOOP").text == "third"
        assert [reply.text for reply in unsolicited(session)] == ["second"]


def test_a_parting_word_before_the_command_is_seen() -> None:
    with playing(GREETING, Say(b"421 idle for too long\r\n")) as (session, _):
        session.open()
        assert session.closed_by_server(SOON)
        with pytest.raises(SessionEnded) as ended:
            session.command("NOOP")
    assert ended.value.ending is Ending.SERVER_CLOSED
    assert ended.value.reply is not None
    assert ended.value.reply.text == "idle for too long"
    assert unsolicited(session) == [ended.value.reply]


def test_a_flood_of_replies_ends() -> None:
    with playing(GREETING, Flood(b"250 ok\r\n")) as (session, _):
        session.open()
        with pytest.raises(SessionEnded, match="nothing asked for") as ended:
            go_on_for_ever(session)
    assert ended.value.ending is Ending.GARBAGE


def go_on_for_ever(session: Session) -> None:
    while True:
        session.command("NOOP")


def test_a_pipeline_has_its_replies_in_order() -> None:
    script: list[Step] = [
        GREETING,
        Hear(),
        Hear(),
        Hear(),
        Say(b"250 a\r\n250 b\r\n354 c\r\n"),
        CONTENT,
        OK,
        *BYE,
    ]
    with playing(*script) as (session, _):
        session.open()
        session.send_raw(b"MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n", replies=3)
        assert [session.read_reply().text for _ in range(3)] == ["a", "b", "c"]
        assert session.send_content(b"x").code == 250
        assert unsolicited(session) == []


def test_each_reply_of_a_pipeline_counts_from_its_own_command() -> None:
    with playing(GREETING, Hear(), Hear(), Say(b"250 a\r\n250 b\r\n"), *BYE) as (session, _):
        session.open()
        session.send_raw(b"NOOP 1\r\n")
        session.send_raw(b"NOOP 2\r\n")
        first, second = session.read_reply(), session.read_reply()
    sent = [line.at for line in session.transcript.lines if line.direction is Direction.CLIENT]
    assert first.at - first.seconds == pytest.approx(sent[0])
    assert second.at - second.seconds == pytest.approx(sent[1])


def test_replies_of_a_pipeline_outlive_the_connection() -> None:
    with playing(GREETING, Hear(), Hear(), Say(b"250 a\r\n421 b\r\n")) as (session, _):
        session.open()
        session.send_raw(b"NOOP\r\nNOOP\r\n", replies=2)
        assert session.closed_by_server(SOON)
        assert [session.read_reply().text for _ in range(2)] == ["a", "b"]
        with pytest.raises(SessionEnded):
            session.read_reply()


def test_half_a_command_asks_for_nothing() -> None:
    with playing(GREETING, Hear(), OK, *BYE) as (session, server):
        session.open()
        session.send_raw(b"NO", replies=0)
        assert session.command("OP").code == 250
        session.quit_politely()
    assert server.heard[0] == b"NOOP\r\n"
    assert lines(session, Direction.CLIENT) == b"NOOP\r\nQUIT\r\n"
