"""What must be true before a verdict means anything."""

import argparse
import sys

from harness.commands.base import Commands, UsageError, add_command, default_scenarios
from harness.settings.arguments import path


def add(commands: Commands) -> None:
    """Its options."""
    parser = add_command(
        commands,
        "doctor",
        run,
        "check what must be true before a verdict means anything, and say how to mend it",
        "smtp-harness doctor staging.toml",
        "exit status: 0 all is well, 1 something is wrong, 2 nothing could be checked",
    )
    parser.add_argument("profile", type=path, metavar="PROFILE.toml", help="the server under test")
    parser.add_argument(
        "folders", type=path, nargs="*", metavar="FOLDER", help="where the suites lie (default: scenarios/)"
    )


def run(options: argparse.Namespace) -> int:
    """Returns the exit status; raises `UsageError`."""
    from fake_dns import DnsServerError
    from harness.grants.registry import CAPABILITIES
    from harness.rules import Catalogue
    from harness.runs.assembly import Wish, begin, open_run
    from harness.runs.doctor import report
    from harness.suites import installed, rules_files
    from harness.verdicts import NotTestableError

    places = options.folders or [default_scenarios()]
    if bare := next((place for place in places if not rules_files(place)), None):
        raise UsageError(f"{bare}: no rules.toml here or below; name the folder of your scenarios")
    others = installed()
    catalogue = Catalogue.load(
        (file for place in places for file in rules_files(place)),
        rules_files(others) if others else (),
        CAPABILITIES.names,
    )
    try:
        with open_run(Wish(catalogue, options.profile)) as run:
            run, _ = begin(run)
            well = report(run, lambda line: print(line, flush=True), colour=sys.stdout.isatty())
    except (DnsServerError, NotTestableError) as error:
        raise UsageError(str(error)) from None
    return 0 if well else 1
