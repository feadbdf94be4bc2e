"""AUTH (RFC 4954): under TLS only, by the mechanisms and against the accounts of the configuration."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.reference_mta.config import Config
from harness.reference_mta.decoys import Decoys
from harness.reference_mta.earned import Refusal
from harness.reference_mta.passwords import verify_password
from harness.reference_mta.protocol import sasl
from harness.reference_mta.protocol.cram_md5 import CramMd5, challenge_of
from harness.reference_mta.protocol.sasl import Challenge, Credentials, Proof, SaslError
from harness.reference_mta.protocol.scram import Scram, ScramVerifier
from harness.reference_mta.verifiers import Account, Kind, Mechanism, read_password, read_scram
from harness.settings.secret import Secret

if TYPE_CHECKING:
    from harness.reference_mta.policy.transaction import Transaction

UNKNOWN = "504 5.5.4 That mechanism is not offered here"
NO_INITIAL = "501 5.5.4 With that mechanism the server begins"


@dataclass(frozen=True)
class Accounts:
    """The accounts; where there is none a decoy is looked at, and takes as long."""

    users: Mapping[str, Account]
    decoys: Decoys
    _passwords: Mapping[str, Secret]
    _verifiers: Mapping[str, ScramVerifier]

    @classmethod
    def of(cls, config: Config, key: bytes = b"") -> "Accounts":
        """The accounts of a configuration; `key` is that of its decoys."""
        users = config.auth.users
        hashes = _each(users, Kind.SCRYPT)
        passwords, verifiers = _each(users, Kind.CRAM_MD5), _each(users, Kind.SCRAM_SHA_256)
        read = {user: verifier for user, text in verifiers.items() if (verifier := read_scram(text))}
        decoys = Decoys.like(hashes.values(), read.values(), key)
        shared = {user: password for user, text in passwords.items() if (password := read_password(text))}
        return cls(users, decoys, shared, read)

    def hash_of(self, user: str) -> Secret:
        """The hash of a password."""
        account = self.users.get(user)
        return account.verifiers.get(Kind.SCRYPT, self.decoys.hashed) if account else self.decoys.hashed

    def password_of(self, user: str) -> Secret:
        """The password itself."""
        return self._passwords.get(user, self.decoys.password)

    def verifier_of(self, user: str) -> ScramVerifier:
        """What proofs are checked with."""
        decoy = self.decoys.verifier_of(user)  # for everybody, or it would take longer for some
        return self._verifiers.get(user, decoy)

    def serve(self, user: str, mechanism: Mechanism) -> bool:
        """Whether there is such an account, and it can be known so."""
        account = self.users.get(user)
        return account is not None and account.serves(mechanism)


def _each(users: Mapping[str, Account], kind: Kind) -> dict[str, Secret]:
    return {user: account.verifiers[kind] for user, account in users.items() if kind in account.verifiers}


def plain(_: Accounts, __: Config) -> sasl.Mechanism:
    """A dialogue by PLAIN."""
    return sasl.Plain()


def login(_: Accounts, __: Config) -> sasl.Mechanism:
    """A dialogue by LOGIN."""
    return sasl.Login()


def cram_md5(accounts: Accounts, config: Config) -> sasl.Mechanism:
    """A dialogue by CRAM-MD5."""
    return CramMd5(challenge_of(config.server.hostname), accounts.password_of)


def scram_sha_256(accounts: Accounts, _: Config) -> sasl.Mechanism:
    """A dialogue by SCRAM-SHA-256."""
    return Scram(accounts.verifier_of)


def out_of_place(about: "Transaction", covered: bool) -> Refusal | None:
    """The refusal of an AUTH command that is out of place; None when it is not. `covered`: TLS is on."""
    if not covered:
        return Refusal("538 5.7.11 Not without TLS", rule="auth.plaintext-refused")
    return Refusal("503 5.5.1 Not now") if about.authenticated else None


def demanded(about: "Transaction") -> Refusal | None:
    """The refusal of mail from somebody who has not logged in where he has to (RFC 6409 §4.3); None else."""
    return Refusal("530 5.7.0 Log in first") if about.submission and not about.authenticated else None


def prompt() -> str:
    """The reply to AUTH without credentials, where the client begins: an empty challenge (RFC 4954 §4)."""
    return sasl.prompt_of(Challenge())


def fits(password: str, hashed: Secret) -> bool:
    """Whether it is the password that was hashed."""
    return verify_password(password, hashed.reveal())


Begin = Callable[[Accounts, Config], sasl.Mechanism]


@dataclass(frozen=True)
class LoginParts:
    """Each as it should be; another one may take its place."""

    out_of_place: Callable[["Transaction", bool], Refusal | None] = out_of_place
    demanded: Callable[["Transaction"], Refusal | None] = demanded
    prompt: Callable[[], str] = prompt
    fits: Callable[[str, Secret], bool] = fits
    plain: Begin = plain
    login: Begin = login
    cram_md5: Begin = cram_md5
    scram_sha_256: Begin = scram_sha_256

    def begin(self, mechanism: Mechanism, accounts: Accounts, config: Config) -> sasl.Mechanism:
        """A dialogue by a mechanism."""
        beginnings: Mapping[Mechanism, Begin] = {
            Mechanism.PLAIN: self.plain,
            Mechanism.LOGIN: self.login,
            Mechanism.CRAM_MD5: self.cram_md5,
            Mechanism.SCRAM_SHA_256: self.scram_sha_256,
        }
        return beginnings[mechanism](accounts, config)


class Authentication:
    """AUTH of one connection. A reply is empty for credentials that are not right: policy answers those."""

    def __init__(self, about: "Transaction", accounts: Accounts) -> None:
        """Nobody has tried to log in."""
        self._about = about
        self._accounts = accounts
        self._name = Mechanism.PLAIN
        self._mechanism: sasl.Mechanism = sasl.Plain()

    def out_of_place(self, *, covered: bool) -> Refusal | None:
        """The refusal of an AUTH command that is out of place; None when it is not."""
        return self._about.policy.login.out_of_place(self._about, covered)

    async def begin(self, mechanism: str, initial: str) -> str:
        """The reply to AUTH: the first challenge, or what came with the command comes to."""
        config, login = self._about.config, self._about.policy.login
        if mechanism not in config.auth.mechanisms:
            return UNKNOWN
        self._name = Mechanism(mechanism)
        self._mechanism = login.begin(self._name, self._accounts, config)
        if initial:
            return await self._take(initial, initial=True) if self._mechanism.client_begins else NO_INITIAL
        challenge = self._mechanism.begin()
        return sasl.prompt_of(challenge) if challenge.data else login.prompt()

    async def go_on(self, line: str) -> str:
        """The reply to the next line of the client."""
        return await self._take(line)

    async def _take(self, line: str, *, initial: bool = False) -> str:
        try:
            step = self._mechanism.step(sasl.decoded(line, initial=initial))
        except SaslError as refused:
            return str(refused)
        return sasl.prompt_of(step) if isinstance(step, Challenge) else await self._verify(step)

    async def _verify(self, claim: Credentials | Proof) -> str:
        """Nobody here may act for somebody else (RFC 4616 §2)."""
        user = claim.user
        self._about.known_account = user in self._accounts.users
        right = claim.right if isinstance(claim, Proof) else await self._fits(claim)
        if not right or not self._accounts.serve(user, self._name) or claim.acts_for not in ("", user):
            return ""
        self._about.authenticated, self._about.account = True, user
        return "235 2.7.0 Welcome"

    async def _fits(self, claim: Credentials) -> bool:
        """In a thread: scrypt takes its time on purpose, and other connections must not wait for it."""
        hashed = self._accounts.hash_of(claim.user)
        return await asyncio.to_thread(self._about.policy.login.fits, claim.password, hashed)
