"""Greylisting: a stranger's mail is put off once, and whoever comes back in time is known from then on."""

import pytest

from harness.scenario import (
    Attempt,
    Client,
    Clock,
    Expect,
    GreylistOperator,
    GreylistPart,
    Kind,
    NewClient,
    Offence,
    Outage,
    Stage,
    Sut,
    Treatment,
    each,
    needs,
    rule,
)

from .greylisting import (
    AFTER,
    FIRST,
    ROUNDING,
    TOO_SLOW,
    first_attempt,
    just_before,
    known_unless_it_counts,
    make_known,
    must_be_greylisted,
    now,
    passed,
    put_off,
    retry_in_time,
    told_at,
    unheard_of,
    unless_refused,
)
from .manners import COVERED
from .recipients import may_name_two

NO_EARLY_RETRY = (
    "whoever connects waits so long for the greeting, and for being put off, that no retry comes too early"
)
NO_RETRY_BETWEEN = (
    "the delay is too short, beside what everybody waits for the greeting and for being put off, for a retry "
    "after it that comes less than a delay after an early one"
)
REFUSED_FOR = {  # what a client may be refused for and need not do again
    "block lists": Offence.LISTED_ENOUGH,
    "bare address": Offence.BARE_ADDRESS_GREETING,
    "unqualified name": Offence.UNQUALIFIED_GREETING,
    "own domain": Offence.OWN_NAME_GREETING,
    "unconfirmed name": Offence.UNCONFIRMED_GREETING,
}


@rule("greylist.first-defer")
@COVERED
def test_unknown_triplet(
    new_client: NewClient, offence: bool, sut: Sut, clock: Clock | None, expect: Expect, covered: bool
) -> None:
    expect(unheard_of(new_client, offence, sut, clock, expect).attempt(covered=covered))


@rule("greylist.first-defer")
@needs("ipv6")
def test_unknown_triplet_of_an_ipv6_host(
    new_client: NewClient, offence: bool, sut: Sut, clock: Clock | None, expect: Expect
) -> None:
    strange, known = Kind.IPV6_STRANGER, Kind.IPV6
    client = unheard_of(new_client, offence, sut, clock, expect, strange=strange, known=known)
    expect(client.attempt())


@rule("greylist.first-defer")
def test_greeting_with_the_name_of_a_host_on_the_whitelist(
    new_client: NewClient, offence: bool, sut: Sut, expect: Expect
) -> None:
    who = "whoever greets with the name of another host"
    is_let_in(Offence.BORROWED_GREETING, who, expect)
    listed = on_the_whitelist(new_client, sut, expect)

    def once() -> Attempt:
        client = new_client(Kind.STRANGER) if offence else listed
        return client.attempt(helo=listed.host)

    expect(unless_refused(once, who, expect), whenever=True)


@rule("greylist.first-defer")
def test_ptr_to_a_host_on_the_whitelist(
    new_client: NewClient, offence: bool, sut: Sut, expect: Expect
) -> None:
    who = "whoever has a name that leads to another address"
    is_let_in(Offence.UNVERIFIED_HOST, who, expect)
    listed = on_the_whitelist(new_client, sut, expect)

    def once() -> Attempt:
        client = new_client(Kind.STRANGER) if offence else listed
        if offence:
            with expect.one_of_several():
                client.ptr_names(listed.host)
        return client.attempt()

    expect(unless_refused(once, who, expect), whenever=True)


@rule("greylist.early-retry")
def test_retry_at_once(
    new_client: NewClient, offence: bool, sut: Sut, clock: Clock | None, expect: Expect
) -> None:
    client = unheard_of(new_client, offence, sut, clock, expect)
    if offence:
        expect.needed(sut.soonest_retry < sut.greylist.delay, NO_EARLY_RETRY)
    first = client.attempt(label="first attempt")
    told = told_at(first, client, sut, clock)
    retry = client.attempt(label="early retry")
    if offence:
        expect.given(put_off(first, sut), FIRST)
        expect.given(now(client, clock) - told < sut.greylist.delay, TOO_SLOW)
    expect(retry)


@rule("greylist.early-retry")
@needs("clock")
def test_retry_just_before_the_delay_is_over(
    stranger: Client, offence: bool, sut: Sut, clock: Clock, expect: Expect
) -> None:
    delay = sut.greylist.delay
    expect.applicable(sut.soonest_retry < delay / 2, NO_EARLY_RETRY)
    first = first_attempt(stranger, sut, expect)
    left, end = just_before(delay, first, stranger, sut, clock, expect)
    clock.advance(stranger.address, left if offence else delay + AFTER)
    retry = stranger.attempt(label="retry")
    if offence:
        expect.given(clock.reading(stranger.address) < end, TOO_SLOW)
    expect(retry)


@rule("greylist.retry-accept")
def test_retry_after_the_delay(stranger: Client, sut: Sut, clock: Clock, expect: Expect) -> None:
    retry_in_time(stranger, sut, clock, expect, sut.greylist.delay + AFTER)


@rule("greylist.retry-accept")
def test_retry_from_the_neighbour(stranger: Client, sut: Sut, clock: Clock, expect: Expect) -> None:
    expect.applicable(sut.greylist.key == "network", "the greylist does not go by networks")
    host, neighbour = stranger.neighbours()
    told = told_at(first_attempt(host, sut, expect), host, sut, clock)
    clock.advance(host.address, sut.greylist.delay + AFTER)
    retry = neighbour.attempt(sender=host.sender, label="retry from the next address")
    expect.given(clock.reading(host.address) - told < sut.greylist.timeout, TOO_SLOW)
    expect(retry)


@rule("greylist.retry-accept")
def test_retry_just_before_the_time_out(stranger: Client, sut: Sut, clock: Clock, expect: Expect) -> None:
    timeout = sut.greylist.timeout
    first = first_attempt(stranger, sut, expect)
    left, end = just_before(timeout, first, stranger, sut, clock, expect)
    expect.applicable(left > sut.greylist.delay, "the time-out comes right after the delay")
    clock.advance(stranger.address, left)
    retry = stranger.attempt(label="retry")
    expect.given(clock.reading(stranger.address) < end, TOO_SLOW)
    expect(retry)


@rule("greylist.retry-accept")
def test_early_retry_does_not_begin_the_delay_anew(
    stranger: Client, sut: Sut, clock: Clock, expect: Expect
) -> None:
    delay = sut.greylist.delay
    expect.applicable(sut.soonest_retry + AFTER + ROUNDING < delay / 2, NO_RETRY_BETWEEN)
    first = first_attempt(stranger, sut, expect)
    over = clock.reading(stranger.address) + delay + AFTER
    left, end = just_before(delay, first, stranger, sut, clock, expect)
    clock.advance(stranger.address, left)
    early = stranger.attempt(label="early retry")
    expect.given(clock.reading(stranger.address) < end, TOO_SLOW)
    expect.applicable(not passed(early, sut), "an early retry is taken, so no delay can begin anew with it")
    expect.given(put_off(early, sut), f"the early retry was not deferred: {early.step(sut.greylist.stage)}")
    _, end = just_before(delay, early, stranger, sut, clock, expect)
    clock.advance(stranger.address, max(0.0, over - clock.reading(stranger.address)))
    retry = stranger.attempt(label="retry after the delay, less than a delay after the early one")
    expect.given(clock.reading(stranger.address) < end, TOO_SLOW)
    expect(retry)


@rule("greylist.whitelisted")
def test_second_mail_of_a_known_triplet(stranger: Client, sut: Sut, clock: Clock, expect: Expect) -> None:
    began = clock.reading(stranger.address)
    make_known(stranger, sut, expect)
    clock.advance(stranger.address, min(sut.greylist.timeout + AFTER, sut.greylist.lifetime * 0.5))
    second = stranger.attempt(label="second mail")
    expect.given(clock.reading(stranger.address) - began < sut.greylist.lifetime, TOO_SLOW)
    expect(second)


@rule("greylist.whitelisted")
def test_known_triplet_just_before_its_lifetime_is_over(
    stranger: Client, sut: Sut, clock: Clock, expect: Expect
) -> None:
    known = make_known(stranger, sut, expect)
    left, end = just_before(sut.greylist.lifetime, known, stranger, sut, clock, expect)
    clock.advance(stranger.address, left)
    late = stranger.attempt(label="mail after nearly the whole lifetime")
    expect.given(clock.reading(stranger.address) < end, TOO_SLOW)
    expect(late)


@rule("greylist.expired")
def test_first_retry_after_the_time_out(
    stranger: Client, offence: bool, sut: Sut, clock: Clock, expect: Expect
) -> None:
    first_attempt(stranger, sut, expect)
    over = sut.greylist.timeout + sut.greylist.sweep
    clock.advance(stranger.address, (over if offence else sut.greylist.delay) + AFTER)
    expect(stranger.attempt(label="retry"))


@rule("greylist.expired")
def test_retry_after_one_that_came_too_late(stranger: Client, sut: Sut, clock: Clock, expect: Expect) -> None:
    first_attempt(stranger, sut, expect)
    clock.advance(stranger.address, sut.greylist.timeout + sut.greylist.sweep + AFTER)
    is_greylisted_anew(stranger, sut, clock, expect)


@rule("greylist.lifetime-expiry")
def test_known_triplet_unused_for_too_long(
    stranger: Client, offence: bool, sut: Sut, clock: Clock, expect: Expect
) -> None:
    make_known(stranger, sut, expect)
    if offence:
        clock.advance(stranger.address, sut.greylist.forgets_within + AFTER)
    expect(stranger.attempt(label="the known triplet"))


@rule("greylist.lifetime-expiry")
def test_triplet_that_is_known_no_more_becomes_known_again(
    stranger: Client, sut: Sut, clock: Clock, expect: Expect
) -> None:
    make_known(stranger, sut, expect)
    clock.advance(stranger.address, sut.greylist.forgets_within + AFTER)
    is_greylisted_anew(stranger, sut, clock, expect)


@rule("greylist.lifetime-extended")
def test_known_triplet_in_use(stranger: Client, sut: Sut, clock: Clock, expect: Expect) -> None:
    known = make_known(stranger, sut, expect)
    left, end = just_before(sut.greylist.lifetime, known, stranger, sut, clock, expect)
    clock.advance(stranger.address, left)
    used = stranger.attempt(label="use within the lifetime")
    expect.given(clock.reading(stranger.address) < end, TOO_SLOW)
    expect.given(passed(used, sut), f"the known triplet was not taken: {used.step(sut.greylist.stage)}")
    left, end = just_before(sut.greylist.lifetime, used, stranger, sut, clock, expect)
    clock.advance(stranger.address, left)
    beyond = stranger.attempt(label="use beyond the first lifetime")
    expect.given(clock.reading(stranger.address) < end, TOO_SLOW)
    expect(beyond)


@rule("greylist.other-triplet")
def test_another_client_than_that_of_a_known_triplet(
    stranger: Client, offence: bool, sut: Sut, expect: Expect
) -> None:
    # One that is keyed otherwise and goes by networks all the same takes neighbours for one.
    beside = sut.greylist.key != "network"
    host, other = stranger.neighbours() if beside else (stranger, stranger.another())
    make_known(host, sut, expect)
    expect((other if offence else host).attempt(sender=host.sender, label="after that"))


@rule("greylist.other-triplet")
def test_another_sender_than_that_of_a_known_triplet(
    stranger: Client, offence: bool, sut: Sut, expect: Expect
) -> None:
    make_known(stranger, sut, expect)
    sender = f"other.{stranger.sender}" if offence else stranger.sender
    attempt = stranger.attempt(sender=sender, label="after that")
    known_unless_it_counts(GreylistPart.SENDER, attempt, sut, expect)


@rule("greylist.other-triplet")
def test_sender_of_another_domain_than_that_of_a_known_triplet(
    stranger: Client, offence: bool, sut: Sut, expect: Expect
) -> None:
    other = stranger.another().sender
    make_known(stranger, sut, expect)
    attempt = stranger.attempt(sender=other if offence else stranger.sender, label="after that")
    known_unless_it_counts(GreylistPart.SENDER_DOMAIN, attempt, sut, expect)


@rule("greylist.other-triplet")
def test_another_recipient_than_that_of_a_known_triplet(
    stranger: Client, offence: bool, sut: Sut, expect: Expect
) -> None:
    other = sut.another_recipient
    make_known(stranger, sut, expect)
    attempt = stranger.attempt(recipient=other if offence else sut.recipient, label="after that")
    known_unless_it_counts(GreylistPart.RECIPIENT, attempt, sut, expect)


@rule("greylist.other-triplet")
def test_another_recipient_beside_that_of_a_known_triplet(
    stranger: Client, new_client: NewClient, offence: bool, sut: Sut, expect: Expect
) -> None:
    expect.applicable(sut.profile.policy.max_recipients > 1, "a message may have one recipient here")
    expect.applicable(
        sut.greylist.stage is Stage.RCPT,
        "the greylist has its say at the end of DATA, where all recipients of a message share one reply",
    )
    recipients = sut.recipient, sut.another_recipient
    make_known(stranger, sut, expect)
    if not offence and sut.greylist.counts(GreylistPart.RECIPIENT):
        make_known(stranger, sut, expect, recipients[1])
    attempt = stranger.attempt(recipient=recipients, label="after that")
    if not offence:
        may_name_two(attempt, lambda: new_client(Kind.KNOWN).attempt(recipient=recipients), expect)
    known_unless_it_counts(GreylistPart.RECIPIENT, attempt, sut, expect)


@rule("greylist.blacklisted")
def test_triplet_on_the_black_list(
    stranger: Client, offence: bool, sut: Sut, greylist: GreylistOperator, expect: Expect
) -> None:
    must_be_greylisted(sut, expect)
    greylist.add("black" if offence else "white", stranger.address, stranger.sender, sut.recipient)
    expect(stranger.attempt())


@rule("greylist.host-whitelist")
@each("known_pattern")
def test_host_on_the_whitelist(new_client: NewClient, sut: Sut, expect: Expect, known_pattern: str) -> None:
    client = new_client(Kind.KNOWN, pattern=known_pattern)
    attempt = client.forgotten(lambda: client.attempt(patient=False))
    taken_while_strangers_are_not(attempt, new_client, sut, expect)


@rule("greylist.relay-exempt")
def test_relay_host_is_not_greylisted(
    trusted_client: Client, new_client: NewClient, sut: Sut, expect: Expect
) -> None:
    attempt = trusted_client.forgotten(lambda: trusted_client.attempt(patient=False))
    taken_while_strangers_are_not(attempt, new_client, sut, expect)


@rule("greylist.authenticated-exempt")
def test_account_is_not_greylisted(stranger: Client, new_client: NewClient, sut: Sut, expect: Expect) -> None:
    attempt = stranger.attempt(authenticated=True, patient=False)
    taken_while_strangers_are_not(attempt, new_client, sut, expect)


@rule("greylist.after-other-checks")
@pytest.mark.parametrize("refused_for", list(REFUSED_FOR))
def test_refused_mail_leaves_no_triplet_behind(
    stranger: Client, offence: bool, sut: Sut, clock: Clock, expect: Expect, refused_for: str
) -> None:
    must_be_greylisted(sut, expect)
    stage = refused_at(REFUSED_FOR[refused_for], expect)
    lists = [one for one in sut.dnsbl if one.weight > 0] if refused_for == "block lists" else []
    if refused_for == "block lists":
        enough = sut.earned_by(*lists) is Offence.LISTED_ENOUGH
        expect.applicable(enough, "to be on all [[dnsbl]] lists is not enough to be refused")
    for blocklist in lists if offence else ():
        stranger.list_on(blocklist)
    greeting = {
        "bare address": stranger.address,
        "unqualified name": "unqualified",
        "own domain": sut.domains[0],
        "unconfirmed name": stranger.name("nowhere"),
    }.get(refused_for, stranger.host)
    helo = greeting if offence else stranger.host
    first = stranger.attempt(helo=helo, upto=stage, label="first attempt")
    if offence:
        first_asked = sut.greylist.before_verification or stage is not sut.greylist.stage
        expect.applicable(
            not (first_asked and sut.greylist.stage is Stage.RCPT and put_off(first, sut)),
            f"the greylist has its say before a refusal is told, at {stage}",
        )
        expect.given(
            first.refused_for_good, f"the client was not refused for its {refused_for}: {first.reached}"
        )
    else:
        expect.given(put_off(first, sut), FIRST)
    for blocklist in lists:
        stranger.unlist_from(blocklist)
    clock.advance(stranger.address, sut.greylist.delay + AFTER)
    attempt = stranger.attempt(label="the same triplet, when nothing is against it any more")
    kept = " (by a resolver that keeps answers for longer than their TTL, which is 0?)" if lists else ""
    expect.given(
        not attempt.refused_for_good,
        f"what it was refused for is still held against it{kept}: {attempt.reached}",
    )
    expect(attempt)


@rule("greylist.after-other-checks")
def test_stranger_writes_to_a_user_that_nobody_knows(stranger: Client, sut: Sut, expect: Expect) -> None:
    refused_at(Offence.UNKNOWN_USER, expect)
    expect.applicable(not sut.takes_everyone, "nobody is unknown to this server")
    greylist_first = sut.greylist.before_verification and sut.greylist.stage is Stage.RCPT
    earns = Offence.UNKNOWN_TRIPLET if greylist_first else Offence.UNKNOWN_USER
    told = expect.shown(earns)
    expect.applicable(
        greylist_first or told is Stage.RCPT or sut.greylist.stage is not Stage.RCPT,
        f"refusals are told at {told}, when the greylist has had its say",
    )
    attempt = stranger.attempt(recipient=sut.unknown_recipient, upto=told)
    expect(attempt, earns=earns)


@rule("greylist.case")
def test_sender_of_a_known_triplet_in_capitals(
    stranger: Client, offence: bool, sut: Sut, expect: Expect
) -> None:
    make_known(stranger, sut, expect)
    sender = stranger.sender.upper() if offence else stranger.sender
    expect(stranger.attempt(sender=sender, label="after that"))


@rule("greylist.case")
def test_recipient_of_a_known_triplet_in_capitals(
    stranger: Client, offence: bool, sut: Sut, expect: Expect
) -> None:
    make_known(stranger, sut, expect)
    recipient = sut.recipient.upper() if offence else sut.recipient
    attempt = stranger.attempt(recipient=recipient, label="after that")
    expect.applicable(not attempt.refused_for_good, f"{recipient} is nobody here, for whatever client")
    expect(attempt)


@rule("greylist.daemon-down")
def test_store_out_of_reach(
    stranger: Client, sut: Sut, clock: Clock | None, greylist_outage: Outage, expect: Expect
) -> None:
    overridden = expect.rule.id in sut.profile.rules.expect
    verdicts = [one.treatment for one in expect.expected] if overridden else [sut.greylist.when_unreachable]
    puts_off = Treatment.DEFER in verdicts
    first_attempt(stranger.another("another host, before"), sut, expect)
    if puts_off and clock:  # a stranger is put off by a greylist within reach as well
        make_known(stranger, sut, expect)
    greylist_outage.cut(stranger.address)
    attempt = stranger.attempt(label="while the store is out of reach")
    if puts_off and not clock:
        expect.given(
            attempt.step(sut.greylist.stage).code not in sut.greylist.codes,
            "that is what strangers meet anyway, and without [clock] nobody can become known before",
        )
    if overridden:
        expect(attempt)
    else:
        expect.outcome(f"{sut.greylist.when_unreachable} at {sut.greylist.stage}", attempt)


@rule("greylist.manual")
@pytest.mark.parametrize("which", ["white", "grey", "black"])
def test_operator_changes_a_list(
    stranger: Client, sut: Sut, greylist: GreylistOperator, expect: Expect, which: str
) -> None:
    triplet = (stranger.address, stranger.sender, sut.recipient)

    def shows(which: str) -> bool:
        """Whether a list shows the triplet, by the address or by what the greylist has in its place."""
        return any(greylist.listed(which, name, *triplet[1:]) for name in sut.greylisted_as(stranger.address))

    assert not shows(which), f"the {which} list has a triplet that was never added"
    greylist.add(which, *triplet)
    assert shows(which), f"the {which} list does not show what was added"
    if which != "white":
        greylist.remove(which, *triplet)
        assert not shows(which), f"the {which} list still shows what was removed"
        greylist.add("white", *triplet)
    attempt = stranger.attempt(label="on the white list")
    greylist.remove("white", *triplet)
    assert not shows("white"), "the white list still shows what was removed"
    expect(attempt)


def is_let_in(offence: Offence, who: str, expect: Expect) -> None:
    """Whoever commits that offence comes as far as the greylist."""
    expect.applicable(expect.claimed(offence), f"the profile claims no rule that says what {who} earns")
    expect.applicable(expect.lets_through_if(offence), f"{who} is refused for that")


def on_the_whitelist(new_client: NewClient, sut: Sut, expect: Expect) -> Client:
    """A host whose name others might use, for it is never put off."""
    must_be_greylisted(sut, expect)
    listed = new_client(Kind.KNOWN)
    expect.applicable(
        sut.whitelists(listed.host),
        "greylist.whitelist_hosts has no pattern of a reserved name, so no name is worth borrowing",
    )
    return listed


def taken_while_strangers_are_not(attempt: Attempt, new_client: NewClient, sut: Sut, expect: Expect) -> None:
    first_attempt(new_client(Kind.STRANGER), sut, expect)
    expect(attempt)


def is_greylisted_anew(client: Client, sut: Sut, clock: Clock, expect: Expect) -> None:
    """Who comes too late is put off, and taken when it has waited and comes again."""
    expect.applicable(
        all(one.treatment is Treatment.DEFER for one in expect.expected),
        "whoever comes too late is not put off here",
    )
    late = client.attempt(label="too late")
    told = told_at(late, client, sut, clock)
    expect.given(put_off(late, sut), f"who came too late was not deferred: {late.step(sut.greylist.stage)}")
    clock.advance(client.address, sut.greylist.delay + AFTER)
    retry = client.attempt(label="retry")
    expect.given(clock.reading(client.address) - told < sut.greylist.timeout, TOO_SLOW)
    expect.outcome(f"{Treatment.PASS} at {sut.greylist.stage}", retry)


def refused_at(offence: Offence, expect: Expect) -> Stage:
    """Where a client is refused for good for such an offence, if it has named a recipient by then."""
    earned = expect.earnings(offence)
    for_good = all(one.treatment in (Treatment.DENY, Treatment.DROP) for one in earned)
    expect.applicable(for_good, "nobody is refused for that, or not always for good")
    told = expect.shown(offence)
    expect.applicable(
        told in (Stage.RCPT, Stage.DATA),
        f"whoever is refused for that, at {told}, has named no recipient yet",
    )
    return told
