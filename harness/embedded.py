"""The embedded server under test: the reference MTA in a process of its own, on loopback."""

import contextlib
import json
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import settings
from harness.profile import Profile
from harness.reference_mta.operator import hash_password
from harness.verdicts import InconclusiveError

PROFILE = Path(__file__).with_name("embedded.toml")
ACCOUNT = "alice"
DNS_TIMEOUT = 0.75  # seconds a question, so that a dead name server costs less than a scenario may last
DNS_ATTEMPTS = 2
HASH_COST = 2**10  # enough for a password that lives as long as a run, and cheap to check
STOP_WITHIN = 5.0  # seconds


class EmbeddedError(Exception):
    """The reference MTA did not start or stopped answering; the text has what it said."""


@dataclass
class ReferenceMta:
    """A running reference MTA and its control channel; thread-safe."""

    process: subprocess.Popen[str]
    port: int
    state: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, **request: Any) -> dict[str, Any]:
        """One control operation; raises `InconclusiveError` when the server cannot do it."""
        with self._lock:
            answer = self._exchange(request)
        if "error" in answer:
            raise InconclusiveError(f"the reference MTA refused {request['op']}: {answer['error']}")
        return answer

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            if self.process.stdin is None or self.process.stdout is None:
                raise BrokenPipeError
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        except (OSError, ValueError) as error:
            raise InconclusiveError("the reference MTA no longer answers on its control channel") from error
        return answer

    def advance(self, client: str, seconds: float) -> None:
        """Move the greylist's clock for one client."""
        self.ask(op="advance", client=client, seconds=seconds)

    def add(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Put a triplet on a list of the greylist."""
        self._change("add", which, client, sender, recipient)

    def remove(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Take a triplet off a list of the greylist."""
        self._change("remove", which, client, sender, recipient)

    def listed(self, which: str, client: str, sender: str, recipient: str) -> bool:
        """Whether a list of the greylist has the triplet."""
        entries = self.ask(op="greylist", action="list", list=which, client=client)["entries"]
        wanted = (client, sender.lower(), recipient.lower())
        return any((entry["client"], entry["sender"], entry["recipient"]) == wanted for entry in entries)

    def cut(self, client: str) -> None:
        """Put the greylist's store out of reach for questions about one client."""
        self.ask(op="outage", client=client, on=True)

    def end(self) -> None:
        """The client that it was cut off for does not come again."""

    @property
    def shared(self) -> bool:
        """Nobody else notices."""
        return False

    def _change(self, action: str, which: str, client: str, sender: str, recipient: str) -> None:
        self.ask(op="greylist", action=action, list=which, client=client, sender=sender, recipient=recipient)


@contextlib.contextmanager
def reference_mta(
    dns: tuple[str, int], callout_port: int, mutants: Sequence[str] = ()
) -> Iterator[tuple[Profile, ReferenceMta]]:
    """Start the reference MTA with the fake DNS at `dns` as its resolver; yields its profile and itself.

    Raises `EmbeddedError` when it does not start.
    """
    content = settings.read_toml(PROFILE)
    password = secrets.token_urlsafe(12)
    with tempfile.TemporaryDirectory(prefix="smtp-harness-") as folder:
        state = Path(folder)
        config = state / "mta.toml"
        config.write_text(
            _toml(_configuration(content, state, dns, callout_port, password, mutants)), "utf-8"
        )
        with _process(config) as (process, port):
            content["server"]["port"] = port
            content["dns"] = {"listen": [f"{dns[0]}:{dns[1]}"]}
            content["auth"] = {"user": ACCOUNT, "password": password}
            content["tls"]["ca_file"] = str(state / "state" / "ca.pem")
            content["mailbox"] = {"maildir": str(state / "state" / "mail" / "{user}@{domain}")}
            profile = settings.check(PROFILE, content, Profile)
            yield profile, ReferenceMta(process, port, state)


@contextlib.contextmanager
def _process(config: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-m", "harness.reference_mta", str(config), "--control"]
    with config.with_name("mta.log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module by our own interpreter
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            greeting = process.stdout.readline() if process.stdout else ""
            try:
                port = int(json.loads(greeting)["port"])
            except (ValueError, KeyError):
                process.wait(STOP_WITHIN)
                said = config.with_name("mta.log").read_text("utf-8", "replace").strip()[-2000:]
                raise EmbeddedError(f"the reference MTA did not start: {said or greeting}") from None
            yield process, port
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream:
            with contextlib.suppress(OSError):  # the process may be gone already, which is what is wanted
                stream.close()
    try:
        process.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _configuration(
    profile: dict[str, Any],
    state: Path,
    dns: tuple[str, int],
    callout_port: int,
    password: str,
    mutants: Sequence[str],
) -> dict[str, Any]:
    host, port = dns
    return {
        "server": {
            "hostname": profile["server"]["hostname"],
            "port": 0,
            "proxy_protocol": True,
            "delay": profile["policy"]["delay"],
            "max_recipients": profile["policy"]["max_recipients"],
            "state": str(state / "state"),
        },
        "dns": {"server": f"{host}:{port}", "timeout": DNS_TIMEOUT, "attempts": DNS_ATTEMPTS},
        "relay": {"from_hosts": ["127.0.0.1", *profile["clients"]["trusted"]]},
        "domain": profile["domain"],
        "dnsbl": profile["dnsbl"],
        "greylist": profile["greylist"],
        "tls": {"names": [profile["server"]["hostname"], profile["tls"]["name"]]},
        "outgoing": {"port": callout_port},
        "auth": {"users": {ACCOUNT: hash_password(password, cost=HASH_COST)}},
        **({"mutation": {"names": list(mutants)}} if mutants else {}),
    }


def _toml(table: dict[str, Any]) -> str:
    """The few kinds of TOML that a configuration needs; JSON's strings, numbers and lists are TOML's too."""
    lines: list[str] = []
    for name, value in table.items():
        entries = value if isinstance(value, list) else [value]
        heading = f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
        for entry in entries:
            lines.append(heading)
            for key, item in entry.items():
                if isinstance(item, dict):
                    inner = ", ".join(f"{json.dumps(sub)} = {json.dumps(text)}" for sub, text in item.items())
                    lines.append(f"{key} = {{ {inner} }}")
                else:
                    lines.append(f"{key} = {json.dumps(item)}")
    return "\n".join(lines) + "\n"
