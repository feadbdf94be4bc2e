"""The server's side of SMTP without any input or output: bytes in, events out, and for each event its reply.

```
machine = Machine(Limits(), InFlight(...))
machine.receive(data)            # as it comes from the network
event = machine.next_event()     # None: more bytes are needed, or the last event waits for its reply
machine.answered(reply)          # what the client was told; it decides what comes next
```

No rule of anybody's is known here: an event says what the client has done, and the reply to it says whether
that holds. The table of states is in `table.py`.
"""

from dataclasses import dataclass, replace

from harness.reference_mta.protocol.chunks import ChunkReader, ChunkUnreadableError
from harness.reference_mta.protocol.commands import HttpError, SyntaxFlawError, read_command
from harness.reference_mta.protocol.content import Content
from harness.reference_mta.protocol.events import (
    Asked,
    ChunkAnnounced,
    ChunkReceived,
    Connected,
    ContentReceived,
    CredentialsAsked,
    Event,
    Greeted,
    Misspoken,
    Reset,
    Secret,
    SenderGiven,
    TlsAsked,
)
from harness.reference_mta.protocol.limits import InFlight, Limits
from harness.reference_mta.protocol.lines import LINE_END
from harness.reference_mta.protocol.parameters import ParameterError
from harness.reference_mta.protocol.parts import (
    AS_IT_SHOULD_BE,
    CONTENT,
    UNKNOWN_COMMAND,
    ProtocolParts,
)
from harness.reference_mta.protocol.parts import command as part_of
from harness.reference_mta.protocol.readers import Situation
from harness.reference_mta.protocol.table import Row, State

UNKNOWN = "500 5.5.2 That command is not known here"
ABSENT = "502 5.5.1 That command is not implemented"
TOO_LONG = "500 5.5.2 That line is too long"
TOO_LONG_SECRET = "500 5.5.6 That line is too long"  # noqa: S105 - a reply
TURNED_AWAY = "503 5.5.1 You were refused at the beginning"
TOO_MANY_ERRORS = "421 4.7.0 That is more than I refuse to one client; come again later"
TOO_MANY_CREDENTIALS = "421 4.7.0 Those are more credentials than one client may try"
TOO_IDLE = "421 4.7.0 You keep me busy and bring no mail"


class Machine:
    """One connection."""

    def __init__(
        self,
        limits: Limits,
        in_flight: InFlight,
        parts: ProtocolParts = AS_IT_SHOULD_BE,
        *,
        covered: bool = False,
    ) -> None:
        """The connection stands and nothing has been said; `covered`: TLS begins before anything is."""
        self.state = State.CONNECTED
        self.covered = covered
        self._limits = limits
        self._parts = parts
        self._in_flight = in_flight
        self._input = bytearray()
        self._lines = parts.lines()
        self._greeted = self._extended = False
        self._offered: frozenset[str] = frozenset()
        self._international = False
        self._binary = False
        self._reader: Content | None = None
        self._chunks: ChunkReader | None = None
        self._chunk: _ChunkUnderWay | None = None
        self._waiting: tuple[Event, Row] | None = None  # an event that has no reply yet
        self._errors = self._credentials = self._idle = 0

    @property
    def pending(self) -> int:
        """Bytes that have come and are not read yet."""
        return len(self._input)

    @property
    def reads_content(self) -> bool:
        """Whether what comes now is a message, or a part of one."""
        return self.state is State.CONTENT or self._chunk is not None

    @property
    def holds_content(self) -> bool:
        """Whether a message has begun to come and is not yet answered."""
        return self.reads_content or self._chunks is not None

    @property
    def ended(self) -> bool:
        """Whether nothing that the client says is read any more."""
        return self.state is State.ENDED

    def receive(self, data: bytes) -> None:
        """Bytes from the client, in any pieces."""
        if self.state is not State.ENDED:
            self._input += data

    def next_event(self) -> Event | None:
        """What the client has done; None while there is nothing, or the event before has no reply."""
        if self._waiting or self.state in (State.ENDED, State.HANDSHAKE):
            return None
        event, row = self._read()
        if event is not None:
            self._waiting = event, row
        return event

    def answered(self, reply: str) -> str:
        """The reply to the last event; returns another that ends the connection at a limit, or nothing.

        Raises `RuntimeError` when nothing waits for a reply.
        """
        if self._waiting is None:
            raise RuntimeError("no event waits for a reply")
        (event, row), self._waiting = self._waiting, None
        code = reply[:3]
        if code[:1] in ("4", "5"):
            self._enter(row.refused)
        elif code == "334" and isinstance(event, CredentialsAsked | Secret):
            self._enter(State.SECRET)
        else:
            self._accept(event, row, reply)
        if isinstance(event, ContentReceived):
            self._drop_content()
        if code == "421":
            self._enter(State.ENDED)
        return self._count(event, code)

    def encoded(self, reply: str) -> bytes:
        """The reply as bytes, with its line ends."""
        return self._parts.encoded(reply)

    def begin_tls(self) -> None:
        """The handshake has succeeded; what the client said before is kept by nobody here (RFC 3207 §4.2)."""
        self.covered = True
        self._greeted = self._extended = False
        self._offered = frozenset()
        self._enter(State.UNGREETED)

    def recall(self) -> None:
        """The client counts as greeted, as it was before TLS."""
        self._greeted = self._extended = True
        self._enter(State.GREETED)

    def end(self) -> None:
        """The connection ends; nothing more is read, and what was taken of a message is dropped."""
        self._enter(State.ENDED)

    # Reading

    def _read(self) -> tuple[Event | None, Row]:
        if self.state is State.CONNECTED:
            return Connected(), self._parts.connecting
        if self.state is State.CONTENT:
            return self._content(), self._parts.end_of_content
        if self._chunk is not None:
            return self._bytes_of(self._chunk)
        line = self._line()
        if line is None:
            return None, self._parts.table["NOOP"]
        if self.state is State.SECRET:
            return self._secret(line), self._parts.table["AUTH"]
        return self._command(line)

    def _line(self) -> bytes | None:
        most = self._limits.secret_line if self.state is State.SECRET else self._limits.command_line
        return self._lines.take(self._input, most)

    def _content(self) -> Event | None:
        if self._reader is None:
            self._parts.note(CONTENT)
            self._reader = self._parts.content(self._limits, self._in_flight)
        taken, self._input = self._input, bytearray()
        rest = self._reader.feed(taken)
        if rest is None:
            return None
        self._input += rest
        content, refusal = self._reader.message()
        return ContentReceived(content=b"" if refusal else content, answer=refusal)

    def _secret(self, line: bytes) -> Event:
        if not line:
            return Secret(answer=TOO_LONG_SECRET)
        return Secret(text=line[: -len(LINE_END)].strip(b" \t").decode("ascii", "replace"))

    def _command(self, line: bytes) -> tuple[Event | None, Row]:
        nothing = self._parts.table["NOOP"]
        if not line:
            return Misspoken(line=b"(a line that is too long)\r\n", answer=TOO_LONG), nothing
        row: Row | None = None
        try:
            command = read_command(line[: -len(LINE_END)])
            row = self._parts.table.get(command.verb)
            self._parts.note(part_of(command.verb) if row else UNKNOWN_COMMAND)
            if row is None:
                raise SyntaxFlawError(ABSENT if command.verb in NOT_IMPLEMENTED else UNKNOWN)
            if self.state is State.TURNED_AWAY and self.state not in row.where:
                raise SyntaxFlawError(TURNED_AWAY)
            placed = self.state in row.where
            if not placed and not row.brings_bytes:
                raise SyntaxFlawError(row.out_of_place)
            event = replace(self._parts.readers[command.verb](command, self._situation), line=line)
            if isinstance(event, ChunkAnnounced):
                return self._bytes_of(self._begin_chunk(event, row, placed=placed))
            return event, row
        except (HttpError, ChunkUnreadableError) as flaw:
            return Misspoken(line, str(flaw)), replace(nothing, refused=State.ENDED)
        except (SyntaxFlawError, ParameterError) as flaw:
            return Misspoken(line, str(flaw)), replace(row, refused=row.misspoken) if row else nothing

    def _begin_chunk(self, event: ChunkAnnounced, row: Row, *, placed: bool) -> "_ChunkUnderWay":
        if placed:
            if self._chunks is None:
                self._parts.note(CONTENT)
                self._chunks = self._parts.chunks(self._limits, self._in_flight)
            self._chunks.begin(event.size)
        self._chunk = _ChunkUnderWay(event, row, self._chunks if placed else None, event.size)
        return self._chunk

    def _bytes_of(self, chunk: "_ChunkUnderWay") -> tuple[Event | None, Row]:
        """The event of a chunk that is there as a whole; where it has no place its bytes are read as well.

        A client may have sent more than one before it hears that the first was refused (RFC 3030 §4.2).
        """
        piece = bytes(self._input[: chunk.left])
        del self._input[: len(piece)]
        chunk.left -= len(piece)
        event, reader = chunk.event, chunk.reader
        if reader:
            reader.feed(piece)
        if chunk.left:
            return None, chunk.row
        self._chunk = None
        if reader is None:
            return Misspoken(event.line, chunk.row.out_of_place), self._parts.table["NOOP"]
        if event.last or reader.refusal:
            content, refusal = reader.message(binary=self._binary)
            return ContentReceived(
                event.line, refusal, b"" if refusal else content
            ), self._parts.end_of_content
        return ChunkReceived(event.line, f"250 2.0.0 {event.size} bytes noted", event.size), chunk.row

    @property
    def _situation(self) -> Situation:
        return Situation(
            self._limits, self._extended, self._offered, self._international, self.covered, self._binary
        )

    # What replies lead to

    def _accept(self, event: Event, row: Row, reply: str) -> None:
        if isinstance(event, Greeted):
            self._greeted, self._extended = True, event.extended
            self._offered = _keywords(reply) if event.extended else frozenset()
        elif isinstance(event, SenderGiven):
            self._international = event.parameters.international
            self._binary = event.parameters.binary
        elif isinstance(event, TlsAsked):
            self._input.clear()  # clear text behind the command is no command (RFC 3207 §6)
        self._enter(row.accepted)

    def _enter(self, state: State | None) -> None:
        if state is None or self.state is State.ENDED:
            return
        self.state = State.UNGREETED if state is State.GREETED and not self._greeted else state
        if self.state not in (State.CONTENT, State.CHUNKS):
            self._drop_content()
        if state is State.ENDED:
            self._input.clear()

    def _drop_content(self) -> None:
        """Nothing is left of a message, and its place is free for others."""
        for reader in (self._reader, self._chunks):
            if reader:
                reader.close()
        self._reader = self._chunks = self._chunk = None

    def _count(self, event: Event, code: str) -> str:
        """The reply that ends the connection where the client has had enough; nothing otherwise."""
        refused = code[:1] in ("4", "5")
        self._errors += refused
        self._credentials += refused and isinstance(event, CredentialsAsked | Secret)
        if isinstance(event, ContentReceived):
            self._idle = 0
        elif isinstance(event, Reset | Asked | Greeted) or _is_empty(event):
            self._idle += 1
        farewell = ""
        if self._limits.errors and self._errors >= self._limits.errors:
            farewell = TOO_MANY_ERRORS
        elif self._credentials >= self._limits.credentials:
            farewell = TOO_MANY_CREDENTIALS
        elif self._idle >= self._limits.idle_commands:
            farewell = TOO_IDLE
        if not farewell or self.ended:
            return ""
        self._enter(State.ENDED)
        return farewell


@dataclass
class _ChunkUnderWay:
    """A chunk of which not all bytes are there; one that has no place has no reader."""

    event: ChunkAnnounced
    row: Row
    reader: ChunkReader | None
    left: int


def _is_empty(event: Event) -> bool:
    """Whether it is a chunk that brought nothing, and was not the last."""
    return isinstance(event, ChunkReceived) and event.size == 0


def _keywords(reply: str) -> frozenset[str]:
    """What a reply to EHLO lists, in upper case (RFC 5321 §4.1.1.1)."""
    lines = reply.split("\r\n")[1:]
    return frozenset(words[0].upper() for line in lines if (words := line[4:].split(" ")))


NOT_IMPLEMENTED = frozenset(("EXPN", "TURN", "SEND", "SOML", "SAML", "ETRN", "ATRN"))
