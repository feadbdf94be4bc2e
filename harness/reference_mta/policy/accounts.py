"""Accounts: what a wrong password earns, and which envelope senders an account may use."""

from harness.reference_mta.policy.checks import PASS, Check, deny, question
from harness.reference_mta.policy.transaction import Transaction

WRONG = "Name or password is wrong"


async def wrong_credentials(transaction: Transaction) -> str:
    """The rule under which credentials fall that are not right."""
    return "auth.wrong-password" if transaction.known_account else "auth.unknown-user"


async def sender_of_another(transaction: Transaction) -> str | None:
    """Whether an account uses a sender that is not among its own; the null sender is everybody's."""
    own = transaction.config.auth.senders.get(transaction.account)
    if own is None or not transaction.sender:
        return None
    return None if transaction.sender.lower() in map(str.lower, own) else "auth.own-sender"


CREDENTIALS = question(
    wrong_credentials,
    Check("auth.wrong-password", then=deny(WRONG, code=535, status="7.8"), off=PASS),
    Check("auth.unknown-user", then=deny(WRONG, code=535, status="7.8"), off=PASS),
    at_once=True,
)
SENDER = question(
    sender_of_another,
    Check("auth.own-sender", then=deny("That is not your sender address", code=553), off=PASS),
)
