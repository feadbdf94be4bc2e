"""The command line: everything beside the scenarios themselves, which `pytest scenarios/` runs."""

import argparse
import os
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from harness import settings

DESCRIPTION = """\
Conformance and anti-spam testing of mail servers.

The scenarios themselves are run by pytest:
  pytest scenarios/                        against the reference MTA
  pytest scenarios/ --sut PROFILE.toml     against the server of that profile
"""

ZONE_EXAMPLE = Path(__file__).with_name("zone-example.toml")
CUT_OFF = 141  # the exit status of what SIGPIPE ended, as shells tell it

Command = Callable[[argparse.Namespace], int]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status. What the user got wrong ends in a sentence and 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["mta"] and words[1:] and words[1] not in ("-h", "--help"):
        options = argparse.Namespace(command=_mta, arguments=words[1:])  # it has a command line of its own
    else:
        ours, theirs = _parted(words)
        options = _parser().parse_args(ours)
        if theirs:
            options.pytest = theirs
    command: Command = options.command
    status = 0
    try:
        status = command(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except (settings.SettingsError, UsageError) as error:
        print(f"smtp-harness: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return _cut_off(status)
    return status


def _cut_off(verdict: int) -> int:
    """The exit status when our reader has seen enough: the verdict, if one was found; success never."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())  # what is still to be written has somewhere to go
    os.close(nowhere)
    return verdict or CUT_OFF


def _parted(words: list[str]) -> tuple[list[str], list[str]]:
    """What is ours, and what `system` passes on: argparse knows no options between a name and «--»."""
    cut = words.index("--") if words[:1] == ["system"] and "--" in words else len(words)
    return words[:cut], words[cut + 1 :]


class UsageError(Exception):
    """What was asked for cannot be done; the text says why and what can."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "smtp-harness", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    for add in (
        _add_compare,
        _add_rules,
        _add_mta,
        _add_dns,
        _add_mutants,
        _add_spf_suite,
        _add_doctor,
        _add_discover,
        _add_system,
    ):
        add(commands)
    return parser


def _add_compare(commands: Commands) -> None:
    parser = _command(
        commands,
        "compare",
        _compare,
        "what changed between two runs",
        "smtp-harness compare before.json reports/latest.json",
        "exit status: 0 nothing got worse, 1 regressions, 2 the files cannot be compared",
    )
    parser.add_argument("old", type=Path, metavar="OLD.json", help="the run before")
    parser.add_argument("new", type=Path, metavar="NEW.json", help="the run after")
    parser.add_argument("--json", action="store_true", help="the comparison as JSON")


def _add_rules(commands: Commands) -> None:
    parser = _command(commands, "rules", _rules, "list the documented rules", "smtp-harness rules --json")
    parser.add_argument(
        "folder", type=Path, nargs="?", help="where rules.toml files lie (default: scenarios/)"
    )
    parser.add_argument("--json", action="store_true", help="the catalogue as JSON")


def _add_mta(commands: Commands) -> None:
    parser = _command(
        commands,
        "mta",
        _mta,
        "run the reference MTA alone, or work on its greylist",
        "smtp-harness mta --example > mta.toml && smtp-harness mta mta.toml",
        "also:    smtp-harness mta greylist --help, smtp-harness mta hash-password",
    )
    parser.add_argument(
        "arguments", nargs="?", metavar="CONFIG.toml | --example | greylist … | hash-password"
    )


def _add_dns(commands: Commands) -> None:
    parser = _command(
        commands,
        "dns",
        _dns,
        "run the fake DNS alone, printing each query",
        "smtp-harness dns zone.toml --listen 127.0.0.1:5353",
        f"\na zone file:\n\n{textwrap.indent(ZONE_EXAMPLE.read_text('utf-8'), '    ')}",
    )
    parser.add_argument("zone", type=Path, metavar="ZONEFILE", help="TOML (.toml) or master-file format")
    parser.add_argument("--listen", action="append", metavar="ADDRESS:PORT", help="default 127.0.0.1:5353")
    parser.add_argument("--quiet", action="store_true", help="do not print the queries")


def _add_mutants(commands: Commands) -> None:
    parser = _command(
        commands,
        "mutants",
        _mutants,
        "prove the harness: break the reference MTA one rule at a time",
        "smtp-harness mutants --only 'helo.*'",
        "exit status: 0 all killed, 1 a survivor or undeclared collateral",
    )
    parser.add_argument("--only", action="append", metavar="PATTERN", help="of names, such as 'dnsbl.*:off'")
    parser.add_argument(
        "--parallel", type=int, default=0, metavar="N", help="runs at a time (default: by cores)"
    )
    parser.add_argument(
        "--together", type=int, default=1, metavar="N", help="mutants in one run: quicker, and no whole proof"
    )
    parser.add_argument("--list", action="store_true", help="list the mutants and stop")


def _add_spf_suite(commands: Commands) -> None:
    parser = _command(
        commands,
        "spf-suite",
        _spf_suite,
        "run the RFC 7208 test suite, or any in its format, through live SMTP",
        "smtp-harness spf-suite rfc7208-tests.yml --sut staging.toml",
        "The file is in the source distribution of pyspf. Its cases name addresses of strangers: the server\n"
        "is only told of them, by PROXY or XCLIENT; nothing is sent there.\n"
        "exit status: 0 every tested case passed, 1 one did not or none was tested, 2 it could not be run",
    )
    parser.add_argument("suite", type=Path, metavar="FILE", help="YAML: sets of cases and their zone data")
    parser.add_argument("--sut", type=Path, metavar="PROFILE.toml", help="default: the reference MTA")
    parser.add_argument(
        "--mutant", action="append", default=[], metavar="NAME", help="break the reference MTA so"
    )
    parser.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR")


def _add_doctor(commands: Commands) -> None:
    parser = _command(
        commands,
        "doctor",
        _doctor,
        "check what must be true before a verdict means anything, and say how to mend it",
        "smtp-harness doctor staging.toml",
        "exit status: 0 all is well, 1 something is wrong",
    )
    parser.add_argument("profile", type=Path, metavar="PROFILE.toml", help="the server under test")


def _add_discover(commands: Commands) -> None:
    parser = _command(
        commands,
        "discover",
        _discover,
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


def _add_system(commands: Commands) -> None:
    parser = _command(
        commands,
        "system",
        _system,
        "set up a real mail server in a sandbox, and run the scenarios against it",
        "smtp-harness system install exim && smtp-harness system run exim -- -k greylist",
        "needs root; nothing of this machine's own mail or network set-up is touched",
    )
    parser.add_argument(
        "action",
        choices=["list", "install", "up", "down", "run", "doctor", "discover", "mutants", "spf-suite"],
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the system; `list` shows them")
    parser.add_argument("--profile", default="", help="for `run` and `doctor`: another one of the system's")
    parser.add_argument("--delay", type=int, default=1, metavar="SECONDS", help="of its delays (default: 1)")
    parser.add_argument("--only", action="append", metavar="PATTERN", help="for `mutants`: of their names")
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="for `mutants`: runs at a time")
    parser.add_argument("--together", type=int, default=1, metavar="N", help="for `mutants`: in one sandbox")
    parser.add_argument(
        "pytest",
        nargs="*",
        metavar="-- ARGUMENT",
        help="of pytest for `run`, of discover, of spf-suite (the first is its FILE)",
    )


def _command(
    commands: Commands, name: str, command: Command, summary: str, example: str, more: str = ""
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example: {example}\n{more}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=command)
    return parser


def _compare(options: argparse.Namespace) -> int:
    from harness.results.compare import ComparisonError, compare, render, to_json
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
        return _cut_off(comparison.exit_status)
    return comparison.exit_status


def _rules(options: argparse.Namespace) -> int:
    from harness.listing import as_json, as_table
    from harness.rules import Catalogue

    folder = options.folder or default_scenarios()
    catalogue = Catalogue.below(folder)
    if not catalogue.rules:
        raise UsageError(f"{folder}: no rules.toml here or below; name the folder of your scenarios")
    print(as_json(catalogue) if options.json else as_table(catalogue, colour=sys.stdout.isatty()))
    return 0


def _mta(options: argparse.Namespace) -> int:
    from harness.reference_mta.__main__ import main as mta_main

    return mta_main(options.arguments or [])


def _dns(options: argparse.Namespace) -> int:
    from fake_dns import DnsServerError, ZoneFileError
    from harness.lone_dns import serve

    try:
        return serve(options.zone, options.listen or ["127.0.0.1:5353"], quiet=options.quiet)
    except (ZoneFileError, DnsServerError, ValueError) as error:
        raise UsageError(str(error)) from None


def _mutants(options: argparse.Namespace) -> int:
    from harness.mutants import ReferenceMta, run_matrix

    parallel = options.parallel or os.cpu_count() or 1
    subject = ReferenceMta(default_scenarios())
    only, together = options.only or ["*"], options.together
    return run_matrix(subject, only, parallel=parallel, together=together, list_only=options.list)


def _spf_suite(options: argparse.Namespace) -> int:
    from fake_dns import DnsServerError
    from harness.mta_process import EmbeddedError
    from harness.spf_suite.command import Order, run_suite
    from harness.spf_suite.run import UnfitProfileError
    from harness.spf_suite.zones import ZoneDataError

    if options.mutant and options.sut:
        raise UsageError("--mutant breaks the reference MTA; it does not go with --sut")
    order = Order(options.suite, options.sut, options.reports, default_scenarios(), options.mutant)
    try:
        return run_suite(order)
    except UnfitProfileError as error:
        raise UsageError(f"{options.sut}: {error}") from None
    except (ZoneDataError, EmbeddedError, DnsServerError) as error:
        raise UsageError(str(error)) from None


def _doctor(options: argparse.Namespace) -> int:
    from fake_dns import DnsServerError
    from harness.assembly import Wish, open_run
    from harness.doctor import report
    from harness.rules import Catalogue

    try:
        with open_run(Wish(Catalogue.below(default_scenarios()), options.profile)) as run:
            well = report(run, lambda line: print(line, flush=True), colour=sys.stdout.isatty())
    except DnsServerError as error:
        raise UsageError(str(error)) from None
    return 0 if well else 1


def _discover(options: argparse.Namespace) -> int:
    from harness import discover
    from harness.draft import Deviation, draft, time_to_try, try_rules
    from harness.mutants import BrokenRunError
    from harness.rules import Catalogue
    from harness.values import endpoint

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


def _system(options: argparse.Namespace) -> int:
    from harness.systems import commands
    from harness.systems.sandbox import SandboxError
    from harness.systems.system import UnknownSystemError

    if options.action == "list":
        return commands.show_all()
    if not options.name:
        raise UsageError(f"system {options.action}: name a system; smtp-harness system list shows them")
    if options.delay < 1:
        raise UsageError("--delay takes whole seconds from 1 on; real servers know no shorter ones")
    if options.action == "spf-suite" and not options.pytest:
        raise UsageError(f"system spf-suite {options.name}: name the suite as well, rfc7208-tests.yml")
    name, delay, more = options.name, options.delay, options.pytest
    acts: dict[str, Callable[[], int]] = {
        "install": lambda: commands.install(name),
        "up": lambda: commands.up(name, delay),
        "down": lambda: commands.down(name),
        "run": lambda: commands.run(name, options.profile, delay, default_scenarios(), more),
        "doctor": lambda: commands.doctor(name, options.profile, delay),
        "discover": lambda: commands.discover(name, delay, more),
        "mutants": lambda: commands.mutants(
            name,
            delay,
            default_scenarios(),
            options.only or ["*"],
            parallel=options.parallel,
            together=options.together,
        ),
        "spf-suite": lambda: commands.spf_suite(name, delay, more),
    }
    try:
        return acts[options.action]()
    except (SandboxError, UnknownSystemError) as error:
        raise UsageError(str(error)) from None


def default_scenarios() -> Path:
    """The scenarios of the working directory, or those that were installed with the harness."""
    here = Path("scenarios")
    if here.is_dir():
        return here
    import scenarios

    return Path(scenarios.__file__).parent


if __name__ == "__main__":
    sys.exit(main())
