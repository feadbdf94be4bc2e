"""The standard streams of the commands: what is printed there is visible, and what is lost is an error."""

import contextlib
import errno
import io
import os
import re
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NoReturn, TextIO

from harness.printable import LINES, encodable, printable

# What we ourselves send to a terminal: colours, and around a line of progress what puts it over the last one.
_OURS = re.compile(r"(\A\r|\x1b\[(?:0|1|2|31|31;1|32|33|36)m|\x1b\[K\Z)")


class PrintableStream:
    """A text stream that shows each character that does not print as its escape, but for line ends and tabs.

    So it does with those that its encoding has not. On a terminal our own colours and lines of progress work
    as ever.
    """

    def __init__(self, stream: TextIO, name: str = "standard output") -> None:
        """`stream` is where all goes in the end; errors call it by its `name`."""
        self._stream = stream
        self._name = name
        self._lost: OSError | None = None  # why something could not be written

    def write(self, text: str) -> int:
        """Write it visibly; the length of `text`. Raises `OSError` that names the stream."""
        parts = _OURS.split(text) if self._stream.isatty() else [text]
        for number, part in enumerate(parts):
            parts[number] = part if number % 2 else printable(part, keep=LINES)
        shown = encodable("".join(parts), getattr(self._stream, "encoding", None))
        with self._named():
            self._stream.write(shown)
        return len(text)

    def flush(self) -> None:
        """Raises `OSError` also for what was lost before: argparse, for one, does not say so."""
        with self._named():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's own."""
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """What is lost names the stream, and stays lost: the end of the program does not try it once more."""
        if self._lost:
            raise self._lost
        try:
            yield
        except OSError as error:
            self._lost = OSError(error.errno, error.strerror, self._name)
            with contextlib.suppress(OSError):  # it has no file of its own
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
            raise self._lost from None


class _Closed(io.StringIO):
    """In place of a stream that is closed. Nobody is to hear of errors then; what is printed is lost."""

    def __init__(self, name: str, *, unheard: bool) -> None:
        super().__init__()
        self._name = name
        self._unheard = unheard

    def write(self, text: str) -> int:
        return len(text) if self._unheard else self.fileno()

    def fileno(self) -> NoReturn:
        raise OSError(errno.EBADF, "it is closed; send it to /dev/null instead", self._name)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """All that is printed meanwhile is visible; so is the traceback of a fault that ends the program."""
    out, err = "standard output", "standard error"
    told = PrintableStream(sys.stdout or _Closed(out, unheard=False), out)
    errors = PrintableStream(sys.stderr or _Closed(err, unheard=True), err)
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(errors):
        try:
            yield
        except Exception:
            sys.excepthook = _visible_traceback
            raise


@contextlib.contextmanager
def given_input() -> Iterator[None]:
    """Standard input that is closed is an empty one meanwhile."""
    before = sys.stdin
    sys.stdin = before or io.StringIO()
    try:
        yield
    finally:
        sys.stdin = before


def _visible_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    told = "".join(traceback.format_exception(kind, error, trace))
    if sys.stderr:
        sys.stderr.write(printable(told, keep=LINES))
