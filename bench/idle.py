"""Memory of the reference MTA for each of 10,000 clients that wait for their greeting, all at once."""

import asyncio
import contextlib
import os
import resource
import sys
import tempfile
from pathlib import Path

from mta import PATIENCE, Address, child, reference, serve_dns
from table import Row, show

CLIENTS = int(os.environ.get("BENCH_CLIENTS", "10000"))
MOST = 15.0  # kB for each of them
DELAY = 60.0  # seconds, in which all of them have come
SPARE = 500  # descriptors beyond those of the clients


def main() -> int:
    """Print what each takes; the exit status is 1 when it is too much, or one of them was not held back."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, CLIENTS + SPARE), hard))
    with (
        tempfile.TemporaryDirectory(prefix="smtp-bench-") as folder,
        child(serve_dns) as dns,
        reference(Path(folder) / "held", dns, held_back=DELAY) as (address, process),
    ):
        before = resident(process.pid)
        greeted = asyncio.run(all_at_once(address))
        each = (peak(process.pid) - before) / CLIENTS
    print(f"{CLIENTS} clients without a name, all of which wait for the greeting; {greeted} had it early")
    show("memory", [Row("kB for each of them", each, f"≤ {MOST:g}")])
    return 1 if greeted or each > MOST else 0


async def all_at_once(address: Address) -> int:
    """Connect them all, and wait until the first is greeted; how many were before all had come."""
    async with asyncio.timeout(DELAY + PATIENCE), contextlib.AsyncExitStack() as stack:
        readers = []
        for number in range(CLIENTS):
            reader, writer = await asyncio.open_connection(*address)
            stack.callback(writer.close)
            client = f"198.18.{number // 250}.{number % 250 + 1}"
            writer.write(f"PROXY TCP4 {client} 192.0.2.25 40000 25\r\n".encode())
            readers.append(reader)
        greetings = [asyncio.ensure_future(reader.readline()) for reader in readers]
        await asyncio.sleep(0)  # whoever has a line to read reads it
        early = sum(greeting.done() for greeting in greetings)
        await asyncio.wait(greetings, return_when=asyncio.FIRST_COMPLETED)
        for greeting in greetings:
            greeting.cancel()
        return early


def resident(pid: int) -> float:
    """Memory that a process has at the moment, in kB."""
    return _told(pid, "VmRSS")


def peak(pid: int) -> float:
    """The most that it ever had."""
    return _told(pid, "VmHWM")


def _told(pid: int, key: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    sys.exit(main())
