"""SCRAM-SHA-256 without input or output (RFC 5802, RFC 7677); channels are bound to nothing.

The client shows that it knows its password, and the server that it knows what was made of it. SMTP has no
place for words behind its yes, so the server's proof is a last challenge, which an empty line answers.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.reference_mta.protocol.sasl import Challenge, Proof, SaslError, unspelt
from harness.reference_mta.protocol.saslprep import PreparationError, prepared

HASH = "sha256"
SIZE = hashlib.new(HASH).digest_size  # octets of keys and proofs
NONCE = 18  # octets of chance in the server's part of the nonce
NO_FIRST = "501 5.5.2 That is no first message of SCRAM"
NO_FINAL = "501 5.5.2 That is no last message of SCRAM"
NO_NAME = "501 5.5.2 There is no such name"
BOUND = "501 5.5.4 Channels are bound to nothing here"
TOO_MUCH = "501 5.5.2 The dialogue of SCRAM is over; answer with an empty line"

# The grammar is that of RFC 5802 §7; a mandatory extension ("m") is none that is known here.
_NAME = r"(?:[^\0=,]|=2C|=3D)+"
_NONCE = r"[!-+\--~]+"
_EXTENSIONS = r"(?:,[A-Za-ln-oq-z]=[^\0,]+)*"
_BASE64 = r"[A-Za-z0-9+/]+={0,2}"
_FIRST = re.compile(
    rf"(?P<header>(?P<flag>n|y|p=[A-Za-z0-9.-]+),(?:a=(?P<acts_for>{_NAME}))?,)"
    rf"(?P<bare>n=(?P<user>{_NAME}),r=(?P<nonce>{_NONCE}){_EXTENSIONS})"
)
_FINAL = re.compile(
    rf"(?P<said>c=(?P<header>{_BASE64}),r=(?P<nonce>{_NONCE}){_EXTENSIONS}),p=(?P<proof>{_BASE64})"
)


@dataclass(frozen=True)
class ScramVerifier:
    """What a server keeps of a password: proofs can be checked with it, and none can be made."""

    iterations: int
    salt: bytes = field(repr=False)
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    @classmethod
    def of(cls, password: str, salt: bytes, iterations: int) -> "ScramVerifier":
        """That of a password (RFC 5802 §3); raises `PreparationError` for one that may not be."""
        key = prepared(password, stored=True).encode("utf-8")
        salted = hashlib.pbkdf2_hmac(HASH, key, salt, iterations)
        stored_key = hashlib.new(HASH, _keyed(salted, b"Client Key")).digest()
        return cls(iterations, salt, stored_key, _keyed(salted, b"Server Key"))


@dataclass(frozen=True)
class First:
    """The client's first message."""

    header: str  # about the channel and the identity, as it came
    acts_for: str
    user: str
    nonce: str
    bare: str  # the rest, as it came


@dataclass(frozen=True)
class Final:
    """The client's last message."""

    header: bytes  # that of the first message, said again
    nonce: str
    proof: bytes
    said: str  # all but the proof, as it came


def read_first(message: bytes) -> First:
    """The client's first message; raises `SaslError`."""
    found = _FIRST.fullmatch(_text(message, NO_FIRST))
    if found is None:
        raise SaslError(NO_FIRST)
    if found["flag"] not in ("n", "y"):
        raise SaslError(BOUND)
    return First(
        found["header"], _name(found["acts_for"] or ""), _name(found["user"]), found["nonce"], found["bare"]
    )


def read_final(message: bytes) -> Final:
    """The client's last message; raises `SaslError`."""
    found = _FINAL.fullmatch(_text(message, NO_FINAL))
    if found is None:
        raise SaslError(NO_FINAL)
    header, proof = (unspelt(found[part], NO_FINAL) for part in ("header", "proof"))
    return Final(header, found["nonce"], proof, found["said"])


def server_nonce() -> str:
    """The server's part of the nonce, in characters that may stand there."""
    return secrets.token_urlsafe(NONCE)


class Scram:
    """The dialogue, message by message."""

    client_begins = True

    def __init__(
        self, verifier_of: Callable[[str], ScramVerifier], nonce: Callable[[], str] = server_nonce
    ) -> None:
        """`verifier_of` gives that of a name, and for one that has none here another that nothing fits."""
        self._verifier_of = verifier_of
        self._nonce = nonce
        self._begun: _Begun | None = None
        self._proof: Proof | None = None

    def begin(self) -> Challenge:
        """Nothing."""
        return Challenge()

    def step(self, message: bytes) -> Challenge | Proof:
        """The first message, the last, and nothing."""
        if self._begun is None:
            self._begun = _Begun.by(read_first(message), self._verifier_of, self._nonce())
            return Challenge(self._begun.answer.encode("utf-8"))
        if self._proof is None:
            return self._judged(self._begun, read_final(message))
        if message:
            raise SaslError(TOO_MUCH)
        return self._proof

    def _judged(self, begun: "_Begun", final: Final) -> Challenge | Proof:
        said = begun.all_said(final)
        right = (
            final.nonce == begun.nonce
            and final.header == begun.first.header.encode("utf-8")
            and _fits(begun.verifier, said, final.proof)
        )
        proof = Proof(begun.first.acts_for, begun.first.user, right)
        if not right:
            return proof
        self._proof = proof
        return Challenge(b"v=" + base64.b64encode(_keyed(begun.verifier.server_key, said)))


@dataclass(frozen=True)
class _Begun:
    """The dialogue after the first message and the answer to it."""

    first: First
    verifier: ScramVerifier
    nonce: str  # the client's part and the server's
    answer: str

    @classmethod
    def by(cls, first: First, verifier_of: Callable[[str], ScramVerifier], nonce: str) -> "_Begun":
        verifier, both = verifier_of(first.user), first.nonce + nonce
        salt = base64.b64encode(verifier.salt).decode("ascii")
        return cls(first, verifier, both, f"r={both},s={salt},i={verifier.iterations}")

    def all_said(self, final: Final) -> bytes:
        """What proofs are made of: every word but the proofs."""
        return f"{self.first.bare},{self.answer},{final.said}".encode()


def _fits(verifier: ScramVerifier, said: bytes, proof: bytes) -> bool:
    if len(proof) != SIZE:
        return False
    signature = _keyed(verifier.stored_key, said)
    key = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
    return hmac.compare_digest(hashlib.new(HASH, key).digest(), verifier.stored_key)


def _keyed(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, HASH)


def _text(message: bytes, refusal: str) -> str:
    try:
        return message.decode("utf-8")
    except UnicodeDecodeError:
        raise SaslError(refusal) from None


def _name(spelt: str) -> str:
    """A name without the escapes for commas and equals signs, in the form in which names are compared."""
    try:
        name = prepared(spelt.replace("=2C", ",").replace("=3D", "="))
    except PreparationError:
        raise SaslError(NO_NAME) from None
    if spelt and not name:
        raise SaslError(NO_NAME)
    return name
