"""The fake DNS on its own, for demonstrations and for servers that are tested by hand."""

import argparse
import contextlib
import sys
import textwrap
import threading
from pathlib import Path

from fake_dns import (
    DnsServer,
    DnsServerError,
    FakeDns,
    QueryEntry,
    RecordError,
    ZoneFileError,
    load_block_list,
    load_zone_file,
)
from fake_dns.names import name_key
from fake_dns.rbldnsd import check_dataset
from harness.commands.base import Commands, UsageError, add_command, checked
from harness.settings.arguments import path, text
from harness.settings.hosts import endpoint, endpoint_text

LOOK = 0.2  # seconds between two looks at the query log
DEFAULT_LISTEN = "127.0.0.1:5353"
ZONE_EXAMPLE = Path(__file__).with_name("zone-example.toml")
MORE = f"""
A file whose name ends in .toml is in the form below; every other one is a master file, as BIND has it, with
$ORIGIN, $TTL, $INCLUDE (of files in its own folder) and $GENERATE.

a zone file in TOML:

{textwrap.indent(ZONE_EXAMPLE.read_text("utf-8"), "    ")}"""


def add(commands: Commands) -> None:
    """Its options."""
    parser = add_command(
        commands,
        "dns",
        run,
        "run the fake DNS alone, printing each query",
        f"smtp-harness dns zone.toml --listen {DEFAULT_LISTEN}",
        f"exit status: 0 it was stopped, 2 it could not be started\n\n{MORE}",
    )
    parser.add_argument(
        "zone",
        type=path,
        nargs="*",
        metavar="ZONEFILE",
        help="TOML (.toml) or master-file format; several add up",
    )
    parser.add_argument(
        "--origin",
        type=text,
        metavar="NAME",
        help="what names in master files stand below, until their first $ORIGIN",
    )
    parser.add_argument(
        "--rbldnsd",
        action="append",
        default=[],
        metavar="ZONE:DATASET:FILE[,FILE…]",
        help="answer in ZONE as rbldnsd would: ip4set, ip4trie, ip6trie, dnset, generic, combined",
    )
    parser.add_argument("--listen", action="append", metavar="ADDRESS:PORT", help=f"default {DEFAULT_LISTEN}")
    parser.add_argument("--quiet", action="store_true", help="do not print the queries")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status; raises `UsageError`."""
    if not options.zone and not options.rbldnsd:
        raise UsageError("there is nothing to answer; name a ZONEFILE, or a list with --rbldnsd")
    listen = [checked("--listen", text, endpoint) for text in options.listen or [DEFAULT_LISTEN]]
    if options.origin is not None:
        checked("--origin", options.origin, name_key)
    block_lists = [checked("--rbldnsd", text, _block_list) for text in options.rbldnsd]
    try:
        return _serve(_loaded(options.zone, options.origin, block_lists), listen, quiet=options.quiet)
    except (ZoneFileError, DnsServerError, RecordError) as error:
        raise UsageError(str(error)) from None


def _loaded(zones: list[Path], origin: str | None, block_lists: list[tuple[str, str, list[Path]]]) -> FakeDns:
    dns = FakeDns()
    for zone in zones:
        for left_out in load_zone_file(zone, dns, origin):
            print(f"smtp-harness: left out: {left_out}", file=sys.stderr)
    for zone_name, dataset, files in block_lists:
        load_block_list(zone_name, dataset, files, dns)
    return dns


def _block_list(text: str) -> tuple[str, str, list[Path]]:
    """`ZONE:DATASET:FILE[,FILE…]`, as rbldnsd itself is told; raises `ValueError`."""
    zone, _, rest = text.partition(":")
    dataset, _, files = rest.partition(":")
    paths = [Path(file) for file in files.split(",") if file]
    if not zone or not dataset or not paths:
        raise ValueError(f"{text} is incomplete; write ZONE:DATASET:FILE, as in bl.example:ip4set:list")
    name_key(zone)
    check_dataset(dataset)
    return zone, dataset, paths


def _serve(dns: FakeDns, listen: list[tuple[str, int]], *, quiet: bool) -> int:
    with DnsServer(dns, addresses=listen) as server:
        shown = ", ".join(endpoint_text(*address) for address in server.addresses)
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
