"""What a server did to a connection: a refusal that closes it is another one than a refusal that does not."""

import time
from collections.abc import Collection

import pytest

from harness.outcome import Stage, Treatment
from harness.smtp.endpoint import Endpoint
from harness.smtp.session import Session
from harness.smtp.transport import Tcp
from harness.world.conversation import Attempt, Conversation
from tests.hostile_server import Hear, HostileServer, Reset, Say, Stall, Step

GREETING = Say(b"220 mx.example.org\r\n")
REFUSAL = Say(b"550 5.7.1 no\r\n")
FINE = Say(b"250 fine\r\n")


def spoken(
    *script: Step, patience: float = 5.0, may_end: frozenset[Stage] = frozenset()
) -> tuple[Attempt, str]:
    """A greeting, EHLO and QUIT with such a server; the dialogue, and how it was lost if it was."""
    talk, attempt = had(*script, patience=patience, may_end=may_end)
    return attempt, talk.lost


def had(
    *script: Step, patience: float = 5.0, may_end: frozenset[Stage] = frozenset()
) -> tuple[Conversation, Attempt]:
    with HostileServer([script]) as server:
        session = Session(Endpoint(Tcp(*server.address)), "127.0.0.1", reply_timeout=patience)
        talk = Conversation(session, "127.0.0.1", lambda since, until: 0.0, may_end=may_end)
        talk.connect()
        talk.ehlo("client.example")
        return talk, talk.quit()


@pytest.mark.parametrize("ending", [(), (Reset(),)], ids=["closes", "resets"])
def test_when_a_dialogue_was_broken_off_is_known(ending: tuple[Step, ...]) -> None:
    began = time.monotonic()
    talk, _ = had(GREETING, Hear(), *ending)
    assert talk.severed_at is not None
    assert began < talk.severed_at < time.monotonic()
    at_quit, _ = had(GREETING, Hear(), FINE, Hear(), *ending)
    assert at_quit.severed_at is None


@pytest.mark.parametrize(
    "ending", [(), (Reset(),), (Say(b"221 bye\r\n"),)], ids=["closes", "resets", "says bye"]
)
def test_how_a_server_answers_quit_says_nothing_of_the_refusal_before(ending: tuple[Step, ...]) -> None:
    attempt, lost = spoken(GREETING, Hear(), REFUSAL, Hear(), FINE, Hear(), *ending)
    assert attempt.helo.treatment is Treatment.DENY
    assert attempt.parted
    assert not lost


@pytest.mark.parametrize("ending", [(), (Reset(),)], ids=["closes", "resets"])
def test_a_refusal_that_closes_the_connection(ending: tuple[Step, ...]) -> None:
    attempt, lost = spoken(GREETING, Hear(), REFUSAL, *ending)
    assert attempt.helo.treatment is Treatment.DROP
    assert not attempt.parted
    assert not lost


def test_a_dialogue_without_a_refusal_goes_on_to_quit() -> None:
    attempt, lost = spoken(GREETING, Hear(), FINE, Hear())
    assert attempt.helo.treatment is Treatment.PASS
    assert attempt.parted
    assert not lost


def test_a_server_that_says_nothing_more_has_refused_all_the_same() -> None:
    attempt, lost = spoken(GREETING, Hear(), REFUSAL, Hear(), Stall(), patience=0.5)
    assert attempt.helo.treatment is Treatment.DENY
    assert not attempt.parted
    assert not lost


@pytest.mark.parametrize(("documented", "lost"), [({Stage.HELO}, False), ({Stage.RCPT}, True), ({}, True)])
def test_a_421_is_an_answer_where_it_is_documented(documented: Collection[Stage], lost: bool) -> None:
    leaves = Say(b"421 4.7.1 Come again later\r\n")
    attempt, why = spoken(GREETING, Hear(), leaves, may_end=frozenset(documented))
    assert attempt.helo.treatment is Treatment.DEFER
    assert bool(why) is lost
