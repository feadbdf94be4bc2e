"""The message of AUTH PLAIN, read (RFC 4616 §2, RFC 4954 §4)."""

import asyncio
import base64
import binascii


class PlainError(Exception):
    """What came is no credentials; the text is the reply."""


async def read_answer(reader: asyncio.StreamReader) -> str:
    """The line that answers the prompt; raises `PlainError` when the reader has no room for it."""
    whole = True
    while True:
        try:
            line = await reader.readuntil()
        except asyncio.LimitOverrunError as error:
            whole = False
            await reader.read(error.consumed)
            continue
        if whole:
            return line.strip().decode("ascii", "replace")
        raise PlainError("500 5.5.6 That line is too long")


def read_plain(token: str) -> tuple[str, str]:
    """Name and password of an initial response or an answer to the prompt; raises `PlainError`."""
    if token == "*":  # noqa: S105 - the client's way to give up
        raise PlainError("501 5.7.0 Given up")
    try:
        parts = base64.b64decode("" if token == "=" else token, validate=True).split(b"\0")  # noqa: S105
    except (binascii.Error, ValueError):
        raise PlainError("501 5.5.2 That is no base64") from None
    if len(parts) != 3:
        raise PlainError("501 5.5.2 That is no PLAIN message")
    user, password = (part.decode("utf-8", "surrogateescape") for part in parts[1:])
    return user, password
