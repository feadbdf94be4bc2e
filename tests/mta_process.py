"""Starts the reference MTA in a process of its own, beside a scripted name server, and talks to it."""

import contextlib
import json
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fake_dns import DnsServer, FakeDns, listing_name, reverse_name
from harness.reference_mta.passwords import hash_password

PATIENCE = 10.0  # seconds for a reply that must come
STRANGER = "192.0.2.7"  # has a verified name
LISTED_ONCE = "192.0.2.10"
LISTED_TWICE = "192.0.2.11"
NAMELESS = "192.0.2.99"
WHITELISTED = "198.51.100.5"  # by its host name: never greylisted
TRUSTED = "203.0.113.5"
NAME = "mx.client.example"
PASSWORD = "open sesame"  # of alice
FROM = "MAIL FROM:<sender@client.example>"
TO = "RCPT TO:<alice@castle.example>"
MESSAGE = b"From: <sender@client.example>\r\nSubject: test\r\n\r\nA line.\r\n"
READY = re.compile(r'(?:"address": "| on )([\d.]+)(?:", "port": |:)(\d+)')  # as JSON and in words
CONFIGURATION = """
[server]
hostname = "mail.castle.example"
port = 0
proxy_protocol = {proxy}
delay = {delay}
max_recipients = 20
size_limit = {size}
idle_timeout = {idle}
state = "{state}"

[dns]
server = "{dns}"
timeout = 1
attempts = 1

[relay]
from_hosts = ["{relayed}"]

[[domain]]
name = "castle.example"
users = ["alice", "bruno", "postmaster"]
bounce_recipients = ["alice"]

[[domain]]
name = "attic.example"
catch_all = true

[[dnsbl]]
name = "traps"
zones = ["traps.blocklist.example"]

[[dnsbl]]
name = "reports"
zones = ["reports.blocklist.example"]

[greylist]
whitelist_hosts = ["*.bulkmail.example"]
{greylist}

[auth.users]
alice = "{hash}"
"""


class Client:
    """One connection: lines go out as they are given, replies come back whole."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self._sock.close()

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def reply(self) -> str:
        """The next reply, its lines divided by line feeds; empty when the server has hung up."""
        lines = []
        while True:
            try:
                line = self._file.readline()
            except ConnectionError:
                line = b""
            if not line:
                return ""
            assert line.endswith(b"\r\n"), line
            lines.append(line[:-2].decode("ascii"))
            if lines[-1][3:4] != "-":
                return "\n".join(lines)

    def receive(self) -> bytes:
        """What has come, whatever it is; empty when the server has hung up."""
        try:
            return self._file.read1(65536)
        except ConnectionError:
            return b""

    def end(self) -> None:
        """Nothing more is sent."""
        self._sock.shutdown(socket.SHUT_WR)

    def say(self, line: str) -> str:
        """Send a command and read its reply."""
        self.send(line.encode("utf-8", "surrogateescape") + b"\r\n")
        return self.reply()

    def code(self, line: str) -> int:
        """Send a command; its reply code."""
        return int(self.say(line)[:3])

    def greet(self) -> str:
        """Read the greeting, send EHLO; the reply to it."""
        assert self.reply().startswith("220 ")
        return self.say(f"EHLO {NAME}")

    def start_tls(self, ca_file: Path) -> None:
        """STARTTLS and the handshake; the certificate is verified."""
        assert self.code("STARTTLS") == 220
        self.wrap(ca_file)

    def wrap(self, ca_file: Path) -> None:
        """The handshake alone; raises `ssl.SSLError`."""
        context = ssl.create_default_context(cafile=str(ca_file))
        self._file.close()
        self._sock = context.wrap_socket(self._sock, server_hostname="mail.castle.example")
        self._file = self._sock.makefile("rb")


@contextlib.contextmanager
def connected(address: tuple[str, int], client: str = "") -> Iterator[Client]:
    """A connection to a server; with `client` that address is given in a PROXY header."""
    sock = socket.create_connection(address, timeout=PATIENCE)
    connection = Client(sock)
    try:
        if client:
            family = "TCP6" if ":" in client else "TCP4"
            server = "2001:db8::25" if ":" in client else "192.0.2.25"
            connection.send(f"PROXY {family} {client} {server} 40000 25\r\n".encode())
        yield connection
    finally:
        connection.close()


@dataclass
class RunningMta:
    """The process, where it listens, and what it keeps."""

    process: subprocess.Popen[str]
    address: tuple[str, int]
    state: Path
    dns: FakeDns
    ready: str  # what it said when it was

    def control(self, line: str) -> dict[str, Any]:
        """One line to the control channel; the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request to the control channel; the answer."""
        return self.control(json.dumps(request))

    def connect(self, client: str = "") -> contextlib.AbstractContextManager[Client]:
        """A connection; with `client` that address is given in a PROXY header."""
        return connected(self.address, client)

    def mail(self, folder: str) -> list[bytes]:
        """The messages in a Maildir below the state directory."""
        return [file.read_bytes() for file in sorted((self.state / folder / "new").glob("*"))]


def world() -> FakeDns:
    """Names for the clients above, and two block lists."""
    dns = FakeDns()
    for address, name in (
        (STRANGER, NAME),
        (LISTED_ONCE, "once.client.example"),
        (LISTED_TWICE, "twice.client.example"),
        (WHITELISTED, "out.bulkmail.example"),
        (TRUSTED, "queue_commands.castle.example"),
        ("127.0.0.1", "localhost"),
        ("2001:db8::7", "six.client.example"),
    ):
        dns.publish(name, "AAAA" if ":" in address else "A", address)
        dns.publish(reverse_name(address), "PTR", name)
    for address, zones in ((LISTED_ONCE, ["traps"]), (LISTED_TWICE, ["traps", "reports"])):
        for zone in zones:
            name = listing_name(address, f"{zone}.blocklist.example")
            dns.publish(name, "A", "127.0.0.2")
            dns.publish(name, "TXT", "Spam\r\nX-Injected: yes\r\n.\r\n250 ok\x00é")
    return dns


@contextlib.contextmanager
def running_mta(
    folder: Path,
    *,
    proxy: bool = True,
    delay: float = 0.0,
    idle: float = 60.0,
    mutation: str = "",
    resolver: tuple[str, int] | None = None,
    relayed: str = "203.0.113.0/24",
    extra: str = "",
    greylist: str = "",
    size: int = 70000,
    steered: bool = True,
    options: Sequence[str] = (),
    hosts: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[RunningMta]:
    """The MTA, `steered` by `--control` or as users start it, with these `options`; it ends with the context.

    Its state is below `folder`. It asks a name server that comes with it, unless there is another `resolver`;
    it relays for one network; `extra` is more of its configuration, `greylist` of the table of that name.
    What is left in its queue it sends at once; `hosts` have their addresses by then.
    """
    dns = world()
    for name, address in hosts.items():
        dns.publish(name, "A", address)
    with DnsServer(dns) as server:
        host, port = resolver or server.addresses[0]
        content = CONFIGURATION.format(
            proxy=str(proxy).lower(),
            delay=delay,
            idle=idle,
            size=size,
            relayed=relayed,
            greylist=greylist,
            state=folder / "state",
            dns=f"{host}:{port}",
            hash=hash_password(PASSWORD, cost=16),
        )
        config = folder / "mta.toml"
        config.write_text(
            content + extra + (f'[mutation]\nnames = ["{mutation}"]\n' if mutation else ""), "utf-8"
        )
        command = [sys.executable, "-m", "harness.reference_mta", str(config)]
        command += ["--control"] if steered else list(options)
        with (
            (folder / "mta.log").open("w") as log,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            ) as process,
        ):
            try:
                assert process.stdout is not None
                ready = process.stdout.readline()
                where = READY.search(ready)
                assert where, ready + (folder / "mta.log").read_text("utf-8")
                yield RunningMta(process, (where[1], int(where[2])), folder / "state", dns, ready)
            finally:
                process.terminate()
