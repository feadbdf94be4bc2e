"""The mechanisms of AUTH without input or output: a step for each line of the client (RFC 4954 §4).

```
mechanism = Login()
mechanism.begin()          # what the server says when the client has brought nothing with its command
mechanism.step(message)    # another challenge, or what the client says to be; raises `SaslError`
```

Whether it is what it says is for others to look at: a mechanism knows nobody's password, or asks for it.
"""

import base64
import re
from dataclasses import dataclass, field
from typing import Protocol

GIVE_UP = "*"
NOTHING = "="  # an initial response of no octets; later ones are empty lines
BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")  # RFC 4648 §4
NO_BASE64 = "501 5.5.2 That is no base64"


class SaslError(Exception):
    """What came is no credentials; the text is the reply."""


@dataclass(frozen=True)
class Challenge:
    """More is needed: the client is to answer this, which may be empty."""

    data: bytes = b""


@dataclass(frozen=True)
class Credentials:
    """Whom a client says to be; `acts_for` is the identity that it wants to have, its own when empty."""

    acts_for: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Proof:
    """The same from a client that keeps its password to itself; `right`: it has shown that it knows it."""

    acts_for: str
    user: str
    right: bool


Step = Challenge | Credentials | Proof


class Mechanism(Protocol):
    """One dialogue with a client."""

    @property
    def client_begins(self) -> bool:
        """Whether its first message is the client's; then it may come with the command."""

    def begin(self) -> Challenge:
        """What the client is told that has brought nothing with its command."""

    def step(self, message: bytes) -> Step:
        """What a message of the client comes to; raises `SaslError`."""


def decoded(line: str, *, initial: bool = False) -> bytes:
    """A line of base64, or what came with the command; raises `SaslError`, also where the client gives up."""
    if line == GIVE_UP:
        raise SaslError("501 5.7.0 Given up")
    if initial and line == NOTHING:
        return b""
    return unspelt(line, NO_BASE64)


def unspelt(text: str, refusal: str) -> bytes:
    """The octets that base64 stands for; raises `SaslError` with that reply.

    That of the standard library takes more equals signs than there may be.
    """
    if BASE64.fullmatch(text) is None:
        raise SaslError(refusal)
    return base64.b64decode(text)


def prompt_of(challenge: Challenge) -> str:
    """The reply that asks for the next line."""
    return f"334 {base64.b64encode(challenge.data).decode('ascii')}"


def text_of(message: bytes) -> str:
    """A name or a password, which may be in any encoding; what is not UTF-8 comes through unchanged."""
    return message.decode("utf-8", "surrogateescape")


class Plain:
    """All in one message (RFC 4616 §2)."""

    client_begins = True

    def begin(self) -> Challenge:
        """Nothing."""
        return Challenge()

    def step(self, message: bytes) -> Credentials:
        """Three parts, with a zero octet between two."""
        parts = message.split(b"\0")
        if len(parts) != 3:
            raise SaslError("501 5.5.2 That is no PLAIN message")
        acts_for, user, password = map(text_of, parts)
        return Credentials(acts_for, user, password)


class Login:
    """A name, then a password (draft-murchison-sasl-login); nobody can act for somebody else."""

    client_begins = True  # many do, although the server is thought to

    def __init__(self) -> None:
        """Nothing has been said."""
        self._user: str | None = None

    def begin(self) -> Challenge:
        """The words that some clients wait for."""
        return Challenge(b"Username:")

    def step(self, message: bytes) -> Challenge | Credentials:
        """The name, and after it the password."""
        if self._user is None:
            self._user = text_of(message)
            return Challenge(b"Password:")
        return Credentials("", self._user, text_of(message))
