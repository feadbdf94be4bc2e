"""Bounces: only an address that could have sent mail can get some back."""

from collections.abc import Callable

import pytest

from harness.scenario import Before, Client, Domain, Expect, Stage, Sut, each, rule

from .manners import COVERED, LATER
from .recipients import second_is_turned_away


@rule("bounce.bogus")
@each("who_never_sends")
@COVERED
def test_bounce_to_one_who_never_sends(
    client: Client, offence: bool, expect: Expect, who_never_sends: str, covered: bool
) -> None:
    sender = "" if offence else client.sender
    expect(client.attempt(sender=sender, recipient=who_never_sends, covered=covered))


@rule("bounce.bogus")
@each("who_never_sends")
@LATER
def test_later_bounce_to_one_who_never_sends(
    client: Client, offence: bool, expect: Expect, who_never_sends: str, before: Before
) -> None:
    sender = "" if offence else client.sender
    expect(client.attempt(sender=sender, recipient=who_never_sends, before=before))


@rule("bounce.bogus")
@each("who_never_sends")
def test_bounce_whose_second_recipient_never_sends(
    client: Client, offence: bool, sut: Sut, expect: Expect, who_never_sends: str
) -> None:
    domain = sut.domain_of(who_never_sends)
    senders = [name for name in domain.bounce_recipients or () if sut.has(domain, name)]
    expect.applicable(bool(senders), f"nobody whom {domain.name} knows is on its bounce_recipients")
    sender = "" if offence else client.sender
    first = f"{senders[0]}@{domain.name}"
    second_is_turned_away(client, first, who_never_sends, expect, sender=sender)


@rule("bounce.postmaster-sender")
@each("who_never_sends")
@pytest.mark.parametrize("name", ["postmaster", "Postmaster"])
def test_postmaster_writes_to_one_who_never_sends(
    client: Client, offence: bool, expect: Expect, who_never_sends: str, name: str
) -> None:
    sender = f"{name if offence else 'postmaster-in-chief'}@{client.identity.domain}"
    expect(client.attempt(sender=sender, recipient=who_never_sends))


@rule("bounce.legal")
@each("who_sends")
def test_bounce_to_one_who_sends(client: Client, offence: bool, expect: Expect, who_sends: str) -> None:
    expect(client.attempt(sender="" if offence else client.sender, recipient=who_sends))


@rule("bounce.postmaster-legal")
@each("postmaster")
def test_bounce_to_postmaster(client: Client, offence: bool, expect: Expect, postmaster: str) -> None:
    expect(client.attempt(sender="" if offence else client.sender, recipient=postmaster))


@rule("bounce.case-insensitive")
@each("who_sends")
@pytest.mark.parametrize("spelled", [str.upper, str.title], ids=["upper", "title"])
def test_bounce_to_another_spelling(
    client: Client, offence: bool, sut: Sut, expect: Expect, who_sends: str, spelled: Callable[[str], str]
) -> None:
    name, _, domain = who_sends.rpartition("@")
    other = f"{spelled(name)}@{domain}"
    expect.applicable(other != who_sends, f"{name} has no other spelling")
    must_exist(client, other, sut, expect)
    expect(client.attempt(sender="", recipient=other if offence else who_sends))


@rule("bounce.tagged")
@each("who_sends")
@pytest.mark.parametrize("tag", ["=tag", "=a=b"])
def test_bounce_to_a_tagged_sender(
    client: Client, offence: bool, sut: Sut, expect: Expect, who_sends: str, tag: str
) -> None:
    name, _, domain = who_sends.rpartition("@")
    tagged = f"{name}{tag}@{domain}"
    must_exist(client, tagged, sut, expect)
    expect(client.attempt(sender="" if offence else client.sender, recipient=tagged))


@rule("bounce.tag-in-front")
@each("who_sends")
def test_bounce_with_the_tag_in_front(
    client: Client, offence: bool, sut: Sut, expect: Expect, who_sends: str
) -> None:
    tagged = f"prvs={who_sends}"
    must_exist(client, tagged, sut, expect)
    expect(client.attempt(sender="" if offence else client.sender, recipient=tagged))


@rule("bounce.no-list")
@each("listless_domain")
def test_bounce_to_a_domain_without_a_list(
    client: Client, offence: bool, sut: Sut, expect: Expect, listless_domain: Domain
) -> None:
    recipient = sut.no_postmaster(listless_domain)
    expect(client.attempt(sender="" if offence else client.sender, recipient=recipient))


@rule("bounce.per-domain")
@each("who_sends_elsewhere")
def test_bounce_to_a_name_that_sends_elsewhere(
    client: Client, offence: bool, expect: Expect, who_sends_elsewhere: str
) -> None:
    expect(client.attempt(sender="" if offence else client.sender, recipient=who_sends_elsewhere))


def must_exist(client: Client, recipient: str, sut: Sut, expect: Expect) -> None:
    """The profile does not say whether there is such a user: ordinary mail shows it."""
    if sut.domain_of(recipient).takes_everyone:
        return
    ordinary = client.another("ordinary mail to that address").attempt(recipient=recipient)
    expect.applicable(
        not ordinary.refused_for_good, f"{recipient} is refused to everybody, so a bounce to it tells nothing"
    )
    expect.accepts(ordinary, Stage.RCPT)
