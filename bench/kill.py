"""Kills the reference MTA with SIGKILL at random points under load: what got its 250 must arrive.

    python -m bench.kill --kills 300 [--seed 7]

Several clients hand in mail for a mailbox here, for another host, and for both. The server is killed and
started again; at the end it may finish its queue. A message that was acknowledged and is nowhere is lost, and
that must not happen. One that came twice is counted: a server that dies before it has noted a success sends
it again.
"""

import argparse
import asyncio
import multiprocessing
import random
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from fake_dns import DnsServer, FakeDns, reverse_name
from harness import settings
from harness.reference_mta.config import Config
from harness.reference_mta.mail.queue_commands import QueueCommands
from harness.reference_mta.service import serving
from tests.mta_process import connected
from tests.receiving_host import ReceivingHost, receiving

LONGEST_LIFE = 0.3  # seconds of a server, counted from when it listens, or from when it is started
STILLBORN = 0.25  # share of those that are killed by the latter count
START_WITHIN = 20.0  # seconds
CLIENTS = 6
FINISH_WITHIN = 60.0  # seconds for the queue at the end
CLIENT = "203.0.113.5"
LOCAL, REMOTE = "alice@castle.example", "friend@elsewhere.example"
CONFIGURATION = """
[server]
hostname = "mail.castle.example"
port = {port}
proxy_protocol = true
delay = 0
state = "{state}"

[dns]
server = "{dns}"

[relay]
from_hosts = ["203.0.113.0/24"]

[outgoing]
route = "mx"
port = {sink}
interval = 0.2

[[domain]]
name = "castle.example"
users = ["alice"]
"""
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["harness.reference_mta.service"])


@dataclass
class Tally:
    """What was acknowledged to clients, and where it turned up; tokens of messages."""

    acknowledged: dict[str, tuple[str, ...]] = field(default_factory=dict)  # token: recipients
    kept: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    seconds: float = 0.0

    @property
    def lost(self) -> list[str]:
        """Acknowledged copies that are nowhere."""
        return [
            f"{token} to {recipient}"
            for token, recipients in self.acknowledged.items()
            for recipient in recipients
            if not (self.kept if recipient == LOCAL else self.sent)[token]
        ]

    @property
    def duplicates(self) -> int:
        """Copies beyond the first."""
        return sum(times - 1 for found in (self.kept, self.sent) for times in found.values())

    @property
    def unheard(self) -> int:
        """Copies that arrived though the client never got its 250."""
        return sum(token not in self.acknowledged for found in (self.kept, self.sent) for token in found)

    def __str__(self) -> str:
        """The figures."""
        copies = sum(map(len, self.acknowledged.values()))
        return (
            f"{self.kills} kills in {self.seconds:.1f} s: {len(self.acknowledged)} messages acknowledged "
            f"({copies} copies), {len(self.lost)} lost, {self.duplicates} duplicates, "
            f"{self.unheard} copies of messages whose 250 was never heard"
        )


def run(folder: Path, kills: int, seed: int) -> Tally:
    """Kill a server so many times; its state is below `folder`."""
    dns = FakeDns()
    dns.publish(reverse_name(CLIENT), "PTR", "queue_commands.castle.example")
    dns.publish("queue_commands.castle.example", "A", CLIENT)
    dns.publish("elsewhere.example", "MX", "10 sink.example")
    dns.publish("sink.example", "A", "127.0.0.1")
    with DnsServer(dns) as server, receiving() as sink:
        host, port = server.addresses[0]
        fill = {"state": folder / "state", "dns": f"{host}:{port}", "sink": sink.port}
        return _Run(folder / "mta.toml", fill, sink, random.Random(seed)).run(kills)


class _Run:
    def __init__(
        self, config: Path, fill: dict[str, object], sink: ReceivingHost, chance: random.Random
    ) -> None:
        self._config, self._fill, self._sink, self._chance = config, fill, sink, chance
        self._tally = Tally()
        self._over = threading.Event()
        self._port = 0
        self._state = Path(str(fill["state"]))

    def run(self, kills: int) -> Tally:
        clients = [
            threading.Thread(target=self._hand_in, args=(random.Random(self._chance.random()),))
            for _ in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        began = time.monotonic()
        for _ in range(kills):
            process, ready = self._start()
            if not self._port or self._chance.random() > STILLBORN:
                self._port = _heard(ready)
            time.sleep(self._chance.uniform(0, LONGEST_LIFE))  # the point in time is what is tested
            process.kill()
            process.join()
            self._tally.kills += 1
        self._tally.seconds = time.monotonic() - began
        self._over.set()
        for client in clients:
            client.join()
        process, _ = self._start()
        try:
            self._count()
        finally:
            process.kill()
            process.join()
        return self._tally

    def _start(self) -> tuple[multiprocessing.context.ForkServerProcess, Connection]:
        self._config.write_text(CONFIGURATION.format(port=self._port, **self._fill), "utf-8")
        here, there = _forks.Pipe()
        process = _forks.Process(target=serve, args=(self._config, there))
        process.start()
        there.close()
        return process, here

    def _hand_in(self, chance: random.Random) -> None:
        """One client: message after message, on a new connection whenever the server has died."""
        while not self._over.is_set():
            try:
                with connected(("127.0.0.1", self._port), CLIENT) as client:
                    if not client.greet().startswith("250"):
                        continue
                    while not self._over.is_set():
                        token = f"t{chance.getrandbits(64):016x}"
                        recipients = chance.choice([(LOCAL,), (REMOTE,), (LOCAL, REMOTE)])
                        lines = ["MAIL FROM:<bruno@castle.example>"]
                        lines += [*(f"RCPT TO:<{recipient}>" for recipient in recipients), "DATA"]
                        if not all(client.say(line)[:1] in ("2", "3") for line in lines):
                            break
                        client.send(
                            f"Subject: {token}\r\n\r\n{'x' * chance.randrange(3000)}\r\n.\r\n".encode()
                        )
                        if not client.reply().startswith("250"):
                            break
                        self._tally.acknowledged[token] = recipients
            except (OSError, ValueError, AssertionError):  # it died amid a line, or is not there yet
                time.sleep(0.005)

    def _count(self) -> None:
        """Let the server finish what it has, and see what is where."""
        deadline = time.monotonic() + FINISH_WITHIN
        while QueueCommands(self._state).entries() and time.monotonic() < deadline:
            time.sleep(0.1)
        self._tally.sent = Counter(_token(taken.content) for taken in list(self._sink.taken))
        new = self._state / "mail" / LOCAL / "new"
        self._tally.kept = Counter(_token(file.read_bytes()) for file in new.iterdir())


def serve(config: Path, ready: Connection) -> None:
    """The server, in a process of its own, until it is killed."""

    async def serve_on() -> None:
        async with serving(settings.read(config, Config)) as service:
            ready.send(service.port)
            await asyncio.Event().wait()

    asyncio.run(serve_on())


def _heard(ready: Connection) -> int:
    if not ready.poll(START_WITHIN):
        raise TimeoutError("the server did not start; its output says why")
    port: int = ready.recv()
    return port


def _token(content: bytes) -> str:
    return content.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode("ascii")


def main() -> int:
    """Print the figures; the exit status is 1 when a message was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="smtp-kill-") as folder:
        tally = run(Path(folder), options.kills, options.seed)
    print(tally)
    for lost in tally.lost:
        print(f"  lost: {lost}")
    return 1 if tally.lost or not tally.acknowledged else 0


if __name__ == "__main__":
    sys.exit(main())
