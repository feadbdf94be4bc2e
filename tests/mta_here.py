"""The reference MTA on a thread of this process, which starts sooner than a process of its own."""

import asyncio
import base64
import contextlib
import functools
import logging
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fake_dns import DnsServer, FakeDns
from harness import settings
from harness.reference_mta import decisions
from harness.reference_mta.config import Config
from harness.reference_mta.decisions import Decision
from harness.reference_mta.defects import Mutant, find
from harness.reference_mta.passwords import hash_password
from harness.reference_mta.reached import Reached
from harness.reference_mta.service import serving
from tests.mta_process import (
    CONFIGURATION,
    FROM,
    MESSAGE,
    NAME,
    PASSWORD,
    PATIENCE,
    TO,
    Client,
    connected,
    world,
)


@contextlib.contextmanager
def serving_here(
    config: Config, mutant: Mutant | None, reached: Reached | None = None
) -> Iterator[tuple[str, int]]:
    """The address of a server that runs as long as the context lasts; in `reached` it notes its parts."""
    with serving_at(config, mutant, reached) as addresses:
        yield addresses[0]


@contextlib.contextmanager
def serving_at(
    config: Config, mutant: Mutant | None = None, reached: Reached | None = None
) -> Iterator[list[tuple[str, int]]]:
    """The same with all its addresses, the first one first; raises what kept the server from starting."""
    ready: Future[tuple[list[tuple[str, int]], Callable[[], object]]] = Future()

    async def serve() -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        try:
            async with serving(config, [mutant] if mutant else [], reached) as service:
                addresses = [(service.address, service.port), *service.further]
                ready.set_result((addresses, functools.partial(loop.call_soon_threadsafe, stopped.set)))
                await stopped.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(asyncio.run, serve())
        addresses, stop = ready.result()
        try:
            yield addresses
        finally:
            stop()
            running.result(PATIENCE)


class Decisions(logging.Handler):
    """What the servers of this process decide, in order."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.made: list[Decision] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.made.append(record.decision)  # type: ignore[attr-defined]


@contextlib.contextmanager
def decided() -> Iterator[list[Decision]]:
    """The decisions that are made while the context lasts; who has a reply finds its decision there."""
    heard, before = Decisions(), decisions.log.level
    decisions.log.addHandler(heard)
    decisions.log.setLevel(logging.INFO)
    try:
        yield heard.made
    finally:
        decisions.log.setLevel(before)
        decisions.log.removeHandler(heard)


@dataclass(frozen=True)
class Spoken:
    """A server on a thread, its name server, what it keeps and what it decides."""

    address: tuple[str, int]
    dns: FakeDns
    state: Path
    decisions: list[Decision] = field(default_factory=list)
    further: tuple[tuple[str, int], ...] = ()

    @property
    def held(self) -> float:
        """The seconds for which it meant to hold its last reply back."""
        return self.decisions[-1].delay

    def connect(self, client: str, *, further: int = -1) -> contextlib.AbstractContextManager[Client]:
        """A connection of that client, by PROXY, to the first address or to one of the further ones."""
        return connected(self.address if further < 0 else self.further[further], client)

    def play(self, client: str, **words: str) -> dict[str, str]:
        """One dialogue of that client; see `play`."""
        with self.connect(client) as connection:
            return play(connection, **words)

    def mail(self, mailbox: str) -> list[str]:
        """The messages of a mailbox."""
        files = sorted((self.state / "mail" / mailbox / "new").glob("*"))
        return [file.read_text("utf-8") for file in files]


def configured(
    folder: Path, tables: str = "", *, without: str = "", dns: tuple[str, int] = ("127.0.0.1", 9)
) -> Config:
    """The configuration of `mta_process` with more tables, or others in place of its own; one is left out."""
    content = CONFIGURATION.format(
        proxy="true",
        delay=0,
        idle=60,
        size=70000,
        relayed="203.0.113.0/24",
        greylist="",
        state=folder / "state",
        dns=f"{dns[0]}:{dns[1]}",
        hash=hash_password(PASSWORD, cost=16),
    )
    merged = _merged(tomllib.loads(content), tomllib.loads(tables))
    merged.pop(without, None)
    return settings.check(folder / "mta.toml", merged, Config)


@contextlib.contextmanager
def speaking(folder: Path, tables: str = "", *, without: str = "", mutant: str = "") -> Iterator[Spoken]:
    """A server of that dialect; it asks a name server that comes with it, see `mta_process.world`."""
    dns = world()
    with DnsServer(dns) as server, decided() as made:
        config = configured(folder, tables, without=without, dns=server.addresses[0])
        with serving_at(config, find(mutant) if mutant else None) as addresses:
            yield Spoken(addresses[0], dns, config.server.state, made, tuple(addresses[1:]))


def play(client: Client, *, helo: str = f"EHLO {NAME}", **words: str) -> dict[str, str]:
    """The reply to each command of a dialogue, which goes on until one is refused; "end" is that of DATA."""
    heard = {"banner": client.reply()}
    if heard["banner"].startswith("2"):
        heard["helo"] = client.say(helo)
    return heard | send(client, **words) if heard.get("helo", "").startswith("2") else heard


def send(
    client: Client, *, sender: str = FROM, recipient: str = TO, content: str = MESSAGE.decode()
) -> dict[str, str]:
    """The same for a client that has greeted."""
    heard: dict[str, str] = {}
    for stage, command in (("mail", sender), ("rcpt", recipient), ("data", "DATA")):
        heard[stage] = client.say(command)
        if heard[stage][:1] not in ("2", "3"):
            return heard
    client.send(content.encode() + b".\r\n")
    return heard | {"end": client.reply()}


def log_in(client: Client, state: Path, password: str = PASSWORD) -> str:
    """EHLO, STARTTLS, EHLO, AUTH of a client that has read the banner; the reply to AUTH."""
    assert client.code(f"EHLO {NAME}") == 250
    client.start_tls(state / "ca.pem")
    assert client.code(f"EHLO {NAME}") == 250
    return client.say("AUTH PLAIN " + base64.b64encode(f"\0alice\0{password}".encode()).decode())


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Tables are merged, everything else is replaced."""
    both = {
        key: _merged(first[key], second[key])
        for key in first.keys() & second.keys()
        if isinstance(first[key], dict)
    }
    return first | second | both
