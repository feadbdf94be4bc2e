"""Hostile packets and clients against the fake DNS: nothing lost, memory and descriptors before and after.

    python bench/dns_abuse.py [PACKETS]

A server in a process of its own gets so many hostile datagrams (a million unless told otherwise), in small
batches; after each batch one honest question must be answered, which also says that all before it were taken
in. In the end the log must have counted every packet. Then come clients over TCP that are silent, send half a
length, pipeline without reading, or reset; and the server must answer at once.
"""

import contextlib
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from fake_dns import DnsServer, FakeDns, Late

PACKETS = 1_000_000
BATCH = 200  # datagrams before an honest question; they fit into the receive buffer
PATIENCE = 10.0  # seconds for an honest answer
SEED = 7
HONEST = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\x03mx7\x02k3\x07example\0\0\1\0\1"
LARGE = HONEST.replace(b"\x03mx7", b"\x03big").replace(b"\0\1\0\1", b"\0\x10\0\1")
LATE = HONEST.replace(b"\x03mx7", b"\x03sad")
FRAMED = len(LARGE).to_bytes(2, "big") + LARGE


def main() -> int:
    """Run it; 1 when a packet or an answer was lost."""
    if sys.argv[1:] == ["serve"]:
        serve()
        return 0
    packets = int(sys.argv[1]) if sys.argv[1:] else PACKETS
    with running() as (process, port):
        before = usage(process.pid)
        started = time.monotonic()
        answered = flood(port, packets)
        seconds = time.monotonic() - started
        after = usage(process.pid)
        waited = besiege(port)
        besieged = usage(process.pid)
        said = process.communicate("end\n", timeout=60)[0].split()
    noted, left = int(said[0]), said[1:]
    honest = -(-packets // BATCH)
    lost = packets + honest + EXTRA - noted
    print(f"{packets:,} hostile datagrams in {seconds:.0f} s")
    print(f"honest questions between them: {answered:,} of {honest:,} answered")
    print(f"noted in the log: {noted:,}; lost: {lost}")
    print(f"an honest TCP question amid 300 clients that do not ask: answered in {waited * 1000:.0f} ms")
    for title, (memory, descriptors) in (("before", before), ("after UDP", after), ("after TCP", besieged)):
        print(f"{title:10} {memory:>6.0f} MiB  {descriptors:>4} descriptors")
    print("warnings of the server:", " ".join(left) or "none")
    return 0 if lost == 0 and answered == honest and besieged[1] <= before[1] else 1


EXTRA = 1  # honest questions over TCP at the end


def serve() -> None:
    """Serve until told to end, then say how many queries over UDP, and from honest clients, were noted."""
    dns = FakeDns()
    dns.zone("k3.example")
    dns.publish("mx7.k3.example", "A", "198.18.0.7")
    dns.publish("big.k3.example", "TXT", "x" * 60_000)
    dns.publish("*.c.k3.example", "CNAME", "a.c.c.k3.example")
    dns.script("sad.k3.example", None, Late(0.05))
    with DnsServer(dns) as server:
        print(server.addresses[0][1], flush=True)
        sys.stdin.readline()
    tcp = sum(entry.transport == "tcp" and entry.name != "mx7.k3.example" for entry in dns.queries())
    print(len(dns.queries()) + dns.dropped - tcp)


@contextlib.contextmanager
def running() -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """The server in a process of its own, and its port."""
    command = [sys.executable, __file__, "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout  # noqa: S101
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def flood(port: int, packets: int) -> int:
    """Send hostile datagrams, and an honest one after each batch; returns how many of those were answered."""
    draw = random.Random(SEED)
    answered = 0
    with connected(port) as hostile, connected(port) as honest:
        hostile.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # replies to it are nobody's
        for first in range(0, packets, BATCH):
            for _ in range(min(BATCH, packets - first)):
                hostile.send(packet(draw))
            honest.send(HONEST)
            answered += honest.recv(4096).endswith(b"\xc6\x12\x00\x07")
    return answered


def connected(port: int) -> socket.socket:
    """A UDP socket that waits with patience."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", port))
    return sock


def packet(draw: random.Random) -> bytes:
    """Noise, a question with an octet changed, a name that nobody asked before, a loop, and such."""
    kind = draw.randrange(8)
    if kind == 0:
        return draw.randbytes(draw.randrange(300))
    if kind == 1:
        at = draw.randrange(len(HONEST))
        return HONEST[:at] + draw.randbytes(1) + HONEST[at + 1 :]
    if kind == 2:
        return HONEST[: draw.randrange(len(HONEST))]
    if kind == 3:
        return HONEST[:12] + b"\x3f" + draw.randbytes(63) + HONEST[12:]
    if kind == 4:
        return HONEST[:6] + draw.randbytes(6) + HONEST[12:] + b"\xc0\x0c" * draw.randrange(40)
    if kind == 5:  # an alias that is a loop
        return (
            HONEST[:12] + b"\x08%08x\x01c" % draw.randrange(1 << 32) + HONEST[16:]
        )  # an alias that is a loop
    if kind == 6:
        return HONEST[:11] + b"\1" + HONEST[12:] + b"\0\0\x29" + draw.randbytes(8)
    return (LARGE, LATE, HONEST[:-3] + b"\xff\0\1", HONEST + draw.randbytes(400))[draw.randrange(4)]


def besiege(port: int) -> float:
    """Clients that do not ask, or do not read; returns how long an honest one waited, in seconds."""
    with contextlib.ExitStack() as clients:
        for number in range(300):
            sock = clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
            with contextlib.suppress(ConnectionError):
                sock.sendall((b"", b"\0", FRAMED[:9], FRAMED * 200)[number % 4])
            if number % 7 == 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        started = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as honest:
            honest.sendall(len(HONEST).to_bytes(2, "big") + HONEST)
            honest.recv(4096)
        waited = time.monotonic() - started
    settled = time.monotonic() + 3 * PATIENCE
    while time.monotonic() < settled and connections(port):
        time.sleep(0.05)
    return waited


def connections(port: int) -> int:
    """Connections that the server has not closed yet: any state but LISTEN and TIME-WAIT."""
    lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    return sum(
        line.split()[1].endswith(f":{port:04X}") and line.split()[3] not in ("0A", "06") for line in lines
    )


def usage(pid: int) -> tuple[float, int]:
    """Resident memory in MiB, and open descriptors."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return memory / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir()))


if __name__ == "__main__":
    sys.exit(main())
