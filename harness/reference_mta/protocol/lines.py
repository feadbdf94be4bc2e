"""Command lines out of the bytes that come: CR LF ends a line, and nothing else does (RFC 5321 §2.3.8)."""

from typing import Protocol

LINE_END = b"\r\n"


class Lines(Protocol):
    """What reads the lines of one connection."""

    def take(self, given: bytearray, most: int) -> bytes | None:
        """The next line with its end, off `given`; empty when it is too long, None where none is whole."""


class LineReader:
    """Takes one line after the other from the front of what has come; a long one is read and not kept."""

    def __init__(self) -> None:
        """Nothing has come."""
        self._skipping = False  # a line that is too long is read to its end

    def take(self, given: bytearray, most: int) -> bytes | None:
        """The next line with its end, and off `given`; None where none is whole.

        It is empty for a line of more than `most` bytes.
        """
        end = given.find(LINE_END)
        if end < 0:
            if len(given) > most:
                self._skipping = True
                del given[: -len(LINE_END) + 1]  # its line end may have begun
            return None
        line = bytes(given[: min(end, most)]) + LINE_END
        del given[: end + len(LINE_END)]
        too_long, self._skipping = self._skipping or end + len(LINE_END) > most, False
        return b"" if too_long else line
