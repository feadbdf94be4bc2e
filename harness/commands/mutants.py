"""The proof by mutants of the reference MTA."""

import argparse
import os

from harness.commands.base import Commands, add_command, default_scenarios
from harness.settings.arguments import text, whole


def add(commands: Commands) -> None:
    """Its options."""
    parser = add_command(
        commands,
        "mutants",
        run,
        "prove the harness: break the reference MTA one rule at a time",
        "smtp-harness mutants --only 'GROUP.*'",
        "exit status: 0 all killed, 1 a survivor or undeclared collateral, 2 it could not be run",
    )
    parser.add_argument(
        "--only", action="append", type=text, metavar="PATTERN", help="of names, such as 'GROUP.*:off'"
    )
    parser.add_argument(
        "--parallel", type=whole(1), metavar="N", help="runs at a time (default: three for each core)"
    )
    parser.add_argument(
        "--together",
        type=whole(1),
        default=1,
        metavar="N",
        help="mutants in one run: quicker, and no whole proof",
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="all scenarios for each mutant, not only those that come to what it replaces",
    )
    parser.add_argument("--list", action="store_true", help="list the mutants and stop")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status; raises `UsageError`."""
    from harness.mutants.matrix import run_matrix
    from harness.mutants.reference import ReferenceMta

    parallel = options.parallel or 3 * (os.cpu_count() or 1)
    subject = ReferenceMta(default_scenarios())
    only, together = options.only or ["*"], options.together
    return run_matrix(
        subject,
        only,
        parallel=parallel,
        together=together,
        whole=options.whole,
        list_only=options.list,
    )
