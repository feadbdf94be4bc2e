"""Delivery to the server's own users: aliases, mailboxes, and what is added to a message."""

import contextlib
import email.utils
import re
import time
from collections.abc import Sequence
from pathlib import Path

from harness.scenario import (
    Alias,
    Client,
    Delivered,
    Domain,
    Expect,
    Mailbox,
    NeverCameError,
    Stage,
    Sut,
    counted,
    each,
    message,
    named,
    rule,
)

SEEN = re.compile(r":2,[A-Za-z]*$")  # what a mail program adds to a name
CLOCKS_DIFFER = 300.0  # seconds between two readings of clocks that go right


@rule("delivery.alias")
@each("alias")
def test_mail_for_an_alias(
    client: Client, offence: bool, mailbox: Mailbox, expect: Expect, alias: Alias
) -> None:
    recipients = [alias.address] if offence else alias.targets
    reaches(client, recipients, alias.targets, alias.others, mailbox, expect)


@rule("delivery.alias-many")
@each("alias_for_many")
def test_mail_for_an_alias_of_several(
    client: Client, offence: bool, mailbox: Mailbox, expect: Expect, alias_for_many: Alias
) -> None:
    alias = alias_for_many
    recipients = [alias.address] if offence else alias.targets
    reaches(client, recipients, alias.targets, alias.others, mailbox, expect)


@rule("delivery.catch-all")
@each("catch_all")
def test_mail_for_the_rest_of_a_domain(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect, catch_all: Alias
) -> None:
    rest = catch_all
    known = (sut.mail.user_of(rest.domain),) if rest.untold else rest.targets
    recipients, targets = ([rest.address], rest.targets) if offence else (known, known)
    try:
        reaches(client, recipients, targets, rest.others, mailbox, expect)
    except NeverCameError:
        expect.applicable(
            not (offence and rest.untold),
            f'{rest.domain} takes every local part and has no alias "*", so the profile does not say whose '
            f"mailbox this comes to, and it is not kept as that of {rest.address}",
        )
        raise


@rule("delivery.catch-all")
@each("catch_all")
def test_mail_for_a_user_beside_the_rest(
    client: Client, offence: bool, mailbox: Mailbox, expect: Expect, catch_all: Alias
) -> None:
    expect.applicable(not catch_all.untold, 'the domain has no alias "*", so nobody gets what is for others')
    expect.applicable(bool(catch_all.neighbours), "the domain has no user but those who get the rest")
    user, takes_the_rest = catch_all.neighbours[0], catch_all.targets[0]
    reached, other = (user, takes_the_rest) if offence else (takes_the_rest, user)
    reaches(client, [reached], [reached], [other], mailbox, expect)


@rule("delivery.no-catch-all")
@each("without_catch_all")
def test_mail_for_the_rest_of_a_domain_without_catch_all(
    client: Client, offence: bool, expect: Expect, without_catch_all: tuple[str, str]
) -> None:
    known, nobody = without_catch_all
    expect(client.attempt(recipient=nobody if offence else known))


@rule("delivery.per-domain")
@each("namesakes")
def test_one_name_in_two_domains(
    client: Client, offence: bool, mailbox: Mailbox, expect: Expect, namesakes: tuple[Alias, Alias]
) -> None:
    here, there = namesakes
    alias, other = (there, here) if offence else (here, there)
    reaches(client, [alias.address], alias.targets, other.targets, mailbox, expect)


@rule("delivery.to-header-kept")
@each("leading")
def test_mail_for_an_alias_keeps_its_to(
    client: Client, mailbox: Mailbox, expect: Expect, leading: Alias
) -> None:
    to = f'"A. Friend" <{leading.address.title()}>, others: somebody@{client.identity.domain};'
    expect(client.attempt(recipient=leading.address, message=message(client, leading.address, to=to)))
    kept = mailbox.find(leading.targets[0], client.token).headers("To")
    assert kept == [to], f"To: {to} was delivered as {kept}"


@rule("delivery.trace-headers")
@each("domain")
def test_what_final_delivery_adds(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect, domain: Domain
) -> None:
    user = sut.mail.user_of(domain.name)
    alias = next((one for one in sut.mail.aliases if one.domain == domain.name), Alias(user, (user,)))
    recipients = {alias.address: alias.targets[0]} | {other: other for other in alias.neighbours[:1]}
    content = message(client, alias.address)
    expect(client.attempt(recipient=list(recipients), message=content))
    copies = {recipient: mailbox.find(reached, client.token) for recipient, reached in recipients.items()}
    for recipient, copy in copies.items():  # each has come to its own mailbox, and none to that of another
        is_traced(copy, client.sender, recipient)


@rule("delivery.trace-headers")
def test_what_final_delivery_adds_to_a_bounce(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect
) -> None:
    user = sut.mail.takes_bounces
    expect.applicable(
        bool(user), "no user is in any bounce_recipients, so the profile does not say who gets bounces"
    )
    expect(client.attempt(sender="", recipient=user, message=message(client, user)))
    is_traced(mailbox.find(user, client.token), "", user)


@rule("delivery.maildir")
def test_message_in_a_maildir(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    for user in sut.mail.kept_as("maildir"):
        host = client.another()
        one, other = deliver_two(host, user, mailbox, expect)
        assert one.where != other.where, "two messages are in one file"
        for found in (one, other):
            file = Path(found.where)
            seen = SEEN.search(file.name)
            expect.given(not seen, f"{user}'s mail program has taken the message out of new")
            assert file.parent.name == "new", f"a message that nobody has seen lies in {file.parent.name}"
            for unfinished in (file.parents[1] / "tmp").iterdir():
                token = host.token.encode()
                with contextlib.suppress(FileNotFoundError):  # somebody else's, which is finished now
                    assert token not in unfinished.read_bytes(), "a copy of the message was left in tmp"


@rule("delivery.mbox")
def test_message_in_an_mbox(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    body = "Hello.\r\n\r\nFrom me to you\r\n\r\nFromage and wine\r\n from here on\r\n"
    for user in sut.mail.kept_as("mbox"):
        one, other = deliver_two(client.another(), user, mailbox, expect, body)
        is_itself(one, other, body)
        is_itself(other, one, body)


def deliver_two(
    client: Client, user: str, mailbox: Mailbox, expect: Expect, body: str = "Hello.\r\n"
) -> tuple[Delivered, Delivered]:
    """Two messages of the same sort, one after the other, as they are kept."""
    second = client.another("a client that comes later")
    for one in (client, second):
        expect(one.attempt(recipient=user, message=message(one, user, body=body)))
    return mailbox.find(user, client.token), mailbox.find(user, second.token)


def reaches(
    client: Client,
    recipients: Sequence[str],
    targets: Sequence[str],
    others: Sequence[str],
    mailbox: Mailbox,
    expect: Expect,
) -> None:
    """A message for these recipients is with each of the targets once, and with nobody else.

    That is looked for when a second message of the same sort has come to all of them.
    """
    second = client.another("a client that comes later")
    most = expect.profile.policy.max_recipients
    for one in (client, second):
        for first in range(0, len(recipients), most):  # as any mail server sends a message for many
            some = list(recipients[first : first + most])
            attempt = one.attempt(recipient=some, message=message(one, recipients[0]))
            if one is client:
                expect(attempt)
            else:
                expect.accepts(attempt, Stage.DATA)
        try:
            for target in targets:
                mailbox.find(target, one.token)
        finally:
            for other in others:
                strayed = mailbox.copies(other, client.token)
                assert not strayed, f"{other} has mail that was for {named(recipients)}"
    for target in targets:
        copies = mailbox.copies(target, client.token)
        assert len(copies) == 1, (
            f"{target} has {counted(len(copies), 'copy', 'copies')} of the message, expected one"
        )


def is_itself(found: Delivered, other: Delivered, body: str) -> None:
    """The message has its body, and nothing of another one; words that a server adds are no flaw."""
    kept, lines = found.body.decode("ascii", "replace").splitlines(), body.splitlines()
    begins = range(len(kept) - len(lines) + 1)
    assert any(kept[at : at + len(lines)] == lines for at in begins), f"the body was delivered as {kept}"
    (name,) = other.headers("Message-ID")
    assert name.encode() not in found.body, f"the body goes on with another message: {kept}"


def is_traced(found: Delivered, sender: str, recipient: str) -> None:
    """The message says from whom, to whom and when it was delivered, once each."""
    for name, value in (("Return-path", f"<{sender}>"), ("Envelope-to", recipient)):
        said = found.headers(name)
        seen = named((f"«{one}»" for one in said), "missing")
        assert said == [value], f"in the mail for {recipient} {name} is {seen}, expected «{value}»"
    dates = found.headers("Delivery-date")
    assert len(dates) == 1, f"the message has {counted(len(dates), 'Delivery-date field')}, expected one"
    date = seconds_of(dates[0])
    assert date is not None, f"Delivery-date is «{dates[0]}», which is no date"
    by, clock = time_of(found)
    away = abs(date - clock)
    assert away < CLOCKS_DIFFER, f"Delivery-date is {away:.0f} s away from {by}: «{dates[0]}»"


def time_of(found: Delivered) -> tuple[str, float]:
    """The time of a delivery by the server's own clock, which may be wrong, or by the harness's; and whose.

    That of the server stands in the first Received field, which is its own (RFC 5321 §4.4).
    """
    said = found.headers("Received")
    received = seconds_of(said[0].rpartition(";")[2]) if said else None
    return ("the harness's clock", time.time()) if received is None else ("the server's clock", received)


def seconds_of(date: str) -> float | None:
    """A date in seconds since 1970; None where it is none."""
    read = email.utils.parsedate_tz(date)
    try:
        return email.utils.mktime_tz(read) if read else None
    except (OverflowError, ValueError):  # of a year that no clock comes to
        return None
