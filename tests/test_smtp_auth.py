"""Credentials: they reach the server and nobody else."""

import base64

import pytest

from harness.smtp.session import ClearTextError, Ending, SessionEnded
from harness.smtp.transcript import Direction
from tests.hostile_server import Drip, Hear, Say, Step
from tests.smtp_dialogue import BYE, GREETING, OK, lines, playing

USER, PASSWORD = "user@example.org", "correct horse"
BLOB = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())


def test_credentials_at_once() -> None:
    with playing(GREETING, Hear(), Say(b"235 welcome\r\n"), *BYE) as (session, server):
        session.open()
        assert [reply.code for reply in session.auth_plain(USER, PASSWORD)] == [235]
        session.quit_politely()
    assert server.heard[0] == b"AUTH PLAIN " + BLOB + b"\r\n"
    assert lines(session, Direction.CLIENT) == b"AUTH PLAIN ***\r\nQUIT\r\n"


def test_credentials_after_the_prompt() -> None:
    with playing(GREETING, Hear(), Say(b"334 \r\n"), Hear(), Say(b"235 welcome\r\n"), *BYE) as (
        session,
        server,
    ):
        session.open()
        replies = session.auth_plain(USER, PASSWORD, initial=False, authzid="boss@example.org")
        assert [reply.code for reply in replies] == [334, 235]
        session.quit_politely()
    assert server.heard[:2] == [
        b"AUTH PLAIN\r\n",
        base64.b64encode(f"boss@example.org\0{USER}\0{PASSWORD}".encode()) + b"\r\n",
    ]
    assert lines(session, Direction.CLIENT) == b"AUTH PLAIN\r\n***\r\nQUIT\r\n"


def test_no_credentials_for_a_server_that_does_not_prompt() -> None:
    with playing(GREETING, Hear(), Say(b"504 no\r\n"), *BYE) as (session, server):
        session.open()
        assert [reply.code for reply in session.auth_plain(USER, PASSWORD, initial=False)] == [504]
        session.quit_politely()
    assert server.heard == [b"AUTH PLAIN\r\n", b"QUIT\r\n"]


@pytest.mark.parametrize("initial", [True, False])
def test_a_server_that_prompts_on_is_stopped(initial: bool) -> None:
    prompts: list[Step] = [Hear(), Say(b"334 more\r\n")] * (1 if initial else 2)
    with playing(GREETING, *prompts, Hear(), Say(b"501 cancelled\r\n"), *BYE) as (session, server):
        session.open()
        assert session.auth_plain(USER, PASSWORD, initial=initial)[-1].code == 501
        session.quit_politely()
    assert server.heard[-2] == b"*\r\n"


@pytest.mark.parametrize("echo", [PASSWORD.encode(), BLOB, base64.b64encode(PASSWORD.encode())])
def test_an_echoed_secret_is_kept_nowhere(echo: bytes) -> None:
    answer = b"535 5.7.8 wrong: " + echo + b"\r\n"
    with playing(GREETING, Hear(), Drip(answer, 0.0), Hear(), Say(echo + b"\r\n")) as (session, _):
        session.open()
        (reply,) = session.auth_plain(USER, PASSWORD)
        assert (reply.code, reply.enhanced, reply.text) == (535, "5.7.8", "5.7.8 wrong: ***")
        assert reply.raw == b"535 5.7.8 wrong: ***\r\n"
        with pytest.raises(SessionEnded) as ended:
            session.command("NOOP")
        assert ended.value.ending is Ending.GARBAGE
        assert "***" in ended.value.reason
    kept = repr((session.transcript.lines, session.replies, ended.value.reason))
    assert PASSWORD not in kept
    assert echo.decode() not in kept


def test_secrets_given_are_masked_without_auth() -> None:
    with playing(GREETING, Hear(), OK, *BYE, secrets=[PASSWORD]) as (session, server):
        session.open()
        session.command(f"VRFY {PASSWORD}")
        session.quit_politely()
    assert PASSWORD.encode() in server.heard[0]
    assert lines(session, Direction.CLIENT) == b"VRFY ***\r\nQUIT\r\n"


@pytest.mark.parametrize("password", [PASSWORD, f"not-{PASSWORD}"])
def test_a_guarded_password_is_not_said_in_clear_text(password: str) -> None:
    with playing(GREETING, *BYE, secrets=[PASSWORD]) as (session, server):
        session.open()
        with pytest.raises(ClearTextError):
            session.auth_plain(USER, password)
        with pytest.raises(ClearTextError):
            session.login(USER, password)
        session.quit_politely()
    assert server.heard == [b"QUIT\r\n"]


def test_a_guarded_password_is_said_in_clear_text_where_that_is_the_point() -> None:
    with playing(GREETING, Hear(), Say(b"538 no\r\n"), *BYE, secrets=[PASSWORD]) as (session, server):
        session.open()
        session.reveals_secrets = True
        assert [reply.code for reply in session.auth_plain(USER, PASSWORD)] == [538]
        session.quit_politely()
    assert server.heard[0] == b"AUTH PLAIN " + BLOB + b"\r\n"
