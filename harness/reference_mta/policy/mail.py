"""MAIL FROM, and the delays that come again at MAIL and RCPT (wiki 707–709, 718)."""

from harness.reference_mta.policy.checks import DELAY, PASS, Check, deny, question
from harness.reference_mta.policy.transaction import Transaction


async def ungreeted(transaction: Transaction) -> str | None:
    """Whether the client has not said who it is."""
    return None if transaction.greeting else "mail.no-helo"


async def owed_at_mail(transaction: Transaction) -> str | None:
    """Whether a delay comes again; relay hosts and accounts are spared."""
    return "mail.delay-repeated" if _owes(transaction) else None


async def owed_at_rcpt(transaction: Transaction) -> str | None:
    """The same at RCPT."""
    return "rcpt.delay-repeated" if _owes(transaction) else None


def _owes(transaction: Transaction) -> bool:
    return (transaction.unverified or transaction.suspect) and not transaction.vouched


UNGREETED = deny("Say HELO first", code=503, status="5.1", late=True)
GREETED = question(ungreeted, Check("mail.no-helo", then=UNGREETED, off=PASS), at_once=True)
MAIL_DELAY = question(owed_at_mail, Check("mail.delay-repeated", then=DELAY, off=PASS))
RCPT_DELAY = question(owed_at_rcpt, Check("rcpt.delay-repeated", then=DELAY, off=PASS))
