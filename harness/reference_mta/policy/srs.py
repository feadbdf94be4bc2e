"""Rewritten senders that come back as recipients: the way back is open to those that are ours and fresh."""

from harness.reference_mta.mail.srs import Srs
from harness.reference_mta.policy.checks import PASS, Check, deny, question
from harness.reference_mta.policy.transaction import Transaction


async def rewritten(transaction: Transaction) -> str | None:
    """The rule that a rewritten address breaks, whoever writes to it; a good one need not be a user."""
    srs = Srs(transaction.config, transaction.policy.srs)
    origin = srs.origin(str(transaction.mailbox)) if transaction.domain else None
    transaction.rewritten = origin is not None
    return (origin.flaw or None) if origin else None


SRS = question(
    rewritten,
    Check("srs.bad-hash", then=deny("That address was not made here", status="1.1"), off=PASS),
    Check("srs.expired", then=deny("That address has expired", status="1.1"), off=PASS),
)
