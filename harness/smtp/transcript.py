"""What went over a connection, line by line, to the byte and with its times, without the secrets."""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from harness.printable import printable
from harness.settings.secret import Secret
from harness.smtp.masking import MASK, Masker

KEPT_BURST = 65536  # bytes: what is sent at once is kept whole up to this length
KEPT_END = 16384  # bytes at most that are kept of the beginning and of the end of a longer one

_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_AUTH = re.compile(rb"(?i)[ \t]*AUTH[ \t]+[\w-]{1,20}")  # the mechanism: RFC 4422 §3.1


class Direction(StrEnum):
    """Who spoke."""

    CLIENT = "C"
    SERVER = "S"
    EVENT = "*"  # nobody: what happened to the connection


@dataclass(frozen=True, slots=True)
class RecordedLine:
    """One line, or one event."""

    at: float  # seconds since the connection attempt began; of a received line: when its last byte came
    direction: Direction
    data: bytes  # with its line end

    @property
    def text(self) -> str:
        """The line for the eye: no line end, nothing unprintable."""
        text = self.data.removesuffix(b"\r\n").decode("utf-8", "backslashreplace")
        return printable(text)


class Transcript:
    """Records as fast as bytes can be put aside; cuts them into lines only when somebody reads.

    A line enters when it is whole, and only then masked: a secret is found however it was cut into
    packets. Credentials are masked for what they are (RFC 4954 §4), known secrets wherever they occur.
    """

    def __init__(self, secrets: Iterable[Secret | str] = ()) -> None:
        """`secrets` are masked in every direction."""
        self.started = time.monotonic()  # the moment when connecting began
        self.masker = Masker(secrets)
        self.echoed = False  # the server has repeated a secret
        self._entries: list[tuple[float, Direction, bytes]] = []
        self._client = _Half(Direction.CLIENT)
        self._server = _Half(Direction.SERVER)
        self._prompted = False  # the next line of the client answers a prompt for credentials

    @property
    def lines(self) -> tuple[RecordedLine, ...]:
        """All lines so far in the order of their times, the unfinished ones as well."""
        said, _ = self._without_credentials(self._client.unfinished)
        unfinished = [
            (half.touched, half.direction, self.masker.mask(data))
            for half, data in ((self._client, said), (self._server, self._server.unfinished))
            if data
        ]
        lines: list[RecordedLine] = []
        for at, direction, data in sorted(self._entries + unfinished, key=lambda entry: entry[0]):
            parts = [data] if direction is Direction.EVENT else _LINE.findall(data)
            lines += [RecordedLine(at, direction, part) for part in parts]
        return tuple(lines)

    def event(self, at: float, what: str | bytes) -> None:
        """Note what happened to the connection."""
        data = what.encode("utf-8", "backslashreplace") if isinstance(what, str) else what
        self._entries.append((at, Direction.EVENT, self.masker.mask(data)))

    def sent(self, at: float, data: bytes) -> None:
        """Record what the client sends."""
        whole = self._client.whole_lines(at, data)
        if self._prompted or b"AUTH" in whole.upper():
            whole, self._prompted = self._without_credentials(whole)
        first, last = _ends(whole)
        self._entries.append((at, Direction.CLIENT, self.masker.mask(first)))
        if last:
            self.event(at, f"{len(whole) - len(first) - len(last)} bytes left out here")
            self._entries.append((at, Direction.CLIENT, self.masker.mask(last)))

    def received(self, at: float, data: bytes) -> None:
        """Record what came from the server."""
        whole = self._server.whole_lines(at, data)
        if whole:
            self._prompted = whole.startswith(b"334", whole.rfind(b"\n", 0, -1) + 1)
            kept = self.masker.mask(whole)
            self.echoed = self.echoed or kept != whole
            self._entries.append((at, Direction.SERVER, kept))

    def without_secrets(self, data: bytes) -> bytes:
        """What is kept of something that the client says now: no credentials, and no secrets."""
        return self.masker.mask(self._without_credentials(data)[0])

    def _without_credentials(self, data: bytes) -> tuple[bytes, bool]:
        """What the client says without its credentials, and whether more of them are due after it."""
        prompted = self._prompted
        kept = []
        for line in _LINE.findall(data):
            end = line[len(line.rstrip(b"\r\n")) :]
            command = _AUTH.match(line)
            if prompted:
                kept.append(MASK + end)
                prompted = False
            elif command and line[command.end() :].strip():
                kept.append(command[0] + b" " + MASK + end)
            else:
                kept.append(line)
                prompted = command is not None
        return b"".join(kept), prompted


def _ends(whole: bytes) -> tuple[bytes, bytes]:
    """What is kept of what is sent at once: all, or the lines of its beginning and of its end.

    Only whole lines, for a secret in two parts would not be recognised.
    """
    if len(whole) <= KEPT_BURST:
        return whole, b""
    first = whole[: whole.rfind(b"\n", 0, KEPT_END) + 1] or MASK + b"\n"
    last = whole[whole.find(b"\n", len(whole) - KEPT_END - 1, -1) + 1 :]
    return first, last if len(last) <= KEPT_END else MASK + b"\n"


class _Half:
    """What one side says, held back until a line is whole."""

    def __init__(self, direction: Direction) -> None:
        """Nothing has been said yet."""
        self.direction = direction
        self.unfinished = b""
        self.touched = 0.0

    def whole_lines(self, at: float, data: bytes) -> bytes:
        """What `data` makes whole, which may be nothing or several lines."""
        self.touched = at
        if self.unfinished:
            data = self.unfinished + data
        if data.endswith(b"\n"):
            self.unfinished = b""
            return data
        whole, newline, self.unfinished = data.rpartition(b"\n")
        return whole + newline
