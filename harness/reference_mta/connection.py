"""One connection of the reference MTA: the protocol's core, its dialogue, and what bounds both."""

import asyncio
import logging
import ssl
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from aiosmtpd.proxy_protocol import V2_CMD, get_proxy

from harness.reference_mta.config import Config
from harness.reference_mta.dialogue import Dialogue, Site
from harness.reference_mta.protocol.driver import Driver, Patience
from harness.reference_mta.protocol.events import Connected, Event
from harness.reference_mta.protocol.limits import InFlight, Limits
from harness.reference_mta.protocol.machine import Machine
from harness.reference_mta.tables.listener import Listening

PROXY_TIMEOUT = 5.0  # seconds to wait for a PROXY header
LONGEST_PROXY_LINE = 128  # bytes; version 1 allows 107
FULL = "421 4.3.2 Too many connections; please try again later"
CROWD_OF_ONE = "421 4.7.0 Too many connections from you; please try again later"
FAILED = "451 4.3.0 Something went wrong here"
log = logging.getLogger(__name__)


@dataclass
class Crowd:
    """The connections that stand, in all and of each client, and the content that they have under way."""

    most: int
    most_of_client: int
    in_flight: InFlight
    _all: int = 0
    _of: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config) -> "Crowd":
        """Nobody, and the limits of a configuration."""
        limits = config.limits
        return cls(limits.connections, limits.connections_of_client, InFlight(limits.content_in_flight))

    def enter(self) -> bool:
        """One more connection; whether it may stay."""
        self._all += 1
        return self._all <= self.most

    def meet(self, client: str) -> bool:
        """It is that client's; whether it may stay."""
        self._of[client] = self._of.get(client, 0) + 1
        return self._of[client] <= self.most_of_client

    def leave(self, client: str) -> None:
        """A connection has ended; `client` is empty when it was never known whose it was."""
        self._all -= 1
        if client:
            self._of[client] -= 1
            if not self._of[client]:
                del self._of[client]


class Connection:
    """Answers one client; `driver` is what asyncio talks to."""

    def __init__(self, site: Site, crowd: Crowd, context: ssl.SSLContext, listening: Listening) -> None:
        """For a connection that is about to be made, at one of the ports."""
        config = site.config
        largest = site.policy.session.largest(config)
        limits = Limits(
            content=largest,
            hops=config.limits.hops,
            errors=config.speech.error_limit,
            credentials=config.limits.credentials,
            idle_commands=config.limits.idle_commands,
        )
        self._crowd = crowd
        self._proxied = config.server.proxy_protocol
        self._entered = False
        self._met = ""
        self._refusal = ""
        self._refusal_pause = config.speech.refusal_pause
        self._covered = listening.covered
        self._machine = Machine(limits, crowd.in_flight, site.policy.protocol, covered=self._covered)
        patience = Patience(config.server.idle_timeout, config.limits.message_time)
        self.driver = Driver(self._machine, self, patience, context)
        self._dialogue = Dialogue(site, self.driver, largest, listening)

    async def begin(self, driver: Driver) -> bool:
        """The client is known: by its address, or by a PROXY header, which has to name one.

        Where TLS begins first, one who is too many is hung up on: a reply would cost a handshake.
        """
        self._entered = True
        if not self._crowd.enter():
            self._refusal = FULL
            return not self._covered
        client = await _named_by_proxy(driver) if self._proxied else driver.peer
        if not client:
            return False
        self._dialogue.know(client)
        self._met = self._dialogue.about.client
        if not self._crowd.meet(self._met):
            self._refusal = CROWD_OF_ONE
            return not self._covered
        return True

    async def answer(self, event: Event) -> str:
        """The reply to an event; an error of this server is for its log, and not for the client's eyes."""
        deciding = self._dialogue.deciding
        if event.line:
            deciding.hear(event.line)
        if isinstance(event, Connected) and self._refusal:
            return self._refusal
        reply = await self._answer(event)
        if reply.startswith(("4", "5")):
            await self._dialogue.teller.hold(self._refusal_pause)
        return reply

    async def _answer(self, event: Event) -> str:
        try:
            return await self._dialogue.answer(event)
        except OSError as error:  # the system has something no more for now, or has it broken
            log.error("a command failed: %s", error)
        except Exception as error:  # a defect: one client's trouble, and not everybody's
            log.error("a command failed: %s", type(error).__name__, exc_info=error)
        return FAILED

    def told(self, reply: str) -> None:
        """For the log."""
        self._dialogue.deciding.told(reply)

    def covered(self) -> None:
        """TLS has begun: what was told in clear text is forgotten (RFC 3207 §4.2)."""
        if self._dialogue.forget_clear_text():
            return
        self._machine.recall()

    def gone(self) -> None:
        """Its place is free again."""
        if self._entered:
            self._crowd.leave(self._met)


class _Header:
    """A PROXY header as its parser reads it."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def read(self, n: int = 1) -> bytes:
        """So many bytes."""
        return await self._driver.take_early(n)

    async def readexactly(self, n: int) -> bytes:
        """So many bytes."""
        return await self._driver.take_early(n)

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """A line, or what would be too long for one."""
        line = bytearray()
        while not line.endswith(separator) and len(line) < LONGEST_PROXY_LINE:
            line += await self._driver.take_early(1)
        return bytes(line)


async def _named_by_proxy(driver: Driver) -> str:
    """The client that a PROXY header names; empty where it names none."""
    try:
        async with asyncio.timeout(PROXY_TIMEOUT):
            proxy = await get_proxy(_Header(driver))
    except TimeoutError:
        return ""
    local = proxy.version == 2 and proxy.command == V2_CMD.LOCAL  # then its addresses mean nothing
    named = proxy.valid and not local and isinstance(proxy.src_addr, IPv4Address | IPv6Address)
    return str(proxy.src_addr) if named else ""
