"""Mutants of the rules about what becomes of a message here: aliases, mailboxes, filters, classification."""

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from harness.reference_mta.addresses import MailAddress
from harness.reference_mta.config import Config
from harness.reference_mta.defects.kinds import Mutant, delivering, moved
from harness.reference_mta.defects.parts import Part, Shows, always, exchanged
from harness.reference_mta.domains import REST, Domain
from harness.reference_mta.earned import Refusal
from harness.reference_mta.mail.delivery import Letter, Mailboxes
from harness.reference_mta.mail.filter import BODY_START, INBOX, Condition, Filter, Rule
from harness.reference_mta.mail.header import fields_named, parted
from harness.reference_mta.mail.maildir import MaildirCopy
from harness.reference_mta.mail.mbox import entry
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.routing import Destinations
from harness.reference_mta.mail.spamd import Judgement
from harness.reference_mta.mail.trace import trace_lines
from harness.reference_mta.policy.rcpt import is_verified
from harness.reference_mta.policy.transaction import Transaction

LOOKS_SO = re.compile(rb"\n(?=>*+From[^:])")
NEVER = re.compile(rb"(?!)")
TO = fields_named(("To",))


def _trace_without(field: str, message: Message, mailbox: str, led: tuple[str, ...]) -> tuple[str, ...]:
    lines = trace_lines(message, mailbox, led)
    return tuple(line for line in lines if not line.startswith(f"{field}:"))


def _taken_as_the_rest(transaction: Transaction) -> bool:
    domain = transaction.domain
    if domain is None or not is_verified(transaction) or REST not in domain.aliases:
        return False
    return domain.entry(transaction.mailbox.local_part) is None


Targets = tuple[str, ...]


def _leading(
    rule: str,
    kind: str,
    description: str,
    meant: Callable[[str | None, Targets], bool],
    wrong: Callable[[Targets, Targets], Targets],
) -> Mutant:
    """Names that are meant lead elsewhere: `wrong` gets where they should, and the other users."""

    def misleading(sound: Part) -> Part:
        def targets(domain: Domain, entry: str | None) -> Targets:
            found: Targets = sound(domain, entry)
            others = tuple(user for user in domain.users if user.lower() not in map(str.lower, found))
            return wrong(found, others) if meant(entry, found) else found

        return targets

    return exchanged(rule, kind, description, "routing.targets", misleading)


def _is_alias_of_one(entry: str | None, targets: Targets) -> bool:
    return entry is not None and len(targets) == 1


def _is_alias_of_many(entry: str | None, targets: Targets) -> bool:
    return entry is not None and len(targets) > 1


def _is_the_rest(entry: str | None, targets: Targets) -> bool:
    return entry is None and bool(targets)


def _first_with_the_alias(sound: Part) -> Part:
    def domain_of(config: Config, mailbox: MailAddress) -> Domain | None:
        domain: Domain | None = sound(config, mailbox)
        name = mailbox.local_part.lower()
        return domain and next((other for other in config.domain if name in other.aliases), domain)

    return domain_of


def _to_its_mailbox(letter: Letter) -> Letter:
    start, _ = parted(letter.content)
    header = TO.sub(f"To: {letter.mailbox}\r\n".encode(), start, count=1)
    return replace(letter, content=header + letter.content[len(start) :])


ALIASES = (
    _leading(
        "delivery.alias",
        "off",
        "mail for an alias is kept under the alias's name",
        _is_alias_of_one,
        lambda targets, others: (),
    ),
    _leading(
        "delivery.alias",
        "weak-other",
        "mail for an alias reaches another user of the domain",
        _is_alias_of_one,
        lambda targets, others: others[:1],
    ),
    _leading(
        "delivery.alias",
        "strict-bystander",
        "users whom the alias does not name get a copy too",
        _is_alias_of_one,
        lambda targets, others: (*targets, *others),
    ),
    _leading(
        "delivery.alias-many",
        "off",
        "only the first of several users gets the mail",
        _is_alias_of_many,
        lambda targets, others: targets[:1],
    ),
    _leading(
        "delivery.alias-many",
        "weak-last",
        "only the last of several users gets the mail",
        _is_alias_of_many,
        lambda targets, others: targets[-1:],
    ),
    _leading(
        "delivery.alias-many",
        "strict-bystander",
        "users whom the alias does not name get a copy too",
        _is_alias_of_many,
        lambda targets, others: (*targets, *others),
    ),
    moved(
        "delivery.catch-all",
        "off",
        'a domain with "*" refuses the rest',
        lambda transaction, _: _taken_as_the_rest(transaction),
        "rcpt.unknown-user",
        asked="rcpt.unknown-user",
    ),
    _leading(
        "delivery.catch-all",
        "weak-own",
        "the rest is kept under its own names",
        _is_the_rest,
        lambda targets, others: (),
    ),
    _leading(
        "delivery.catch-all",
        "weak-other",
        'the rest reaches another user than "*" names',
        _is_the_rest,
        lambda targets, others: others[:1],
    ),
    exchanged(
        "delivery.catch-all",
        "strict-users",
        'a user\'s own mail goes to whom "*" names',
        "routing.targets",
        lambda sound: lambda domain, entry: sound(domain, entry) or domain.aliases.get(REST, ()),
    ),
    moved(
        "delivery.no-catch-all",
        "off",
        'a domain whose aliases have no "*" takes the rest as well',
        lambda transaction, found: bool(found and transaction.domain and transaction.domain.aliases),
        None,
        asked="rcpt.unknown-user",
    ),
    exchanged(
        "delivery.per-domain",
        "off",
        "an alias means in every domain what it means in the first",
        "routing.domain_of",
        _first_with_the_alias,
    ),
)

MAILBOXES = (
    exchanged(
        "delivery.to-header-kept",
        "off",
        "To: is rewritten to the mailbox",
        "filing.letters",
        lambda sound: lambda *given: [_to_its_mailbox(letter) for letter in sound(*given)],
        lambda found, *_: bool(found),
    ),
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

Rules = tuple[Rule, ...]


def _as_it_is(rules: Rules, mark: str) -> Rules:
    return rules


def _filtering(
    rule: str,
    kind: str,
    description: str,
    changed: Callable[[Rules, str], Rules],
    visible: Callable[[bytes], int] = lambda message: BODY_START,
) -> Mutant:
    """Users have other rules: what `changed` makes of theirs and the name of the field that marks mail here.

    `visible` says how many characters of the body they see.
    """

    def by_other_rules(_: Part) -> Part:
        def folder(mailboxes: Mailboxes, mailbox: str, message: bytes) -> str | None:
            rules = mailboxes.filters.of(mailbox).rules
            other = Filter(changed(rules, mailboxes.config.speech.mark_field.lower()))
            return other.folder(message, visible(message)) if rules else INBOX

        return folder

    return exchanged(rule, kind, description, "filing.folder", by_other_rules)


def _with_conditions(rules: Rules, other: Callable[[Condition], Iterable[Condition]]) -> Rules:
    return tuple(
        replace(rule, conditions=tuple(each for one in rule.conditions for each in other(one)))
        for rule in rules
    )


def _but_for(rules: Rules, field: Callable[[str], bool]) -> Rules:
    """The rules without conditions on fields that are meant."""
    return _with_conditions(rules, lambda one: () if field(one.field) else (one,))


def _is_spam_field(field: str) -> bool:
    return field.startswith("x-spam-")


def _by_subject(rules: Rules, mark: str) -> Rules:
    def other(one: Condition) -> Iterable[Condition]:
        if not _is_spam_field(one.field) or one.field == mark or not one.text:
            return (one,)
        return (Condition(field, "contains", one.text) for field in (one.field, "subject"))

    return _with_conditions(rules, other)


def _by_the_lists_domain(rules: Rules, mark: str) -> Rules:
    def other(one: Condition) -> Iterable[Condition]:
        meant = one.field == "to" != mark
        return (Condition("to", "contains", one.text.rpartition("@")[2]) if meant else one,)

    return _with_conditions(rules, other)


def _is_unknown(mailboxes: Mailboxes, letter: Letter) -> bool:
    return mailboxes.filing.folder(mailboxes, letter.mailbox, letter.header + letter.content) is None


def _losing_what_no_rule_knows(sound: Part) -> Part:
    def letters(mailboxes: Mailboxes, message: Message, destinations: Destinations) -> list[Letter]:
        found = sound(mailboxes, message, destinations)
        return [letter for letter in found if not _is_unknown(mailboxes, letter)]

    return letters


def _judging(
    rule: str,
    kind: str,
    description: str,
    other: Callable[[Transaction, Judgement], Judgement | None],
    shows: Shows,
    above: int = -1,
) -> Mutant:
    """Messages of more bytes than that are judged otherwise."""

    def misjudging(sound: Part) -> Part:
        async def judgement(about: Transaction, message: Message) -> Judgement | None:
            found: Judgement | None = await sound(about, message)
            return other(about, found) if found and len(message.content) > above else found

        return judgement

    return exchanged(rule, kind, description, "spam.judgement", misjudging, shows)


def _believing(sound: Part) -> Part:
    async def classified(about: Transaction, message: Message) -> tuple[Refusal, Message]:
        if _says_ham(message):
            return Refusal(""), message
        found: tuple[Refusal, Message] = await sound(about, message)
        return found

    return classified


def _says_ham(message: Message) -> bool:
    return b"\r\nX-Spam-Status: No" in b"\r\n" + message.content


def _refusing_spam(sound: Part) -> Part:
    async def classified(about: Transaction, message: Message) -> tuple[Refusal, Message]:
        by_content, message = await sound(about, message)
        return replace(by_content, reply="550 5.7.1 That is spam" if by_content.rule else ""), message

    return classified


FILTERS = (
    _filtering(
        "filter.spam-folder",
        "off",
        "conditions on X-Spam- header fields never hold",
        lambda rules, mark: _but_for(rules, lambda field: _is_spam_field(field) and field != mark),
    ),
    _filtering(
        "filter.spam-folder", "strict-subject", "ham with Yes in its Subject is kept as spam", _by_subject
    ),
    _filtering(
        "filter.list-folder",
        "off",
        "conditions on To: never hold",
        lambda rules, mark: _but_for(rules, lambda field: field == "to" != mark),
    ),
    _filtering(
        "filter.list-folder",
        "strict-others",
        "mail to another address in the list's domain is kept with it",
        _by_the_lists_domain,
    ),
    _filtering(
        "filter.body",
        "off",
        "conditions on the body never hold",
        lambda rules, mark: _but_for(rules, lambda field: not field),
    ),
    _filtering(
        "filter.body",
        "weak-short",
        "only the first 50 characters of the body are looked at",
        _as_it_is,
        visible=lambda message: BODY_START // 10,
    ),
    _filtering(
        "filter.body",
        "strict-beyond",
        "a word behind the first 500 characters counts as well",
        _as_it_is,
        visible=len,
    ),
    _filtering(
        "filter.dnsbl-folder",
        "off",
        "conditions on X-DNSbl-Warning never hold",
        lambda rules, mark: _but_for(rules, lambda field: field == mark),
    ),
    _filtering(
        "filter.dnsbl-folder",
        "weak-first",
        "the rule is asked before that about spam",
        lambda rules, mark: tuple(sorted(rules, key=lambda rule: rule.conditions[0].field != mark)),
    ),
    exchanged(
        "filter.catch-all",
        "off",
        "a message for which no rule holds is lost",
        "filing.letters",
        _losing_what_no_rule_knows,
        lambda found, mailboxes, *_: any(_is_unknown(mailboxes, letter) for letter in found),
    ),
    _filtering(
        "filter.catch-all",
        "weak-junk",
        "a message for which no rule holds is kept in a folder",
        lambda rules, mark: (*rules, Rule((Condition("", "contains"),), "Junk")),
    ),
)

CONTENT = (
    _judging(
        "data.spam-classified", "off", "messages are not classified", lambda about, judgement: None, always
    ),
    _judging(
        "data.spam-classified",
        "weak-blind",
        "spam is taken for ham",
        lambda about, judgement: replace(judgement, score=0.0),
        always,
    ),
    _judging(
        "data.spam-classified",
        "strict-ham",
        "ham is marked as spam",
        lambda about, judgement: replace(judgement, score=about.config.spam.threshold),
        always,
    ),
    exchanged(
        "data.spam-classified",
        "weak-believes",
        "a message whose client has marked it as ham is not classified",
        "spam.classified",
        _believing,
        lambda found, about, message: _says_ham(message),
    ),
    exchanged(
        "data.spam-classified",
        "strict-refused",
        "spam is refused instead of marked",
        "spam.classified",
        _refusing_spam,
        lambda found, *_: bool(found[0].rule),
    ),
    *(
        _judging(
            "absent.size-exempts-spam-check",
            kind,
            f"messages over {words} are not classified",
            lambda about, judgement: None,
            lambda found, about, message, size=size: len(message.content) > size,
            size,
        )
        for kind, words, size in (("off", "256 kB", 256 * 1024), ("weak-megabyte", "1 MB", 1024 * 1024))
    ),
)

MESSAGE_MUTANTS: tuple[Mutant, ...] = (*ALIASES, *MAILBOXES, *FILTERS, *CONTENT)
