"""A dialogue is a list of steps: what was sent, the replies that it got, and the stage that it is about."""

import contextlib
from collections.abc import Iterator

from harness.outcome import Stage, Treatment
from harness.world.conversation import CONTENT, Conversation
from tests.hostile_server import Hear, Say, Step
from tests.smtp_dialogue import BYE, CLIENT, GO_ON, GREETING, OK, playing
from tests.smtp_dialogue import CONTENT as WHOLE_CONTENT

EHLO: list[Step] = [GREETING, Hear(), OK]


@contextlib.contextmanager
def talking(*steps: Step, timeout: float = 20.0) -> Iterator[Conversation]:
    with playing(*steps, timeout=timeout) as (session, _):
        talk = Conversation(session, CLIENT, lambda since, until: 0.0)
        talk.connect()
        yield talk


def told(talk: Conversation) -> list[tuple[Stage | None, str, list[int]]]:
    return [(step.tag, step.command, [reply.code for reply in step.replies]) for step in talk.steps]


def test_every_exchange_is_a_step_and_the_content_is_one() -> None:
    script = [*EHLO, Hear(), OK, Hear(), OK, Hear(), OK, Hear(), GO_ON, WHOLE_CONTENT, OK, *BYE]
    with talking(*script) as talk:
        talk.ehlo("mx.example.net")
        talk.reset()
        talk.mail("")
        talk.rcpt("ann@example.org")
        talk.data(b"Hello.\r\n")
        attempt = talk.quit()
    assert told(talk) == [
        (Stage.CONNECT, "", [220]),
        (Stage.HELO, "EHLO mx.example.net", [250]),
        (None, "RSET", [250]),
        (Stage.MAIL, "MAIL FROM:<>", [250]),
        (Stage.RCPT, "RCPT TO:<ann@example.org>", [250]),
        (Stage.DATA, "DATA", [354]),
        (Stage.DATA, CONTENT, [250]),
        (None, "QUIT", [221]),
    ]
    assert [step.code for step in attempt.staged] == [220, 250, 250, 250, 250]
    assert [reply.code for reply in attempt.replies] == [220, 250, 250, 250, 250, 354, 250, 221]
    assert talk.took_message


def test_a_message_that_is_told_to_come_and_never_does_was_not_taken() -> None:
    with talking(*EHLO, Hear(), GO_ON, WHOLE_CONTENT) as talk:
        talk.ehlo("mx.example.net")
        assert talk.data(b"Hello.\r\n").reply is None
        attempt = talk.attempt
    assert not talk.took_message
    assert (attempt.data.reply, attempt.data.broken) == (None, talk.broken)
    assert attempt.reached is attempt.helo


def test_what_nothing_had_asked_for_is_a_step_of_its_own() -> None:
    with talking(GREETING, Hear(), Say(b"250 ok\r\n421 4.4.2 idle\r\n")) as talk:
        assert talk.ehlo("mx.example.net").code == 250
        assert talk.reset().reply is None
    assert told(talk) == [
        (Stage.CONNECT, "", [220]),
        (Stage.HELO, "EHLO mx.example.net", [250]),
        (None, "", [421]),
        (None, "RSET", []),
    ]
    assert talk.attempt.helo.code == 250


def test_several_commands_in_one_write_have_a_reply_each() -> None:
    both = Say(b"250 one\r\n550 two\r\n")
    with talking(*EHLO, Hear(), Hear(), both, *BYE) as talk:
        talk.ehlo("mx.example.net")
        talk.write(b"RSET\r\nVRFY ann\r\n", replies=2)
        first, second = talk.hear(), talk.hear()
        assert first
        assert second
        assert (first.code, second.code) == (250, 550)
        assert talk.last_written
        assert talk.last_written.replies == (first, second)
        assert talk.last_written.treatment is Treatment.DENY
        assert talk.last_written.command == r"RSET\r\nVRFY ann"
        talk.quit()


def test_silence_ends_nothing_and_what_comes_later_is_heard() -> None:
    with talking(*EHLO, Hear(b"NO"), Hear(), OK, *BYE) as talk:
        talk.ehlo("mx.example.net")
        talk.write(b"NO", replies=0)
        assert talk.hear(within=0.05) is None
        assert not talk.broken
        talk.write(b"OP\r\n")
        reply = talk.hear()
        assert reply
        assert reply.code == 250
        talk.quit()
    assert [codes for _, _, codes in told(talk)] == [[220], [250], [], [250], [221]]


def test_what_is_said_in_raw_has_no_credentials_in_its_step() -> None:
    with talking(*EHLO, Hear(), Say(b"334 \r\n"), Hear(), OK, *BYE) as talk:
        talk.ehlo("mx.example.net")
        talk.write(b"AUTH PLAIN\r\n")
        talk.hear()
        talk.write(b"AGFubgBzZWNyZXQ=\r\n")
        talk.hear()
        talk.quit()
    assert [command for _, command, _ in told(talk)][2:4] == ["AUTH PLAIN", "***"]


def test_what_was_listened_for_in_vain_is_not_owed_any_more() -> None:
    with talking(*EHLO, Hear(b"NO"), Hear(), Say(b"250 one\r\n250 two\r\n"), *BYE) as talk:
        talk.ehlo("mx.example.net")
        talk.write(b"NO", replies=0)
        assert talk.hear(within=0.05) is None
        talk.write(b"OP\r\n")
        assert talk.hear()
        talk.quit()
    assert [step.text for step in talk.steps if not step.command and step.tag is None] == ["two"]


def test_what_came_at_a_stage_is_shown_and_else_what_the_dialogue_ended_with() -> None:
    with talking(*EHLO, Hear(), Say(b"550 5.7.23 no such sender\r\n"), Hear(), OK, *BYE) as talk:
        talk.ehlo("mx.example.net")
        talk.mail("ann@example.org")
        attempt = talk.quit()
    assert attempt.shown_at(Stage.HELO).startswith("helo: 250 ")
    assert attempt.shown_at(Stage.DATA).startswith("mail: 550 5.7.23 no such sender after ")
