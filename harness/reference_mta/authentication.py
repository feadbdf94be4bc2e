"""AUTH PLAIN (RFC 4954, RFC 4616): under TLS only, checked against the accounts of the configuration."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.reference_mta.config import Config
from harness.reference_mta.earned import Refusal
from harness.reference_mta.passwords import COST, cost_of, hash_password, verify_password
from harness.reference_mta.protocol.sasl import Credentials, SaslError, read_plain
from harness.settings.secret import Secret

if TYPE_CHECKING:
    from harness.reference_mta.policy.transaction import Transaction


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


def out_of_place(about: "Transaction", covered: bool) -> Refusal | None:
    """The refusal of an AUTH command that is out of place; None when it is not. `covered`: TLS is on."""
    if not covered:
        return Refusal("538 5.7.11 Not without TLS", rule="auth.plaintext-refused")
    return Refusal("503 5.5.1 Not now") if about.authenticated else None


def prompt() -> str:
    """The reply to AUTH PLAIN without credentials: an empty challenge (RFC 4616 §2)."""
    return "334 "


def fits(password: str, hashed: Secret) -> bool:
    """Whether it is the password that was hashed."""
    return verify_password(password, hashed.reveal())


@dataclass(frozen=True)
class LoginParts:
    """Each as it should be; another one may take its place."""

    out_of_place: Callable[["Transaction", bool], Refusal | None] = out_of_place
    prompt: Callable[[], str] = prompt
    fits: Callable[[str, Secret], bool] = fits


@dataclass(frozen=True)
class Authentication:
    """AUTH of one connection. A reply is empty for credentials that are not right: policy answers those."""

    about: "Transaction"
    accounts: Accounts

    def out_of_place(self, *, covered: bool) -> Refusal | None:
        """The refusal of an AUTH command that is out of place; None when it is not."""
        return self.about.policy.login.out_of_place(self.about, covered)

    async def begin(self, mechanism: str, initial: str) -> str:
        """The reply to AUTH: the prompt, or what the initial response comes to."""
        if mechanism != "PLAIN":
            return "504 5.5.4 Only PLAIN is known here"
        return await self.go_on(initial) if initial else self.about.policy.login.prompt()

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
        hashed = known or self.accounts.decoy
        right = await asyncio.to_thread(self.about.policy.login.fits, credentials.password, hashed)
        if known is None or not right or credentials.acts_for not in ("", user):
            return ""
        self.about.authenticated, self.about.account = True, user
        return "235 2.7.0 Welcome"
