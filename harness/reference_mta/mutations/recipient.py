"""Mutants of the rules about recipients, and about bounces to them."""

from dataclasses import replace

from harness.reference_mta.mutations.kinds import (
    Case,
    Mutant,
    claiming,
    defective,
    delays,
    late_refusals,
    off,
    prompt_refusals,
    sparing,
    treated,
)

CHARACTERS = {"at": "@", "percent": "%", "bang": "!", "slash": "/", "pipe": "|"}
TRICKS = ("percent", "bang", "route", "quoted", "two-ats")


def _has(character: str) -> Case:
    return lambda transaction: character in transaction.mailbox.local_part


RELAY = (
    *late_refusals("rcpt.relay-denied", "an open relay"),
    *(
        defective("rcpt.relay-denied", f"weak-{trick}", f"a disguised foreign address is relayed: {trick}")
        for trick in TRICKS
    ),
    off("rcpt.relay-trusted", "the relay hosts may not relay"),
    off("rcpt.relay-authenticated", "an account may not relay"),
    defective("rcpt.relay-authenticated", "weak-verified", "recipients of an account are verified"),
)

LOCAL_PART = (
    *prompt_refusals("rcpt.illegal-chars", "illegal characters are let pass"),
    *(
        sparing("rcpt.illegal-chars", f"no-{label}", f"{character} is not on the list", _has(character))
        for label, character in CHARACTERS.items()
    ),
    *prompt_refusals("rcpt.leading-dot", "a leading dot is let pass"),
    *prompt_refusals("rcpt.unknown-user", "every local part is taken"),
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
    *prompt_refusals("bounce.postmaster-sender", "postmaster is a sender like any other"),
    defective(
        "bounce.postmaster-sender", "weak-case", "Postmaster, with a capital, is a sender like any other"
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
    defective("bounce.tagged", "weak-last", "what stands before the last equals sign is looked up"),
    *prompt_refusals("bounce.tag-in-front", "the name behind a tag is looked up"),
    off("bounce.no-list", "a domain without a list takes every bounce"),
    *prompt_refusals("bounce.per-domain", "the lists of all domains are one"),
)

RECIPIENT_MUTANTS: tuple[Mutant, ...] = (
    *delays("rcpt.delay-repeated", "the earned delay does not come again at RCPT"),
    defective("rcpt.delay-repeated", "weak-connect-only", "a delay that was earned at HELO is not repeated"),
    defective("rcpt.delay-repeated", "weak-helo-only", "a delay that was earned at connect is not repeated"),
    *RELAY,
    *LOCAL_PART,
    *TOO_MANY,
    *BOUNCE,
)
