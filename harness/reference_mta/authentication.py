"""AUTH PLAIN (RFC 4954, RFC 4616): under TLS only, checked against the accounts of the configuration."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from harness.reference_mta.config import Config
from harness.reference_mta.passwords import COST, cost_of, hash_password, verify_password
from harness.reference_mta.plain import PlainError, read_plain
from harness.reference_mta.policy.earned import Refusal
from harness.reference_mta.policy.transaction import Transaction
from harness.settings.secret import Secret

Prompt = Callable[[str], Awaitable[str]]


@dataclass(frozen=True)
class Accounts:
    """The accounts, and a hash that no password has: unknown names take as long as known ones."""

    users: dict[str, Secret]
    decoy: Secret

    @classmethod
    def of(cls, config: Config) -> "Accounts":
        """The accounts of a configuration; the decoy costs what they cost."""
        users = config.auth.users
        cost = max((cost_of(hashed.reveal()) for hashed in users.values()), default=COST)
        return cls(users, Secret(hash_password("", cost=cost)))


async def authenticate(about: Transaction, accounts: Accounts, initial: str, prompt: Prompt) -> str:
    """The reply to AUTH PLAIN, with an initial response or after an empty prompt.

    Empty for credentials that are not right: policy answers, by `Transaction.known_account`.
    """
    quirk = about.quirk
    if initial and quirk("auth.plain-initial:off"):
        return "501 5.5.4 Wait for the prompt"
    if not initial and quirk("auth.plain-prompted:off"):
        return "501 5.5.4 Give your credentials at once"
    try:
        words = "Credentials please" if quirk("auth.plain-prompted:weak-prompt") else ""
        user, password = read_plain(initial or await prompt(words))
    except PlainError as refused:
        return str(refused)
    return await _verify(about, accounts, user, password)


def may_authenticate(about: Transaction, *, covered: bool) -> Refusal | None:
    """The refusal of an AUTH command that is out of place; None when it is not."""
    if not covered and not about.quirk("auth.plaintext-refused:off"):
        return Refusal("538 5.7.11 Not without TLS", rule="auth.plaintext-refused")
    if about.trusted and about.quirk("auth.from-anywhere:off"):
        return Refusal("503 5.5.1 Not from inside")
    if about.authenticated or about.in_message:
        return Refusal("503 5.5.1 Not now")
    return None


async def _verify(about: Transaction, accounts: Accounts, user: str, password: str) -> str:
    known = accounts.users.get(user)
    about.known_account = known is not None
    # In a thread: scrypt takes its time on purpose, and other connections must not wait for it.
    loop = asyncio.get_running_loop()
    hashed = known or accounts.decoy
    fits = await loop.run_in_executor(None, lambda: verify_password(password, hashed.reveal()))
    right = fits and known is not None
    if known is not None and about.quirk("auth.wrong-password:off"):
        right = True
    if not right:
        return ""
    about.authenticated, about.account = True, user
    return "235 2.7.0 Welcome"
