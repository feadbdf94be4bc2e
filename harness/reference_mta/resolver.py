"""A small asynchronous stub resolver: one name server, time-outs, TCP after truncation (RFC 1035)."""

import asyncio
import secrets
from dataclasses import dataclass
from enum import Enum

from dnslib import QTYPE, RCODE, DNSError, DNSQuestion, DNSRecord
from dnslib.dns import DNSHeader


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


FAILED = Answer(Lookup.FAILED)


class Resolver(asyncio.DatagramProtocol):
    """Asks one server; answers of others, with a wrong id or to another question are not seen."""

    def __init__(self, server: tuple[str, int], timeout: float, attempts: int) -> None:
        """`timeout` in seconds for one attempt."""
        self._server = server
        self._timeout = timeout
        self._attempts = attempts
        self._waiting: dict[tuple[int, str, int], asyncio.Future[DNSRecord]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> None:
        """Open the socket, on a port that the system chooses."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=self._server)

    def close(self) -> None:
        """Close the socket; questions under way time out."""
        if self._transport:
            self._transport.close()

    async def ask(self, name: str, record_type: str) -> Answer:
        """The records of a name; never raises, a name that DNS cannot carry has none."""
        try:
            question = DNSQuestion(name, getattr(QTYPE, record_type))
            packet = DNSRecord(DNSHeader(rd=1), q=question)
            packet.pack()
        except (DNSError, UnicodeError, ValueError):
            return Answer(Lookup.NOTHING)
        for _ in range(self._attempts):
            try:
                async with asyncio.timeout(self._timeout):
                    return _read(await self._exchange(packet), question.qtype)
            except (TimeoutError, OSError, DNSError, asyncio.IncompleteReadError):
                continue
        return FAILED

    def datagram_received(self, data: bytes, addr: object) -> None:
        """An answer, or something that looks like one."""
        try:
            record: DNSRecord = DNSRecord.parse(data)
        except (DNSError, ValueError, IndexError):
            return
        future = self._waiting.get(_key(record)) if record.questions else None
        if future and not future.done():
            future.set_result(record)

    def error_received(self, exc: Exception) -> None:
        """The server's port is closed: the questions under way learn it at once."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(exc)

    async def _exchange(self, packet: DNSRecord) -> DNSRecord:
        if self._transport is None:
            raise OSError("the resolver is not started")
        packet.header.id = secrets.randbelow(1 << 16)
        key = _key(packet)
        future: asyncio.Future[DNSRecord] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        try:
            self._transport.sendto(packet.pack())
            answer = await future
        finally:
            self._waiting.pop(key, None)
        return await self._by_tcp(packet) if answer.header.tc else answer

    async def _by_tcp(self, packet: DNSRecord) -> DNSRecord:
        reader, writer = await asyncio.open_connection(*self._server)
        try:
            data = packet.pack()
            writer.write(len(data).to_bytes(2, "big") + data)
            size = int.from_bytes(await reader.readexactly(2), "big")
            record: DNSRecord = DNSRecord.parse(await reader.readexactly(size))
        finally:
            writer.close()
        if not record.questions or _key(record) != _key(packet):
            raise OSError("the answer is to another question")
        return record


def _key(record: DNSRecord) -> tuple[int, str, int]:
    return (record.header.id, str(record.q.qname).lower(), record.q.qtype)


def _read(record: DNSRecord, wanted: int) -> Answer:
    if record.header.rcode == RCODE.NXDOMAIN:
        return Answer(Lookup.NOTHING)
    if record.header.rcode != RCODE.NOERROR:
        return FAILED
    values = tuple(_text(entry) for entry in record.rr if entry.rtype == wanted)
    return Answer(Lookup.FOUND, values) if values else Answer(Lookup.NOTHING)


def _text(entry: object) -> str:
    data = entry.rdata  # type: ignore[attr-defined]
    if entry.rtype == QTYPE.TXT:  # type: ignore[attr-defined]
        return "".join(part.decode("utf-8", "backslashreplace") for part in data.data)
    return str(data).rstrip(".")
