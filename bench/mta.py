"""Sessions a second of the reference MTA, policy on, beside bare aiosmtpd; and 1,000 held-back clients.

The reference MTA keeps what it takes on disk, as aiosmtpd does with its own `Mailbox` handler. Its protocol's
core is measured by itself as well: all policy on, and what it takes is kept nowhere.
"""

import asyncio
import contextlib
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP, Envelope, Session
from table import Row, show

from fake_dns import DnsServer, FakeDns, reverse_name
from harness import settings
from harness.reference_mta import service
from harness.reference_mta.config import Config
from harness.reference_mta.mail.acceptance import Acceptance
from harness.reference_mta.mail.message import Message

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))  # of each server, in turn
SESSIONS = int(os.environ.get("BENCH_SESSIONS", "400"))  # a round
AT_ONCE = 20
HELD_BACK = 1000  # clients without a name, all at once
DELAY = 2.0  # seconds by which each of their replies is held back
PATIENCE = 120.0  # seconds for a dialogue
FILES = 4096
FORGETFUL = "aiosmtpd that keeps nothing"
MAILBOX = "aiosmtpd that keeps its mail"
REFERENCE = "reference MTA"
CORE = "reference MTA that keeps nothing"
CLIENT = "out.bulkmail.example"  # the name of 127.0.0.1 while this runs
SENDER = "sender@client.example"
RECIPIENT = "alice@castle.example"
HEADER = f"From: <{SENDER}>\r\nTo: <{RECIPIENT}>\r\nSubject: bench\r\n\r\n".encode()
MESSAGE = HEADER + (b"x" * 70 + b"\r\n") * ((1024 - len(HEADER)) // 72)
DIALOGUE = (
    (b"", 220),
    (f"EHLO {CLIENT}\r\n".encode(), 250),
    (f"MAIL FROM:<{SENDER}>\r\n".encode(), 250),
    (f"RCPT TO:<{RECIPIENT}>\r\n".encode(), 250),
    (b"DATA\r\n", 354),
    (MESSAGE + b".\r\n", 250),
    (b"QUIT\r\n", 221),
)
CONFIGURATION = """
[server]
hostname = "mail.castle.example"
port = 0
proxy_protocol = {proxy}
delay = {delay}
state = "{state}"

[dns]
server = "{dns}"

[[domain]]
name = "castle.example"
users = ["alice", "postmaster"]
bounce_recipients = ["alice"]

[[dnsbl]]
name = "traps"
zones = ["traps.blocklist.example"]

[[dnsbl]]
name = "reports"
zones = ["reports.blocklist.example"]

[greylist]
whitelist_hosts = ["*.bulkmail.example"]
"""

Address = tuple[str, int]


class DialogueError(Exception):
    """A server said something else than it should have, or nothing."""


def main() -> int:
    """Print both measurements; the exit status is 1 when a held-back client met an error."""
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (FILES, max(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    )
    with tempfile.TemporaryDirectory(prefix="smtp-bench-") as folder, child(serve_dns) as dns:
        with (
            child(serve_forgetful) as forgetful,
            child(serve_mailbox, Path(folder) / "mailbox") as mailbox,
            child(serve_core, configured(Path(folder) / "core", dns)) as core,
            reference(Path(folder) / "prompt", dns) as (prompt, _),
        ):
            compare({FORGETFUL: forgetful, MAILBOX: mailbox, CORE: core, REFERENCE: prompt})
        with reference(Path(folder) / "slow", dns, held_back=DELAY) as (slow, process):
            return hold_back(slow, process)


def compare(servers: dict[str, Address]) -> None:
    """Let the servers take turns, and print medians and their ratio."""
    rates: dict[str, list[float]] = {name: [] for name in servers}
    for address in servers.values():
        asyncio.run(crowd(address, SESSIONS // 4))  # warm-up
    for _ in range(ROUNDS):
        for name, address in servers.items():
            began = time.perf_counter()
            asyncio.run(crowd(address, SESSIONS))
            rates[name].append(SESSIONS / (time.perf_counter() - began))
    print(f"sessions a second, {AT_ONCE} at once, message of 1 kB; median of {ROUNDS} rounds of {SESSIONS}")
    for name, found in rates.items():
        print(f"  {name:30} {statistics.median(found):8.0f}   ({min(found):.0f} to {max(found):.0f})")
    medians = {name: statistics.median(found) for name, found in rates.items()}
    goals = ((CORE, FORGETFUL, 2), (REFERENCE, FORGETFUL, 1), (REFERENCE, MAILBOX, 2))
    show(
        "all policy on",
        [Row(f"{one} over {bare}", medians[one] / medians[bare], f"≥ {goal}") for one, bare, goal in goals],
    )


def hold_back(address: Address, process: "subprocess.Popen[str]") -> int:
    """Let clients without a name go through a whole dialogue, all at once; returns the exit status."""
    clients = [f"198.18.{number // 250}.{number % 250 + 1}" for number in range(HELD_BACK)]
    for client in clients:
        vouch(process, client)
    began = time.perf_counter()
    errors = asyncio.run(nameless(address, clients))
    taken = time.perf_counter() - began
    print(f"{HELD_BACK} clients at once, every reply up to RCPT held back by {DELAY:g} s")
    print(f"  errors: {errors.total()}   whole dialogues took {taken:.1f} s (4 × {DELAY:g} s are waiting)")
    for error, times in errors.most_common(5):
        print(f"    {times} × {error}")
    return 1 if errors else 0


def vouch(process: "subprocess.Popen[str]", client: str) -> None:
    """Put a client on the white list, so that its message is taken."""
    if process.stdin is None or process.stdout is None:
        raise SystemExit("the reference MTA has no control channel")
    entry = {"list": "white", "client": client, "sender": SENDER, "recipient": RECIPIENT}
    process.stdin.write(json.dumps({"op": "greylist", "action": "add"} | entry) + "\n")
    process.stdin.flush()
    if (answer := json.loads(process.stdout.readline())) != {"ok": True}:
        raise SystemExit(f"the reference MTA refused an entry: {answer}")


# The client


async def crowd(address: Address, sessions: int) -> None:
    """So many dialogues, a few at a time; raises `DialogueError` at the first that fails."""
    left = iter(range(sessions))

    async def one_after_the_other() -> None:
        for _ in left:
            await converse(address)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(one_after_the_other())


async def nameless(address: Address, clients: list[str]) -> Counter[str]:
    """A dialogue of every client at the same time; what went wrong, and how often."""
    headers = [f"PROXY TCP4 {client} 192.0.2.25 40000 25\r\n".encode() for client in clients]
    found = await asyncio.gather(*(converse(address, header) for header in headers), return_exceptions=True)
    return Counter(f"{type(error).__name__}: {error}" for error in found if error is not None)


async def converse(address: Address, header: bytes = b"") -> None:
    """One dialogue to the end of a message; raises `DialogueError`, `TimeoutError` and `OSError`."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(header)
            for command, expected in DIALOGUE:
                writer.write(command)
                line = await reader.readline()
                while line[3:4] == b"-":
                    line = await reader.readline()
                if line[:3] != b"%d" % expected:
                    raise DialogueError(f"{line!r} after {command[:20]!r}")
        finally:
            writer.close()


# The servers, each in a process of its own


@contextlib.contextmanager
def child(serve: Any, *given: Any) -> Iterator[Address]:
    """Run `serve` in a process; yields the address that it tells."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, *given), daemon=True)
    process.start()
    theirs.close()  # so that a process that dies before it tells is noticed
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def serve_dns(told: Connection) -> None:
    """The name server: 127.0.0.1 has a verified name, nobody else has one, nobody is listed."""
    dns = FakeDns()
    dns.publish(CLIENT, "A", "127.0.0.1")
    dns.publish(reverse_name("127.0.0.1"), "PTR", CLIENT)
    with DnsServer(dns) as server:
        told.send(server.addresses[0])
        told.poll(None)


class Taker:
    """Takes every message and keeps none."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """The end of DATA."""
        return "250 Taken"


def serve_forgetful(told: Connection) -> None:
    """aiosmtpd without any policy, and without a place to keep mail."""
    serve(told, Taker())


def serve_mailbox(told: Connection, folder: Path) -> None:
    """aiosmtpd without any policy, with a Maildir."""
    serve(told, Mailbox(folder))


def serve(told: Connection, handler: Any) -> None:
    """aiosmtpd with a handler, until it is stopped."""

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(handler, loop=loop), "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname())
        await server.serve_forever()

    asyncio.run(listen())


class Forgetful(Acceptance):
    """Takes every message and keeps none."""

    async def take(self, message: Message) -> None:
        """Forget it."""


def serve_core(told: Connection, config: Path) -> None:
    """The reference MTA with all its policy, and without a place to keep mail."""
    service.Acceptance = Forgetful  # type: ignore[misc]

    async def listen() -> None:
        async with service.serving(settings.read(config, Config)) as running:
            told.send((running.address, running.port))
            await asyncio.Event().wait()

    asyncio.run(listen())


def configured(folder: Path, dns: Address, *, held_back: float = 0.0) -> Path:
    """A configuration of the reference MTA in a folder of its own.

    With `held_back` clients say their address by PROXY, and those without a name wait so many seconds.
    """
    folder.mkdir()
    config = folder / "mta.toml"
    config.write_text(
        CONFIGURATION.format(
            proxy="true" if held_back else "false",
            delay=held_back,
            state=folder / "state",
            dns=f"{dns[0]}:{dns[1]}",
        ),
        "utf-8",
    )
    return config


@contextlib.contextmanager
def reference(folder: Path, dns: Address, *, held_back: float = 0.0) -> Iterator[tuple[Address, Any]]:
    """The reference MTA; yields its address and its process, whose pipes are the control channel."""
    config = configured(folder, dns, held_back=held_back)
    command = [sys.executable, "-m", "harness.reference_mta", str(config), "--control"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = json.loads(process.stdout.readline() if process.stdout else "")
            yield (ready["address"], ready["port"]), process
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
