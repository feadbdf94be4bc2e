"""The reference MTA alone."""

import argparse

from harness.commands.base import Commands, add_command


def add(commands: Commands) -> None:
    """Its options."""
    parser = add_command(
        commands,
        "mta",
        run,
        "run the reference MTA alone, or work on its greylist and queue",
        "smtp-harness mta --example > mta.toml && smtp-harness mta mta.toml",
        "also:    smtp-harness mta greylist --help, smtp-harness mta queue --help,\n"
        "         smtp-harness mta check-filter FILE, smtp-harness mta hash-password",
    )
    parser.add_argument(
        "arguments",
        nargs="?",
        metavar="CONFIG.toml | --example | greylist … | queue … | check-filter FILE | hash-password",
    )


def run(options: argparse.Namespace) -> int:
    """Returns the exit status; raises `UsageError`."""
    from harness.reference_mta.__main__ import main as mta_main

    return mta_main(options.arguments or [])
