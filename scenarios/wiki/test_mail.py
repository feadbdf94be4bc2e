"""MAIL FROM: a greeting is owed, and an earned delay comes again."""

from dataclasses import replace

import pytest

from harness.scenario import Attempt, Before, Client, Expect, Offence, Stage, Sut, Treatment, rule

from .recipients import must_refuse

REFUSED = (Treatment.DENY, Treatment.DEFER)  # and the connection goes on
TORN = {"bare LF", "bare CR", "codes differ between lines", "no space behind the code"}  # flaws of a reply
CAUSES = {  # of a delay that is earned at the connection, or by a greeting
    "connect": Offence.UNVERIFIED_HOST,
    "helo": Offence.UNQUALIFIED_GREETING,
    "literal": Offence.ADDRESS_LITERAL_GREETING,
    "unconfirmed": Offence.UNCONFIRMED_GREETING,
}
EARNED_BY = pytest.mark.parametrize("cause", list(CAUSES))


@rule("mail.no-helo")
def test_mail_before_any_greeting(client: Client, offence: bool, expect: Expect) -> None:
    client.be_known()
    with client.conversation() as talk:
        talk.connect()
        if not offence:
            talk.ehlo(client.host)
        client.carry_on(talk)
        attempt = talk.quit()
    expect(attempt)


@rule("mail.no-helo")
def test_mail_after_a_greeting_that_was_refused(
    client: Client, offence: bool, sut: Sut, expect: Expect
) -> None:
    must_refuse(expect)
    must_refuse_own_names(expect)
    most = sut.profile.dialect.max_errors
    expect.applicable(
        not 0 < most < 3, f"after {most} refused commands the server ends the connection anyway"
    )
    client.be_known()
    with client.conversation() as talk:
        talk.connect()
        greeting = talk.ehlo(sut.domains[0] if offence else client.host)
        client.carry_on(talk)
        attempt = talk.quit()
    if offence:
        expect.given(greeting.treatment is not None, f"the greeting was not answered: {greeting}")
        expect.applicable(greeting.treatment in REFUSED, f"the greeting was not refused: {greeting}")
        attempt = without_greeting(attempt)
    expect(attempt, whenever=True)  # the delay of the refused greeting may come again


@rule("mail.delay-repeated")
@EARNED_BY
def test_delay_comes_again_at_mail(client: Client, offence: bool, expect: Expect, cause: str) -> None:
    expect(delayed(client, offence, cause, expect), earned=True)


@rule("rcpt.delay-repeated")
@EARNED_BY
def test_delay_comes_again_at_rcpt(client: Client, offence: bool, expect: Expect, cause: str) -> None:
    expect(delayed(client, offence, cause, expect), earned=True)


@rule("mail.delay-repeated")
def test_delay_comes_again_at_a_later_mail(client: Client, offence: bool, expect: Expect) -> None:
    expect(delayed(client, offence, "helo", expect, before=Before.GIVEN_UP), earned=True)


@rule("rcpt.delay-repeated")
def test_delay_comes_again_at_rcpt_of_a_later_mail(client: Client, offence: bool, expect: Expect) -> None:
    expect(delayed(client, offence, "helo", expect, before=Before.GIVEN_UP), earned=True)


@rule("delay.no-early-reject")
def test_dialogue_goes_on_after_every_delay(client: Client, offence: bool, expect: Expect) -> None:
    must_delay("helo", expect)
    client.be_known()
    with client.conversation() as talk:
        talk.connect()
        talk.ehlo("unqualified" if offence else client.host)
        talk.mail(client.sender)
        talk.rcpt(client.world.sut.recipient)
        again = talk.reset()
        attempt = talk.quit()
    expect(attempt, earned=True)
    expect.goes_on(attempt)
    replies = [(step.reply, expect.was_late(step)) for step in attempt.staged if step.reply]
    usual = {flaw for reply, late in replies if not late for flaw in reply.flaws}
    flaws = [flaw for reply, late in replies if late for flaw in reply.flaws if flaw in TORN - usual]
    assert not flaws, f"a held-back reply is not whole: {flaws}"
    assert again.reply is None or again.code == 250, f"RSET after the delays was answered {again.code}"


def delayed(
    client: Client, offence: bool, cause: str, expect: Expect, *, before: Before = Before.NOTHING
) -> Attempt:
    """A dialogue that earns a delay at the connection or the greeting, if there is to be an offence."""
    must_delay(cause, expect)
    greetings = {
        "helo": "unqualified",
        "literal": f"[{client.address}]",
        "unconfirmed": client.name("nowhere"),
    }
    if cause in greetings:
        attempt = client.attempt(helo=greetings[cause] if offence else client.host, before=before)
        earned = attempt.helo
    else:
        sender, recipient = spared_by_the_greylist(client, expect)
        if offence:
            client.without_ptr()
        attempt = client.attempt(sender=sender, recipient=recipient)
        earned = attempt.connect
    if offence:
        expect.given(
            expect.was_late(earned),
            f"no reply at {earned.stage} was clearly held back in the first place: {earned}",
        )
    return attempt


def must_refuse_own_names(expect: Expect) -> None:
    offence = Offence.OWN_NAME_GREETING
    at_once = all(one.stage is Stage.HELO and one.treatment in REFUSED for one in expect.earnings(offence))
    expect.applicable(
        at_once and expect.claimed(offence),
        "who greets with a name of the server is not refused at once here, or the connection ends with that",
    )


def without_greeting(attempt: Attempt) -> Attempt:
    """The dialogue of one who has not greeted, for a greeting that is refused is none."""
    return replace(attempt, steps=tuple(step for step in attempt.steps if step.tag is not Stage.HELO))


def must_delay(cause: str, expect: Expect) -> None:
    offence = CAUSES[cause]
    delays = all(one.late and one.treatment is Treatment.PASS for one in expect.earnings(offence))
    expect.applicable(
        delays and expect.claimed(offence), f"an {offence.replace('_', ' ')} is not delayed by this server"
    )


def spared_by_the_greylist(client: Client, expect: Expect) -> tuple[str, str]:
    """Sender and recipient for whom a host without a name, which is on no whitelist, is not put off."""
    sut, profile = client.world.sut, client.world.sut.profile
    if sut.exempt_recipient:
        return client.sender, sut.exempt_recipient
    calls_out = profile.claims(expect.catalogue["greylist.null-not-at-rcpt"]) and bool(sut.postmasters)
    if profile.greylist and client.world.goal is not Stage.DATA and calls_out:
        return "", sut.postmasters[0]
    expect.needed(
        not profile.greylist or bool(client.world.clock) or client.world.goal is Stage.MAIL,
        "a host without a name is greylisted at first, and the profile has no [clock], so no time can pass",
    )
    return client.sender, sut.recipient
