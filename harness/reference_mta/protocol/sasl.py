"""The mechanisms of AUTH without input or output: a step for each line of the client (RFC 4954 §4)."""

import base64
import binascii
from dataclasses import dataclass

GIVE_UP = "*"


class SaslError(Exception):
    """What came is no credentials; the text is the reply."""


@dataclass(frozen=True)
class Credentials:
    """Whom a client says to be; `acts_for` is the identity that it wants to have, its own when empty."""

    acts_for: str
    user: str
    password: str


def decoded(token: str) -> bytes:
    """A line of base64; raises `SaslError`, also where the client gives up."""
    if token == GIVE_UP:
        raise SaslError("501 5.7.0 Given up")
    try:
        return base64.b64decode("" if token == "=" else token, validate=True)  # noqa: S105 - nothing, RFC 4954
    except (binascii.Error, ValueError):
        raise SaslError("501 5.5.2 That is no base64") from None


def read_plain(token: str) -> Credentials:
    """The message of PLAIN (RFC 4616 §2); raises `SaslError`."""
    parts = decoded(token).split(b"\0")
    if len(parts) != 3:
        raise SaslError("501 5.5.2 That is no PLAIN message")
    acts_for, user, password = (part.decode("utf-8", "surrogateescape") for part in parts)
    return Credentials(acts_for, user, password)
