"""Sessions as smtplib: its methods do what its documentation says, and are recorded."""

import base64
import smtplib

import pytest

from harness.smtp.endpoint import Endpoint
from harness.smtp.session import Ending, Session, SessionEnded
from harness.smtp.transcript import Direction
from harness.smtp.transport import Tcp
from tests.hostile_server import Hear, Say, Stall, Step
from tests.smtp_dialogue import BYE, CONTENT, GO_ON, GREETING, OK, lines, playing

USER, PASSWORD = "user@example.org", "correct horse"


def test_smtplib_sends_a_message() -> None:
    script: list[Step] = [GREETING, Hear(), OK, Hear(), OK, Hear(), OK, Hear(), GO_ON, CONTENT, OK, *BYE]
    with playing(*script) as (session, server), session:
        assert session.connect() == (220, b"mx.example.org ESMTP")
        assert session.sendmail("a@client.example", ["b@example.org"], "Subject: x\n\n.dot\n") == {}
    assert [reply.code for reply in session.replies] == [220, 250, 250, 250, 354, 250, 221]
    assert server.heard[0] == b"ehlo [192.0.2.7]\r\n"
    assert server.heard[4] == b"Subject: x\r\n\r\n..dot\r\n.\r\n"
    assert lines(session, Direction.CLIENT) == b"".join(server.heard)
    assert session.ending is Ending.QUIT


def test_smtplib_greets_with_an_ipv6_literal() -> None:
    assert (
        Session(Endpoint(Tcp("::1", 25)), "2001:db8::7", reply_timeout=1).local_hostname
        == "[IPv6:2001:db8::7]"
    )


def test_smtplib_quits() -> None:
    with playing(GREETING, *BYE) as (session, _):
        session.connect(*session._channel.endpoint.server)
        assert session.quit() == (221, b"bye")
        assert session.ending is Ending.QUIT


def test_smtplib_connects_nowhere_else() -> None:
    with playing(GREETING, Stall()) as (session, _), pytest.raises(ValueError, match="its own endpoint"):
        session.connect("mx.example.org", 25)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_smtplib_logs_in_and_nothing_is_told(mechanism: str) -> None:
    ehlo = Say(f"250-mx.example.org\r\n250 AUTH {mechanism}\r\n".encode())
    rounds = {"PLAIN": 0, "LOGIN": 1, "CRAM-MD5": 1}[mechanism]
    prompts: list[Step] = [Hear(), Say(b"334 PDFAbXguZXhhbXBsZS5vcmc+\r\n")] * rounds
    with playing(GREETING, Hear(), ehlo, *prompts, Hear(), Say(b"235 welcome\r\n"), *BYE) as (
        session,
        server,
    ):
        session.connect()
        assert session.login(USER, PASSWORD) == (235, b"welcome")
        session.quit()
    answer = server.heard[-2].split()[-1]
    assert len(base64.b64decode(answer)) >= len(PASSWORD)
    kept = lines(session, Direction.CLIENT)
    assert answer not in kept
    assert b"***" in kept
    assert base64.b64encode(USER.encode()) not in kept


def test_smtplib_is_told_that_starttls_is_missing_or_refused() -> None:
    with playing(GREETING, Hear(), OK, *BYE) as (session, _):
        session.connect()
        with pytest.raises(smtplib.SMTPNotSupportedError):
            session.starttls()
    ehlo = Say(b"250-mx.example.org\r\n250 STARTTLS\r\n")
    with playing(GREETING, Hear(), ehlo, Hear(), Say(b"454 no\r\n"), *BYE) as (session, _):
        session.connect()
        with pytest.raises(smtplib.SMTPResponseException):
            session.starttls()


def test_smtplib_is_told_of_the_end_in_its_own_words() -> None:
    with playing(GREETING, Hear()) as (session, _):
        session.connect()
        with pytest.raises(smtplib.SMTPServerDisconnected, match="closed the connection") as told:
            session.noop()
        assert isinstance(told.value.__cause__, SessionEnded)
        assert session.ending is Ending.SERVER_CLOSED
        with pytest.raises(smtplib.SMTPServerDisconnected):
            session.mail("a@client.example")


def test_smtplib_logs_in_and_an_echo_is_masked() -> None:
    ehlo = Say(b"250-mx.example.org\r\n250 AUTH PLAIN\r\n")
    echo = Say(f"535 wrong: {PASSWORD}\r\n".encode())
    with playing(GREETING, Hear(), ehlo, Hear(), echo, *BYE) as (session, _):
        session.connect()
        with pytest.raises(smtplib.SMTPAuthenticationError, match=r"wrong: \*\*\*"):
            session.login(USER, PASSWORD)
        assert PASSWORD.encode() not in lines(session, Direction.SERVER)
