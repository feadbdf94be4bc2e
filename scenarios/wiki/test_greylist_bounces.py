"""Greylisting of bounces: not before the end of DATA, for a sender callout is to succeed."""

from harness.scenario import (
    Attempt,
    Client,
    Clock,
    Expect,
    GreylistOperator,
    GreylistPart,
    NewClient,
    Offence,
    Stage,
    Sut,
    Treatment,
    message,
    rule,
)

from .greylisting import first_attempt, known_unless_it_counts, make_known, must_be_greylisted, unheard_of


@rule("greylist.null-not-at-rcpt")
def test_sender_callout(stranger: Client, sut: Sut, expect: Expect) -> None:
    expect.applicable(
        sut.greylist.stage is Stage.RCPT, "nobody is put off before the end of DATA, the null sender or not"
    )
    must_be_greylisted(sut, expect, takes_bounces(sut, expect))
    first_attempt(stranger.another("ordinary mail of another host"), sut, expect)
    with stranger.conversation() as talk:
        talk.connect()
        talk.ehlo(stranger.host)
        talk.mail("")
        talk.rcpt(takes_bounces(sut, expect))
        talk.reset()
        attempt = talk.quit()
    expect.outcome(f"{expect.expected[0].treatment} at rcpt", attempt)


@rule("greylist.postmaster-at-rcpt")
def test_postmaster_is_not_the_null_sender(
    new_client: NewClient, offence: bool, sut: Sut, clock: Clock | None, expect: Expect
) -> None:
    must_be_greylisted(sut, expect, sut.legal_bounce)
    client = unheard_of(new_client, offence, sut, clock, expect)
    expect(
        client.attempt(sender=f"postmaster@{client.identity.domain}", recipient=takes_bounces(sut, expect))
    )


@rule("greylist.null-at-data")
def test_bounce_is_greylisted_at_data(stranger: Client, offence: bool, sut: Sut, expect: Expect) -> None:
    must_be_greylisted(sut, expect, sut.legal_bounce)
    if not offence:
        make_bounce_known(stranger, sut, expect)
    expect(bounce(stranger, takes_bounces(sut, expect), "bounce"))


@rule("greylist.null-at-data")
def test_bounce_is_keyed_without_a_sender(stranger: Client, offence: bool, sut: Sut, expect: Expect) -> None:
    make_known(stranger, sut, expect, recipient=takes_bounces(sut, expect))
    if not offence:
        make_bounce_known(stranger, sut, expect)
    attempt = bounce(stranger, takes_bounces(sut, expect), "bounce from a client with a known triplet")
    known_unless_it_counts(GreylistPart.SENDER_DOMAIN, attempt, sut, expect, Stage.DATA)


@rule("greylist.null-at-data")
def test_bounce_to_another_recipient(stranger: Client, offence: bool, sut: Sut, expect: Expect) -> None:
    other = sut.another_legal_bounce
    make_bounce_known(stranger, sut, expect)
    attempt = bounce(stranger, other if offence else takes_bounces(sut, expect), "after that")
    known_unless_it_counts(GreylistPart.RECIPIENT, attempt, sut, expect, Stage.DATA)


@rule("greylist.null-blacklisted")
def test_bounce_on_the_black_list(
    stranger: Client, offence: bool, sut: Sut, greylist: GreylistOperator, expect: Expect
) -> None:
    must_be_greylisted(sut, expect, sut.legal_bounce)
    greylist.add("black" if offence else "white", stranger.address, "", takes_bounces(sut, expect))
    expect(bounce(stranger, takes_bounces(sut, expect), "bounce"))


def takes_bounces(sut: Sut, expect: Expect) -> str:
    """A recipient to whom a bounce is taken at once, as long as the greylist has nothing against it."""
    without_lists = all(domain.bounce_recipients is None for domain in sut.profile.domain)
    if without_lists and expect.claimed(Offence.BOUNCE_WITHOUT_LIST):
        (earned,) = expect.earnings(Offence.BOUNCE_WITHOUT_LIST)
        expect.needed(
            earned.treatment is Treatment.PASS and not earned.late,
            f"no [[domain]] has a list of senders, so a bounce earns «{earned}»",
        )
    return sut.legal_bounce


def make_bounce_known(client: Client, sut: Sut, expect: Expect) -> None:
    """The client bounces, and bounces again if that was put off, at RCPT or at the end of DATA."""
    recipient = takes_bounces(sut, expect)
    must_be_greylisted(sut, expect, recipient)
    first = bounce(client, recipient, "first bounce")
    again = client.after_greylist(
        first, lambda: bounce(client, recipient, "retry of the bounce"), whatever_code=True
    )
    expect.given(again.data.treatment is Treatment.PASS, f"the bounce was not accepted: {again.reached}")


def bounce(client: Client, recipient: str, label: str) -> Attempt:
    return client.attempt(sender="", recipient=recipient, message=message(client, recipient), label=label)
