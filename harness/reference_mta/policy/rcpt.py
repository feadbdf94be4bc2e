"""RCPT TO: how many, to whom, and for whom the server relays (wiki 286–289, 710–712, 1307)."""

from harness.reference_mta.policy.checks import PASS, Check, deny, question
from harness.reference_mta.policy.transaction import Transaction

ILLEGAL = frozenset("@%!/|")
NO_RELAY = "5.7.1 I do not relay for you"


async def count(transaction: Transaction) -> str | None:
    """Whether the message has too many recipients."""
    too_many = transaction.recipients > transaction.config.server.max_recipients
    return "rcpt.too-many" if too_many else None


async def relaying(transaction: Transaction) -> str | None:
    """For mail to other domains: who asks."""
    if transaction.domain is not None:
        return None
    if transaction.authenticated:
        return "rcpt.relay-authenticated"
    return "rcpt.relay-trusted" if transaction.trusted else "rcpt.relay-denied"


async def characters(transaction: Transaction) -> str | None:
    """For mail of strangers to our own domains: whether there can be such a local part."""
    illegal = ILLEGAL & set(transaction.mailbox.local_part.strip('"'))
    return "rcpt.illegal-chars" if _from_stranger(transaction) and illegal else None


async def first_character(transaction: Transaction) -> str | None:
    """The same for its beginning."""
    dotted = transaction.mailbox.local_part.startswith(".")
    return "rcpt.leading-dot" if _from_stranger(transaction) and dotted else None


async def user(transaction: Transaction) -> str | None:
    """Whether there is such a user; an account's recipients are not verified."""
    domain = transaction.domain
    if domain is None or domain.catch_all or is_user(transaction, transaction.mailbox.local_part):
        return None
    return "rcpt.relay-authenticated" if transaction.authenticated else "rcpt.unknown-user"


def _from_stranger(transaction: Transaction) -> bool:
    return transaction.domain is not None and not transaction.authenticated and not transaction.trusted


def honours_trick(transaction: Transaction) -> bool:
    """Whether a defect lets a disguised foreign address through."""
    name = transaction.mailbox.local_part
    tricks = {
        "percent": "%" in name and "." in name.partition("%")[2],
        "bang": "!" in name and "." in name.partition("!")[0],
        "route": transaction.routed,
        "quoted": name.startswith('"') and "@" in name and "." in name.rpartition("@")[2],
        "two-ats": "@" in name and not name.startswith('"'),
    }
    return any(
        seen and transaction.quirk(f"rcpt.relay-denied:weak-{trick}") for trick, seen in tricks.items()
    )


def is_user(transaction: Transaction, name: str) -> bool:
    """Whether a local part, what stands before a tag included, is one of the domain's users."""
    users = [user.lower() for user in transaction.domain.users] if transaction.domain else []
    return bool({name.lower(), name.lower().partition("=")[0], name.lower().rpartition("=")[2]} & set(users))


COUNT = question(count, Check("rcpt.too-many", then=deny("5.5.3 Too many recipients", drop=True), off=PASS))
RELAYING = question(
    relaying,
    Check("rcpt.relay-authenticated", then=PASS, off=deny(NO_RELAY, late=True)),
    Check("rcpt.relay-trusted", then=PASS, off=deny(NO_RELAY, late=True)),
    Check("rcpt.relay-denied", then=deny(NO_RELAY, late=True), off=PASS),
)
CHARACTERS = question(
    characters,
    Check("rcpt.illegal-chars", then=deny("5.1.3 Illegal character in the local part"), off=PASS),
)
FIRST_CHARACTER = question(
    first_character,
    Check("rcpt.leading-dot", then=deny("5.1.3 A local part does not start with a dot"), off=PASS),
)
USER = question(
    user,
    Check("rcpt.relay-authenticated", then=PASS, off=deny(NO_RELAY, late=True)),
    Check("rcpt.unknown-user", then=deny("5.1.1 No such user here"), off=PASS),
)
