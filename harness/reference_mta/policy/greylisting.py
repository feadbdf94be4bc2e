"""Greylisting at RCPT, and for bounces at the end of DATA (wiki 714–724, 953–1135)."""

from collections.abc import Awaitable, Callable

from harness.reference_mta.addresses import split
from harness.reference_mta.greylist import Greylist, Standing, Triplet, UnreachableError
from harness.reference_mta.policy.checks import PASS, Check, Treatment, defer, deny, question
from harness.reference_mta.policy.transaction import Transaction

AT_RCPT = {
    Standing.NEW: "greylist.first-defer",
    Standing.EARLY: "greylist.early-retry",
    Standing.RIPE: "greylist.retry-accept",
    Standing.EXPIRED: "greylist.expired",
    Standing.KNOWN: "greylist.whitelisted",
    Standing.LAPSED: "greylist.lifetime-expiry",
    Standing.BLACK: "greylist.blacklisted",
}
PARTS = ("client", "sender", "recipient")
WAITING = (Standing.NEW, Standing.EARLY, Standing.EXPIRED, Standing.LAPSED)
LATER = "4.7.1 I do not know you yet; please try again later"
BLACK = "5.7.1 Your mail is not wanted here"


def exempt(transaction: Transaction) -> bool:
    """Who is never greylisted: relay hosts, accounts, hosts on the whitelist, mail to other domains."""
    return (
        transaction.domain is None
        or (transaction.trusted and not transaction.quirk("greylist.relay-exempt:off"))
        or (transaction.authenticated and not transaction.quirk("greylist.authenticated-exempt:off"))
        or (transaction.whitelisted_host and not transaction.quirk("greylist.host-whitelist:off"))
    )


async def at_rcpt(transaction: Transaction) -> str | None:
    """The standing of the triplet; the null sender is let through until DATA."""
    if exempt(transaction):
        return None
    if not transaction.sender:
        if not transaction.quirk("greylist.null-not-at-rcpt:off"):
            return "greylist.null-not-at-rcpt"
        return "greylist.first-defer"
    rule = await _stand(transaction, transaction.sender, str(transaction.mailbox))
    postmaster = split(transaction.sender).local_part.lower() == "postmaster"
    return "greylist.postmaster-at-rcpt" if postmaster and rule == "greylist.first-defer" else rule


def at_data(recipients: list[str]) -> Callable[[Transaction], Awaitable[str | None]]:
    """The standing of a bounce: all its recipients, keyed without a sender; the worst counts."""

    async def sort(transaction: Transaction) -> str | None:
        if transaction.sender or exempt(transaction):
            return None
        known = transaction.quirk("greylist.null-at-data:weak-any") and _known_at_all(transaction)
        rules = [] if known else [await _stand(transaction, "", recipient) for recipient in recipients]
        if "greylist.blacklisted" in rules:
            return "greylist.null-blacklisted"
        if "greylist.daemon-down" in rules:
            return "greylist.daemon-down"
        waiting = {AT_RCPT[standing] for standing in WAITING}
        return "greylist.null-at-data" if waiting & set(rules) else None

    return sort


async def _stand(transaction: Transaction, sender: str, recipient: str) -> str:
    triplet = key(transaction, sender, recipient)
    store = transaction.greylist
    try:
        standing = store.look(triplet)
        if standing is Standing.NEW and any(
            _overlooks(transaction, part) and _known_but_for(part, triplet, store) for part in PARTS
        ):
            standing = Standing.KNOWN
        store.note(triplet, standing, extend=not transaction.quirk("greylist.lifetime-extended:off"))
    except UnreachableError:
        return "greylist.daemon-down"
    return AT_RCPT[standing]


def _overlooks(transaction: Transaction, part: str) -> bool:
    rule = "greylist.other-triplet"
    return transaction.quirk(f"{rule}:off") or transaction.quirk(f"{rule}:weak-no-{part}")


def _known_but_for(part: str, triplet: Triplet, store: Greylist) -> bool:
    others = [other for other in PARTS if other != part]
    return any(
        all(getattr(entry.triplet, other) == getattr(triplet, other) for other in others)
        for entry in store.entries("white")
    )


def _known_at_all(transaction: Transaction) -> bool:
    return bool(transaction.greylist.entries("white", transaction.client))


def key(transaction: Transaction, sender: str, recipient: str) -> Triplet:
    """The triplet of an attempt."""
    if transaction.quirk("greylist.case:off"):
        return Triplet(transaction.client, sender, recipient)
    return Triplet.of(transaction.client, sender, recipient)


def unreachable(choice: str) -> Treatment:
    """What is done while the store is out of reach."""
    return PASS if choice == "pass" else defer("4.3.0 Please try again later")


WAIT = defer(LATER)
DOWN_OFF = deny("5.3.0 The greylist is out of reach")
GREYLISTED = question(
    at_rcpt,
    Check("greylist.first-defer", then=WAIT, off=PASS),
    Check("greylist.early-retry", then=WAIT, off=PASS),
    Check("greylist.retry-accept", then=PASS, off=WAIT),
    Check("greylist.expired", then=WAIT, off=PASS),
    Check("greylist.whitelisted", then=PASS, off=WAIT),
    Check("greylist.lifetime-expiry", then=WAIT, off=PASS),
    Check("greylist.blacklisted", then=deny(BLACK), off=PASS),
    Check("greylist.postmaster-at-rcpt", then=WAIT, off=PASS),
    Check("greylist.null-not-at-rcpt", then=PASS, off=WAIT),
    Check("greylist.daemon-down", then=PASS, off=DOWN_OFF),
)
BOUNCE_CHECKS = (
    Check("greylist.null-at-data", then=WAIT, off=PASS),
    Check("greylist.null-blacklisted", then=deny(BLACK), off=PASS),
    Check("greylist.daemon-down", then=PASS, off=DOWN_OFF),
)
