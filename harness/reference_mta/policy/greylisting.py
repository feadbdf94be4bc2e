"""Greylisting at RCPT, or at the end of DATA as bounces always are (wiki 714–724, 953–1135)."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from harness.reference_mta import reached
from harness.reference_mta.addresses import split
from harness.reference_mta.greylist import PARTS, Standing, Times, Triplet, UnreachableError
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
WAITING = {AT_RCPT[each] for each in (Standing.NEW, Standing.EARLY, Standing.EXPIRED, Standing.LAPSED)}
SHORTER: dict[Standing, dict[str, Callable[[Times], Times]]] = {  # times of defects, where they would show
    Standing.EARLY: {
        "greylist.early-retry:weak-short": lambda times: replace(times, delay=0.4 * times.delay),
        "greylist.early-retry:weak-hasty": lambda times: replace(times, delay=0.8 * times.delay),
    },
    Standing.RIPE: {
        "greylist.retry-accept:strict-timeout": lambda times: replace(times, timeout=0.5 * times.timeout),
        "greylist.retry-accept:strict-early-timeout": lambda times: replace(
            times, timeout=0.8 * times.timeout
        ),
    },
    Standing.KNOWN: {
        "greylist.whitelisted:strict-lifetime": lambda times: replace(times, lifetime=0.8 * times.lifetime),
    },
}
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
    if transaction.domain is None or _spared(transaction, str(transaction.mailbox)):
        return None
    if not transaction.sender and not transaction.quirk("greylist.null-not-at-rcpt:off"):
        return "greylist.null-not-at-rcpt"
    rule = _stand(transaction, transaction.sender, str(transaction.mailbox))
    postmaster = bool(transaction.sender) and split(transaction.sender).local_part.lower() == "postmaster"
    return "greylist.postmaster-at-rcpt" if postmaster and rule == "greylist.first-defer" else rule


def of_all(question: Question, recipients: Sequence[str]) -> Question:
    """The question about each recipient as one, at the end of DATA; the hardest answer counts.

    All are asked about, whatever the answers, so that every triplet is known when the client comes again.
    """

    async def sort(transaction: Transaction) -> str | None:
        found: dict[str | None, Treatment] = {}
        for recipient in recipients:
            transaction.address_to(recipient)
            rule = await question.classify(transaction)
            found[rule] = question.treatment(rule)
            if rule:
                transaction.quirks.note(reached.answer(rule))
        return max(found, key=lambda rule: _hardness(found[rule]), default=None)

    return replace(question, classify=sort)


def _hardness(treatment: Treatment) -> tuple[int, float, bool]:
    return treatment.code, treatment.delay, bool(treatment.mark)


def at_data(recipients: Sequence[str]) -> Callable[[Transaction], Awaitable[str | None]]:
    """The standing of a bounce: all its recipients, keyed without a sender; the worst counts."""

    async def sort(transaction: Transaction) -> str | None:
        if transaction.sender or exempt(transaction):
            return None
        known = transaction.quirk("greylist.null-at-data:weak-any") and _known_at_all(transaction)
        looked_at = [] if known else [each for each in recipients if not _spared(transaction, each)]
        rules = {_stand(transaction, "", recipient) for recipient in looked_at}
        if "greylist.blacklisted" in rules:
            return "greylist.null-blacklisted"
        if "greylist.daemon-down" in rules:
            return "greylist.daemon-down"
        return "greylist.null-at-data" if WAITING & rules else None

    return sort


def leave_behind(transaction: Transaction) -> None:
    """Keep the triplet of a refused recipient, as a greylist does that is asked before the other checks."""
    mailbox = str(transaction.mailbox)
    if transaction.sender and not exempt(transaction) and not _spared(transaction, mailbox):
        _stand(transaction, transaction.sender, mailbox)


def _spared(transaction: Transaction, recipient: str) -> bool:
    """Whether a recipient is one for whom nobody is greylisted."""
    return split(recipient).local_part.lower() in transaction.config.greylist.exempt


def _unit(transaction: Transaction) -> str:
    return unit_of(transaction.config.greylist.unit, transaction.client, transaction.host_name)


def _stand(transaction: Transaction, sender: str, recipient: str) -> str:
    store, quirk = transaction.greylist, transaction.quirk
    triplet, as_written = (make(_unit(transaction), sender, recipient) for make in (Triplet.of, Triplet))
    if as_written != triplet and quirk("greylist.case:off"):
        triplet = as_written
    try:
        standing = store.look(triplet, store.times)
        for name, shorter in SHORTER.get(standing, {}).items():
            if quirk(name):
                standing = store.look(triplet, shorter(store.times))
        store.note(
            triplet,
            standing,
            extend=standing is not Standing.KNOWN or not quirk("greylist.lifetime-extended:off"),
        )
        if standing is Standing.NEW and sender and _known_by_two_parts(transaction, triplet):
            standing = Standing.KNOWN
    except UnreachableError as error:
        if error.__cause__:  # not put out of reach by an operator
            log.error("the greylist cannot be asked, so it decides nothing: %s", error)
        if not quirk("greylist.daemon-down:weak-unnoticed"):
            return "greylist.daemon-down"
        store.cut(triplet.client, off=False)
        return _stand(transaction, sender, recipient)
    return AT_RCPT[standing]


def _known_by_two_parts(transaction: Transaction, triplet: Triplet) -> bool:
    rule, quirk = "greylist.other-triplet", transaction.quirk
    ignored = [part for part in PARTS if quirk(f"{rule}:off") or quirk(f"{rule}:weak-no-{part}")]
    return any(transaction.greylist.known_but_for(part, triplet) for part in ignored)


def _known_at_all(transaction: Transaction) -> bool:
    return bool(transaction.greylist.entries("white", _unit(transaction)))


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
BOUNCE_CHECKS = (
    Check("greylist.null-at-data", then=WAIT, off=PASS),
    Check("greylist.null-blacklisted", then=deny(BLACK), off=PASS),
    Check("greylist.daemon-down", then=PASS, off=DOWN_OFF),
)
