"""A user's filter: which folder a message is kept in."""

import pytest

from harness.scenario import (
    BlockList,
    Client,
    Expect,
    Mailbox,
    Offence,
    Sut,
    counted,
    each,
    message,
    needs,
    rule,
)
from scenarios.wiki.test_spam import GTUBE

START = 500  # characters of the body that a filter sees
INBOX = ""


@rule("filter.spam-folder")
def test_spam_is_filed(client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    folder = sut.mail.folder("spam_folder")
    body, subject = GTUBE if offence else "Hello.\r\n", "Yes, X-Spam-Flag: YES"
    filed(client, sut, mailbox, expect, folder if offence else INBOX, {"subject": subject, "body": body})


@rule("filter.list-folder")
def test_mail_to_a_list_is_filed(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect
) -> None:
    folder, address = sut.mail.folder("list_folder"), sut.mail.filter.list_address
    other = f"other@{address.rpartition('@')[2]}"
    to = f"A list <{address if offence else other}>, ann@{client.identity.domain}"
    filed(client, sut, mailbox, expect, folder if offence else INBOX, {"to": to})


@rule("filter.body")
@pytest.mark.parametrize("first", [0, 200, "last"])
def test_word_near_the_beginning_of_the_body(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect, first: int | str
) -> None:
    folder, word = sut.mail.folder("body_folder"), sut.mail.filter.body_word
    place = START - len(word) if isinstance(first, str) else first
    body = word_at(word, place if offence else START)
    filed(client, sut, mailbox, expect, folder if offence else INBOX, {"body": body})


@rule("filter.dnsbl-folder")
@needs("dns", "address")
@each("blocklist")
def test_mail_of_a_listed_client_is_filed(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect, blocklist: BlockList
) -> None:
    folder = sut.mail.folder("dnsbl_folder")
    is_let_through(sut, expect, blocklist)
    if offence:
        client.list_on(blocklist)
    filed(client, sut, mailbox, expect, folder if offence else INBOX, {}, listed_by=blocklist)


@rule("filter.dnsbl-folder")
@needs("dns", "address")
@each("blocklist")
def test_spam_of_a_listed_client_is_spam(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect, blocklist: BlockList
) -> None:
    expect.applicable(
        sut.profile.spam is not None, "the profile has no [spam], so no message is known for it"
    )
    folder = sut.mail.folder("spam_folder")
    is_let_through(sut, expect, blocklist)
    if offence:
        client.list_on(blocklist)
    filed(client, sut, mailbox, expect, folder, {"body": GTUBE}, listed_by=blocklist)


@rule("filter.catch-all")
def test_everything_else_is_in_the_inbox(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect
) -> None:
    user = sut.mail.filter.user if offence else sut.mail.unfiltered
    filed(client, sut, mailbox, expect, INBOX, {}, user=user)


def is_let_through(sut: Sut, expect: Expect, blocklist: BlockList) -> None:
    """A client that this list names may deliver its mail."""
    expect.applicable(
        sut.earned_by(blocklist) is Offence.LISTED and expect.lets_through_if(Offence.LISTED),
        "the server refuses such a client, so there is nothing to file",
    )


def filed(
    client: Client,
    sut: Sut,
    mailbox: Mailbox,
    expect: Expect,
    folder: str,
    content: dict[str, str],
    *,
    user: str = "",
    listed_by: BlockList | None = None,
) -> None:
    """The message is kept in the folder, once, whether or not its client is on a list."""
    user = user or sut.mail.filter.user
    attempt = client.attempt(recipient=user, message=message(client, user, **content))
    cause = client.asked(listed_by) if listed_by else None
    expect(attempt, cause=cause, whenever=listed_by is not None)
    if cause:
        expect.given(cause.seen or not cause.usual, f"{cause.missing}, as it was at the beginning")
    found = mailbox.find(user, client.token)
    assert found.folder == folder, (
        f"the message was kept in {found.folder or 'the inbox'}, not in {folder or 'the inbox'}"
    )
    copies = mailbox.copies(user, client.token)
    assert len(copies) == 1, (
        f"the user has {counted(len(copies), 'copy', 'copies')} of the message, expected one"
    )


def word_at(word: str, place: int) -> str:
    """A body of one line in which a word begins at a place."""
    before = f"{'x' * (place - 1)} " if place else ""
    return f"{before}{word} {'x' * (START // 4)}\r\n"
