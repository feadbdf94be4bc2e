"""DNS block lists: one hit slows and marks, two hits end the connection."""

import pytest

from harness.scenario import (
    Behaviour,
    Client,
    Expect,
    Kind,
    Mailbox,
    NewClient,
    NoAnswer,
    Refused,
    ServFail,
    Stage,
    Sut,
    message,
    needs,
    rule,
)


@rule("dnsbl.none")
def test_client_on_no_list(client: Client, expect: Expect) -> None:
    expect(client.attempt(), twin=client.twin().attempt())


@rule("dnsbl.none")
def test_neighbour_of_a_listed_client(client: Client, sut: Sut, expect: Expect) -> None:
    for blocklist in sut.dnsbl[:2]:
        client.twin().list_on(blocklist)
    expect(client.attempt(), twin=client.twin().attempt())


@rule("dnsbl.none")
@needs("mailbox")
def test_message_of_a_client_on_no_list_is_not_marked(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect
) -> None:
    attempt = client.attempt(message=message(client, sut.recipient))
    expect(attempt, twin=client.twin().attempt())
    expect.outcome("pass at data", attempt)
    assert not mailbox.find(sut.recipient, client.identity.domain).headers("X-DNSbl-Warning")


@rule("dnsbl.one")
@pytest.mark.parametrize("position", [0, 1, 2], ids=["first", "second", "third"])
def test_client_on_one_list(client: Client, sut: Sut, expect: Expect, position: int) -> None:
    client.list_on(sut.dnsbl[position])
    expect(client.attempt(), twin=client.twin().attempt())


@rule("dnsbl.one")
@needs("ipv6")
def test_ipv6_client_on_one_list(new_client: NewClient, sut: Sut, expect: Expect) -> None:
    client = new_client(Kind.IPV6)
    client.list_on(sut.dnsbl[0])
    expect(client.attempt(), twin=client.twin().attempt())


@rule("dnsbl.one")
@needs("mailbox")
def test_message_of_a_listed_client_is_marked(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect
) -> None:
    expect.applicable(expect.lets_through, "the server refuses such a client, so there is nothing to mark")
    client.list_on(sut.dnsbl[0])
    attempt = client.attempt(message=message(client, sut.recipient))
    expect(attempt, twin=client.twin().attempt())
    expect.outcome("pass at data", attempt)
    marks = mailbox.find(sut.recipient, client.identity.domain).headers("X-DNSbl-Warning")
    assert len(marks) == 1, f"{len(marks)} X-DNSbl-Warning headers, expected one"
    assert client.address in marks[0]
    assert sut.dnsbl[0].zones[0] in marks[0]


@rule("dnsbl.two")
@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2)], ids=["1 and 2", "1 and 3", "2 and 3"])
def test_client_on_two_lists(client: Client, sut: Sut, expect: Expect, pair: tuple[int, int]) -> None:
    listed = [sut.dnsbl[position] for position in pair]
    for blocklist in listed:
        client.list_on(blocklist, text=f"listed by {blocklist.name} for testing")
    attempt = client.attempt()
    expect(attempt, twin=client.twin().attempt())
    said = attempt.rcpt.text
    assert client.address in said
    for blocklist in listed:
        assert blocklist.zones[0] in said
        assert f"listed by {blocklist.name} for testing" in said.replace("\n", " ")


@rule("dnsbl.group-counts-once")
def test_several_zones_of_one_group(client: Client, sut: Sut, expect: Expect) -> None:
    groups = [blocklist for blocklist in sut.dnsbl if len(blocklist.zones) > 1]
    expect.needed(bool(groups), "no [[dnsbl]] of the profile is a group of several zones")
    for zone in range(len(groups[0].zones)):
        client.list_on(groups[0], zone=zone)
    expect(client.attempt(), twin=client.twin().attempt())


@rule("dnsbl.threshold-stops")
def test_third_list_is_not_asked_after_two_hits(client: Client, sut: Sut, expect: Expect) -> None:
    client.list_on(sut.dnsbl[0])
    client.list_on(sut.dnsbl[1])
    twin = client.twin()
    expect(client.attempt(), twin=twin.attempt())
    expect.given(
        bool(twin.queries_for(sut.dnsbl[2])),
        f"{sut.dnsbl[2].name} is not asked about an innocent either",
    )
    assert not client.queries_for(sut.dnsbl[2]), f"{sut.dnsbl[2].name} was asked after two hits"


@rule("dnsbl.not-before-rcpt")
def test_lists_are_asked_at_rcpt_only(client: Client, sut: Sut, expect: Expect) -> None:
    early = client.twin().attempt(upto=Stage.MAIL)
    asked_early = [
        entry.name
        for _, twin, _ in client.world.conversations
        for blocklist in sut.dnsbl
        for entry in twin.queries_for(blocklist)
    ]
    expect(client.attempt(), twin=client.twin().attempt())
    expect.through(early, Stage.MAIL, who="a client that stops after MAIL")
    expect.given(
        any(client.queries_for(blocklist) for blocklist in sut.dnsbl), "no list was asked at RCPT either"
    )
    assert not asked_early, f"before RCPT the server asked for {asked_early}"


@rule("dnsbl.authenticated-exempt")
def test_account_from_a_listed_address(stranger: Client, sut: Sut, expect: Expect) -> None:
    for blocklist in sut.dnsbl[:2]:
        stranger.list_on(blocklist)
    attempt = stranger.attempt(authenticated=True)
    expect(attempt, twin=stranger.twin().attempt(authenticated=True))
    asked = [entry.name for blocklist in sut.dnsbl for entry in stranger.queries_for(blocklist)]
    assert not asked, f"the lists were asked all the same: {asked}"


@rule("dnsbl.test-point")
def test_client_with_the_address_of_the_test_entry(client: Client, sut: Sut, expect: Expect) -> None:
    tester = client.at_address("127.0.0.2")
    for blocklist in sut.dnsbl:
        tester.list_on(blocklist)
    expect(tester.attempt(), twin=client.twin().attempt())


@rule("dnsbl.fail-open")
@pytest.mark.parametrize(
    "fault", [ServFail(), Refused(), NoAnswer()], ids=["servfail", "refused", "no answer"]
)
def test_first_list_is_out_of_order(client: Client, sut: Sut, expect: Expect, fault: Behaviour) -> None:
    client.lookup_fails(sut.dnsbl[0], fault)
    attempt = client.attempt()
    expect.accepted(attempt, Stage.RCPT, twin=client.twin().attempt())
    expect.given(bool(client.queries_for(sut.dnsbl[0])), f"{sut.dnsbl[0].name} was not asked at all")


@rule("dnsbl.fail-open")
def test_one_hit_while_another_list_is_out_of_order(client: Client, sut: Sut, expect: Expect) -> None:
    expect.applicable(not sut.one_hit_refuses, "the server refuses at one hit, whatever the others say")
    client.lookup_fails(sut.dnsbl[0], ServFail())
    client.list_on(sut.dnsbl[1])
    expect.accepted(client.attempt(), Stage.RCPT, twin=client.twin().attempt())
