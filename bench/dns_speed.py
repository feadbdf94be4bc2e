"""Queries a second and latency of fake_dns beside dnslib's own DNSServer: same zone, same questions, one run.

Needs dnsperf (Debian package dnsperf). fake_dns runs as it always does, log on, with scripted names among the
questions; dnslib's server runs silent, with a resolver that is a mere dictionary.
"""

import contextlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dnslib as untyped
from dnslib import server as untyped_server
from table import Row, show

from fake_dns import DnsServer, FakeDns, Lame, NxDomain, Sequence, ServFail

dnslib: Any = untyped
dnslib_server: Any = untyped_server

NAMES = 500
SCRIPTED = 50  # names of which a script answers, not what is published
ROUNDS = 3
SECONDS = 3  # of each measurement
STEADY = 1000  # queries a second for the latency
GOAL_RATE = 10.0
GOAL_LATENCY = 2.0


@dataclass(frozen=True)
class Measured:
    """Queries a second under full load, and the median latency in seconds under a steady one."""

    rate: float
    median: float


def main() -> int:
    """Measure, print; 2 when dnsperf is missing."""
    if sys.argv[1:2] == ["serve"]:
        SERVERS[sys.argv[2]]()
        return 0
    if not shutil.which("dnsperf"):
        print("dnsperf is not installed; on Debian: apt install dnsperf", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        repeated = Path(folder, "repeated")
        repeated.write_text("".join(f"{name} {kind}\n" for name, kind in questions()), "utf-8")
        fresh = Path(folder, "fresh")
        fresh.write_text("".join(f"h{n}.wild.k3.example A\n" for n in range(400_000)), "utf-8")
        ours, theirs, unseen = [], [], []
        for _ in range(ROUNDS):
            ours.append(measure("fake_dns", repeated))
            theirs.append(measure("dnslib", repeated))
            unseen.append(measure("fake_dns", fresh))
    print(f"{'':34}{'queries/s':>12}{'p50 at 1,000/s':>18}")
    print(line("fake_dns, log and scripts on", ours))
    print(line("fake_dns, no name asked twice", unseen))
    print(line("dnslib DNSServer, silent", theirs))
    rate = middle(ours).rate / middle(theirs).rate
    latency = middle(ours).median / middle(theirs).median
    show(
        "fake_dns against dnslib's DNSServer",
        [Row("queries/s", rate, f"≥ {GOAL_RATE:.0f}"), Row("p50 latency", latency, f"≤ {GOAL_LATENCY:.0f}")],
    )
    return 0


def questions() -> list[tuple[str, str]]:
    """What is asked, over and over: mail's usual types, names that nobody published, names with a script."""
    asked = []
    for number in range(NAMES):
        host = f"mx{number}.k3.example"
        asked += [
            (host, "A"),
            (host, "AAAA"),
            (f"d{number}.k3.example", "MX"),
            (f"d{number}.k3.example", "TXT"),
        ]
        asked.append((f"unknown{number}.k3.example", "A"))
        if number < SCRIPTED:
            asked += [(f"script{number}.k3.example", "A"), (f"script{number}.k3.example", "MX")]
    return asked


def records() -> list[tuple[str, str, str]]:
    """What both servers publish."""
    made = []
    for number in range(NAMES):
        host, domain = f"mx{number}.k3.example.", f"d{number}.k3.example."
        made.append((host, "A", f"198.18.{number // 250}.{number % 250 + 1}"))
        made.append((domain, "MX", f"10 {host}"))
        made.append((domain, "TXT", '"v=spf1 mx -all"'))
    return made


def serve_fake_dns() -> None:
    """Serve until standard input ends."""
    dns = FakeDns()
    dns.zone("k3.example")
    dns.publish("*.wild.k3.example", "A", "198.18.9.9")
    for record in records():
        dns.publish(*record)
    faults = (ServFail(), NxDomain(), Lame(), Sequence(["198.18.0.1", ServFail()], again=True))
    for number in range(SCRIPTED):
        dns.script(f"script{number}.k3.example", "A", faults[number % len(faults)])
    with DnsServer(dns) as server:
        print(server.addresses[0][1], flush=True)
        sys.stdin.read()


class Dictionary:
    """The least that dnslib's server needs to answer the same zone."""

    def __init__(self) -> None:
        """Parse the zone once."""
        self.zone: dict[tuple[str, str], list[Any]] = {}
        for name, kind, data in records():
            self.zone.setdefault((name, kind), []).extend(dnslib.RR.fromZone(f"{name} 60 {kind} {data}"))
        self.names = {name for name, _ in self.zone}

    def resolve(self, request: Any, _handler: object) -> Any:
        """Answer from the dictionary."""
        reply = request.reply()
        name = str(request.q.qname).lower()
        for record in self.zone.get((name, dnslib.QTYPE[request.q.qtype]), ()):
            reply.add_answer(record)
        if name not in self.names:
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
        return reply


def serve_dnslib() -> None:
    """Serve until standard input ends."""
    silent = dnslib_server.DNSLogger("-request,-reply,-truncated,-error")
    server = dnslib_server.DNSServer(Dictionary(), address="127.0.0.1", port=0, logger=silent)
    server.start_thread()
    print(server.server.server_address[1], flush=True)
    sys.stdin.read()
    server.stop()


SERVERS = {"fake_dns": serve_fake_dns, "dnslib": serve_dnslib}


@contextlib.contextmanager
def running(server: str) -> Iterator[int]:
    """The server in a process of its own; its port."""
    command = [sys.executable, __file__, "serve", server]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin  # noqa: S101
        assert process.stdout  # noqa: S101
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def measure(server: str, asked: Path) -> Measured:
    """Both figures of one server; raises `RuntimeError` when dnsperf fails."""
    with running(server) as port:
        flood = dnsperf(port, asked, "-l", str(SECONDS))
        steady = dnsperf(port, asked, "-l", str(SECONDS), "-Q", str(STEADY), "-v")
    found = re.search(r"Queries per second:\s+([\d.]+)", flood)
    latencies = [float(seconds) for seconds in re.findall(r"^> \w+ \S+ \S+ ([\d.]+)$", steady, re.MULTILINE)]
    if not found or not latencies:
        raise RuntimeError(f"dnsperf did not say what it measured:\n{flood}\n{steady[-2000:]}")
    return Measured(float(found[1]), statistics.median(latencies))


def dnsperf(port: int, asked: Path, *options: str) -> str:
    """What dnsperf prints."""
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(asked), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def middle(measured: list[Measured]) -> Measured:
    """The median of several rounds, figure by figure."""
    return Measured(
        statistics.median(one.rate for one in measured), statistics.median(one.median for one in measured)
    )


def line(title: str, measured: list[Measured]) -> str:
    """A line of the table."""
    figures = middle(measured)
    return f"{title:34}{figures.rate:>12,.0f}{figures.median * 1e6:>15,.0f} µs"


if __name__ == "__main__":
    sys.exit(main())
