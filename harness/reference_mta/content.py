"""The content of a message as it comes after DATA (RFC 5321 §4.1.1.4).

Read in large pieces: an object for each line, as the engine has it, would make a client's four megabytes of
empty lines three hundred megabytes of this server's memory.
"""

import asyncio

END = b".\r\n"
LINE_AND_END = b"\r\n" + END
LONGEST_LINE = 1000  # bytes with its CR LF, without the dot of transparency (RFC 5321 §4.5.3.1.6)


async def read_content(reader: asyncio.StreamReader, largest: int) -> bytes | None:
    """The lines before the one that is a single dot, stuffed dots taken out (RFC 5321 §4.5.2).

    None when they are more than `largest` bytes; they are read to the end all the same, so that what comes
    next is a command. Only CR LF ends a line.
    """
    content = bytearray(await reader.readexactly(len(END)))
    while _may_be_ending(content):
        content += await reader.readexactly(1)
    dots = content.count(b"\n.") + content.startswith(b".")  # they do not count (RFC 1870 §5)
    too_large = False
    while not (content.endswith(LINE_AND_END) or content == END):
        before = len(content)
        try:
            content += await reader.readuntil(LINE_AND_END)
        except asyncio.LimitOverrunError as overrun:
            content += await reader.read(overrun.consumed)
        dots += content.count(b"\n.", before - 1)
        if too_large or len(content) - dots > largest + len(b"\r\n"):
            too_large = True
            del content[: -len(LINE_AND_END)]
    if too_large:
        return None
    del content[-len(END) :]
    return bytes(content).replace(b"\r\n.", b"\r\n").removeprefix(b".")


def flaw(content: bytes) -> str:
    """The refusal of content that is no text of lines, or nothing.

    A bare CR or LF (RFC 5321 §2.3.8) is an end of line to some and none to others: passed on, it could become
    a header field of this server's own that nobody has looked at here.
    """
    if not content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n"):
        return "550 5.6.0 A bare CR or LF is no end of a line (RFC 5321 2.3.8)"
    start = 0
    while start < len(content):
        end = content.rfind(b"\r\n", start, start + LONGEST_LINE)
        if end < 0:
            return "500 5.5.2 A line is too long (RFC 5321 4.5.3.1.6)"
        start = end + 2
    return ""


def _may_be_ending(content: bytearray) -> bool:
    """Whether the end of the content has begun, which is searched for only in what is still to be read."""
    if content == END or content.endswith(LINE_AND_END):
        return False
    return content.endswith(tuple(LINE_AND_END[:length] for length in range(1, len(LINE_AND_END))))
