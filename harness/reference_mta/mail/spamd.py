"""Asks SpamAssassin's daemon what it thinks of a message (SPAMC/1.5, its file spamd/PROTOCOL)."""

import asyncio
import re
from dataclasses import dataclass

from harness.reference_mta.mail.header import read
from harness.reference_mta.replies import printable

LARGEST_ANSWER = 4 << 20  # bytes; it has the header section of the message in it
CHUNK = 1 << 18  # bytes that are handed to the system at a time
STATUS = re.compile(rb"SPAMD/[\d.]+ 0 ")
VERDICT = re.compile(rb"(?im)^Spam: *(?:True|False|Yes|No) *; *(-?\d{1,9}(?:\.\d{1,9})?) */")
LENGTH = re.compile(rb"(?im)^Content-length: *(\d{1,9})\r?$")
TESTS = re.compile(r"\btests=([\w,\s]*?)(?:\s+\w+=|$)")


class SpamdError(Exception):
    """The daemon said something else than a verdict; the text has what."""


@dataclass(frozen=True)
class Judgement:
    """What a classifier thinks of a message."""

    score: float
    tests: tuple[str, ...]  # that the message met
    checker: str  # who says so


async def judge(endpoint: tuple[str, int], message: bytes, *, within: float) -> Judgement:
    """The daemon's judgement, `within` so many seconds; raises `SpamdError`, `TimeoutError` or `OSError`."""
    async with asyncio.timeout(within):
        reader, writer = await asyncio.open_connection(*endpoint)
        try:
            writer.write(b"HEADERS SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % len(message))
            for start in range(0, len(message), CHUNK):
                writer.write(message[start : start + CHUNK])
                await writer.drain()
            return _judgement(*await _answer(reader))
        finally:
            writer.transport.abort()


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head of the answer, and the header section that the daemon made."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        if not STATUS.match(head):
            raise SpamdError(f"it answered {printable(head.decode('ascii', 'replace'), 80)!r}")
        length = LENGTH.search(head)
        size = int(length[1]) if length else 0
        if size > LARGEST_ANSWER:
            raise SpamdError(f"it announced {size} bytes")
        return head, await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise SpamdError(f"it hung up after {len(error.partial)} bytes of an answer") from error
    except asyncio.LimitOverrunError as error:
        raise SpamdError("its answer does not come to an end") from error


def _judgement(head: bytes, section: bytes) -> Judgement:
    verdict = VERDICT.search(head)
    if verdict is None:
        raise SpamdError(f"it gave no verdict in {printable(head.decode('ascii', 'replace'), 80)!r}")
    fields = read(re.sub(rb"\r?\n", b"\r\n", section))
    tests = TESTS.search(_first(fields, "x-spam-status"))
    names = re.findall(r"\w+", tests[1]) if tests else []
    checker = printable(_first(fields, "x-spam-checker-version"), 200) or "SpamAssassin"
    return Judgement(float(verdict[1]), tuple(name for name in names if name != "none"), checker)


def _first(fields: dict[str, list[str]], name: str) -> str:
    return next(iter(fields.get(name, [])), "")
