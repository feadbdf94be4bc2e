"""The log as whoever watches the server reads it: lines for people, in colour on a terminal, or as JSON."""

import contextlib
import datetime
import json
import logging
import os
from collections.abc import Callable
from typing import Any, Protocol

from harness.reference_mta.bounds import Bounds
from harness.reference_mta.decisions import Decision
from harness.reference_mta.replies import escaped

LONGEST = 4000  # characters of a line; decisions are shorter than that
PLAIN, DIM = "\033[0m", "\033[2m"
GREEN, YELLOW, RED, CYAN = (f"\033[{number}m" for number in (32, 33, 31, 36))
COLOURS = {"2": GREEN, "4": YELLOW, "5": RED}  # of replies, by the first digit
Form = Callable[[logging.LogRecord], str]


class Stream(Protocol):
    """Where lines go: standard output or standard error."""

    def fileno(self) -> int:
        """The descriptor that is written to."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""


class Lines(logging.Handler):
    """Writes each record as a line, within bounds; a full disk costs lines and is told when it is over.

    `unread` is called once when whoever read the lines is gone.
    """

    def __init__(self, stream: Stream, form: Form, bounds: Bounds, unread: Callable[[], None]) -> None:
        """`form` makes a line of a record."""
        super().__init__()
        self._file = stream.fileno()
        self._form = form
        self._bounds = bounds
        self._unread = unread
        self._lost = 0  # lines since the last one that could be written

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record if there is room for it, and before it what there is to say of others."""
        admitted = self._bounds.admits(record)
        self.tell_what_was_left_out()
        if admitted:
            self._write(self._form(record))

    def tell_what_was_left_out(self, *, at_the_end: bool = False) -> None:
        """A line for each client or trouble whose time is over, or `at_the_end` for every one."""
        with self.lock or contextlib.nullcontext():
            for text in self._bounds.summaries(at_the_end=at_the_end):
                self._write(self._form(_record(text)))

    def close(self) -> None:
        """Say what was left out."""
        self.tell_what_was_left_out(at_the_end=True)
        super().close()

    def _write(self, text: str) -> None:
        if self._lost:
            lost = _record(f"{self._lost:,} lines before this one could not be written")
            text = f"{self._form(lost)}\n{text}"
        rest = memoryview(f"{text}\n".encode("utf-8", "backslashreplace"))
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except BrokenPipeError:
            self._unread()
        except OSError:  # the disk is full: there is nowhere to say so
            self._lost += 1
        else:
            self._lost = 0


def form_for(stream: Stream, *, as_json: bool) -> Form:
    """How lines look there: in colour on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    if as_json:
        return json_line
    coloured = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return coloured_line if coloured else plain_line


def json_line(record: logging.LogRecord) -> str:
    """An object with the time (UTC), and either what a decision is or level and message."""
    at = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
    decision = _decision(record)
    what: dict[str, Any] = (
        decision.facts()
        if decision
        else {"level": record.levelname.lower(), "message": record.getMessage()[:LONGEST]}
    )
    if trace := _trace(record):
        what["trace"] = trace
    return json.dumps({"time": at} | what)


def plain_line(record: logging.LogRecord) -> str:
    """The time of day and the message; nothing in it can move the cursor."""
    trace = _trace(record)
    below = "\n" + "\n".join(map(escaped, trace.splitlines())) if trace else ""
    return f"{_time(record)} {escaped(record.getMessage()[:LONGEST])}{below}"


def coloured_line(record: logging.LogRecord) -> str:
    """The same for a terminal: replies by what they say, delays and trouble stand out."""
    decision = _decision(record)
    if decision is None:
        colour = RED if record.levelno >= logging.WARNING else ""
        return f"{colour}{plain_line(record)}{PLAIN if colour else ''}"
    words = decision.words()
    reply = COLOURS.get(decision.reply[:1], "")
    words["rules"] = f"{CYAN}{words['rules']}{PLAIN}"
    words["delay"] = f"{YELLOW if decision.delay else ''}{words['delay']}{PLAIN if decision.delay else ''}"
    words["reply"] = f"{reply}{words['reply']}{PLAIN}"
    return f"{DIM}{_time(record)}{PLAIN} {'  '.join(word for word in words.values() if word)}"


def _time(record: logging.LogRecord) -> str:
    return datetime.datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")


def _trace(record: logging.LogRecord) -> str:
    return logging.Formatter().formatException(record.exc_info) if record.exc_info else ""


def _decision(record: logging.LogRecord) -> Decision | None:
    decision = getattr(record, "decision", None)
    return decision if isinstance(decision, Decision) else None


def _record(text: str) -> logging.LogRecord:
    return logging.LogRecord(__name__, logging.INFO, "", 0, "%s", (text,), None)
