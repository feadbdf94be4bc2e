"""The form of replies: codes, enhanced status codes (RFC 3463), several lines."""

import re

LONGEST_TEXT = 480  # bytes of a reply line, its code and end of line aside (RFC 5321 §4.5.3.1.5)
LONGEST_NAME = 255  # characters
STATUS = re.compile(r"\d{3}[ -][245]\.\d{1,3}\.\d{1,3} ")
WITHOUT = ("220", "250", "334", "354")  # the banner, the answers to HELO and EHLO, and what is no final reply
STARTING_TLS = "220 Ready to start TLS"  # the one 220 that is not the banner
DEFAULTS = {  # of the engine's own replies, which have none
    "221": "2.0.0",
    "451": "4.3.0",
    "454": "4.7.0",
    "500": "5.5.2",
    "501": "5.5.4",
    "502": "5.5.1",
    "503": "5.5.1",
    "552": "5.3.4",
    "554": "5.7.0",
    "555": "5.5.4",
}


def reply(code: int, status: str, text: str) -> str:
    """A reply of a line for each line of `text`; `status` is the enhanced code without its class."""
    lines = text.split("\n")
    return "\r\n".join(
        f"{code}{' ' if number == len(lines) else '-'}{code // 100}.{status} {printable(line)}"
        for number, line in enumerate(lines, 1)
    )


def completed(line: str) -> str:
    """A reply of the engine as this server sends it: with a status code, and nothing unprintable.

    Replies of several lines are this server's own, and whole already.
    """
    if STATUS.match(line) or "\r\n" in line:
        return line
    if line == STARTING_TLS:
        return "220 2.0.0 Ready to start TLS"
    code, separator, text = line[:3], line[3:4], printable(line[4:])
    if code in WITHOUT or code not in DEFAULTS:
        return f"{code}{separator}{text}"
    return f"{code}{separator}{DEFAULTS[code]} {text}"


def printable(text: str | None, limit: int = LONGEST_TEXT) -> str:
    """Text that somebody else chose, fit for a line of ours."""
    text = (text or "")[:limit]
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if " " <= char <= "~" else "?" for char in text)


def visible(text: str) -> str:
    r"""Text for the log in which nothing is hidden, moves a cursor or turns around: `\x1b`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def word(text: str | None) -> str:
    """A name that somebody else chose, fit to stand among words of ours."""
    return printable(text, LONGEST_NAME).replace(" ", "?")
