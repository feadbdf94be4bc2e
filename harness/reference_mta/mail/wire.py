"""An SMTP connection as its client sees it: commands, bounded replies, a message by pieces (RFC 5321).

Whatever the host does ends in `WireError`; nothing that it sends is kept beyond a reply's bounds.
"""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST_LINE = 4096  # bytes of a reply's line; RFC 5321 §4.5.3.1.5 allows 512
MOST_LINES = 256  # of one reply
PIECE = 65536  # bytes of a message that are handed to the system at a time
PATIENT = (
    10  # times the limit for a reply, for the one that takes a message (RFC 5321 §4.5.3.2.6: 10 minutes)
)
LINE = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?\r?\n", re.DOTALL)
ODD_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
DOT = re.compile(rb"(?m)^\.")


class WireError(Exception):
    """The connection is of no use any more; the text says why."""


@dataclass(frozen=True)
class Reply:
    """A whole reply."""

    code: int
    text: str  # its lines, joined by line feeds

    @property
    def kind(self) -> int:
        """The first digit."""
        return self.code // 100


class Wire:
    """A connection that is open. `patience` is in seconds, for each reply and each piece of a message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float) -> None:
        """Made by `connect`."""
        self.international = False  # the message that is sent has SMTPUTF8 (RFC 6531)
        self._reader = reader
        self._writer = writer
        self._patience = patience

    async def command(self, line: str, patience: float | None = None) -> Reply:
        """Send a command, without control characters, and read its reply. Raises `WireError`."""
        if not (line.isprintable() and (line.isascii() or self.international)):
            raise WireError("a command with control characters is never sent")
        await self._send(f"{line}\r\n".encode())
        return await self.reply(patience)

    async def reply(self, patience: float | None = None) -> Reply:
        """The next reply. Raises `WireError`."""
        limit = self._patience if patience is None else patience
        with _told(f"no reply in {limit:g} s"):
            async with asyncio.timeout(limit):
                return await self._read()

    async def content(self, content: bytes) -> None:
        """Send a message after 354 that is `stuffed`, all but the end of it. Raises `WireError`."""
        text = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
        for start in range(0, len(text), PIECE):
            await self._send(text[start : start + PIECE])

    async def end_of_content(self) -> Reply:
        """Send the final dot, and read whether the message was taken. Raises `WireError`."""
        await self._send(b".\r\n")
        return await self.reply(PATIENT * self._patience)

    async def chunk(self, content: bytes) -> Reply:
        """Send a whole message as one chunk, no byte touched (RFC 3030 §2), and read whether it was taken.

        Raises `WireError`.
        """
        await self._send(f"BDAT {len(content)} LAST\r\n".encode("ascii"))
        for start in range(0, len(content), PIECE):
            await self._send(content[start : start + PIECE])
        return await self.reply(PATIENT * self._patience)

    def abort(self) -> None:
        """Be gone at once; what is not yet sent never is."""
        self._writer.transport.abort()

    async def _send(self, data: bytes) -> None:
        with _told(f"nothing was taken in {self._patience:g} s"):
            async with asyncio.timeout(self._patience):
                self._writer.write(data)
                await self._writer.drain()

    async def _read(self) -> Reply:
        code, lines = b"", list[bytes]()
        while len(lines) < MOST_LINES:
            line = await self._reader.readuntil(b"\n")
            found = LINE.fullmatch(line)
            if found is None or (lines and found[1] != code):
                raise WireError(f"{line[:60]!r} is no reply")
            code = found[1]
            lines.append((found[3] or b"").rstrip(b"\r\n"))
            if found[2] != b"-":
                return Reply(int(code), b"\n".join(lines).decode("latin-1"))
        raise WireError(f"a reply of more than {MOST_LINES} lines")


async def connect(address: str, port: int, patience: float) -> Wire:
    """A connection to a host, before its greeting. Raises `WireError`."""
    with _told(f"no connection in {patience:g} s"):
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(address, port, limit=LONGEST_LINE)
    return Wire(reader, writer, patience)


def stuffed(content: bytes) -> bytes:
    """A message as it goes out: lines that begin with a dot have another one (RFC 5321 §4.5.2).

    A CR or LF by itself goes out as a blank, so that nothing is smuggled behind it.
    """
    return DOT.sub(b"..", ODD_END.sub(b" ", content))


@contextlib.contextmanager
def _told(late: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise WireError(late) from None
    except asyncio.IncompleteReadError:
        raise WireError("the connection was closed") from None
    except asyncio.LimitOverrunError:
        raise WireError(f"a line of more than {LONGEST_LINE} bytes") from None
    except OSError as error:
        raise WireError(error.strerror or str(error)) from error
