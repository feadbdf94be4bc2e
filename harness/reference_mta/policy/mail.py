"""MAIL FROM, and the delays that come again at MAIL and RCPT (wiki 707–709, 718)."""

from harness.reference_mta.policy.checks import DELAY, PASS, Check, deny, question
from harness.reference_mta.policy.transaction import Transaction


async def ungreeted(transaction: Transaction) -> str | None:
    """Whether the client has not said who it is."""
    return None if transaction.greeting else "mail.no-helo"


async def earned_at_mail(transaction: Transaction) -> str | None:
    """Whether a delay comes again; relay hosts and accounts are spared."""
    return "mail.delay-repeated" if _owes(transaction) else None


async def earned_at_rcpt(transaction: Transaction) -> str | None:
    """The same at RCPT."""
    return "rcpt.delay-repeated" if _owes(transaction) else None


def _owes(transaction: Transaction) -> bool:
    return transaction.earned > 0 and not transaction.trusted and not transaction.authenticated


GREETED = question(
    ungreeted, Check("mail.no-helo", then=deny("5.5.1 Say HELO first", code=503, late=True), off=PASS)
)
MAIL_DELAY = question(earned_at_mail, Check("mail.delay-repeated", then=DELAY, off=PASS))
RCPT_DELAY = question(earned_at_rcpt, Check("rcpt.delay-repeated", then=DELAY, off=PASS))
