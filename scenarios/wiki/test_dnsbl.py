"""DNS block lists: one hit slows and marks, two hits end the connection."""

import itertools
from dataclasses import replace

import pytest

from harness.scenario import (
    Before,
    Behaviour,
    BlockList,
    Cause,
    Client,
    Expect,
    Kind,
    Mailbox,
    NewClient,
    NoAnswer,
    NotApplicableError,
    Offence,
    Refused,
    ServFail,
    Stage,
    Sut,
    Treatment,
    Zone,
    counted,
    each,
    needs,
    rule,
)

from .bounces import taking_bounces
from .manners import COVERED
from .recipients import may_name_two

FAULTS = pytest.mark.parametrize(
    ("fault", "zones"),
    # To wait for one zone shows it; a server waits for them one after the other.
    [(ServFail(), None), (Refused(), None), (NoAnswer(), 1)],
    ids=["servfail", "refused", "no answer"],
)


@rule("dnsbl.none")
def test_client_on_no_list(client: Client, sut: Sut, expect: Expect) -> None:
    expect(client.attempt(), cause=client.asked_any(*black(sut)))


@rule("dnsbl.none")
def test_client_while_others_are_listed(client: Client, offence: bool, sut: Sut, expect: Expect) -> None:
    other = client.another()
    if offence:
        for blocklist in black(sut):
            other.list_on(blocklist)
    expect(client.attempt(), cause=client.asked_any(*black(sut)))


@rule("dnsbl.none")
@each("selective_list")
def test_client_of_whom_a_list_says_something_else(
    client: Client, offence: bool, expect: Expect, selective_list: BlockList
) -> None:
    if offence:
        client.list_on(replace(selective_list, answer=selective_list.unread))
    expect(client.attempt(), cause=client.asked(selective_list))


@rule("dnsbl.none")
@each("white_list")
def test_client_on_lists_that_a_white_one_outweighs(
    client: Client, offence: bool, sut: Sut, expect: Expect, white_list: BlockList
) -> None:
    lists = outweighed_by(white_list, None, sut, expect)
    for one in (*lists, white_list) if offence else ():
        client.list_on(one)
    expect(client.attempt(), cause=client.asked(white_list))


@rule("dnsbl.none")
@needs("mailbox")
def test_message_of_a_client_on_no_list_is_not_marked(client: Client, expect: Expect) -> None:
    attempt = client.attempt(upto=Stage.DATA)
    expect(attempt)
    expect.unmarked(attempt)


@rule("dnsbl.one")
@each("zone")
def test_client_on_one_list(client: Client, offence: bool, sut: Sut, expect: Expect, zone: Zone) -> None:
    weighs(sut, expect, Offence.LISTED, zone.blocklist)
    if offence:
        client.list_on(zone.blocklist, zone=zone.number)
    expect(client.attempt(), cause=client.asked(zone.blocklist))


@rule("dnsbl.one")
@needs("ipv6")
@each("blocklist")
def test_ipv6_client_on_one_list(
    new_client: NewClient, offence: bool, sut: Sut, expect: Expect, blocklist: BlockList
) -> None:
    weighs(sut, expect, Offence.LISTED, blocklist)
    client = new_client(Kind.IPV6)
    if offence:
        client.list_on(blocklist)
    expect(client.attempt(), cause=client.asked(blocklist))


@rule("dnsbl.one")
@each("just_below")
def test_client_on_as_many_lists_as_are_not_enough(
    client: Client, offence: bool, expect: Expect, just_below: tuple[BlockList, ...]
) -> None:
    for one in just_below if offence else ():
        client.list_on(one)
    expect(client.attempt(), cause=client.asked(*just_below))


@rule("dnsbl.one")
@each("white_list")
def test_client_on_so_many_lists_that_a_white_one_makes_them_too_few(
    client: Client, offence: bool, sut: Sut, expect: Expect, white_list: BlockList
) -> None:
    lists = outweighed_by(white_list, Offence.LISTED, sut, expect)
    for one in (*lists, white_list) if offence else ():
        client.list_on(one)
    expect(client.attempt(), cause=client.asked(white_list))


@rule("dnsbl.one")
@each("blocklist")
def test_client_on_one_list_that_gives_no_reason(
    client: Client, offence: bool, sut: Sut, expect: Expect, blocklist: BlockList
) -> None:
    weighs(sut, expect, Offence.LISTED, blocklist)
    if offence:
        client.list_on(blocklist, text=None)  # RFC 5782 §2.1: a TXT record may be there
    expect(client.attempt(), cause=client.asked(blocklist))


@rule("dnsbl.one")
@each("blocklist")
def test_one_listing_is_no_second_one_at_the_next_recipient(
    client: Client, offence: bool, sut: Sut, expect: Expect, blocklist: BlockList
) -> None:
    would_count_twice(blocklist, sut, expect)
    recipients = sut.recipients(2)
    expect.applicable(len(recipients) == 2, "no [[domain]] has two ordinary recipients")
    if offence:
        client.list_on(blocklist)
    attempt = client.attempt(recipient=recipients)
    other = client.another("a host on no list")
    may_name_two(attempt, lambda: other.attempt(recipient=recipients), expect)
    expect.accepted(attempt, Stage.RCPT)
    asked = client.asked(blocklist)
    expect.given(asked.seen, asked.missing)


@rule("dnsbl.one")
@each("blocklist")
def test_one_listing_is_no_second_one_at_the_next_mail(
    client: Client, offence: bool, sut: Sut, expect: Expect, blocklist: BlockList
) -> None:
    would_count_twice(blocklist, sut, expect)
    if offence:
        client.list_on(blocklist)
    attempt = client.attempt(before=Before.GIVEN_UP)
    expect.accepted(attempt, Stage.RCPT)
    asked = client.asked(blocklist)
    expect.given(asked.seen, asked.missing)


@rule("dnsbl.one")
@needs("mailbox")
@each("blocklist")
def test_message_of_a_listed_client_is_marked(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect, blocklist: BlockList
) -> None:
    weighs(sut, expect, Offence.LISTED, blocklist)
    expect.applicable(expect.lets_through, "the server refuses such a client, so there is nothing to mark")
    expect.applicable(sut.marks_listed, "the profile says that such a client's message is not marked")
    if offence:
        client.list_on(blocklist)
    attempt = client.attempt(upto=Stage.DATA)
    expect(attempt, cause=client.asked(blocklist))
    if not offence:
        expect.unmarked(attempt)
        return
    marks = mailbox.find(sut.recipient, client.token).headers(sut.mark)
    assert len(marks) == 1, f"the message has {counted(len(marks), f'{sut.mark} field')}, expected one"
    if sut.names_listed:
        assert client.address in marks[0], f"{sut.mark} does not name {client.address}: {marks[0]}"
        assert blocklist.zones[0] in marks[0], f"{sut.mark} does not name {blocklist.zones[0]}: {marks[0]}"


@rule("dnsbl.two")
@each("last_straw")
def test_client_on_as_many_lists_as_are_enough(
    client: Client, offence: bool, sut: Sut, expect: Expect, last_straw: tuple[BlockList, ...]
) -> None:
    if offence:
        for one in last_straw:
            client.list_on(one, text=f"listed by {one.zones[0]} for testing")
    attempt = client.attempt()
    expect(attempt, cause=client.asked(*last_straw))
    if offence and sut.profile.dialect.names_lists and not expect.lets_through:
        said = attempt.said
        assert client.address in said, "the reply does not name the address"
        for one in last_straw:
            assert one.zones[0] in said, f"the reply does not name {one.name}"
            text = f"listed by {one.zones[0]} for testing"
            assert text in said, f"the text of {one.name} is not in the reply"


@rule("dnsbl.two")
@COVERED
def test_client_on_all_lists(client: Client, offence: bool, sut: Sut, expect: Expect, covered: bool) -> None:
    attempt = listed_by_all(client, offence, sut, expect).attempt(covered=covered)
    expect(attempt, cause=asked_here_or_elsewhere(client, sut))


@rule("dnsbl.two")
def test_client_on_all_lists_that_give_no_reasons(
    client: Client, offence: bool, sut: Sut, expect: Expect
) -> None:
    attempt = listed_by_all(client, offence, sut, expect, text=None).attempt()
    expect(attempt, cause=client.asked_any(*black(sut)))


@rule("dnsbl.two")
def test_bounce_of_a_client_on_all_lists(client: Client, offence: bool, sut: Sut, expect: Expect) -> None:
    recipient = taking_bounces(client, sut, expect)
    attempt = listed_by_all(client, offence, sut, expect).attempt(sender="", recipient=recipient)
    with expect.one_of_several():  # whose mailbox shows a mark need not be known of whoever sends
        expect(attempt, cause=asked_here_or_elsewhere(client, sut))


@rule("dnsbl.two")
@each("zone")
def test_client_on_a_list_that_is_enough(
    client: Client, offence: bool, sut: Sut, expect: Expect, zone: Zone
) -> None:
    weighs(sut, expect, Offence.LISTED_ENOUGH, zone.blocklist)
    if offence:
        client.list_on(zone.blocklist, zone=zone.number)
    expect(client.attempt(), cause=client.asked(zone.blocklist))


@rule("dnsbl.group-counts-once")
@each("group")
def test_several_zones_of_one_group(
    client: Client, offence: bool, sut: Sut, expect: Expect, group: BlockList
) -> None:
    weighs(sut, expect, Offence.LISTED, group)
    left = sut.profile.dialect.threshold - group.weight
    others = sut.most_below([one for one in black(sut) if one != group], limit=left)
    by_zone = (len(group.zones) - 1) * group.weight + sum(one.weight for one in others)
    expect.needed(by_zone >= left, "with whatever other lists, its zones would not be enough if each counted")
    tells_enough_apart(expect)
    for one in (*others, group):
        client.list_on(one)
    for zone in range(1, len(group.zones)) if offence else ():
        client.list_on(group, zone=zone)
    attempt = client.attempt()
    expect.treated_as(attempt, Offence.LISTED)
    asked = client.asked(group)
    expect.given(asked.seen, asked.missing)


@rule("dnsbl.threshold-stops")
def test_no_list_is_asked_after_enough_hits(client: Client, offence: bool, sut: Sut, expect: Expect) -> None:
    lists = in_zones_of_their_own(black(sut))
    enough = fewest(lists, sut, expect)
    expect.applicable(sut.stops_asking, "this server asks all its lists whatever they say")
    expect.needed(len(lists) > enough, f"{enough} hits are enough, and there is no further [[dnsbl]] list")
    if offence:
        for blocklist in lists:
            client.list_on(blocklist)
    attempt = client.attempt()
    expect(attempt, cause=client.asked_any(*lists))
    asked = [one for one in lists if client.queries_for(one)]
    asked.sort(key=lambda one: min(entry.at for entry in client.queries_for(one)))
    if offence:
        before = sum(one.weight for one in asked[:-1])
        assert before < sut.profile.dialect.threshold, (
            f"{asked[-1].name} was asked as well, when the weights of those before it came to {before:g}"
        )
    else:
        expect.given(
            len(asked) > enough, f"only {len(asked)} of {len(lists)} lists are asked about an innocent client"
        )


@rule("dnsbl.not-before-rcpt")
def test_lists_are_asked_at_rcpt_only(client: Client, stranger: Client, sut: Sut, expect: Expect) -> None:
    looked_up = []
    client.be_known()
    for one in (client, stranger):  # some servers ask no list about hosts that they know
        with one.conversation() as talk:
            talk.connect()
            talk.ehlo(one.host)
            mail = talk.mail(one.sender)
            queries = [entry for blocklist in sut.dnsbl for entry in one.queries_for(blocklist)]
            asked_early = [entry.name for entry in queries if entry.at >= talk.staged[0].began]
            if mail.treatment is Treatment.PASS:
                talk.rcpt(sut.recipient)
            attempt = talk.quit()
        expect.accepts(attempt, Stage.MAIL)
        assert not asked_early, f"before RCPT the server asked for {asked_early}"
        looked_up.append(one.asked_any(*sut.dnsbl))
    missing = " and ".join(one.missing for one in looked_up)
    expect.given(any(one.seen for one in looked_up), f"{missing}, neither before RCPT nor at it")
    other = client.another("client")
    expect(other.attempt(), cause=other.asked_any(*sut.dnsbl))


@rule("dnsbl.authenticated-exempt")
def test_account_from_a_listed_address(stranger: Client, offence: bool, sut: Sut, expect: Expect) -> None:
    if offence:
        for blocklist in black(sut):
            stranger.list_on(blocklist)
    expect(stranger.attempt(authenticated=True, upto=Stage.DATA))  # wherever this server asks them
    asked = [entry.name for blocklist in sut.dnsbl for entry in stranger.queries_for(blocklist)]
    assert not asked, f"the lists were asked about an account: {asked}"
    stranger.attempt(label="the same host without an account")
    looked_up = stranger.asked_any(*sut.dnsbl)
    expect.given(looked_up.seen or looked_up.usual, f"{looked_up.missing}, with an account or without")


@rule("dnsbl.test-point")
def test_client_with_the_address_of_the_test_entry(
    client: Client, offence: bool, sut: Sut, expect: Expect
) -> None:
    weighs(sut, expect, Offence.LISTED_ENOUGH, *black(sut))
    tester = client.at_address("127.0.0.2" if offence else "127.0.0.77")  # all lists have the former
    expect(tester.attempt(), cause=tester.asked_any(*black(sut)))


@rule("dnsbl.fail-open")
@each("blocklist")
@FAULTS
def test_one_list_is_out_of_order(
    client: Client,
    offence: bool,
    mailbox: Mailbox | None,
    expect: Expect,
    blocklist: BlockList,
    fault: Behaviour,
    zones: int | None,
) -> None:
    if offence:
        client.lookup_fails(blocklist, fault, zones=zones)
    attempt = client.attempt(upto=Stage.DATA if mailbox else None)
    expect.accepted(attempt, Stage.RCPT, patiently=isinstance(fault, NoAnswer))
    if mailbox:
        expect.accepts(attempt, Stage.DATA)
        expect.unmarked(attempt)
    asked = client.asked(blocklist)
    expect.given(asked.seen, asked.missing)


@rule("dnsbl.fail-open")
@each("blocklist")
@FAULTS
def test_one_hit_less_than_enough_while_another_list_is_out_of_order(
    client: Client,
    offence: bool,
    sut: Sut,
    mailbox: Mailbox | None,
    expect: Expect,
    blocklist: BlockList,
    fault: Behaviour,
    zones: int | None,
) -> None:
    others = sut.most_below(
        [one for one in black(sut) if not one.shares_a_zone(blocklist)], limit=sut.profile.dialect.threshold
    )
    expect.needed(
        bool(others) and sut.earned_by(*others, blocklist) is Offence.LISTED_ENOUGH,
        "there are no other [[dnsbl]] lists for which a hit of this one would be the one too many",
    )
    tells_enough_apart(expect)
    expect.applicable(expect.lets_through_if(Offence.LISTED), "the server refuses at one hit")
    for one in others:
        client.list_on(one)
    if offence:
        client.lookup_fails(blocklist, fault, zones=zones)
    attempt = client.attempt(upto=Stage.DATA if mailbox else None)
    expect.treated_as(attempt, Offence.LISTED, promptly=not isinstance(fault, NoAnswer))
    asked = client.asked(blocklist)
    expect.given(asked.seen, asked.missing)


def black(sut: Sut) -> list[BlockList]:
    """The lists that count against a client."""
    return [blocklist for blocklist in sut.dnsbl if blocklist.weight > 0]


def listed_by_all(
    client: Client, offence: bool, sut: Sut, expect: Expect, text: str | None = "listed for testing"
) -> Client:
    """The client, on all lists that count against it; the twin's is on none."""
    weighs(sut, expect, Offence.LISTED_ENOUGH, *black(sut))
    for blocklist in black(sut) if offence else ():
        client.list_on(blocklist, text=text)
    return client


def asked_here_or_elsewhere(client: Client, sut: Sut) -> Cause:
    """That a list was asked; where none was, whether any still is about others, who send as anybody does."""
    asked = client.asked_any(*black(sut))
    if asked.seen:
        return asked
    other = client.another("an ordinary message")
    other.attempt()
    return asked.beside(other.asked_any(*black(sut)))


def weighs(sut: Sut, expect: Expect, offence: Offence, *lists: BlockList) -> None:
    """What these lists weigh together is enough to be refused for, or less than that."""
    enough = "enough" if sut.earned_by(*lists) is Offence.LISTED_ENOUGH else "not enough"
    names = ", ".join(one.name for one in lists) or "no list"
    expect.applicable(sut.earned_by(*lists) is offence, f"to be on {names} is {enough} for dialect.threshold")


def outweighed_by(
    white_list: BlockList, leaves: Offence | None, sut: Sut, expect: Expect
) -> tuple[BlockList, ...]:
    """The first block lists, as few as do, that count for more by themselves than with a white one beside."""
    lists: tuple[BlockList, ...] = ()
    for one in black(sut):
        lists = (*lists, one)
        if sut.earned_by(*lists, white_list) is leaves and sut.earned_by(*lists) is not leaves:
            return lists
    left = "fewer hits than are enough" if leaves else "nothing"
    raise NotApplicableError(f"{white_list.name} leaves {left} of no number of [[dnsbl]] lists")


def would_count_twice(blocklist: BlockList, sut: Sut, expect: Expect) -> None:
    """To be on that list is not enough, is taken note of without a refusal, and would be enough twice."""
    weighs(sut, expect, Offence.LISTED, blocklist)
    expect.applicable(expect.lets_through, "the server refuses such a client at its first recipient")
    twice = sut.earned_by(blocklist, blocklist)
    expect.applicable(
        twice is Offence.LISTED_ENOUGH, f"{blocklist.name} would not be enough if it counted twice"
    )
    tells_enough_apart(expect)


def tells_enough_apart(expect: Expect) -> None:
    """One hit too many earns something else than one less."""
    expect.applicable(
        expect.earnings(Offence.LISTED) != expect.earnings(Offence.LISTED_ENOUGH),
        "whether the hits are enough makes no difference here",
    )


def in_zones_of_their_own(lists: list[BlockList]) -> list[BlockList]:
    """Those of some lists of which no two read one zone: a question does not show for which of them it is."""
    found: list[BlockList] = []
    for one in lists:
        if not any(one.shares_a_zone(other) for other in found):
            found.append(one)
    return found


def fewest(lists: list[BlockList], sut: Sut, expect: Expect) -> int:
    """The most lists that are asked until the weights of those that name a client are enough for sure."""
    weights = sorted(blocklist.weight for blocklist in lists)
    for number, weight in enumerate(itertools.accumulate(weights), 1):
        if weight >= sut.profile.dialect.threshold:
            return number
    expect.needed(False, "all [[dnsbl]] lists together do not reach dialect.threshold")
    return 0
