"""Delivery to the server's own users: aliases, mailboxes, and what is added to a message."""

import contextlib
import email.utils
import re
import time
from collections.abc import Sequence
from pathlib import Path

from harness.scenario import Client, Delivered, Expect, Mailbox, Sut, message, rule

SEEN = re.compile(r":2,[A-Za-z]*$")  # what a mail program adds to a name
CLOCKS_DIFFER = 300.0  # seconds that the server's clock may be wrong by


@rule("delivery.alias")
def test_mail_for_an_alias(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    alias = sut.mail.alias
    twin = client.twin()
    attempt = client.attempt(recipient=alias.address, message=message(client, alias.address))
    ordinary = twin.attempt(recipient=alias.others, message=message(twin, alias.others[0]))
    expect(attempt, twin=ordinary)
    mailbox.find(alias.targets[0], client.token)
    only_their_own(mailbox, alias.others, twin, client)


@rule("delivery.alias-many")
def test_mail_for_an_alias_of_several(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    alias = sut.mail.alias_for_many
    twin = client.twin()
    attempt = client.attempt(recipient=alias.address, message=message(client, alias.address))
    ordinary = twin.attempt(recipient=alias.others, message=message(twin, alias.others[0]))
    expect(attempt, twin=ordinary)
    for target in alias.targets:
        mailbox.find(target, client.token)
    only_their_own(mailbox, alias.others, twin, client)
    for target in alias.targets:
        copies = mailbox.copies(target, client.token)
        assert len(copies) == 1, f"{target} has {len(copies)} copies"


@rule("delivery.catch-all")
def test_mail_for_the_rest_of_a_domain(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    rest = sut.mail.catch_all
    twin = client.twin()
    attempt = client.attempt(recipient=rest.address, message=message(client, rest.address))
    own = twin.attempt(recipient=rest.others, message=message(twin, rest.others[0]))
    expect(attempt, twin=own)
    for target in rest.targets:
        mailbox.find(target, client.token)
    only_their_own(mailbox, rest.others, twin, client)
    for target in rest.targets:
        assert not mailbox.copies(target, twin.token), f"{target} has the mail of others"


@rule("delivery.no-catch-all")
def test_mail_for_the_rest_of_a_domain_without_catch_all(client: Client, sut: Sut, expect: Expect) -> None:
    alias, nobody = sut.mail.without_catch_all
    expect(client.attempt(recipient=nobody), twin=client.twin().attempt(recipient=alias))


@rule("delivery.per-domain")
def test_one_name_in_two_domains(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    here, there = sut.mail.same_alias
    twin = client.twin()
    attempt = client.attempt(recipient=there.address, message=message(client, there.address))
    other = twin.attempt(recipient=here.address, message=message(twin, here.address))
    expect(attempt, twin=other)
    for target in there.targets:
        mailbox.find(target, client.token)
    for target in here.targets:
        mailbox.find(target, twin.token)
        assert not mailbox.copies(target, client.token), f"{target} has the mail of {there.address}"


@rule("delivery.to-header-kept")
def test_mail_for_an_alias_keeps_its_to(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    alias = sut.mail.alias
    to = f'"A. Friend" <{alias.address.title()}>, others: somebody@{client.identity.domain};'
    twin = client.twin()
    attempt = client.attempt(recipient=alias.address, message=message(client, alias.address, to=to))
    user = alias.targets[0]
    expect(attempt, twin=twin.attempt(recipient=user, message=message(twin, user)))
    kept = mailbox.find(user, client.token).headers("To")
    assert kept == [to], f"To: {to} was delivered as {kept}"
    assert mailbox.find(user, twin.token).headers("To") == [f"<{user}>"]


@rule("delivery.trace-headers")
def test_what_final_delivery_adds(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    alias = sut.mail.alias
    bystander = alias.others[-1]
    twin = client.twin()
    attempt = client.attempt(recipient=[alias.address, bystander], message=message(client, alias.address))
    user = alias.targets[0]
    expect(attempt, twin=twin.attempt(recipient=user, message=message(twin, user)))
    is_traced(mailbox.find(user, client.token), client.sender, alias.address)
    is_traced(mailbox.find(bystander, client.token), client.sender, bystander)
    is_traced(mailbox.find(user, twin.token), twin.sender, user)


@rule("delivery.trace-headers")
def test_what_final_delivery_adds_to_a_bounce(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect
) -> None:
    user = sut.legal_bounce
    twin = client.twin()
    attempt = client.attempt(sender="", recipient=user, message=message(client, user))
    expect(attempt, twin=twin.attempt(recipient=user, message=message(twin, user)))
    is_traced(mailbox.find(user, client.token), "", user)


@rule("delivery.maildir")
def test_message_in_a_maildir(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    user = sut.mail.kept_as("maildir")
    one, other = deliver_two(client, user, mailbox, expect)
    assert one.where != other.where, "two messages are in one file"
    for found in (one, other):
        file = Path(found.where)
        expect.given(not SEEN.search(file.name), f"{user}'s mail program has taken the message out of new")
        assert file.parent.name == "new", f"a message that nobody has seen lies in {file.parent.name}"
        for unfinished in (file.parents[1] / "tmp").iterdir():
            token = client.token.encode()
            with contextlib.suppress(FileNotFoundError):  # somebody else's, which is finished now
                assert token not in unfinished.read_bytes(), "a copy of the message was left in tmp"


@rule("delivery.mbox")
def test_message_in_an_mbox(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    user = sut.mail.kept_as("mbox")
    body = "Hello.\r\n\r\nFrom me to you\r\n\r\nFromage and wine\r\n from here on\r\n"
    for found in deliver_two(client, user, mailbox, expect, body):
        kept = found.body.decode("ascii", "replace").splitlines()
        assert kept == body.splitlines(), f"the body was delivered as {kept}"


def deliver_two(
    client: Client, user: str, mailbox: Mailbox, expect: Expect, body: str = "Hello.\r\n"
) -> tuple[Delivered, Delivered]:
    twin = client.twin()
    attempt = client.attempt(recipient=user, message=message(client, user, body=body))
    expect(attempt, twin=twin.attempt(recipient=user, message=message(twin, user, body=body)))
    return mailbox.find(user, client.token), mailbox.find(user, twin.token)


def only_their_own(mailbox: Mailbox, users: Sequence[str], own: Client, other: Client) -> None:
    """Users have the mail of one client and, though that came later, not that of another."""
    for user in users:
        mailbox.find(user, own.token)
    for user in users:
        assert not mailbox.copies(user, other.token), f"{user} has mail that was for others"


def is_traced(found: Delivered, sender: str, recipient: str) -> None:
    """The message says from whom, to whom and when it was delivered, once each."""
    assert found.headers("Return-path") == [f"<{sender}>"], found.headers("Return-path")
    assert found.headers("Envelope-to") == [recipient], found.headers("Envelope-to")
    dates = found.headers("Delivery-date")
    assert len(dates) == 1, f"{len(dates)} Delivery-date fields"
    away = abs(email.utils.parsedate_to_datetime(dates[0]).timestamp() - time.time())
    assert away < CLOCKS_DIFFER, f"Delivery-date is {away:.0f} s away"
