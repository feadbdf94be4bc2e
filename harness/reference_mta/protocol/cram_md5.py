"""CRAM-MD5 without input or output (RFC 2195): the client shows that it knows its password."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable

from harness.reference_mta.protocol.sasl import Challenge, Proof, SaslError, text_of
from harness.settings.secret import Secret

NO_RESPONSE = "501 5.5.2 That is no CRAM-MD5 response"
_RESPONSE = re.compile(rb"(.+) ([0-9a-f]{32})", re.DOTALL)


def challenge_of(hostname: str) -> bytes:
    """One that never was and never will be, in the form of a message id."""
    return f"<{secrets.token_hex(16)}@{hostname}>".encode("ascii")


def digest_of(password: Secret, challenge: bytes) -> bytes:
    """What a client that knows the password answers to a challenge, behind its name."""
    key = password.reveal().encode("utf-8", "surrogateescape")
    return hmac.new(key, challenge, hashlib.md5).hexdigest().encode("ascii")


class CramMd5:
    """The server's challenge, and the client's answer to it; nobody can act for somebody else."""

    client_begins = False

    def __init__(self, challenge: bytes, password_of: Callable[[str], Secret]) -> None:
        """`password_of` gives the password of a name, and for one that has none here something to compare."""
        self._challenge = challenge
        self._password_of = password_of

    def begin(self) -> Challenge:
        """The challenge."""
        return Challenge(self._challenge)

    def step(self, message: bytes) -> Proof:
        """A name, which may have blanks in it, and the digest."""
        found = _RESPONSE.fullmatch(message)
        if found is None:
            raise SaslError(NO_RESPONSE)
        user = text_of(found[1])
        expected = digest_of(self._password_of(user), self._challenge)
        return Proof("", user, hmac.compare_digest(expected, found[2]))
