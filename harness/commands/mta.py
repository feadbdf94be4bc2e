"""The reference MTA alone."""

import argparse
from collections.abc import Sequence

from harness.commands.base import Commands, add_command


def add(commands: Commands, words: Sequence[str] = ()) -> None:
    """Its options, or those of a part of it where the words that follow are about one."""
    from harness.reference_mta.command_line import fill

    parser = add_command(
        commands,
        "mta",
        run,
        "run the reference MTA alone, or work on its greylist and queue",
        "smtp-harness mta --example > mta.toml && smtp-harness mta mta.toml",
    )
    fill(parser, words)


def run(options: argparse.Namespace) -> int:
    """Returns the exit status."""
    from harness.reference_mta.__main__ import run as run_mta

    return run_mta(options)
