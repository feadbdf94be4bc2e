"""A small mail host that takes what the reference MTA sends, and answers as it is told."""

import contextlib
import dataclasses
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

PATIENCE = 10.0  # seconds in which something that must come comes
USUAL = {
    "GREETING": "220 sink.example ESMTP",
    "EHLO": "250-sink.example\r\n250-SIZE 10000000\r\n250 8BITMIME",
    "HELO": "250 sink.example",
    "MAIL": "250 2.1.0 Fine",
    "RCPT": "250 2.1.5 Fine",
    "DATA": "354 Go on",
    "END": "250 2.0.0 Taken",
    "QUIT": "221 2.0.0 Bye",
}


@dataclass
class Taken:
    """A message that was taken."""

    hello: str = ""
    mail: str = ""  # the whole command
    recipients: list[str] = field(default_factory=list)
    content: bytes = b""
    rcpt: list[str] = field(default_factory=list)  # the whole command of each

    @property
    def sender(self) -> str:
        return self.mail.partition("<")[2].partition(">")[0]


class ReceivingHost(socketserver.ThreadingTCPServer):
    """`replies` maps verbs, GREETING and END to replies, `RCPT someone@x` to one of its own; "" hangs up.

    A session keeps the replies with which it began: what a test sets meanwhile is for the next one.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 100

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((address, port), Dialogue)
        self.replies: dict[str, str] = {}
        self.taken: list[Taken] = []
        self.sessions: list[float] = []  # when each began, monotonic
        self.changed = threading.Condition()
        self.port: int = self.server_address[1]

    def wait(self, messages: int = 0, sessions: int = 0) -> None:
        """Until it has taken so many messages and has met so many sessions."""
        with self.changed:
            came = self.changed.wait_for(
                lambda: len(self.taken) >= messages and len(self.sessions) >= sessions, PATIENCE
            )
        assert came, (self.taken, self.sessions)

    def note(self, taken: Taken | None = None) -> None:
        with self.changed:
            if taken:
                self.taken.append(taken)
            else:
                self.sessions.append(time.monotonic())
            self.changed.notify_all()


class Dialogue(socketserver.StreamRequestHandler):
    """One session."""

    server: ReceivingHost

    def handle(self) -> None:
        self._replies = USUAL | self.server.replies
        self.server.note()
        self._verb = "GREETING"
        taken = Taken()
        with contextlib.suppress(ConnectionError):
            self._say("GREETING")
            while line := self.rfile.readline():
                self._command(line.decode().rstrip("\r\n"), taken)

    def _command(self, line: str, taken: Taken) -> None:
        verb = line[:4].upper()
        if verb == "BDAT":
            taken.content = self.rfile.read(int(line.split()[1]))
            if self._say("END") == "2":
                self.server.note(dataclasses.replace(taken))
            return
        code = self._say(verb, line)
        if verb in ("EHLO", "HELO"):
            taken.hello = line
        elif verb == "MAIL":
            taken.mail, taken.recipients, taken.rcpt = line, [], []
        elif verb == "RCPT" and code == "2":
            taken.recipients.append(line.partition("<")[2].rpartition(">")[0])
            taken.rcpt.append(line)
        elif verb == "DATA" and code == "3":
            lines = iter(self._line, b".\r\n")
            content = b"".join(each[each.startswith(b".") :] for each in lines)
            if self._replies["END"].startswith("2"):
                whole = Taken(taken.hello, taken.mail, list(taken.recipients), content, list(taken.rcpt))
                self.server.note(whole)
            self._say("END")

    def _line(self) -> bytes:
        line = self.rfile.readline()
        if not line:
            raise ConnectionAbortedError
        return line

    def _say(self, verb: str, line: str = "") -> str:
        address = line.partition("<")[2].rpartition(">")[0]
        reply = self._replies.get(f"{verb} {address}", self._replies.get(verb, "500 5.5.1 What?"))
        if not reply:
            raise ConnectionAbortedError
        self.wfile.write(f"{reply}\r\n".encode())
        return reply[:1]


@contextlib.contextmanager
def receiving(address: str = "127.0.0.1", port: int = 0) -> Iterator[ReceivingHost]:
    """A host that listens as long as the context lasts."""
    with ReceivingHost(address, port) as host:
        threading.Thread(target=host.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield host
        finally:
            host.shutdown()
