"""Greylisting: a stranger's mail is put off once, and whoever comes back in time is known from then on."""

import time

import pytest

from harness.scenario import (
    Attempt,
    Client,
    Clock,
    Expect,
    GreylistOperator,
    GreylistOutage,
    Sut,
    Verdict,
    message,
    needs,
    rule,
)

TOO_SLOW = "more time has passed meanwhile than the scenario allows for"
FIRST = "the first attempt of an unknown triplet was not deferred, so nothing can be retried"


@rule("greylist.first-defer")
def test_unknown_triplet(stranger: Client, client: Client, expect: Expect) -> None:
    attempt = stranger.attempt()
    expect(attempt, twin=client.attempt(label="twin"))
    assert attempt.rcpt.code == 451, f"deferred with {attempt.rcpt.code}, documented is 451"


@rule("greylist.early-retry")
def test_retry_at_once(stranger: Client, client: Client, sut: Sut, expect: Expect) -> None:
    began = time.monotonic()
    expect.given(deferred(stranger), FIRST)
    retry = stranger.attempt(label="early retry")
    expect.given(time.monotonic() - began < sut.greylist.delay, TOO_SLOW)
    expect(retry, twin=client.attempt(label="twin"))


@rule("greylist.early-retry")
@needs("clock")
def test_retry_half_way_through_the_delay(
    stranger: Client, client: Client, sut: Sut, clock: Clock, expect: Expect
) -> None:
    began = clock.reading(stranger.address)
    expect.given(deferred(stranger), FIRST)
    clock.advance(stranger.address, sut.greylist.delay * 0.5)
    retry = stranger.attempt(label="early retry")
    expect.given(clock.reading(stranger.address) - began < sut.greylist.delay, TOO_SLOW)
    expect(retry, twin=client.attempt(label="twin"))


@rule("greylist.retry-accept")
def test_retry_after_the_delay(
    stranger: Client, client: Client, sut: Sut, clock: Clock, expect: Expect
) -> None:
    retry_in_time(stranger, client, sut, clock, expect, sut.greylist.delay + 1)


@rule("greylist.retry-accept")
def test_retry_shortly_before_the_time_out(
    stranger: Client, client: Client, sut: Sut, clock: Clock, expect: Expect
) -> None:
    retry_in_time(stranger, client, sut, clock, expect, sut.greylist.timeout * 0.9)


@rule("greylist.whitelisted")
def test_second_mail_of_a_known_triplet(stranger: Client, sut: Sut, clock: Clock, expect: Expect) -> None:
    began = clock.reading(stranger.address)
    make_known(stranger, sut, clock, expect)
    clock.advance(stranger.address, sut.greylist.timeout + 1)
    second, third = stranger.attempt(label="second mail"), stranger.attempt(label="third mail")
    expect.given(clock.reading(stranger.address) - began < sut.greylist.lifetime, TOO_SLOW)
    expect(second, twin=third)


@rule("greylist.expired")
def test_first_retry_after_the_time_out(
    stranger: Client, client: Client, sut: Sut, clock: Clock, expect: Expect
) -> None:
    expect.given(deferred(stranger), FIRST)
    clock.advance(stranger.address, sut.greylist.timeout + 1)
    expect(stranger.attempt(label="late retry"), twin=client.attempt(label="twin"))


@rule("greylist.lifetime-expiry")
def test_known_triplet_unused_for_too_long(
    stranger: Client, client: Client, sut: Sut, clock: Clock, expect: Expect
) -> None:
    make_known(stranger, sut, clock, expect)
    clock.advance(stranger.address, sut.greylist.lifetime + 1)
    expect(stranger.attempt(label="after its lifetime"), twin=client.attempt(label="twin"))


@rule("greylist.lifetime-extended")
def test_known_triplet_in_use(stranger: Client, sut: Sut, clock: Clock, expect: Expect) -> None:
    make_known(stranger, sut, clock, expect)
    clock.advance(stranger.address, sut.greylist.lifetime * 0.6)
    began = clock.reading(stranger.address)
    used = stranger.attempt(label="use within the lifetime")
    expect.given(used.rcpt.verdict is Verdict.PASS, f"the known triplet was not taken: {used.rcpt}")
    clock.advance(stranger.address, sut.greylist.lifetime * 0.6)
    beyond, again = (stranger.attempt(label=text) for text in ("use beyond the first lifetime", "once more"))
    expect.given(clock.reading(stranger.address) - began < sut.greylist.lifetime, TOO_SLOW)
    expect(beyond, twin=again)


@rule("greylist.other-triplet")
@pytest.mark.parametrize("part", ["client", "sender", "recipient"])
def test_one_part_differs_from_a_known_triplet(
    stranger: Client, sut: Sut, clock: Clock, expect: Expect, part: str
) -> None:
    host, neighbour = stranger.neighbours()  # a greylist that keeps networks for addresses takes them for one
    make_known(host, sut, clock, expect)
    known = host.attempt(label="the known triplet")
    if part == "client":
        attempt = neighbour.attempt(sender=host.sender, label="another client")
    elif part == "sender":
        attempt = host.attempt(sender=f"other.{host.sender}", label="another sender")
    else:
        attempt = host.attempt(recipient=other_recipient(sut), label="another recipient")
    expect(attempt, twin=known)


@rule("greylist.blacklisted")
def test_triplet_on_the_black_list(
    stranger: Client, client: Client, sut: Sut, greylist: GreylistOperator, expect: Expect
) -> None:
    greylist.add("black", stranger.address, stranger.sender, sut.recipient)
    expect(stranger.attempt(), twin=client.attempt(label="twin"))


@rule("greylist.host-whitelist")
def test_host_on_the_whitelist(client: Client, stranger: Client, sut: Sut, expect: Expect) -> None:
    expect.given(deferred(stranger), "strangers are not greylisted, so an exemption cannot be seen")
    expect(client.attempt(patient=False), twin=client.twin().attempt())


@rule("greylist.relay-exempt")
def test_relay_host_is_not_greylisted(trusted_client: Client, expect: Expect) -> None:
    expect(trusted_client.attempt(patient=False), twin=trusted_client.twin().attempt())


@rule("greylist.authenticated-exempt")
def test_account_is_not_greylisted(stranger: Client, expect: Expect) -> None:
    attempt = stranger.attempt(authenticated=True, patient=False)
    expect(attempt, twin=stranger.twin().attempt(authenticated=True))


@rule("greylist.null-not-at-rcpt")
def test_sender_callout(stranger: Client, sut: Sut, expect: Expect) -> None:
    with stranger.conversation() as talk:
        talk.connect()
        talk.ehlo(stranger.host)
        talk.mail("")
        talk.rcpt(sut.legal_bounce)
        talk.reset()
        attempt = talk.quit()
    expect(attempt, twin=stranger.twin().attempt(sender="", recipient=sut.legal_bounce))


@rule("greylist.postmaster-at-rcpt")
def test_postmaster_is_not_the_null_sender(
    stranger: Client, client: Client, sut: Sut, expect: Expect
) -> None:
    attempt = stranger.attempt(sender=f"postmaster@{stranger.identity.domain}", recipient=sut.legal_bounce)
    twin = client.attempt(
        sender=f"postmaster@{client.identity.domain}", recipient=sut.legal_bounce, label="twin"
    )
    expect(attempt, twin=twin)


@rule("greylist.null-at-data")
def test_bounce_is_greylisted_at_data(stranger: Client, sut: Sut, clock: Clock, expect: Expect) -> None:
    first = bounce(stranger, sut, "bounce")
    clock.advance(stranger.address, sut.greylist.delay + 1)
    expect(first, twin=bounce(stranger, sut, "retry of the bounce"))


@rule("greylist.null-at-data")
def test_bounce_is_keyed_without_a_sender(stranger: Client, sut: Sut, clock: Clock, expect: Expect) -> None:
    make_known(stranger, sut, clock, expect, recipient=sut.legal_bounce)
    first = bounce(stranger, sut, "bounce from a client with a known triplet")
    clock.advance(stranger.address, sut.greylist.delay + 1)
    expect(first, twin=bounce(stranger, sut, "retry of the bounce"))


@rule("greylist.null-at-data")
def test_bounce_to_another_recipient(stranger: Client, sut: Sut, clock: Clock, expect: Expect) -> None:
    expect.needed(bool(sut.postmasters), "no [[domain]] has postmaster among its bounce_recipients")
    expect.given(bounce(stranger, sut, "bounce").data.verdict is Verdict.DEFER, FIRST)
    clock.advance(stranger.address, sut.greylist.delay + 1)
    known = bounce(stranger, sut, "retry of the bounce")
    expect(bounce(stranger, sut, "to another recipient", sut.postmasters[0]), twin=known)


@rule("greylist.null-blacklisted")
def test_bounce_on_the_black_list(
    stranger: Client, sut: Sut, client: Client, greylist: GreylistOperator, expect: Expect
) -> None:
    greylist.add("black", stranger.address, "", sut.legal_bounce)
    expect(bounce(stranger, sut, "bounce"), twin=bounce(client, sut, "twin"))


@rule("greylist.after-other-checks")
def test_refused_mail_leaves_no_triplet_behind(
    stranger: Client, sut: Sut, clock: Clock, expect: Expect
) -> None:
    expect.needed(
        len(sut.dnsbl) > 1, "a mail that is refused once and not for ever needs two [[dnsbl]] lists"
    )
    for blocklist in sut.dnsbl[:2]:
        stranger.list_on(blocklist)
    refused = stranger.attempt(label="while block-listed")
    expect.given(refused.rcpt.code >= 500, f"the block-listed client was not refused: {refused.rcpt}")
    for blocklist in sut.dnsbl[:2]:
        stranger.unlist_from(blocklist)
    clock.advance(stranger.address, sut.greylist.delay + 1)
    attempt = stranger.attempt(label="no longer listed")
    clock.advance(stranger.address, sut.greylist.delay + 1)
    expect(attempt, twin=stranger.attempt(label="its retry"))


@rule("greylist.case")
@pytest.mark.parametrize("part", ["sender", "recipient"])
def test_known_triplet_in_other_letters(
    stranger: Client, sut: Sut, clock: Clock, expect: Expect, part: str
) -> None:
    make_known(stranger, sut, clock, expect)
    if part == "sender":
        attempt = stranger.attempt(sender=stranger.sender.upper(), label="in capitals")
    else:
        attempt = stranger.attempt(recipient=sut.recipient.upper(), label="in capitals")
    expect(attempt, twin=stranger.attempt(label="as before"))


@rule("greylist.daemon-down")
def test_store_out_of_reach(
    stranger: Client, client: Client, sut: Sut, greylist_outage: GreylistOutage, expect: Expect
) -> None:
    twin = client.attempt(label="twin, before")  # during an outage everybody may be deferred
    greylist_outage.cut(stranger.address)
    attempt = stranger.attempt()
    expect(attempt, twin=twin)
    expect.outcome(f"{sut.greylist.when_unreachable} at rcpt", attempt)


@rule("greylist.manual")
@pytest.mark.parametrize("which", ["white", "grey", "black"])
def test_operator_changes_a_list(
    stranger: Client, client: Client, sut: Sut, greylist: GreylistOperator, expect: Expect, which: str
) -> None:
    triplet = (stranger.address, stranger.sender, sut.recipient)
    assert not greylist.listed(which, *triplet), f"the {which} list has a triplet that was never added"
    greylist.add(which, *triplet)
    assert greylist.listed(which, *triplet), f"the {which} list does not show what was added"
    if which == "white":
        attempt = stranger.attempt(label="on the white list")
    greylist.remove(which, *triplet)
    assert not greylist.listed(which, *triplet), f"the {which} list still shows what was removed"
    if which != "white":
        attempt = client.attempt(label="another host")
    expect(attempt, twin=client.attempt(label="twin"))


def deferred(client: Client) -> bool:
    return client.attempt(label="first attempt").rcpt.verdict is Verdict.DEFER


def retry_in_time(
    stranger: Client, client: Client, sut: Sut, clock: Clock, expect: Expect, seconds: float
) -> None:
    """A first attempt, and a retry so many seconds later."""
    began = clock.reading(stranger.address)
    expect.given(deferred(stranger), FIRST)
    clock.advance(stranger.address, seconds)
    retry = stranger.attempt(label="retry")
    expect.given(clock.reading(stranger.address) - began < sut.greylist.timeout, TOO_SLOW)
    expect(retry, twin=client.attempt(label="twin"))


def make_known(client: Client, sut: Sut, clock: Clock, expect: Expect, recipient: str | None = None) -> None:
    first = client.attempt(recipient=recipient, label="first attempt")
    expect.given(first.rcpt.verdict is Verdict.DEFER, FIRST)
    clock.advance(client.address, sut.greylist.delay + 1)
    again = client.attempt(recipient=recipient, label="retry")
    expect.given(again.rcpt.verdict is Verdict.PASS, f"the retry was not accepted: {again.rcpt}")


def bounce(client: Client, sut: Sut, label: str, recipient: str | None = None) -> Attempt:
    recipient = recipient or sut.legal_bounce
    content = message(client, recipient)
    return client.attempt(sender="", recipient=recipient, message=content, label=label)


def other_recipient(sut: Sut) -> str:
    return next(recipient for recipient in sut.recipients if recipient != sut.recipient)
