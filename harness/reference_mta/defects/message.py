"""Mutants of the rules about what becomes of a message here: aliases, mailboxes, filters, classification."""

import functools
import re

from harness.reference_mta.defects.kinds import Mutant, defective, delivering, moved
from harness.reference_mta.domains import REST
from harness.reference_mta.mail.maildir import MaildirCopy
from harness.reference_mta.mail.mbox import entry
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.trace import trace_lines
from harness.reference_mta.policy.rcpt import is_verified
from harness.reference_mta.policy.transaction import Transaction

LOOKS_SO = re.compile(rb"\n(?=>*+From[^:])")
NEVER = re.compile(rb"(?!)")


def _trace_without(field: str, message: Message, mailbox: str, led: tuple[str, ...]) -> tuple[str, ...]:
    lines = trace_lines(message, mailbox, led)
    return tuple(line for line in lines if not line.startswith(f"{field}:"))


def _taken_as_the_rest(transaction: Transaction) -> bool:
    domain = transaction.domain
    if domain is None or not is_verified(transaction) or REST not in domain.aliases:
        return False
    return domain.entry(transaction.mailbox.local_part) is None


ALIASES = (
    defective("delivery.alias", "off", "mail for an alias is kept under the alias's name"),
    defective("delivery.alias", "weak-other", "mail for an alias reaches another user of the domain"),
    defective("delivery.alias", "strict-bystander", "users whom the alias does not name get a copy too"),
    defective("delivery.alias-many", "off", "only the first of several users gets the mail"),
    defective("delivery.alias-many", "weak-last", "only the last of several users gets the mail"),
    defective("delivery.alias-many", "strict-bystander", "users whom the alias does not name get a copy too"),
    moved(
        "delivery.catch-all",
        "off",
        'a domain with "*" refuses the rest',
        lambda transaction, _: _taken_as_the_rest(transaction),
        "rcpt.unknown-user",
        asked="rcpt.unknown-user",
    ),
    defective("delivery.catch-all", "weak-own", "the rest is kept under its own names"),
    defective("delivery.catch-all", "weak-other", 'the rest reaches another user than "*" names'),
    defective("delivery.catch-all", "strict-users", 'a user\'s own mail goes to whom "*" names'),
    moved(
        "delivery.no-catch-all",
        "off",
        'a domain whose aliases have no "*" takes the rest as well',
        lambda transaction, found: bool(found and transaction.domain and transaction.domain.aliases),
        None,
        asked="rcpt.unknown-user",
    ),
    defective("delivery.per-domain", "off", "an alias means in every domain what it means in the first"),
)

MAILBOXES = (
    defective("delivery.to-header-kept", "off", "To: is rewritten to the mailbox"),
    delivering(
        "delivery.trace-headers",
        "off",
        "none of the three header lines is added",
        trace=lambda message, mailbox, led: (),
    ),
    *(
        delivering(
            "delivery.trace-headers",
            f"weak-no-{field.lower()}",
            f"{field} is missing",
            trace=functools.partial(_trace_without, field),
        )
        for field in ("Return-path", "Envelope-to", "Delivery-date")
    ),
    delivering(
        "delivery.trace-headers",
        "weak-mailbox",
        "Envelope-to names the mailbox, not the address written to",
        trace=lambda message, mailbox, led: trace_lines(message, mailbox, (mailbox,)),
    ),
    delivering(
        "delivery.trace-headers",
        "weak-everybody",
        "Envelope-to also names the recipients of others",
        trace=lambda message, mailbox, led: trace_lines(message, mailbox, message.recipients),
    ),
    delivering(
        "delivery.maildir",
        "off",
        "messages come as if they had been seen, in cur",
        maildir=functools.partial(MaildirCopy, shown="cur"),
    ),
    delivering(
        "delivery.maildir",
        "weak-leftover",
        "a copy of each message stays in tmp",
        maildir=functools.partial(MaildirCopy, move=lambda tmp, new: new.hardlink_to(tmp)),
    ),
    delivering(
        "delivery.mbox",
        "off",
        "there is no From_ line between messages",
        mbox_entry=lambda sender, message: entry(sender, message).partition(b"\n")[2],
    ),
    delivering(
        "delivery.mbox",
        "weak-unquoted",
        "lines that look like a From_ line are not quoted",
        mbox_entry=functools.partial(entry, divides=NEVER),
    ),
    delivering(
        "delivery.mbox",
        "strict-longer-words",
        "lines that begin with a word like Fromage are quoted",
        mbox_entry=functools.partial(entry, divides=LOOKS_SO),
    ),
)

FILTERS = (
    defective("filter.spam-folder", "off", "conditions on X-Spam- header fields never hold"),
    defective("filter.spam-folder", "strict-subject", "ham with Yes in its Subject is kept as spam"),
    defective("filter.list-folder", "off", "conditions on To: never hold"),
    defective(
        "filter.list-folder", "strict-others", "mail to another address in the list's domain is kept with it"
    ),
    defective("filter.body", "off", "conditions on the body never hold"),
    defective("filter.body", "weak-short", "only the first 50 characters of the body are looked at"),
    defective("filter.body", "strict-beyond", "a word behind the first 500 characters counts as well"),
    defective("filter.dnsbl-folder", "off", "conditions on X-DNSbl-Warning never hold"),
    defective("filter.dnsbl-folder", "weak-first", "the rule is asked before that about spam"),
    defective("filter.catch-all", "off", "a message for which no rule holds is lost"),
    defective("filter.catch-all", "weak-junk", "a message for which no rule holds is kept in a folder"),
)

CONTENT = (
    defective("data.spam-classified", "off", "messages are not classified"),
    defective("data.spam-classified", "weak-blind", "spam is taken for ham"),
    defective("data.spam-classified", "strict-ham", "ham is marked as spam"),
    defective("data.spam-classified", "strict-refused", "spam is refused instead of marked"),
    defective("absent.size-exempts-spam-check", "off", "messages over 256 kB are not classified"),
    defective("absent.size-exempts-spam-check", "weak-megabyte", "messages over 1 MB are not classified"),
)

MESSAGE_MUTANTS: tuple[Mutant, ...] = (*ALIASES, *MAILBOXES, *FILTERS, *CONTENT)
