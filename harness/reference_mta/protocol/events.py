"""What a client does, as the protocol's core tells it; each of these is answered with one reply.

An event that comes with an `answer` of the core's own needs no other: the client's grammar or order was
wrong, or there is but one thing to say. Whoever has rules may say something else.
"""

from dataclasses import dataclass

from harness.reference_mta.protocol.parameters import NONE, Parameters
from harness.reference_mta.protocol.paths import NULL, Path


@dataclass(frozen=True)
class Event:
    """Something that is to be answered; `line` is the command that it came by, empty where it was none."""

    line: bytes = b""
    answer: str = ""


@dataclass(frozen=True)
class Connected(Event):
    """The connection stands: the greeting is owed, or a refusal in its place (RFC 5321 §3.1)."""


@dataclass(frozen=True)
class Misspoken(Event):
    """What came is no command, or none that has its place here; the core's answer says so."""


@dataclass(frozen=True)
class Greeted(Event):
    """HELO, or EHLO: then it is `extended`. The keywords of the reply are what is taken from then on."""

    name: str = ""
    extended: bool = False


@dataclass(frozen=True)
class SenderGiven(Event):
    """MAIL, by the grammar."""

    path: Path = NULL
    parameters: Parameters = NONE


@dataclass(frozen=True)
class RecipientGiven(Event):
    """RCPT, by the grammar; the path may have an odd local part, see `Path.almost`."""

    path: Path = NULL
    parameters: Parameters = NONE


@dataclass(frozen=True)
class ContentAsked(Event):
    """DATA in its place: with 354 the content follows."""


@dataclass(frozen=True)
class ChunkAnnounced(Event):
    """BDAT; the core keeps it to itself until the bytes that it announces are there (RFC 3030 §2)."""

    size: int = 0
    last: bool = False


@dataclass(frozen=True)
class ChunkReceived(Event):
    """A chunk is there that is not the last of its message."""

    size: int = 0


@dataclass(frozen=True)
class ContentReceived(Event):
    """The whole message; with an answer of the core's own it is not to be taken, and `content` is empty.

    Of a message in chunks that is the last one, or the one with which it is refused.
    """

    content: bytes = b""


@dataclass(frozen=True)
class CredentialsAsked(Event):
    """AUTH with a mechanism, in upper case, and what came with it; a reply with 334 asks for a `Secret`."""

    mechanism: str = ""
    initial: str = ""


@dataclass(frozen=True)
class Secret(Event):
    """The line that answers a 334."""

    text: str = ""


@dataclass(frozen=True)
class TlsAsked(Event):
    """STARTTLS in its place: with 220 the handshake follows, and clear text behind the command is dropped."""


@dataclass(frozen=True)
class Reset(Event):
    """RSET: nothing is left of the message that was begun."""


@dataclass(frozen=True)
class Farewell(Event):
    """QUIT: the connection ends behind the reply."""


@dataclass(frozen=True)
class Asked(Event):
    """NOOP, HELP or VRFY, which change nothing."""
