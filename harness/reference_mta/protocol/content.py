"""The content of a message as it comes after DATA (RFC 5321 §4.1.1.4), or in chunks (RFC 3030).

It is kept in one piece: an object for each line would make a client's four megabytes of empty lines three
hundred megabytes of this server's memory.
"""

from typing import Protocol

from harness.reference_mta.protocol.limits import InFlight, Limits

END = b"\r\n.\r\n"
BARE = "550 5.6.0 A bare CR or LF is no end of a line (RFC 5321 2.3.8)"
LONG_LINE = "500 5.5.2 A line is too long (RFC 5321 4.5.3.1.6)"
TOO_LARGE = "552 5.3.4 Too much mail data"
NO_ROOM = "452 4.3.1 Too much mail comes in at once; please try again later"
LOOP = "554 5.4.6 Too many hops, so this message is in a loop (RFC 5321 6.3)"


class Content(Protocol):
    """One message that is being read."""

    def feed(self, data: bytearray) -> bytes | None:
        """Take more in; when the end is among it, what comes behind it, and None as long as it is not."""

    def message(self) -> tuple[bytes, str]:
        """The content, and the refusal of what is not taken, or nothing."""

    def close(self) -> None:
        """The message has been answered, or its client is gone."""


class ContentReader:
    """Reads one message after DATA; what is too much is read to its end and not kept.

    Only CR LF ends a line. A client's dot for transparency is taken out, and does not count as content
    (RFC 5321 §4.5.2, RFC 1870 §5).
    """

    def __init__(self, limits: Limits, in_flight: InFlight) -> None:
        """Nothing has come."""
        self._limits = limits
        self._in_flight = in_flight
        self._text = bytearray(b"\r\n")  # as if a line had ended before the first
        self._dots = 0
        self._taken = 0
        self._refusal = ""

    def feed(self, data: bytearray) -> bytes | None:
        """Take more in; when the end is among it, what comes behind it, and None as long as it is not."""
        before = len(self._text)
        self._text += data
        end = self._text.find(END, max(before - len(END) + 1, 0))
        rest = None
        if end >= 0:
            rest = bytes(self._text[end + len(END) :])
            del self._text[end + len(b"\r\n") :]
            self._dots -= end + len(b"\r\n.") <= before  # the last dot, when it came before its line end
        self._dots += self._text.count(b"\r\n.", max(before - 2, 0))
        self._weigh(len(self._text) - before, over=end >= 0)
        return rest

    def _weigh(self, more: int, *, over: bool) -> None:
        """Drop what is too much, save the bytes that the end may begin with."""
        if not self._refusal and more > 0:
            if self._in_flight.take(more):
                self._taken += more
            else:
                self._refusal = NO_ROOM
        # A line that is still open, its dot among it, may be the end.
        slack = 0 if over else len(END)
        if not self._refusal and len(self._text) - 2 - self._dots - slack > self._limits.content:
            self._refusal = TOO_LARGE
        if self._refusal and len(self._text) > len(END):
            del self._text[: -len(END)]

    def message(self) -> tuple[bytes, str]:
        """The content, and the refusal of what is not taken, or nothing."""
        if self._refusal:
            return b"", self._refusal
        del self._text[:2]
        if self._dots:
            content = bytes(self._text).replace(b"\r\n.", b"\r\n").removeprefix(b".")
        else:
            content = bytes(self._text)
        self._text.clear()
        return content, flaw(content, self._limits)

    def close(self) -> None:
        """The message has been answered, or its client is gone."""
        self._in_flight.give_back(self._taken)
        self._taken = 0
        self._text.clear()


def flaw(content: bytes, limits: Limits) -> str:
    """The refusal of content that is no text of lines, or that goes round and round; or nothing.

    A bare CR or LF (RFC 5321 §2.3.8) is an end of line to some and none to others: passed on, it could become
    a header field of this server's own that nobody has looked at here.
    """
    return flaw_of_lines(content, limits.text_line) or (LOOP if hops(content) > limits.hops else "")


def flaw_of_lines(content: bytes, longest: int) -> str:
    """The refusal of what is not made of lines of so many bytes at most, or nothing."""
    if not content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n"):
        return BARE
    start = 0
    while start < len(content):
        end = content.rfind(b"\r\n", start, start + longest)
        if end < 0:
            return LONG_LINE
        start = end + 2
    return ""


def is_binary(content: bytes) -> bool:
    """Whether DATA cannot carry it: it is not made of lines, or has a NUL (RFC 2045 §2.9, RFC 3030 §3)."""
    return b"\0" in content or bool(flaw_of_lines(content, Limits().text_line))


def hops(content: bytes) -> int:
    """The Received fields of a message's header."""
    if content.startswith(b"\r\n"):
        return 0
    end = content.find(b"\r\n\r\n")
    header = b"\r\n" + (content if end < 0 else content[:end]).lower()
    return header.count(b"\r\nreceived:")
