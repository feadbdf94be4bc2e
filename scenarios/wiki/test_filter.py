"""A user's filter: which folder a message is kept in."""

import pytest

from harness.scenario import Client, Expect, Mailbox, Sut, message, needs, rule
from scenarios.wiki.test_spam import GTUBE

START = 500  # characters of the body that a filter sees
INBOX = ""
REFUSED = "the server refuses such a client, so there is nothing to file"


@rule("filter.spam-folder")
def test_spam_is_filed(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    ham = {"subject": "Yes, X-Spam-Flag: YES"}
    filed(client, sut, mailbox, expect, "spam_folder", {"body": GTUBE}, ham)


@rule("filter.list-folder")
def test_mail_to_a_list_is_filed(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    address = sut.mail.filter.list_address
    _, _, domain = address.partition("@")
    filed(
        client,
        sut,
        mailbox,
        expect,
        "list_folder",
        {"to": f"A list <{address}>, ann@{client.identity.domain}"},
        {"to": f"A list <other@{domain}>"},
    )


@rule("filter.body")
@pytest.mark.parametrize("first", [0, 200, "last"])
def test_word_near_the_beginning_of_the_body(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect, first: int | str
) -> None:
    word = sut.mail.filter.body_word
    place = START - len(word) if isinstance(first, str) else first
    filed(
        client,
        sut,
        mailbox,
        expect,
        "body_folder",
        {"body": word_at(word, place)},
        {"body": word_at(word, START)},
    )


@rule("filter.dnsbl-folder")
@needs("dns", "address")
def test_mail_of_a_listed_client_is_filed(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    expect.applicable(not sut.one_hit_refuses, REFUSED)
    client.list_on(sut.dnsbl[0])
    filed(client, sut, mailbox, expect, "dnsbl_folder", {}, {})


@rule("filter.dnsbl-folder")
@needs("dns", "address", "spam")
def test_spam_of_a_listed_client_is_spam(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    expect.applicable(not sut.one_hit_refuses, REFUSED)
    client.list_on(sut.dnsbl[0])
    filed(client, sut, mailbox, expect, "spam_folder", {"body": GTUBE}, {})


@rule("filter.catch-all")
def test_everything_else_is_in_the_inbox(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    user = sut.mail.filter.user
    twin = client.twin()
    attempt = client.attempt(recipient=user, message=message(client, user))
    unfiltered = twin.attempt(message=message(twin, sut.recipient))
    expect(attempt, twin=unfiltered)
    found = mailbox.find(user, client.token)
    assert found.folder == INBOX, f"an ordinary message was kept in {found.folder}"
    mailbox.find(sut.recipient, twin.token)


def filed(
    client: Client,
    sut: Sut,
    mailbox: Mailbox,
    expect: Expect,
    key: str,
    kind: dict[str, str],
    innocent: dict[str, str],
) -> None:
    """A message of that kind is kept in the folder, once, and an innocent one in the inbox."""
    user, folder, twin = sut.mail.filter.user, sut.mail.folder(key), client.twin()
    attempt = client.attempt(recipient=user, message=message(client, user, **kind))
    expect(attempt, twin=twin.attempt(recipient=user, message=message(twin, user, **innocent)))
    found = mailbox.find(user, client.token)
    assert found.folder == folder, f"the message was kept in {found.folder or 'the inbox'}, not in {folder}"
    other = mailbox.find(user, twin.token)
    assert other.folder == INBOX, f"an innocent message was kept in {other.folder}"
    copies = mailbox.copies(user, client.token)
    assert len(copies) == 1, f"the message was kept {len(copies)} times"


def word_at(word: str, place: int) -> str:
    """A body of one line in which a word begins at a place."""
    before = f"{'x' * (place - 1)} " if place else ""
    return f"{before}{word} {'x' * (START // 4)}\r\n"
