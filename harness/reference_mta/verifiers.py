"""What an account is known by: for each kind of mechanism what is made of its password."""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.reference_mta.passwords import hash_password, is_hash
from harness.reference_mta.protocol.scram import SIZE, ScramVerifier
from harness.settings.secret import Secret

FEWEST_ITERATIONS = 4096  # RFC 7677 §4
MOST_ITERATIONS = 10_000_000  # a client would take it for an attack
ITERATIONS = 100_000  # a tenth of a second of a client's time, or less
SALT = 16  # octets
LONGEST_SALT = 64  # octets; a decoy's has no more


class Mechanism(StrEnum):
    """The mechanisms of AUTH that there are, by their names."""

    PLAIN = "PLAIN"  # RFC 4616
    LOGIN = "LOGIN"
    CRAM_MD5 = "CRAM-MD5"  # RFC 2195
    SCRAM_SHA_256 = "SCRAM-SHA-256"  # RFC 7677


class Kind(StrEnum):
    """The kinds of verifiers, by the word in front of them."""

    SCRYPT = "scrypt"
    CRAM_MD5 = "cram-md5"
    SCRAM_SHA_256 = "scram-sha-256"


NEEDED: Mapping[Mechanism, Kind] = {
    Mechanism.PLAIN: Kind.SCRYPT,
    Mechanism.LOGIN: Kind.SCRYPT,
    Mechanism.CRAM_MD5: Kind.CRAM_MD5,
    Mechanism.SCRAM_SHA_256: Kind.SCRAM_SHA_256,
}


@dataclass(frozen=True)
class Account:
    """The verifiers of an account, at most one of each kind."""

    verifiers: Mapping[Kind, Secret]

    @classmethod
    def of(cls, *verifiers: Secret) -> "Account":
        """The account with these; raises `ValueError`, which shows none, for what is no verifier."""
        found: dict[Kind, Secret] = {}
        for verifier in verifiers:
            kind = kind_of(verifier)
            if kind is None:
                raise ValueError("is no password hash; make one with: smtp-harness mta hash-password")
            if kind in found:
                raise ValueError(f"has two hashes of the kind {kind}; leave one out")
            found[kind] = verifier
        if not found:
            raise ValueError("is empty; name at least one hash, from: smtp-harness mta hash-password")
        return cls(found)

    def serves(self, mechanism: Mechanism) -> bool:
        """Whether the account can be known by that mechanism."""
        return NEEDED[mechanism] in self.verifiers


def made(password: str, mechanism: Mechanism) -> str:
    """The verifier that a mechanism needs; raises `PreparationError` for a password that may not be."""
    match NEEDED[mechanism]:
        case Kind.SCRYPT:
            return hash_password(password)
        case Kind.CRAM_MD5:
            return f"{Kind.CRAM_MD5}${_spelt(password.encode('utf-8'))}"
        case Kind.SCRAM_SHA_256:
            return scram_text(ScramVerifier.of(password, secrets.token_bytes(SALT), ITERATIONS))


def kind_of(verifier: Secret) -> Kind | None:
    """The kind of a verifier; None for what is none, so that it is told at start and not at a log-in."""
    text = verifier.reveal()
    if is_hash(text):
        return Kind.SCRYPT
    if read_password(verifier) is not None:
        return Kind.CRAM_MD5
    return Kind.SCRAM_SHA_256 if read_scram(verifier) else None


def read_password(verifier: Secret) -> Secret | None:
    """The password in a verifier of CRAM-MD5, which can do with nothing less; None for another text."""
    kind, *parts = verifier.reveal().split("$")
    if kind != Kind.CRAM_MD5 or len(parts) != 1:
        return None
    try:
        password = base64.b64decode(parts[0], validate=True).decode("utf-8")
    except ValueError:
        return None
    return Secret(password) if password else None


def scram_text(verifier: ScramVerifier) -> str:
    """`scram-sha-256$iterations$salt$stored key$server key`."""
    parts = map(_spelt, (verifier.salt, verifier.stored_key, verifier.server_key))
    return "$".join((Kind.SCRAM_SHA_256, str(verifier.iterations), *parts))


def read_scram(verifier: Secret) -> ScramVerifier | None:
    """A verifier of SCRAM as numbers and octets; None for another text."""
    kind, *parts = verifier.reveal().split("$")
    if kind != Kind.SCRAM_SHA_256 or len(parts) != 4 or not (parts[0].isascii() and parts[0].isdigit()):
        return None
    try:
        salt, stored_key, server_key = (base64.b64decode(part, validate=True) for part in parts[1:])
    except ValueError:
        return None
    iterations = int(parts[0]) if len(parts[0]) <= len(str(MOST_ITERATIONS)) else 0
    sizes_fit = 0 < len(salt) <= LONGEST_SALT and len(stored_key) == len(server_key) == SIZE
    if not sizes_fit or not FEWEST_ITERATIONS <= iterations <= MOST_ITERATIONS:
        return None
    return ScramVerifier(iterations, salt, stored_key, server_key)


def _spelt(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
