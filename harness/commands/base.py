"""What the commands share."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, TypeVar

from harness import suites
from harness.settings.arguments import Parser

Value = TypeVar("Value")
Command = Callable[[argparse.Namespace], int]
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


class UsageError(Exception):
    """What was asked for cannot be done; the text says why and what can."""


def add_command(
    commands: Commands, name: str, command: Command, summary: str, example: str, more: str = ""
) -> Parser:
    """A command with its help; the caller adds the arguments."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example: {example}\n{more}",
    )
    parser.set_defaults(command=command)
    return parser


def checked(option: str, text: str, check: Callable[[str], Value]) -> Value:
    """What a check makes of the text of an option; raises `UsageError` that names it for a `ValueError`."""
    try:
        return check(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def default_scenarios() -> Path:
    """The scenarios of the working directory, or those that were installed with the harness.

    Raises `UsageError` when there are none.
    """
    found = suites.installed()
    if found is None:
        raise UsageError("no scenarios lie here or are installed with the harness; go to where they are")
    return found
