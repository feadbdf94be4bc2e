"""MAIL FROM: a greeting is owed, and an earned delay comes again."""

import pytest

from harness.scenario import Attempt, Client, Expect, Stage, rule


@rule("mail.no-helo")
def test_mail_before_any_greeting(client: Client, expect: Expect) -> None:
    with client.conversation() as talk:
        talk.connect()
        talk.mail(client.sender)
        attempt = talk.quit()
    expect(attempt, twin=client.twin().attempt(upto=Stage.MAIL))


@rule("mail.delay-repeated")
@pytest.mark.parametrize("earned_at", ["connect", "helo"])
def test_delay_comes_again_at_mail(client: Client, expect: Expect, earned_at: str) -> None:
    attempt = delayed(client, earned_at, Stage.MAIL, expect)
    expect(attempt, twin=client.twin().attempt(upto=Stage.MAIL), earned=True)


@rule("rcpt.delay-repeated")
@pytest.mark.parametrize("earned_at", ["connect", "helo"])
def test_delay_comes_again_at_rcpt(client: Client, expect: Expect, earned_at: str) -> None:
    attempt = delayed(client, earned_at, Stage.RCPT, expect)
    expect(attempt, twin=client.twin().attempt(), earned=True)


@rule("delay.no-early-reject")
def test_dialogue_goes_on_after_every_delay(client: Client, expect: Expect) -> None:
    sender, recipient = callout(client)
    with client.conversation() as talk:
        talk.connect()
        talk.ehlo("unqualified")
        talk.mail(sender)
        talk.rcpt(recipient)
        again = talk.reset()
        attempt = talk.quit()
    expect(attempt, twin=client.twin().attempt(), earned=True)
    assert again is not None
    assert again.code == 250, f"RSET after the delays was answered {again.code}"
    assert attempt.ending.value == "quit", "QUIT after the delays was not answered with 221"
    flaws = [flaw for step in attempt.steps if step.reply for flaw in step.reply.flaws]
    assert not flaws, f"a held-back reply is not whole: {flaws}"


def delayed(client: Client, earned_at: str, upto: Stage, expect: Expect) -> Attempt:
    sender, recipient = callout(client)
    if earned_at == "connect":
        client.without_ptr()
        attempt = client.attempt(sender=sender, recipient=recipient, upto=upto)
        earned = attempt.connect
    else:
        attempt = client.attempt(helo="unqualified", sender=sender, recipient=recipient, upto=upto)
        earned = attempt.helo
    expect.given(expect.was_late(earned), f"no delay was earned at {earned_at} in the first place: {earned}")
    return attempt


def callout(client: Client) -> tuple[str, str]:
    """Sender and recipient that no greylist puts off at RCPT: those of a sender callout, if possible."""
    postmasters = client.world.sut.postmasters
    return ("", postmasters[0]) if postmasters else (client.sender, client.world.sut.recipient)
