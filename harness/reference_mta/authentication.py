"""AUTH PLAIN (RFC 4954, RFC 4616): under TLS only, checked against the accounts of the configuration."""

import asyncio
from dataclasses import dataclass

from harness.reference_mta.config import Config
from harness.reference_mta.passwords import COST, cost_of, hash_password, verify_password
from harness.reference_mta.policy.earned import Refusal
from harness.reference_mta.policy.transaction import Transaction
from harness.reference_mta.protocol.sasl import Credentials, SaslError, read_plain
from harness.settings.secret import Secret


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


@dataclass(frozen=True)
class Authentication:
    """AUTH of one connection. A reply is empty for credentials that are not right: policy answers those."""

    about: Transaction
    accounts: Accounts

    def out_of_place(self, *, covered: bool) -> Refusal | None:
        """The refusal of an AUTH command that is out of place; None when it is not."""
        about = self.about
        if not covered and not about.quirk("auth.plaintext-refused:off"):
            return Refusal("538 5.7.11 Not without TLS", rule="auth.plaintext-refused")
        if about.trusted and about.quirk("auth.from-anywhere:off"):
            return Refusal("503 5.5.1 Not from inside")
        if about.authenticated:
            return Refusal("503 5.5.1 Not now")
        return None

    async def begin(self, mechanism: str, initial: str) -> str:
        """The reply to AUTH: the prompt, or what the initial response comes to."""
        quirk = self.about.quirk
        if mechanism != "PLAIN":
            return "504 5.5.4 Only PLAIN is known here"
        if initial and quirk("auth.plain-initial:off"):
            return "501 5.5.4 Wait for the prompt"
        if initial:
            return await self.go_on(initial)
        if quirk("auth.plain-prompted:off"):
            return "501 5.5.4 Give your credentials at once"
        return "334 Credentials please" if quirk("auth.plain-prompted:weak-prompt") else "334 "

    async def go_on(self, token: str) -> str:
        """The reply to credentials."""
        try:
            credentials = read_plain(token)
        except SaslError as refused:
            return str(refused)
        return await self._verify(credentials)

    async def _verify(self, credentials: Credentials) -> str:
        """Nobody here may act for somebody else (RFC 4616 §2)."""
        user = credentials.user
        known = self.accounts.users.get(user)
        self.about.known_account = known is not None
        # In a thread: scrypt takes its time on purpose, and other connections must not wait for it.
        loop = asyncio.get_running_loop()
        hashed = known or self.accounts.decoy
        fits = await loop.run_in_executor(
            None, lambda: verify_password(credentials.password, hashed.reveal())
        )
        right = fits and known is not None
        if known is not None and self.about.quirk("auth.wrong-password:off"):
            right = True
        if not right or credentials.acts_for not in ("", user):
            return ""
        self.about.authenticated, self.about.account = True, user
        return "235 2.7.0 Welcome"
