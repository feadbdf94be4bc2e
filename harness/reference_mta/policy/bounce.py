"""Bounces: only an address that could have sent mail can get some back (wiki 752–788)."""

from collections.abc import Callable

from harness.reference_mta.addresses import split
from harness.reference_mta.policy.checks import PASS, Check, Classify, deny, question
from harness.reference_mta.policy.transaction import Transaction

NEVER_SENDS = "Nobody here has sent the mail that you are answering"


def bounces_by(parted: Callable[[str], tuple[str, str, str]]) -> Classify:
    """The rule under which a bounce's recipient falls; None for mail that is no bounce.

    `parted` makes of a local part the name, and behind an equals sign its tag.
    """

    async def sort(transaction: Transaction) -> str | None:
        return _sorted(transaction, parted)

    return sort


def _sorted(transaction: Transaction, parted: Callable[[str], tuple[str, str, str]]) -> str | None:
    domain = transaction.domain
    from_postmaster = split(transaction.sender).local_part.lower() == "postmaster"
    spared = transaction.vouched or transaction.rewritten
    if domain is None or spared or (transaction.sender and not from_postmaster):
        return None
    if domain.bounce_recipients is None:
        return "bounce.no-list"
    senders = {name.lower() for name in domain.bounce_recipients} | {"postmaster"}
    written = transaction.mailbox.local_part
    name, equals, rest = parted(written)
    if name.lower() in senders:
        return _legal(written, name, equals)
    if from_postmaster:
        return "bounce.postmaster-sender"
    if equals and rest.rpartition("=")[2].lower() in senders:
        return "bounce.tag-in-front"
    others = (other.bounce_recipients or () for other in transaction.config.domain if other is not domain)
    if any(name.lower() == sender.lower() for listed in others for sender in listed):
        return "bounce.per-domain"
    return "bounce.bogus"


def _legal(written: str, name: str, equals: str) -> str:
    if equals:
        return "bounce.tagged"
    if written.lower() == "postmaster":
        return "bounce.postmaster-legal"
    return "bounce.legal" if name == name.lower() else "bounce.case-insensitive"


REFUSED = deny(NEVER_SENDS)
BOUNCE = question(
    bounces_by(lambda name: name.partition("=")),
    Check("bounce.legal", then=PASS, off=REFUSED),
    Check("bounce.case-insensitive", then=PASS, off=REFUSED),
    Check("bounce.tagged", then=PASS, off=REFUSED),
    Check("bounce.postmaster-legal", then=PASS, off=REFUSED),
    Check("bounce.no-list", then=REFUSED, off=PASS),
    Check("bounce.postmaster-sender", then=REFUSED, off=PASS),
    Check("bounce.tag-in-front", then=REFUSED, off=PASS),
    Check("bounce.per-domain", then=REFUSED, off=PASS),
    Check("bounce.bogus", then=REFUSED, off=PASS),
)
