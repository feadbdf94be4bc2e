"""The RFC 7208 test suite through live SMTP."""

import argparse
from pathlib import Path

from harness.commands.base import Commands, UsageError, add_command, default_scenarios
from harness.settings.arguments import path, text


def add(commands: Commands) -> None:
    """Its options."""
    parser = add_command(
        commands,
        "spf-suite",
        run,
        "run the RFC 7208 test suite, or any in its format, through live SMTP",
        "smtp-harness spf-suite rfc7208-tests.yml --sut staging.toml",
        "The file is in the source distribution of pyspf. Its cases name addresses of strangers: the server\n"
        "is only told of them, by PROXY or XCLIENT; nothing is sent there.\n"
        "exit status: 0 every tested case passed, 1 one did not or none was tested, 2 it could not be run,\n"
        "6 the reports could not be written",
    )
    parser.add_argument("suite", type=path, metavar="FILE", help="YAML: sets of cases and their zone data")
    parser.add_argument("--sut", type=path, metavar="PROFILE.toml", help="default: the reference MTA")
    parser.add_argument(
        "--mutant", action="append", type=text, default=[], metavar="NAME", help="break the reference MTA so"
    )
    parser.add_argument("--reports", type=path, default=Path("reports"), metavar="DIR")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status; raises `UsageError`."""
    from fake_dns import DnsServerError
    from harness.embedded.process import EmbeddedError
    from harness.results.store import ReportError
    from harness.spf_suite.command import Order, run_suite
    from harness.spf_suite.run import UnfitProfileError

    if options.mutant and options.sut:
        raise UsageError("--mutant breaks the reference MTA; it does not go with --sut")
    order = Order(options.suite, options.sut, options.reports, default_scenarios(), options.mutant)
    try:
        return run_suite(order)
    except UnfitProfileError as error:
        raise UsageError(f"{options.sut}: {error}") from None
    except (EmbeddedError, DnsServerError, ReportError) as error:
        raise UsageError(str(error)) from None
