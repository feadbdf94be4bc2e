"""The fake DNS on its own, for demonstrations and for servers that are tested by hand."""

import contextlib
import threading
from pathlib import Path

from fake_dns import DnsServer, FakeDns, QueryEntry, load_zone_file
from harness.values import endpoint

LOOK = 0.2  # seconds between two looks at the query log


def serve(zone: Path, listen: list[str], *, quiet: bool) -> int:
    """Serve a zone file until interrupted, printing each query; returns the exit status.

    Raises `ZoneFileError`, `DnsServerError`, and `ValueError` for an address without a port.
    """
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
