"""A small asynchronous stub resolver: one name server, time-outs, TCP after truncation (RFC 1035, 7766)."""

import asyncio
import logging
import secrets
import socket
import struct
from dataclasses import dataclass
from enum import Enum

from harness.reference_mta import dnswire
from harness.reference_mta.dnswire import Response, Type, WireError
from harness.settings.hosts import endpoint_text

NOERROR, NXDOMAIN = 0, 3
IDS_AT_ONCE = 256
RECEIVE_BUFFER = 1 << 20  # octets, asked of the system: an answer that is lost costs its question a time-out
MOST_UNDER_WAY = 1 << 15  # questions at a time; half of all ids, so that a free one is soon found
log = logging.getLogger(__name__)


class Lookup(Enum):
    """What a question came to."""

    FOUND = "found"
    NOTHING = "no such name or no such record"
    FAILED = "no usable answer"


@dataclass(frozen=True)
class Answer:
    """The records of the asked type, as text in master-file form without final dots."""

    lookup: Lookup
    values: tuple[str, ...] = ()


NOTHING = Answer(Lookup.NOTHING)
FAILED = Answer(Lookup.FAILED)


@dataclass(frozen=True)
class _Question:
    wire: bytes
    type: Type
    answered: asyncio.Future[Response]


class _Ids:
    """Message ids that nobody can guess; the system is asked for many at once, which is what costs."""

    def __init__(self) -> None:
        self._left: list[int] = []

    def next(self) -> int:
        """The next id, 0 to 65535."""
        if not self._left:
            self._left = list(struct.unpack(f"{IDS_AT_ONCE}H", secrets.token_bytes(2 * IDS_AT_ONCE)))
        return self._left.pop()


class Resolver(asyncio.DatagramProtocol):
    """Asks one server; answers of others, with a wrong id or to another question are not seen."""

    def __init__(self, server: tuple[str, int], timeout: float, attempts: int) -> None:
        """`timeout` in seconds for one attempt."""
        self._server = server
        self._timeout = timeout
        self._attempts = attempts
        self._under_way: dict[int, _Question] = {}
        self._ids = _Ids()
        self._transport: asyncio.DatagramTransport | None = None
        self._answers = True  # as far as is known

    async def start(self) -> None:
        """Open the socket, on a port that the system chooses."""
        loop = asyncio.get_running_loop()
        # A connected socket: the system lets only this server's datagrams through.
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=self._server)
        ours: socket.socket = self._transport.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)

    def close(self) -> None:
        """Close the socket: whoever asks, or is asking, has no answer, and nothing is said of that."""
        if self._transport:
            self._transport.close()
        self._transport = None
        for asked in self._under_way.values():
            _give_up(asked.answered)

    async def ask(self, name: str, record_type: str) -> Answer:
        """The records of a name; never raises, a name that DNS cannot carry has none."""
        kind = Type[record_type]
        try:
            wire = dnswire.question(name, kind)
        except WireError:
            return NOTHING
        for _ in range(self._attempts):
            try:
                response = await self._by_udp(wire, kind)
                if response.truncated:
                    response = await self._by_tcp(wire, kind)
            except (TimeoutError, OSError, WireError, asyncio.IncompleteReadError):
                continue
            self._answers = True
            return _answer(response)
        if self._answers and self._transport:
            self._answers = False  # told once, until it answers again
            log.warning(
                "the DNS server at %s does not answer; lookups fail until it does",
                endpoint_text(*self._server),
            )
        return FAILED

    def datagram_received(self, data: bytes, addr: object) -> None:
        """An answer, or something that looks like one; a bad one does not end the wait for a good one."""
        try:
            asked = self._under_way.get(dnswire.message_id(data))
            if asked and not asked.answered.done():
                asked.answered.set_result(dnswire.read(data, asked.wire, asked.type))
        except WireError:
            return

    def error_received(self, exc: Exception) -> None:
        """The server's port is closed: the questions under way learn it at once."""
        for asked in self._under_way.values():
            if not asked.answered.done():
                asked.answered.set_exception(exc)

    async def _by_udp(self, wire: bytes, kind: Type) -> Response:
        if self._transport is None or len(self._under_way) >= MOST_UNDER_WAY:
            raise OSError("the resolver is not started, or has too many questions under way")
        number = self._ids.next()
        while number in self._under_way:
            number = self._ids.next()
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Response] = loop.create_future()
        self._under_way[number] = _Question(wire, kind, answered)
        # A timer is a third of the cost of asyncio.timeout(), which counts at a dozen questions a session.
        timer = loop.call_later(self._timeout, _give_up, answered)
        try:
            self._transport.sendto(dnswire.query(number, wire))
            return await answered
        finally:
            timer.cancel()
            del self._under_way[number]

    async def _by_tcp(self, wire: bytes, kind: Type) -> Response:
        number = self._ids.next()
        async with asyncio.timeout(self._timeout):
            reader, writer = await asyncio.open_connection(*self._server)
            try:
                packet = dnswire.query(number, wire)
                writer.write(len(packet).to_bytes(2, "big") + packet)
                size = int.from_bytes(await reader.readexactly(2), "big")
                answer = await reader.readexactly(size)
            finally:
                writer.close()
        if dnswire.message_id(answer) != number:
            raise WireError("the answer has another id")
        return dnswire.read(answer, wire, kind)


def _give_up(answered: asyncio.Future[Response]) -> None:
    if not answered.done():
        answered.set_exception(TimeoutError())


def _answer(response: Response) -> Answer:
    if response.code == NXDOMAIN:
        return NOTHING
    if response.code != NOERROR:
        return FAILED
    return Answer(Lookup.FOUND, response.values) if response.values else NOTHING
