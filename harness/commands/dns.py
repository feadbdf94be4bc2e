"""The fake DNS on its own, for demonstrations and for servers that are tested by hand."""

import argparse
import contextlib
import textwrap
import threading
from pathlib import Path

from fake_dns import DnsServer, DnsServerError, FakeDns, QueryEntry, ZoneFileError, load_zone_file
from harness.commands.base import Commands, UsageError, add_command
from harness.profile.values import endpoint

LOOK = 0.2  # seconds between two looks at the query log
ZONE_EXAMPLE = Path(__file__).with_name("zone-example.toml")


def add(commands: Commands) -> None:
    """Its options."""
    parser = add_command(
        commands,
        "dns",
        run,
        "run the fake DNS alone, printing each query",
        "smtp-harness dns zone.toml --listen 127.0.0.1:5353",
        "exit status: 0 it was stopped, 2 it could not be started\n"
        f"\na zone file:\n\n{textwrap.indent(ZONE_EXAMPLE.read_text('utf-8'), '    ')}",
    )
    parser.add_argument("zone", type=Path, metavar="ZONEFILE", help="TOML (.toml) or master-file format")
    parser.add_argument("--listen", action="append", metavar="ADDRESS:PORT", help="default 127.0.0.1:5353")
    parser.add_argument("--quiet", action="store_true", help="do not print the queries")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status; raises `UsageError`."""
    try:
        return _serve(options.zone, options.listen or ["127.0.0.1:5353"], quiet=options.quiet)
    except (ZoneFileError, DnsServerError, ValueError) as error:
        raise UsageError(str(error)) from None


def _serve(zone: Path, listen: list[str], *, quiet: bool) -> int:
    dns = FakeDns()
    load_zone_file(zone, dns)
    with DnsServer(dns, addresses=[endpoint(text) for text in listen]) as server:
        shown = ", ".join(f"{host}:{port}" for host, port in server.addresses)
        print(f"fake DNS on {shown}, UDP and TCP; stop it with Ctrl-C", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            _watch(dns, quiet=quiet)
    return 0


def _watch(dns: FakeDns, *, quiet: bool) -> None:
    forever = threading.Event()
    seen = 0.0
    while not forever.wait(LOOK):
        if quiet:
            continue
        for entry in dns.queries(since=seen):
            if entry.at > seen:
                print(_line(entry), flush=True)
                seen = entry.at


def _line(entry: QueryEntry) -> str:
    return f"{entry.transport} {entry.client} {entry.name} {entry.type} -> {entry.answer}"
