"""Hostile SMTP dialogues in each direction: nothing lost, memory and descriptors before and after.

    python -m bench.hostile_smtp [DIALOGUES]

First the reference MTA, in a process of its own, gets so many hostile dialogues (100,000 unless told
otherwise): octets that are no command, commands without end, halves of commands, messages that break off, TLS
that is none, resets. After each batch an innocent client must get its message through. Then our own client
meets as many hostile servers: every dialogue must end in a reply or in `SessionEnded`, and in nothing else.
"""

import asyncio
import contextlib
import multiprocessing
import os
import random
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

from fake_dns import DnsServer, FakeDns, reverse_name
from harness import settings
from harness.reference_mta.config import Config
from harness.reference_mta.service import serving
from harness.smtp.endpoint import Endpoint
from harness.smtp.session import Session, SessionEnded
from harness.smtp.transport import Tcp

DIALOGUES = 100_000
BATCH = 100  # hostile dialogues before an innocent one
CLIENTS = 8  # side by side
PATIENCE = 10.0  # seconds for a reply that must come
LET_GO = 90.0  # seconds; a TLS handshake that never comes is awaited for 60
SHORT = 0.2  # seconds that our client waits for a hostile server
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close by RST
SEED = 7
CONFIGURATION = """
[server]
hostname = "mail.castle.example"
port = 0
delay = 0
state = "{state}"

[dns]
server = "{dns}"

[greylist]
whitelist_hosts = ["desk.client.example"]

[[domain]]
name = "castle.example"
users = ["alice"]
"""
WORDS = (
    *(b"EHLO ", b"HELO x", b"MAIL FROM:<", b"RCPT TO:<alice@castle.example>", b"DATA\r\n", b"RSET", b"NOOP"),
    *(b"AUTH PLAIN ", b"STARTTLS\r\n", b"BDAT 9", b"VRFY ", b"QUIT\r\n", b"\r\n", b"\n", b"\r", b"\0"),
    *(b".\r\n", b"\r\n.\r\n", b"\xff\xfe", b"<>", b"@", b"=?", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
    *(b"GET / HTTP/1.1\r\n\r\n", b"%s%n", b"A" * 600, b"A" * 5000),
)
SAYINGS = (
    *(b"220 ", b"220-", b"250 ", b"250-", b"354 ", b"421 ", b"535 ", b"550 ", b"999 ", b"25", b"\r\n", b"\n"),
    *(b"\r", b"\0", b"\x1b[2J", b"\xe2\x80\xae", b"\xff", b"SIZE 99999999999999999999", b"STARTTLS"),
    *(b"AUTH PLAIN", b"-", b" ", b"x" * 700, b"250-x\r\n" * 200),
)
_forks = multiprocessing.get_context("forkserver")


def main() -> int:
    """Print the figures; 1 when an innocent client, a descriptor or a dialogue was lost."""
    dialogues = int(sys.argv[1]) if sys.argv[1:] else DIALOGUES
    return max(against_the_server(dialogues), against_the_client(dialogues))


def against_the_server(dialogues: int) -> int:
    """The reference MTA among hostile clients."""
    dns = FakeDns()
    dns.publish(reverse_name("127.0.0.1"), "PTR", "desk.client.example")
    dns.publish("desk.client.example", "A", "127.0.0.1")
    with tempfile.TemporaryDirectory(prefix="smtp-hostile-") as folder, DnsServer(dns) as server:
        host, port = server.addresses[0]
        config = Path(folder) / "mta.toml"
        config.write_text(CONFIGURATION.format(state=f"{folder}/state", dns=f"{host}:{port}"), "utf-8")
        here, there = _forks.Pipe()
        process = _forks.Process(target=serve, args=(config, there), daemon=True)
        process.start()
        if not here.poll(PATIENCE) or process.pid is None:
            raise TimeoutError("the server did not start")
        mta = ("127.0.0.1", int(here.recv()))
        taken = int(innocent(mta, 0))
        before, began = usage(process.pid), time.monotonic()
        batches = -(-dialogues // BATCH)
        with ThreadPoolExecutor(CLIENTS) as pool:
            taken += sum(pool.map(lambda number: batch(mta, number), range(batches)))
        seconds = time.monotonic() - began
        after = settled(process.pid, before[1])
        kept = len([*(Path(folder) / "state" / "mail" / "alice@castle.example" / "new").iterdir()])
        process.kill()
        process.join()
    print(f"{batches * BATCH:,} hostile dialogues with the reference MTA in {seconds:.0f} s")
    print(f"innocent messages between them: {taken:,} of {batches + 1:,} taken, {kept:,} in the mailbox")
    show(before, after)
    return 0 if taken == kept == batches + 1 and after[1] <= before[1] else 1


def serve(config: Path, ready: Connection) -> None:
    """The server, in a process of its own, until it is killed; what it says of its clients goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    async def serve_on() -> None:
        async with serving(settings.read(config, Config)) as service:
            ready.send(service.port)
            await asyncio.Event().wait()

    asyncio.run(serve_on())


def batch(mta: tuple[str, int], number: int) -> int:
    """Hostile dialogues, and an innocent one; how many of the innocent got through."""
    chance = random.Random(SEED * 1_000_003 + number)
    for _ in range(BATCH):
        with contextlib.suppress(OSError):  # the server may close first, which is its right
            assail(mta, chance)
    return int(innocent(mta, number + 1))


def assail(mta: tuple[str, int], chance: random.Random) -> None:
    """One hostile dialogue, from its connection to its end, whatever that is."""
    with socket.create_connection(mta, timeout=PATIENCE) as client:
        for _ in range(chance.randrange(1, 4)):
            words = [chance.choice(WORDS) for _ in range(chance.randrange(1, 8))]
            client.sendall(b"".join(words) if chance.random() < 0.5 else b"\r\n".join(words))
        if chance.random() < 0.3:
            client.recv(1 << 16)
        if chance.random() < 0.3:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def innocent(mta: tuple[str, int], number: int) -> bool:
    """Whether a message is taken from somebody who is no trouble."""
    with Session(Endpoint(Tcp(*mta)), "127.0.0.1", reply_timeout=PATIENCE) as client:
        codes = [client.open().code]
        lines = (
            "EHLO desk.client.example",
            f"MAIL FROM:<s{number}@client.example>",
            "RCPT TO:<alice@castle.example>",
            "DATA",
        )
        codes += [client.command(line).code for line in lines]
        taken = client.send_content(b"Subject: hello\r\n\r\nHello.\r\n").code if codes[-1] == 354 else 0
        client.quit_politely()
    return taken == 250


def against_the_client(dialogues: int) -> int:
    """Our own client among hostile servers."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    over = threading.Event()
    servers = [
        threading.Thread(target=mislead, args=(listener, number, over)) for number in range(2 * CLIENTS)
    ]
    for server in servers:
        server.start()
    meet(listener.getsockname())
    before, began, ends = usage(os.getpid()), time.monotonic(), Counter[str]()
    with ThreadPoolExecutor(CLIENTS) as pool:
        ends.update(pool.map(lambda _: meet(listener.getsockname()), range(dialogues)))
    seconds = time.monotonic() - began
    over.set()
    for _ in servers:
        with contextlib.suppress(OSError):
            socket.create_connection(listener.getsockname(), timeout=1.0).close()
    for server in servers:
        server.join()
    after = settled(os.getpid(), before[1])
    listener.close()
    strange = {end: times for end, times in ends.items() if end not in ("replies", "SessionEnded")}
    print(f"{dialogues:,} dialogues with hostile servers in {seconds:.0f} s: {dict(ends)}")
    show(before, after)
    return 1 if strange or after[1] > before[1] else 0


def meet(server: tuple[str, int]) -> str:
    """How a dialogue with a hostile server ended."""
    session = Session(Endpoint(Tcp(*server)), "127.0.0.1", reply_timeout=SHORT)
    steps: tuple[Callable[[], object], ...] = (
        session.open,
        lambda: session.command("EHLO mx.client.example"),
        lambda: session.command("MAIL FROM:<s@client.example>"),
        lambda: session.command("RCPT TO:<alice@castle.example>"),
    )
    try:
        for step in steps:
            step()
    except SessionEnded:
        return "SessionEnded"
    except Exception as error:  # noqa: BLE001 - which is what must not happen, and is counted
        return f"{type(error).__name__}: {error}"
    finally:
        session.close()
    return "replies"


def mislead(listener: socket.socket, number: int, over: threading.Event) -> None:
    """Serve whoever comes with whatever comes to mind."""
    chance = random.Random(SEED + number)
    while not over.is_set():
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError):
            client.settimeout(SHORT)
            for _ in range(chance.randrange(5)):
                said = b"".join(chance.choice(SAYINGS) for _ in range(chance.randrange(1, 6)))
                client.sendall(said + (b"\r\n" if chance.random() < 0.8 else b""))
                if chance.random() < 0.7:
                    client.recv(4096)
            if chance.random() < 0.3:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def settled(pid: int, descriptors: int) -> tuple[float, int]:
    """What a process uses when it has let go of all, or has had the time to."""
    deadline = time.monotonic() + LET_GO
    while usage(pid)[1] > descriptors and time.monotonic() < deadline:
        time.sleep(0.1)
    return usage(pid)


def usage(pid: int) -> tuple[float, int]:
    """Resident memory in MiB, and open descriptors."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return memory / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def show(before: tuple[float, int], after: tuple[float, int]) -> None:
    """Memory and descriptors."""
    for title, (memory, descriptors) in (("before", before), ("after", after)):
        print(f"{title:10} {memory:>6.0f} MiB  {descriptors:>4} descriptors", flush=True)


if __name__ == "__main__":
    sys.exit(main())
