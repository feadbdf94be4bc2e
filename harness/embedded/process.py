"""A reference MTA in a process of its own, and its control channel."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from harness.capabilities.queue import Queued
from harness.verdicts import InconclusiveError

STOP_WITHIN = 5.0  # seconds


class EmbeddedError(Exception):
    """The reference MTA did not start or stopped answering; the text has what it said."""


class Process(Protocol):
    """What is needed of a process, such as those of `subprocess`, in text."""

    @property
    def stdin(self) -> IO[str] | None:
        """Where it reads requests."""

    @property
    def stdout(self) -> IO[str] | None:
        """Where it answers."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status; raises `subprocess.TimeoutExpired`."""

    def kill(self) -> None:
        """End it at once."""


@dataclass
class ReferenceMta:
    """A running reference MTA and its control channel; thread-safe.

    `beside` are those that run at the same time, for which the same time passes.
    """

    process: Process
    config: Path
    port: int = 0
    beside: "tuple[ReferenceMta, ...]" = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, **request: Any) -> dict[str, Any]:
        """One control operation; raises `InconclusiveError` when the server cannot do it."""
        with self._lock:
            answer = self._exchange(request)
        if "error" in answer:
            raise InconclusiveError(f"the reference MTA refused {request['op']}: {answer['error']}")
        return answer

    def reached(self) -> dict[str, set[str]]:
        """Which parts of it were reached, each with the names of those on whose behalf; "" for unknown ones.

        Raises `InconclusiveError` where that is not noted.
        """
        found: dict[str, set[str]] = {}
        for mta in (self, *self.beside):
            for part, names in mta.ask(op="reached")["parts"].items():
                found.setdefault(part, set()).update(names)
        return found

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
        for mta in (self, *self.beside):
            mta.ask(op="advance", client=client, seconds=seconds)

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

    def wait_until_ready(self) -> None:
        """It listens; raises `EmbeddedError` when it does not come to that."""
        greeting = self.process.stdout.readline() if self.process.stdout else ""
        try:
            self.port = int(json.loads(greeting)["port"])
        except (ValueError, KeyError):
            self.process.wait(STOP_WITHIN)
            said = log_of(self.config).read_text("utf-8", "replace").strip()[-2000:]
            raise EmbeddedError(f"the reference MTA did not start: {said or greeting}") from None


@dataclass(frozen=True)
class QueueControl:
    """The queue of a running reference MTA."""

    mta: ReferenceMta
    _words: dict[str, str] = field(default_factory=dict)  # by which messages were found, by id

    def entries(self, word: str) -> list[Queued]:
        """The queued messages whose entry mentions a word, such as a recipient's domain."""
        listed = self.mta.ask(op="queue", action="list", about=word)["messages"]
        found = [Queued(entry["id"], entry["frozen"], json.dumps(entry)) for entry in listed]
        found = [one for one in found if word.lower() in one.entry.lower()]
        self._words.update((one.id, word) for one in found)
        return found

    def remove(self, message: str) -> None:
        """Take a message, by its id, off the queue."""
        self._act("remove", message)

    def thaw(self, message: str) -> None:
        """Let a frozen message be tried again."""
        self._act("thaw", message)

    def _act(self, action: str, message: str) -> None:
        self.mta.ask(op="queue", action=action, id=message, about=self._words.get(message, ""))


@dataclass(frozen=True)
class RewriterControl:
    """The sender rewriting of a running reference MTA."""

    mta: ReferenceMta
    domain: str  # that forwards

    def aged(self, sender: str, days: int) -> str:
        """The rewritten form of a sender, so many days old."""
        return str(self.mta.ask(op="srs", sender=sender, domain=self.domain, days=days)["address"])


@contextlib.contextmanager
def running(configs: Sequence[Path], *, note_reached: bool = False) -> Iterator[list[ReferenceMta]]:
    """A reference MTA for each configuration, started side by side; raises `EmbeddedError`."""
    options = ["--note-reached"] if note_reached else []
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(_process(config, options)) for config in configs]
        for one in found:
            one.wait_until_ready()
        yield found


@contextlib.contextmanager
def _process(config: Path, options: Sequence[str]) -> Iterator[ReferenceMta]:
    command = [sys.executable, "-m", "harness.reference_mta", str(config), "--control", *options]
    with log_of(config).open("w") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module by our own interpreter
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            yield ReferenceMta(process, config)
        finally:
            stop(process)


def stop(process: Process) -> None:
    """End a reference MTA by ending its control channel, and by force where that does not do."""
    for stream in (process.stdin, process.stdout):
        if stream:
            with contextlib.suppress(OSError):  # the process may be gone already, which is what is wanted
                stream.close()
    try:
        process.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def log_of(config: Path) -> Path:
    """What a reference MTA with that configuration says beside its control channel."""
    return config.with_suffix(".log")
