"""RCPT TO: how many, to whom, and for whom the server relays (wiki 286–289, 710–712, 1307).

Relay hosts and accounts are asked nothing but how many; see `Transaction.vouched`.
"""

from harness.reference_mta.policy.checks import PASS, Check, deny, question
from harness.reference_mta.policy.transaction import Transaction

ILLEGAL = frozenset("@%!/|")
COUNTED = "rcpt.too-many"
NO_RELAY = "I do not relay for you"


async def count(transaction: Transaction) -> str | None:
    """Whether the message has too many recipients."""
    too_many = transaction.recipients > transaction.config.server.max_recipients
    return COUNTED if too_many else None


async def relaying(transaction: Transaction) -> str | None:
    """For mail to other domains: who asks."""
    if transaction.domain is not None:
        return None
    if transaction.authenticated:
        return "rcpt.relay-authenticated"
    return "rcpt.relay-trusted" if transaction.trusted else "rcpt.relay-denied"


async def characters(transaction: Transaction) -> str | None:
    """For mail to our own domains: whether there can be such a local part."""
    illegal = ILLEGAL & set(_unquoted(transaction))
    return "rcpt.illegal-chars" if is_verified(transaction) and illegal else None


async def first_character(transaction: Transaction) -> str | None:
    """The same for its beginning."""
    dotted = _unquoted(transaction).startswith(".")
    return "rcpt.leading-dot" if is_verified(transaction) and dotted else None


async def user(transaction: Transaction) -> str | None:
    """Whether there is such a user or alias; aliases without "*" refuse the rest (wiki 576–587)."""
    domain = transaction.domain
    if domain is None or not is_verified(transaction) or domain.takes(transaction.mailbox.local_part):
        return None
    return "rcpt.unknown-user"


def is_verified(transaction: Transaction) -> bool:
    """Whether the recipient is looked at: one of ours, of a client that nobody vouches for."""
    return transaction.domain is not None and not (transaction.vouched or transaction.rewritten)


def _unquoted(transaction: Transaction) -> str:
    return transaction.mailbox.local_part.strip('"')


REFUSED = deny(NO_RELAY, late=True)
TOO_MANY = deny("Too many recipients", status="5.3", drop=True)
COUNT = question(count, Check(COUNTED, then=TOO_MANY, off=PASS), at_once=True)
RELAYING = question(
    relaying,
    Check("rcpt.relay-authenticated", then=PASS, off=REFUSED),
    Check("rcpt.relay-trusted", then=PASS, off=REFUSED),
    Check("rcpt.relay-denied", then=REFUSED, off=PASS),
)
CHARACTERS = question(
    characters,
    Check("rcpt.illegal-chars", then=deny("Illegal character in the local part", status="1.3"), off=PASS),
)
FIRST_CHARACTER = question(
    first_character,
    Check("rcpt.leading-dot", then=deny("A local part does not start with a dot", status="1.3"), off=PASS),
)
USER = question(
    user,
    Check("rcpt.unknown-user", then=deny("No such user here", status="1.1"), off=PASS),
)
