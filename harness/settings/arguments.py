"""The form of every command line here: what is wrong with one is told in a sentence."""

import argparse
import math
from collections.abc import Callable, Iterable
from typing import NoReturn

WRONG = 2  # the exit status of what could not be understood, or not be done
CUT_OFF = 141  # the exit status of what SIGPIPE ended, as shells tell it


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


def whole(least: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `least` on."""

    def number(text: str) -> int:
        try:
            found = int(text)
        except ValueError:
            found = least - 1
        if found < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} on")
        return found

    return number


def seconds(text: str) -> float:
    """The type of an argument that is a number of seconds."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return found


def utf8(text: str) -> str:
    """The type of an argument that is a text: Python has what is no UTF-8 as halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not in UTF-8; write it in UTF-8") from None
    return text


def filled(text: str) -> str:
    """The type of an argument that is a text, and not an empty one."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; write what it is to be")
    return utf8(text)


def bare(parser: argparse.ArgumentParser) -> int:
    """What a call without any word gets: the help, and the status of a call that asked for nothing."""
    parser.print_help()
    return WRONG


def examples(lines: Iterable[str], statuses: str = "") -> str:
    """The end of a help text."""
    first, *rest = lines
    shown = "\n".join([f"example: {first}", *(f"         {line}" for line in rest)])
    return f"{shown}\nexit status: {statuses}" if statuses else shown
