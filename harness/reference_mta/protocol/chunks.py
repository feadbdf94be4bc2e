"""The content of a message as it comes in chunks (RFC 3030): so many bytes, whatever they are."""

import re
from dataclasses import dataclass

from harness.reference_mta.protocol.commands import Command, SyntaxFlawError
from harness.reference_mta.protocol.content import NO_ROOM, TOO_LARGE, flaw
from harness.reference_mta.protocol.limits import InFlight, Limits

UNREADABLE = "501 5.5.4 Syntax: BDAT size [LAST]; where its chunk ends is not known, so this is the end"
_ARGUMENT = re.compile(r"(?P<size>[0-9]{1,20})(?P<last> LAST)?", re.IGNORECASE | re.ASCII)


class ChunkUnreadableError(SyntaxFlawError):
    """How long a chunk is cannot be read: whatever follows may be content, and is not to be obeyed."""


@dataclass(frozen=True)
class Chunk:
    """What BDAT announces: that so many bytes follow its line."""

    size: int
    last: bool


def read_chunk(command: Command) -> Chunk:
    """The argument of BDAT (RFC 3030 §2). Raises `ChunkUnreadableError`."""
    found = _ARGUMENT.fullmatch(command.argument)
    if found is None:
        raise ChunkUnreadableError(UNREADABLE)
    return Chunk(int(found["size"]), found["last"] is not None)


class ChunkReader:
    """Gathers the chunks of one message; what is too much for all of them together is not kept."""

    def __init__(self, limits: Limits, in_flight: InFlight) -> None:
        """Nothing has come."""
        self._limits = limits
        self._in_flight = in_flight
        self._text = bytearray()
        self._announced = 0
        self._taken = 0
        self.refusal = ""  # of the message, as soon as it is known

    def begin(self, size: int) -> None:
        """A chunk of so many bytes is announced."""
        self._announced += size
        if self._announced > self._limits.content:
            self._refuse(TOO_LARGE)

    def feed(self, data: bytes) -> None:
        """Take more of the chunk in."""
        if self.refusal:
            return
        if not self._in_flight.take(len(data)):
            self._refuse(NO_ROOM)
            return
        self._taken += len(data)
        self._text += data

    def message(self, *, binary: bool) -> tuple[bytes, str]:
        """The content, and the refusal of what is not taken, or nothing.

        Text of which the last line is not ended gets its end; of `binary` content no byte is touched.
        """
        if self.refusal:
            return b"", self.refusal
        if not binary and self._text and not self._text.endswith(b"\r\n"):
            self._text += b"\r\n"
        content = bytes(self._text)
        self._text.clear()
        return content, binary_flaw(content, self._limits) if binary else flaw(content, self._limits)

    def close(self) -> None:
        """The message has been answered, or its client is gone."""
        self._in_flight.give_back(self._taken)
        self._taken = 0
        self._text.clear()

    def _refuse(self, reply: str) -> None:
        self.refusal = reply
        self.close()


def binary_flaw(content: bytes, limits: Limits) -> str:
    """The refusal of binary content that is in a loop, or whose header is no text of lines; or nothing.

    The body may be anything; a header is made of lines in any case (RFC 3030 §3, RFC 2045 §2.9).
    """
    if content.startswith(b"\r\n"):
        return ""
    header = content.partition(b"\r\n\r\n")[0]
    return flaw(header.removesuffix(b"\r\n") + b"\r\n", limits)
