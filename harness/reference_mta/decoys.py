"""What is looked at in place of an account that is not there, so that nobody learns who has one.

A name that is tried twice meets the same thing twice, also after a restart: the key to that is kept.
"""

import hashlib
import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.reference_mta.passwords import COST, cost_of, hash_password
from harness.reference_mta.protocol.scram import ScramVerifier
from harness.reference_mta.verifiers import ITERATIONS, SALT
from harness.settings.secret import Secret

KEY = "decoys.key"  # in the state directory
SIZE = 32  # octets


def kept_key(state: Path) -> bytes:
    """The key of a server, which is made at its first start; raises `OSError`."""
    file = state / KEY
    if file.exists() and len(key := file.read_bytes()) == SIZE:
        return key
    key = os.urandom(SIZE)
    file.touch(mode=0o600)  # before there is anything to read
    file.write_bytes(key)
    return key


@dataclass(frozen=True)
class Decoys:
    """Each looks, and costs, like one of the accounts; none is ever right."""

    hashed: Secret
    password: Secret
    _key: bytes = field(repr=False)
    _shapes: tuple[tuple[int, int], ...]  # iterations, octets of salt: those that there are

    @classmethod
    def like(cls, hashes: Iterable[Secret], verifiers: Iterable[ScramVerifier], key: bytes) -> "Decoys":
        """Those for names beside these."""
        cost = max((cost_of(hashed.reveal()) for hashed in hashes), default=COST)
        shapes = sorted((each.iterations, len(each.salt)) for each in verifiers)
        password = hmac.digest(key, b"password", hashlib.sha256).hex()
        return cls(
            Secret(hash_password("", cost=cost)),
            Secret(password),
            key,
            tuple(shapes) or ((ITERATIONS, SALT),),
        )

    def verifier_of(self, user: str) -> ScramVerifier:
        """That of a name: always the same one, and no password fits."""
        name = user.encode("utf-8", "surrogatepass")
        chosen, salt, stored_key, server_key = (
            hmac.digest(self._key, about + name, hashlib.sha512)
            for about in (b"shape:", b"salt:", b"stored key:", b"server key:")
        )
        iterations, size = self._shapes[int.from_bytes(chosen[:8]) % len(self._shapes)]
        return ScramVerifier(iterations, salt[:size], stored_key[:SIZE], server_key[:SIZE])
