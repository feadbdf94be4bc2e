"""What changed between two runs."""

import argparse
import sys

from harness.commands.base import Commands, UsageError, add_command
from harness.settings.arguments import CUT_OFF, path


def add(commands: Commands) -> None:
    """Its options."""
    parser = add_command(
        commands,
        "compare",
        run,
        "what changed between two runs",
        "smtp-harness compare before.json reports/latest.json",
        "exit status: 0 nothing got worse, 1 regressions, 2 the files cannot be compared,\n"
        "3 nothing got worse, but rules are no longer tested",
    )
    parser.add_argument("old", type=path, metavar="OLD.json", help="the run before")
    parser.add_argument("new", type=path, metavar="NEW.json", help="the run after")
    parser.add_argument("--json", action="store_true", help="the comparison as JSON")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status; raises `UsageError`."""
    from harness.results.comparable import ComparisonError
    from harness.results.compare import compare, to_json
    from harness.results.compare_text import render
    from harness.results.store import ResultFileError, load

    try:
        comparison = compare(load(options.old), load(options.new))
    except (ResultFileError, ComparisonError) as error:
        raise UsageError(str(error)) from None
    try:
        print(
            to_json(comparison) if options.json else render(comparison, colour=sys.stdout.isatty()),
            flush=True,
        )
    except BrokenPipeError:
        return comparison.exit_status or CUT_OFF  # success never: our reader has not seen all
    return comparison.exit_status
