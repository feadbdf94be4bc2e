"""From an address to the draft of a profile."""

import argparse
import re
import sys
from pathlib import Path

from harness.commands.base import Commands, UsageError, add_command, default_scenarios


def add(commands: Commands) -> None:
    """Its options."""
    parser = add_command(
        commands,
        "discover",
        run,
        "talk to an unknown server and draft its profile",
        "smtp-harness discover 127.0.0.1:25 --domain example.org -o staging.toml",
        "what cannot be seen from outside stands as a question in the draft",
    )
    parser.add_argument(
        "address", metavar="ADDRESS[:PORT]", help="of the server; the port is 25 unless given"
    )
    parser.add_argument("--domain", action="append", metavar="NAME", help="that it hosts (repeat for more)")
    parser.add_argument("--dns", default="127.0.0.1:53", metavar="ADDRESS:PORT", help="its resolver: us")
    parser.add_argument("--no-rules", dest="rules", action="store_false", help="do not run the scenarios")
    parser.add_argument("-o", "--output", type=Path, metavar="PROFILE.toml", help="default: standard output")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status; raises `UsageError`."""
    from harness.discovery import discover
    from harness.discovery.draft import Deviation, draft, time_to_try, try_rules
    from harness.mutants import BrokenRunError
    from harness.profile.values import endpoint
    from harness.rules import Catalogue

    if options.output and options.output.exists():
        raise UsageError(f"{options.output} exists already; name another file, or move it away")
    text = options.address if re.search(r"\]:\d+$|^[^:]+:\d+$", options.address) else f"{options.address}:25"
    catalogue = Catalogue.below(default_scenarios())
    try:
        place = discover.Place(*endpoint(text), endpoint(options.dns))
        seen = discover.explore(place, options.domain or [], catalogue)
        deviations: list[Deviation] = []
        if options.rules:
            time = time_to_try(seen, len(catalogue.rules))
            print(
                "running the scenarios with the draft, to see what it enforces and how; with a delay of "
                f"{seen.delay:g} s this may take {time / 60:.0f} min (--no-rules leaves it out)",
                file=sys.stderr,
            )
            deviations = try_rules(place, seen, default_scenarios(), time)
    except (ValueError, discover.DiscoveryError, BrokenRunError) as error:
        raise UsageError(str(error)) from None
    found = draft(place, seen, deviations)
    if options.output is None:
        print(found, end="")
    else:
        options.output.write_text(found, "utf-8")
        print(f"{options.output}: answer its questions, then: smtp-harness doctor {options.output}")
    return 0
