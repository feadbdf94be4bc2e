"""Mutants of the rules about recipients, and about bounces to them."""

from collections.abc import Callable
from dataclasses import replace

from harness.reference_mta.addresses import split
from harness.reference_mta.defects.kinds import (
    Case,
    Mutant,
    claiming,
    clear_only,
    delays,
    first_mail_only,
    first_only,
    joined,
    late_refusals,
    moved,
    no_case,
    off,
    owed_by_half,
    prompt_refusals,
    replaced,
    sparing,
    treated,
)
from harness.reference_mta.policy.bounce import bounces_by
from harness.reference_mta.policy.checks import Classify
from harness.reference_mta.policy.transaction import Transaction

CHARACTERS = {"at": "@", "percent": "%", "bang": "!", "slash": "/", "pipe": "|"}
DISGUISES: dict[str, Callable[[str], bool]] = {  # of a foreign address, in a local part
    "percent": lambda name: "%" in name and "." in name.partition("%")[2],
    "bang": lambda name: "!" in name and "." in name.partition("!")[0],
    "quoted": lambda name: name.startswith('"') and "@" in name and "." in name.rpartition("@")[2],
    "two-ats": lambda name: "@" in name and not name.startswith('"'),
}
ASKED_OF_RECIPIENTS = (  # by one rule of each question, but for the greylist's
    "rcpt.too-many",
    "rcpt.delay-repeated",
    "auth.own-sender",
    "rcpt.relay-denied",
    "srs.bad-hash",
    "rcpt.illegal-chars",
    "rcpt.leading-dot",
    "rcpt.unknown-user",
    "bounce.legal",
    "dnsbl.none",
)


def _has(character: str) -> Case:
    return lambda transaction: character in transaction.mailbox.local_part


def _is_in_an_earlier_domain(transaction: Transaction) -> bool:
    return transaction.domain not in (None, transaction.config.domain[-1])


def _looking(disguised: Callable[[str], bool]) -> Case:
    return lambda transaction: disguised(transaction.mailbox.local_part)


def _of_strangers(sound: Classify) -> Classify:
    async def classify(transaction: Transaction) -> str | None:
        return await sound(replace(transaction, authenticated=False, trusted=False))

    return classify


def _claims_to_be_ours(transaction: Transaction) -> bool:
    return transaction.config.hosted(split(transaction.sender).domain) is not None


def _claims_to_be_our_postmaster(transaction: Transaction) -> bool:
    is_postmaster = split(transaction.sender).local_part.lower() == "postmaster"
    return is_postmaster and _claims_to_be_ours(transaction)


def _relaying(trick: str, tricked: Case) -> Mutant:
    """Nothing is asked about a recipient that is disguised so."""
    rule, kind = "rcpt.relay-denied", f"weak-{trick}"
    description = f"a disguised foreign address is relayed: {trick}"

    def at_rcpt(transaction: Transaction) -> bool:
        asked_now = transaction.config.greylist.stage == "rcpt" or not transaction.sender
        return asked_now and tricked(transaction)

    return joined(
        replaced(rule, kind, description, lambda _: no_case, asked=ASKED_OF_RECIPIENTS, where=tricked),
        replaced(rule, kind, description, lambda _: no_case, asked="greylist.first-defer", where=at_rcpt),
    )


RELAY = (
    *late_refusals("rcpt.relay-denied", "an open relay"),
    clear_only("rcpt.relay-denied"),
    first_only("rcpt.relay-denied"),
    first_mail_only("rcpt.relay-denied"),
    sparing(
        "rcpt.relay-denied",
        "own-sender",
        "whoever claims a sender in a domain of the server may relay",
        _claims_to_be_ours,
    ),
    sparing(
        "rcpt.relay-denied",
        "postmaster",
        "whoever claims to be a postmaster of the server may relay",
        _claims_to_be_our_postmaster,
    ),
    sparing(
        "rcpt.relay-denied",
        "null-sender",
        "bounces are relayed for everybody",
        lambda transaction: not transaction.sender,
    ),
    sparing(
        "rcpt.relay-denied",
        "ipv6",
        "whoever comes by IPv6 may relay",
        lambda transaction: ":" in transaction.client,
    ),
    _relaying("percent", _looking(DISGUISES["percent"])),
    _relaying("bang", _looking(DISGUISES["bang"])),
    _relaying("route", lambda transaction: transaction.routed),
    _relaying("quoted", _looking(DISGUISES["quoted"])),
    _relaying("two-ats", _looking(DISGUISES["two-ats"])),
    off("rcpt.relay-trusted", "the relay hosts may not relay"),
    sparing(
        "rcpt.relay-trusted",
        "ipv4-only",
        "relay hosts that come by IPv6 may not relay",
        lambda transaction: ":" in transaction.client,
        "rcpt.relay-denied",
    ),
    off("rcpt.relay-authenticated", "an account may not relay"),
    replaced(
        "rcpt.relay-authenticated",
        "weak-verified",
        "recipients of an account are verified",
        _of_strangers,
        asked=("rcpt.illegal-chars", "rcpt.leading-dot", "rcpt.unknown-user"),
        where=lambda transaction: transaction.authenticated,
    ),
)

LOCAL_PART = (
    *prompt_refusals("rcpt.illegal-chars", "illegal characters are let pass"),
    first_only("rcpt.illegal-chars"),
    *(
        sparing("rcpt.illegal-chars", f"no-{label}", f"{character} is not on the list", _has(character))
        for label, character in CHARACTERS.items()
    ),
    sparing(
        "rcpt.illegal-chars",
        "one-domain",
        "they are looked for in the last domain alone",
        _is_in_an_earlier_domain,
    ),
    *prompt_refusals("rcpt.leading-dot", "a leading dot is let pass"),
    sparing(
        "rcpt.leading-dot",
        "one-domain",
        "it is looked for in the last domain alone",
        _is_in_an_earlier_domain,
    ),
    sparing(
        "rcpt.leading-dot",
        "quoted",
        "a leading dot is let pass where the local part is in quotes",
        lambda transaction: transaction.mailbox.local_part.startswith('"'),
    ),
    *prompt_refusals("rcpt.unknown-user", "every local part is taken"),
    clear_only("rcpt.unknown-user"),
    first_only("rcpt.unknown-user"),
    first_mail_only("rcpt.unknown-user"),
)

TOO_MANY = (
    off("rcpt.too-many", "there is no limit of recipients"),
    treated(
        "rcpt.too-many",
        "weak-deny",
        "refused, and the connection left open",
        lambda check: replace(check.then, drop=False),
    ),
    treated(
        "rcpt.too-many",
        "weak-4xx",
        "refused for the moment only, and the connection closed",
        lambda check: check.then.temporary(),
    ),
    claiming(
        "rcpt.too-many",
        "one-less",
        "the last recipient of the allowed number is refused as well",
        lambda transaction: transaction.recipients == transaction.config.server.max_recipients,
    ),
)

BOUNCE = (
    *prompt_refusals("bounce.bogus", "a bounce to one who never sends is taken"),
    clear_only("bounce.bogus"),
    first_only("bounce.bogus"),
    first_mail_only("bounce.bogus"),
    *prompt_refusals("bounce.postmaster-sender", "postmaster is a sender like any other"),
    moved(
        "bounce.postmaster-sender",
        "weak-case",
        "Postmaster, with a capital, is a sender like any other",
        lambda transaction, _: (
            split(transaction.sender).local_part != "postmaster"
            and split(transaction.sender).local_part.lower() == "postmaster"
        ),
        None,
    ),
    claiming(
        "bounce.postmaster-sender",
        "prefix",
        "a sender postmaster-in-chief@… who writes to one who never sends is refused",
        lambda transaction: transaction.sender.lower().startswith("postmaster-"),
    ),
    off("bounce.legal", "bounces to senders are refused"),
    off("bounce.postmaster-legal", "bounces to postmaster are refused"),
    off("bounce.case-insensitive", "the local part is compared with regard to letter case"),
    off("bounce.tagged", "a tagged name is not looked up without its tag"),
    replaced(
        "bounce.tagged",
        "weak-last",
        "what stands before the last equals sign is looked up",
        lambda _: bounces_by(lambda name: name.rpartition("=")),
        where=lambda transaction: transaction.mailbox.local_part.count("=") > 1,
    ),
    *prompt_refusals("bounce.tag-in-front", "the name behind a tag is looked up"),
    off("bounce.no-list", "a domain without a list takes every bounce"),
    *prompt_refusals("bounce.per-domain", "the lists of all domains are one"),
)

RECIPIENT_MUTANTS: tuple[Mutant, ...] = (
    *delays("rcpt.delay-repeated", "the earned delay does not come again at RCPT"),
    *owed_by_half("rcpt.delay-repeated"),
    first_mail_only("rcpt.delay-repeated"),
    *RELAY,
    *LOCAL_PART,
    *TOO_MANY,
    *BOUNCE,
)
