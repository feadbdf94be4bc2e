"""DKIM signatures of the clients that the harness plays: fresh keys, whose records go into the fake DNS."""

import base64
import functools
from dataclasses import dataclass, field
from enum import StrEnum

import dkim
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

RSA_BITS = 2048  # RFC 8301 §3.2
SIGNED = (b"from", b"to", b"subject", b"date", b"message-id")
SELECTOR = "harness"


class Algorithm(StrEnum):
    """What is in use (RFC 8301 §3.1, RFC 8463)."""

    RSA = "rsa-sha256"
    ED25519 = "ed25519-sha256"


class Canonical(StrEnum):
    """How header and body are brought into one form before they are signed (RFC 6376 §3.4)."""

    RELAXED = "relaxed"
    SIMPLE = "simple"


@dataclass(frozen=True)
class Signer:
    """A domain and its key; a forger has another one. RSA keys are made once a run: that takes long."""

    domain: str
    algorithm: Algorithm = Algorithm.RSA
    selector: str = SELECTOR
    forged: bool = False
    _key: tuple[bytes, bytes] = field(init=False, repr=False)  # private as dkimpy wants it; public

    def __post_init__(self) -> None:
        """Find or make the key."""
        rsa_is_used = self.algorithm is Algorithm.RSA
        object.__setattr__(self, "_key", _rsa_key(forged=self.forged) if rsa_is_used else _ed25519_key())

    @property
    def key_name(self) -> str:
        """Where DNS is to have the key (RFC 6376 §3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def record(self) -> str:
        """The TXT record of the key."""
        kind = "rsa" if self.algorithm is Algorithm.RSA else "ed25519"
        return f"v=DKIM1; k={kind}; p={base64.b64encode(self._key[1]).decode()}"

    def signed(self, message: bytes, canonical: Canonical = Canonical.RELAXED) -> bytes:
        """The message, whose lines end with CRLF, with its signature on top."""
        form = canonical.value.encode()
        signature: bytes = dkim.DKIM(message).sign(
            self.selector.encode(),
            self.domain.encode(),
            self._key[0],
            signature_algorithm=self.algorithm.value.encode(),
            canonicalize=(form, form),
            include_headers=list(SIGNED),
        )
        return signature + message


@functools.cache
def _rsa_key(*, forged: bool) -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(65537, RSA_BITS)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return private, public


def _ed25519_key() -> tuple[bytes, bytes]:
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return base64.b64encode(private), key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
