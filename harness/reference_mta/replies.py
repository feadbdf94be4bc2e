"""The form of replies: codes, enhanced status codes (RFC 3463), several lines."""

LONGEST_TEXT = 480  # bytes of a reply line, its code and end of line aside (RFC 5321 §4.5.3.1.5)
LONGEST_NAME = 255  # characters


def reply(code: int, status: str, text: str) -> str:
    """A reply of a line for each line of `text`; `status` is the enhanced code without its class."""
    lines = text.split("\n")
    return "\r\n".join(
        f"{code}{' ' if number == len(lines) else '-'}{code // 100}.{status} {printable(line)}"
        for number, line in enumerate(lines, 1)
    )


def printable(text: str | None, limit: int = LONGEST_TEXT) -> str:
    """Text that somebody else chose, fit for a line of ours."""
    text = (text or "")[:limit]
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if " " <= char <= "~" else "?" for char in text)


def escaped(text: str) -> str:
    r"""Text for the log in which nothing is hidden, moves a cursor or turns around: `\x1b`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def word(text: str | None) -> str:
    """A name that somebody else chose, fit to stand among words of ours."""
    return printable(text, LONGEST_NAME).replace(" ", "?")
