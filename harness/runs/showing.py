"""What pytest shows of a run, on the terminal, in JUnit XML and in logs: visible, and without secrets."""

import contextlib
import copy
import dataclasses
import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from harness.printable import LINES, printable
from harness.settings.secret import Secret
from harness.smtp.masking import Masker

SHORTEST = 6  # characters of a secret that is looked for in all that is shown; shorter words are everywhere
WRITING = ("log_cli_handler", "log_file_handler")  # of pytest's plugin: they write at once
CAPTURING = ("caplog_handler", "report_handler")  # what they write becomes a part of a report
PAINT = re.compile(r"\x1b\[[\d;]*m")


class Showing:
    """Knows the secrets of a run, and makes harmless whatever pytest is about to show of it.

    The authors of scenarios need not think of it: their assertions and what pytest adds to them, variables,
    captured output and log lines pass here as well.
    """

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        """Secrets are types that show as dots; this is for those that somebody has revealed."""
        long = [secret.reveal() for secret in secrets if len(secret.reveal()) >= SHORTEST]
        self._masker = Masker([form for text in long for form in (text, repr(text)[1:-1])])

    def text(self, text: str) -> str:
        """`text` of any number of lines, fit to be shown."""
        return printable(self._masker.mask_text(text), keep=LINES)

    def part(self, thing: Any) -> Any:
        """The same for whatever a report is made of: texts, lists of them, and pytest's own objects."""
        if isinstance(thing, str):
            return self.text(thing)
        if isinstance(thing, list | tuple):
            return type(thing)([self.part(one) for one in thing])
        if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
            for name, value in vars(thing).items():
                object.__setattr__(thing, name, self.part(value))
        return thing

    def report(self, report: pytest.TestReport) -> None:
        """Why a test failed or was skipped, what was captured, and the properties that go into JUnit XML."""
        known = report.longrepr is None or isinstance(report.longrepr, str | tuple)
        if not known and not dataclasses.is_dataclass(report.longrepr):
            report.longrepr = str(report.longrepr)
        report.longrepr = self.part(report.longrepr)
        report.sections = self.part(report.sections)
        report.user_properties = self.part(report.user_properties)

    def warning(self, message: warnings.WarningMessage) -> None:
        """What is warned of."""
        told = str(message.message)
        if self.text(told) != told:
            message.message = UserWarning(self.text(told))

    @contextlib.contextmanager
    def around(self, config: pytest.Config) -> Iterator[None]:
        """While scenarios are played: log lines are harmless, and pytest paints no assertion.

        Paint is escape sequences, which nobody could tell from a server's afterwards. Sources and tracebacks
        are painted as ever.
        """
        plugin = config.pluginmanager.get_plugin("logging-plugin")
        found = [(getattr(plugin, name, None), name in WRITING) for name in (*WRITING, *CAPTURING)]
        handlers = [(one, paints) for one, paints in found if isinstance(one, logging.Handler)]
        formatters = [(one, one.formatter) for one, _ in handlers]
        terminal = config.pluginmanager.has_plugin("terminalreporter")  # a trial of `truth` has none
        writer = config.get_terminal_writer() if terminal else None
        painting = writer is not None and writer.code_highlight
        if writer:
            writer.code_highlight = False
        for handler, paints in handlers:
            handler.setFormatter(_Shown(self, handler.formatter, paints=paints))
        try:
            yield
        finally:
            if writer:
                writer.code_highlight = painting
            for handler, formatter in formatters:
                handler.setFormatter(formatter)


class _Shown(logging.Formatter):
    """Makes what was logged harmless before another formatter writes the line, which it may paint."""

    def __init__(self, showing: Showing, inner: logging.Formatter | None, *, paints: bool) -> None:
        super().__init__()
        self._showing = showing
        self._inner = inner or logging.Formatter()
        self._paints = paints

    def format(self, record: logging.LogRecord) -> str:
        shown = copy.copy(record)
        shown.msg, shown.args = self._showing.text(record.getMessage()), None
        if record.exc_info:
            shown.exc_text = self._showing.text(self.formatException(record.exc_info))
        if record.stack_info:
            shown.stack_info = self._showing.text(record.stack_info)
        line = self._inner.format(shown)
        return line if self._paints else PAINT.sub("", line)
