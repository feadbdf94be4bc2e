"""A spamd that says what a test has it say, and remembers what it was asked."""

import contextlib
import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
Answer = Callable[[bytes], bytes | None]


@dataclass
class FakeSpamd:
    """Where it listens, and the requests so far: command line and message."""

    port: int
    asked: list[tuple[bytes, bytes]] = field(default_factory=list)


def verdict(message: bytes) -> bytes:
    """The answer of a SpamAssassin 4 to HEADERS, GTUBE and nothing else being spam."""
    spam = GTUBE in message
    score = b"1000.0" if spam else b"-1.9"
    tests = b"tests=GTUBE,\n\tNO_RELAYS autolearn=no" if spam else b"tests=BAYES_00 autolearn=ham"
    section = (
        b"Received: from localhost by scanner.example\n"
        b"X-Spam-Checker-Version: SpamAssassin 4.0.0 (2022-12-13) on scanner.example\n"
        b"X-Spam-Status: %s, score=%s required=5.0 %s\n\tautolearn_force=no version=4.0.0\n"
        b"Subject: whatever\n\n" % (b"Yes" if spam else b"No", score, tests)
    )
    head = b"SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: %s ; %s / 5.0\r\n\r\n"
    return head % (len(section), b"True" if spam else b"False", score) + section


@contextlib.contextmanager
def fake_spamd(answer: Answer = verdict) -> Iterator[FakeSpamd]:
    """Listens until the context ends; an answer of None is silence."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            command = self.rfile.readline()
            size = 0
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                if found := re.match(rb"(?i)content-length: *(\d+)", line):
                    size = int(found[1])
            message = self.rfile.read(size)
            spamd.asked.append((command, message))
            said = answer(message)
            if said is None:
                self.rfile.read()  # until the client gives up
            else:
                with contextlib.suppress(OSError):  # the client need not hear all of it
                    self.wfile.write(said)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        spamd = FakeSpamd(server.server_address[1])
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield spamd
        finally:
            server.shutdown()


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port
