"""Bounces: only an address that could have sent mail can get some back."""

import pytest

from harness.scenario import Attempt, Client, Expect, Sut, rule


@rule("bounce.bogus")
def test_bounce_to_one_who_never_sends(client: Client, sut: Sut, expect: Expect) -> None:
    ordinary = client.twin().attempt(recipient=sut.never_sends)
    expect(bounce(client, sut.never_sends), twin=ordinary)


@rule("bounce.postmaster-sender")
@pytest.mark.parametrize("name", ["postmaster", "Postmaster"])
def test_postmaster_writes_to_one_who_never_sends(
    client: Client, sut: Sut, expect: Expect, name: str
) -> None:
    sender = f"{name}@{client.identity.domain}"
    twin = client.twin()
    ordinary = twin.attempt(sender=f"postmaster-in-chief@{twin.identity.domain}", recipient=sut.never_sends)
    expect(client.attempt(sender=sender, recipient=sut.never_sends), twin=ordinary)


@rule("bounce.legal")
def test_bounce_to_one_who_sends(client: Client, sut: Sut, expect: Expect) -> None:
    expect(bounce(client, sut.legal_bounce), twin=client.twin().attempt(recipient=sut.legal_bounce))


@rule("bounce.postmaster-legal")
def test_bounce_to_postmaster_of_every_domain(client: Client, sut: Sut, expect: Expect) -> None:
    for postmaster in sut.postmasters:
        expect(bounce(client.twin(), postmaster), twin=client.twin().attempt(recipient=postmaster))


@rule("bounce.case-insensitive")
@pytest.mark.parametrize("spelling", ["upper", "title"])
def test_bounce_to_another_spelling(client: Client, sut: Sut, expect: Expect, spelling: str) -> None:
    user, _, domain = sut.legal_bounce.partition("@")
    recipient = f"{user.upper() if spelling == 'upper' else user.title()}@{domain}"
    expect(bounce(client, recipient), twin=client.twin().attempt(recipient=recipient))


@rule("bounce.tagged")
@pytest.mark.parametrize("tag", ["=tag", "=a=b"])
def test_bounce_to_a_tagged_sender(client: Client, sut: Sut, expect: Expect, tag: str) -> None:
    user, _, domain = sut.legal_bounce.partition("@")
    recipient = f"{user}{tag}@{domain}"
    expect(bounce(client, recipient), twin=client.twin().attempt(recipient=sut.legal_bounce))


@rule("bounce.tag-in-front")
def test_bounce_with_the_tag_in_front(client: Client, sut: Sut, expect: Expect) -> None:
    attempt = bounce(client, f"prvs={sut.legal_bounce}")
    expect(attempt, twin=client.twin().attempt(recipient=sut.legal_bounce))


@rule("bounce.no-list")
def test_bounce_to_a_domain_without_a_list(client: Client, sut: Sut, expect: Expect) -> None:
    recipient = sut.listless_recipient
    expect(bounce(client, recipient), twin=client.twin().attempt(recipient=recipient))


@rule("bounce.per-domain")
def test_bounce_to_a_name_that_sends_elsewhere(client: Client, sut: Sut, expect: Expect) -> None:
    recipient = sut.legal_elsewhere
    expect(bounce(client, recipient), twin=client.twin().attempt(recipient=recipient))


def bounce(client: Client, recipient: str) -> Attempt:
    return client.attempt(sender="", recipient=recipient)
