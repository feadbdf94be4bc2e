"""Greylisting at RCPT, or at the end of DATA as bounces always are (wiki 714–724, 953–1135)."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.reference_mta import reached
from harness.reference_mta.addresses import split
from harness.reference_mta.greylist import Greylist, Standing, Triplet, UnreachableError
from harness.reference_mta.greylist_unit import unit_of
from harness.reference_mta.policy.checks import PASS, Check, Question, Treatment, defer, deny, question
from harness.reference_mta.policy.transaction import Transaction

log = logging.getLogger(__name__)
AT_RCPT = {
    Standing.NEW: "greylist.first-defer",
    Standing.EARLY: "greylist.early-retry",
    Standing.RIPE: "greylist.retry-accept",
    Standing.EXPIRED: "greylist.expired",
    Standing.KNOWN: "greylist.whitelisted",
    Standing.LAPSED: "greylist.lifetime-expiry",
    Standing.BLACK: "greylist.blacklisted",
}
UNKNOWN = (Standing.NEW, Standing.EARLY, Standing.EXPIRED, Standing.LAPSED)
WAITING = {AT_RCPT[each] for each in UNKNOWN}
ALL_PARTS = {"client", "sender", "recipient"}
LATER = "I do not know you yet; please try again later"
BLACK = "Your mail is not wanted here"


EXEMPT: dict[str, Callable[[Transaction], bool]] = {  # who is never greylisted, by the rule that says so
    "greylist.relay-exempt": lambda transaction: transaction.trusted,
    "greylist.authenticated-exempt": lambda transaction: transaction.authenticated,
    "greylist.host-whitelist": lambda transaction: transaction.whitelisted_host,
}


def exempt(transaction: Transaction, but_for: str = "") -> bool:
    """Whether one of the rules exempts the client, one of them left out."""
    return any(spares(transaction) for rule, spares in EXEMPT.items() if rule != but_for)


async def at_rcpt(transaction: Transaction) -> str | None:
    """The standing of the triplet; the null sender is let through until DATA."""
    return None if exempt(transaction) else await of_strangers(transaction)


async def of_strangers(transaction: Transaction) -> str | None:
    """The same for whoever is not exempt."""
    if transaction.domain is None or spared(transaction, str(transaction.mailbox)):
        return None
    if not transaction.sender:
        return "greylist.null-not-at-rcpt"
    rule = transaction.policy.greylisting.stand(transaction, transaction.sender, str(transaction.mailbox))
    postmaster = split(transaction.sender).local_part.lower() == "postmaster"
    return "greylist.postmaster-at-rcpt" if postmaster and rule == "greylist.first-defer" else rule


def of_all(question: Question) -> Question:
    """The question about each accepted recipient as one, at the end of DATA; the hardest answer counts.

    All are asked about, whatever the answers, so that every triplet is known when the client comes again.
    """

    async def sort(transaction: Transaction) -> str | None:
        found: dict[str | None, Treatment] = {}
        for recipient in transaction.accepted:
            transaction.address_to(recipient)
            rule = await question.classify(transaction)
            found[rule] = question.treatment(rule)
            if rule:
                transaction.policy.note(reached.answer(rule))
        return max(found, key=lambda rule: _hardness(found[rule]), default=None)

    return replace(question, classify=sort)


def _hardness(treatment: Treatment) -> tuple[int, float, bool]:
    return treatment.code, treatment.delay, bool(treatment.mark)


async def at_data(transaction: Transaction) -> str | None:
    """The standing of a bounce."""
    return None if transaction.sender or exempt(transaction) else await of_bounces(transaction)


async def of_bounces(transaction: Transaction) -> str | None:
    """The same for whoever is not exempt: all its recipients, keyed without a sender; the worst counts."""
    looked_at = [each for each in transaction.accepted if not spared(transaction, each)]
    rules = {transaction.policy.greylisting.stand(transaction, "", recipient) for recipient in looked_at}
    if "greylist.blacklisted" in rules:
        return "greylist.null-blacklisted"
    if "greylist.daemon-down" in rules:
        return "greylist.daemon-down"
    return "greylist.null-at-data" if WAITING & rules else None


def spared(transaction: Transaction, recipient: str) -> bool:
    """Whether a recipient is one for whom nobody is greylisted."""
    return split(recipient).local_part.lower() in transaction.config.greylist.exempt


def unit(transaction: Transaction) -> str:
    """What stands for the client in triplets."""
    return unit_of(transaction.config.greylist.unit, transaction.client, transaction.host_name)


def stand(transaction: Transaction, sender: str, recipient: str) -> str:
    """The rule that the standing of a triplet falls under; the attempt is kept.

    Who is known by the parts that count is known with the others as well from then on.
    """
    store, parts = transaction.greylist, transaction.policy.greylisting
    counting = transaction.config.greylist.parts
    triplet = parts.triplet(unit(transaction), sender, recipient)
    try:
        standing = parts.look(store, triplet)
        fewer = standing in UNKNOWN and set(counting) != ALL_PARTS
        if fewer and store.known_by(counting, triplet):
            standing = Standing.KNOWN
            store.add("white", triplet)
        parts.keep(store, triplet, standing)
    except UnreachableError as error:
        if error.__cause__:  # not put out of reach by an operator
            log.error("the greylist cannot be asked, so it decides nothing: %s", error)
        return "greylist.daemon-down"
    return AT_RCPT[standing]


@dataclass(frozen=True)
class GreylistParts:
    """How the greylist is asked and kept: each part as it should be; another one may take its place."""

    triplet: Callable[[str, str, str], Triplet] = Triplet.of  # what stands for the client, sender, recipient
    look: Callable[[Greylist, Triplet], Standing] = Greylist.look
    keep: Callable[[Greylist, Triplet, Standing], None] = Greylist.note
    remove: Callable[[Greylist, str, Triplet], bool] = Greylist.remove  # the name of the list
    stand: Callable[[Transaction, str, str], str] = stand  # sender, recipient


AS_IT_SHOULD_BE = GreylistParts()


def unreachable(choice: str) -> Treatment:
    """What is done while the store is out of reach."""
    return PASS if choice == "pass" else defer("Please try again later", status="3.0")


WAIT = defer(LATER)
DOWN_OFF = deny("The greylist is out of reach", status="3.0")
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
    at_once=True,
)
BOUNCES = question(
    at_data,
    Check("greylist.null-at-data", then=WAIT, off=PASS),
    Check("greylist.null-blacklisted", then=deny(BLACK), off=PASS),
    Check("greylist.daemon-down", then=PASS, off=DOWN_OFF),
)
