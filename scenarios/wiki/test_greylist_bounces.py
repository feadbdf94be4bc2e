"""Greylisting of bounces: not before the end of DATA, for a sender callout is to succeed."""

from harness.scenario import (
    Attempt,
    Client,
    Clock,
    Expect,
    GreylistOperator,
    GreylistPart,
    Kind,
    NewClient,
    Stage,
    Sut,
    Treatment,
    message,
    rule,
)

from .bounces import takes_bounces, taking_bounces
from .greylisting import (
    first_attempt,
    known_unless_it_counts,
    make_known,
    must_be_greylisted,
    unheard_of,
    unless_refused,
)


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
    stranger.forget_earlier_runs(bounces=True)
    if not offence:
        make_bounce_known(stranger, sut, expect)
    expect(bounce(stranger, takes_bounces(sut, expect), "bounce"))


@rule("greylist.null-at-data")
def test_bounce_is_keyed_without_a_sender(stranger: Client, offence: bool, sut: Sut, expect: Expect) -> None:
    stranger.forget_earlier_runs(bounces=True)
    make_known(stranger, sut, expect, recipient=takes_bounces(sut, expect))
    if not offence:
        make_bounce_known(stranger, sut, expect)
    attempt = bounce(stranger, takes_bounces(sut, expect), "bounce from a client with a known triplet")
    known_unless_it_counts(GreylistPart.SENDER_DOMAIN, attempt, sut, expect, Stage.DATA)


@rule("greylist.null-at-data")
def test_bounce_to_another_recipient(stranger: Client, offence: bool, sut: Sut, expect: Expect) -> None:
    other = sut.another_legal_bounce
    stranger.forget_earlier_runs(bounces=True)
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


@rule("greylist.host-whitelist")
def test_bounce_of_a_host_on_the_whitelist(
    client: Client, new_client: NewClient, sut: Sut, expect: Expect
) -> None:
    expect.needed(sut.whitelists(client.host), "greylist.whitelist_hosts has no pattern of a reserved name")
    taken_while_those_of_strangers_are_not(client, new_client, sut, expect)


@rule("greylist.relay-exempt")
def test_bounce_of_a_relay_host(
    trusted_client: Client, new_client: NewClient, sut: Sut, expect: Expect
) -> None:
    taken_while_those_of_strangers_are_not(trusted_client, new_client, sut, expect)


@rule("greylist.authenticated-exempt")
def test_bounce_of_an_account(stranger: Client, new_client: NewClient, sut: Sut, expect: Expect) -> None:
    auth = sut.profile.auth
    expect.applicable(
        auth is None or auth.sender is None, "the account may use one sender alone, so it sends no bounces"
    )
    taken_while_those_of_strangers_are_not(stranger, new_client, sut, expect, authenticated=True)


def taken_while_those_of_strangers_are_not(
    client: Client, new_client: NewClient, sut: Sut, expect: Expect, *, authenticated: bool = False
) -> None:
    expect.applicable(
        sut.profile.claims(expect.catalogue["greylist.null-at-data"]), "bounces are not greylisted here"
    )
    recipient = taking_bounces(new_client(Kind.STRANGER), sut, expect)
    must_be_greylisted(sut, expect, recipient)

    def once() -> Attempt:
        return bounce(client, recipient, "bounce", authenticated=authenticated, patient=False)

    def of_a_stranger() -> Attempt:
        stranger = new_client(Kind.STRANGER)
        return stranger.forgotten(lambda: bounce(stranger, recipient, "bounce of a stranger"), bounces=True)

    with expect.one_of_several():
        attempt = unless_refused(
            lambda: client.forgotten(once, bounces=True), "a bounce of such a client", expect
        )
        another = of_a_stranger()
    expect.applicable(not (is_taken(another) and is_taken(of_a_stranger())), "all bounces are taken at once")
    expect.given(
        another.reached is not None and another.reached.treatment is Treatment.DEFER,
        f"the bounce of a stranger was not deferred: {another.reached}",
    )
    expect.accepted(attempt, Stage.DATA)


def make_bounce_known(client: Client, sut: Sut, expect: Expect) -> None:
    """The client bounces, and bounces again if that was put off, at RCPT or at the end of DATA."""
    recipient = takes_bounces(sut, expect)
    must_be_greylisted(sut, expect, recipient)
    first = bounce(client, recipient, "first bounce")
    again = client.after_greylist(
        first, lambda: bounce(client, recipient, "retry of the bounce"), whatever_code=True
    )
    expect.given(is_taken(again), f"the bounce was not accepted: {again.reached}")


def is_taken(attempt: Attempt) -> bool:
    return attempt.data.treatment is Treatment.PASS


def bounce(
    client: Client, recipient: str, label: str, *, authenticated: bool = False, patient: bool = True
) -> Attempt:
    return client.attempt(
        sender="",
        recipient=recipient,
        message=message(client, recipient),
        authenticated=authenticated,
        patient=patient,
        label=label,
    )
