"""From an address to the draft of a profile."""

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.commands.base import Commands, UsageError, add_command, checked, default_scenarios
from harness.settings.arguments import path, seconds, text
from harness.settings.hosts import domain_name, endpoint, ip_address, local_part, mail_address

if TYPE_CHECKING:
    from harness.discovery.discover import Known
    from harness.discovery.facts import Seen

WAIT = 70.0  # seconds for a greylist: a usual one takes a retry after a minute


def add(commands: Commands) -> None:
    """Its options."""
    parser = add_command(
        commands,
        "discover",
        run,
        "talk to an unknown server and draft its profile",
        "smtp-harness discover 127.0.0.1:25 --user ann@example.org -o staging.toml",
        "what cannot be seen from outside is a question in the draft; standard error tells what goes on\n"
        "exit status: 0 there is a draft, 2 there is none",
    )
    parser.add_argument(
        "address", metavar="ADDRESS[:PORT]", help="of the server; the port is 25 unless given"
    )
    parser.add_argument(
        "--domain",
        action="append",
        type=text,
        default=[],
        metavar="NAME",
        help="that it hosts (repeat for more)",
    )
    parser.add_argument(
        "--user",
        action="append",
        type=text,
        default=[],
        metavar="NAME",
        help="an ordinary user who may get mail, as ann@example.org, or ann in the first --domain "
        "(repeat for more); nothing is concluded without one that shows only there",
    )
    parser.add_argument("--dns", default="127.0.0.1:53", metavar="ADDRESS:PORT", help="its resolver: us")
    parser.add_argument(
        "--wait",
        type=seconds,
        default=WAIT,
        metavar="SECONDS",
        help="how long clients that are put off try again, to see whether that is a greylist "
        f"(default: {WAIT:g})",
    )
    parser.add_argument("--no-rules", dest="rules", action="store_false", help="do not run the scenarios")
    parser.add_argument("-o", "--output", type=path, metavar="PROFILE.toml", help="default: standard output")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status; raises `UsageError`."""
    from harness.discovery import discover
    from harness.discovery.draft import draft
    from harness.discovery.trial import Deviation, time_to_try, try_rules
    from harness.grants.registry import CAPABILITIES
    from harness.printable import printable
    from harness.pytest_runs.commanded import BrokenRunError
    from harness.rules import Catalogue

    if options.output and options.output.exists():
        raise UsageError(f"{options.output} exists already; name another file, or move it away")
    if options.output and not options.output.parent.is_dir():
        raise UsageError(f"{options.output}: there is no such folder; make it, or name another file")
    catalogue = Catalogue.below(default_scenarios(), CAPABILITIES.names)
    telling = discover.Telling(lambda line: print(printable(line), file=sys.stderr, flush=True))
    known = _known(options)
    address, port = checked("ADDRESS", options.address, _server)
    place = discover.Place(address, port, checked("--dns", options.dns, _to_be_asked))
    try:
        seen = discover.explore(place, known, catalogue, telling)
        found: list[Deviation] | None = None
        if options.rules and _can_try(seen):
            time = time_to_try(seen, len(catalogue.rules))
            telling.say(
                "running the scenarios with the draft, to see how it keeps each rule; with its waits "
                f"this may take {time / 60:.0f} min (--no-rules leaves it out)"
            )
            try:
                found = try_rules(
                    lambda before: draft(place, seen, catalogue, before), default_scenarios(), catalogue, time
                )
            except BrokenRunError as error:  # what was seen before that is as true as without the scenarios
                note = f"the run of the scenarios came to nothing: {error}"
                telling.say(note)
                seen = replace(seen, notes=(*seen.notes, note))
    except (ValueError, discover.DiscoveryError) as error:
        raise UsageError(str(error)) from None
    profile = draft(place, seen, catalogue, found)
    if options.output is None:
        print(profile, end="")
    else:
        options.output.write_text(profile, "utf-8")
        print(f"{options.output}: answer its questions, then: smtp-harness doctor {options.output}")
    return 0


def _server(text: str) -> tuple[str, int]:
    """An address with its port, or without one, as ::1; raises `ValueError`."""
    if "]:" in text or text.count(":") == 1:
        return _to_be_asked(text)
    return str(ip_address(text.removeprefix("[").removesuffix("]"))), 25


def _to_be_asked(text: str) -> tuple[str, int]:
    """Where somebody listens whom others know by this port; raises `ValueError`."""
    return endpoint(text, lowest=1)


def _user(text: str) -> str:
    """The address of a user of a domain; raises `ValueError`."""
    address = str(mail_address(text))
    domain_name(address.rpartition("@")[2])  # which a literal is not
    return address


def _known(options: argparse.Namespace) -> "Known":
    """What the user said of the server; raises `UsageError`."""
    from harness.discovery.discover import Known

    domains = [str(checked("--domain", name, domain_name)) for name in options.domain]
    users = []
    for name in options.user:
        if "@" not in name:
            checked("--user", name, local_part)
            if not domains:
                raise UsageError(
                    f"--user {name}: in which domain? write {name}@example.org, or name a --domain"
                )
        users.append(checked("--user", name if "@" in name else f"{name}@{domains[0]}", _user))
    return Known(tuple(domains), tuple(users), options.wait)


def _can_try(seen: "Seen") -> bool:
    """Whether the scenarios would say anything: they greet with EHLO, and a user must have got mail so."""
    return seen.heard_out and seen.way.extended
