"""Standard output and standard error of the commands: whatever is printed there is visible."""

import contextlib
import re
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any, TextIO

from harness.printable import LINES, printable

# What we ourselves send to a terminal: colours, and around a line of progress what puts it over the last one.
_OURS = re.compile(r"(\A\r|\x1b\[(?:0|1|2|31|31;1|32|33|36)m|\x1b\[K\Z)")


class PrintableStream:
    """A text stream that shows each character that does not print as its escape, but for line ends and tabs.

    On a terminal our own colours and lines of progress work as ever.
    """

    def __init__(self, stream: TextIO) -> None:
        """`stream` is where all goes in the end."""
        self._stream = stream

    def write(self, text: str) -> int:
        """Write it visibly; the length of `text`."""
        parts = _OURS.split(text) if self._stream.isatty() else [text]
        for number, part in enumerate(parts):
            parts[number] = part if number % 2 else printable(part, keep=LINES)
        self._stream.write("".join(parts))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's own."""
        return getattr(self._stream, name)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """All that is printed meanwhile is visible; so is the traceback of a fault that ends the program."""
    out, err = PrintableStream(sys.stdout), PrintableStream(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            yield
        except Exception:
            sys.excepthook = _visible_traceback
            raise


def _visible_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    told = "".join(traceback.format_exception(kind, error, trace))
    sys.stderr.write(printable(told, keep=LINES))
