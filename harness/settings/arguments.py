"""The form of every command line here: what is wrong with one is told in a sentence."""

import argparse
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from harness.filled import filled

WRONG = 2  # the exit status of what could not be understood, or not be done
CUT_OFF = 141  # the exit status of what SIGPIPE ended, as shells tell it
_filled = filled("what belongs there, or leave the argument out")


class Parser(argparse.ArgumentParser):
    """Options may not be cut short, help keeps its lines, errors are one sentence without the whole usage."""

    def __init__(
        self,
        prog: str | None = None,
        usage: str | None = None,
        description: str | None = None,
        epilog: str | None = None,
        **more: object,
    ) -> None:
        """As `argparse.ArgumentParser`."""
        more.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        more.setdefault("allow_abbrev", False)
        super().__init__(prog, usage, description, epilog, **more)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Says what is wrong and where the help is; ends with 2."""
        self.exit(WRONG, f"{self.prog}: {message}; {self.prog} --help tells more\n")


def utf8(given: str) -> str:
    """The type of an argument that is a text: Python has what is no UTF-8 as halves of characters."""
    try:
        given.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{given!r} is not in UTF-8; write it in UTF-8") from None
    return given


def text(given: str) -> str:
    """The type of an argument that is a text, and not an empty one."""
    return utf8(_filled(given))


def path(given: str) -> Path:
    """The type of an argument that is a path: an empty one would be the working directory."""
    return Path(text(given))


def whole(least: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `least` on."""

    def number(given: str) -> int:
        try:
            found = int(given)
        except ValueError:
            found = least - 1
        if found < least:
            raise argparse.ArgumentTypeError(f"{given!r} is no whole number from {least} on")
        return found

    return number


def seconds(given: str) -> float:
    """The type of an argument that is a number of seconds."""
    try:
        found = float(given)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise argparse.ArgumentTypeError(f"{given!r} is no number of seconds")
    return found


def bare(parser: argparse.ArgumentParser) -> int:
    """What a call without any word gets: the help, and the status of a call that asked for nothing."""
    parser.print_help()
    return WRONG


def examples(lines: Iterable[str], statuses: str = "") -> str:
    """The end of a help text."""
    first, *rest = lines
    shown = "\n".join([f"example: {first}", *(f"         {line}" for line in rest)])
    return f"{shown}\nexit status: {statuses}" if statuses else shown
