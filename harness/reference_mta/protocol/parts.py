"""The parts of the protocol that others may take the place of, and how each is called when it is noted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from harness.reference_mta.protocol.chunks import ChunkReader
from harness.reference_mta.protocol.content import Content, ContentReader
from harness.reference_mta.protocol.limits import InFlight, Limits
from harness.reference_mta.protocol.lines import LineReader, Lines
from harness.reference_mta.protocol.readers import READERS, Reader
from harness.reference_mta.protocol.table import CONNECTING, END_OF_CONTENT, TABLE, Row

CONTENT = "content"
UNKNOWN_COMMAND = "command that is unknown"


def command(verb: str) -> str:
    """The part that knows a command: its row of the table, and its reader."""
    return f"command {verb}"


def encoded(reply: str) -> bytes:
    """A reply as it goes out: its lines are divided by CR LF already, and ASCII (RFC 5321 §4.2)."""
    return reply.encode("ascii", "replace") + b"\r\n"


def unnoticed(part: str) -> None:
    """Nobody wants to know which parts are at work."""


@dataclass(frozen=True)
class ProtocolParts:
    """Each as it should be."""

    lines: Callable[[], Lines] = LineReader
    content: Callable[[Limits, InFlight], Content] = ContentReader
    chunks: Callable[[Limits, InFlight], ChunkReader] = ChunkReader
    table: Mapping[str, Row] = field(default_factory=lambda: TABLE)
    connecting: Row = CONNECTING
    end_of_content: Row = END_OF_CONTENT
    readers: Mapping[str, Reader] = field(default_factory=lambda: READERS)
    encoded: Callable[[str], bytes] = encoded
    note: Callable[[str], None] = unnoticed  # is told which part is at work

    def with_command(
        self, verb: str, *, row: Row | None = None, reader: Reader | None = None
    ) -> "ProtocolParts":
        """The same, and one command has another row of the table, or another reader."""
        return replace(
            self,
            table={**self.table, verb: row} if row else self.table,
            readers={**self.readers, verb: reader} if reader else self.readers,
        )


AS_IT_SHOULD_BE = ProtocolParts()
