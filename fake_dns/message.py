"""The wire format of queries and replies (RFC 1035 section 4, EDNS RFC 6891): octets to facts and back."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from fake_dns.names import MAX_LABEL, MAX_NAME, ROOT, Name, lineage
from fake_dns.records import Record
from fake_dns.rrtypes import OPT

HEADER = 12  # octets
MAX_UDP = 4096  # octets of the largest reply over UDP, whatever a client offers
MAX_TCP = 65535  # octets
MAX_RECORDS = (
    MAX_TCP // 11
)  # of the smallest: an owner of one octet, ten of type, class, TTL and length, no data
CLASSIC_UDP = 512  # octets of a reply over UDP to a client without EDNS
OFFERED_UDP = 1232  # octets of a query that we offer to take, the common choice that is never fragmented

QR, AA, TC, RD, RA, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
_OPCODE = 0x7800
_DO = 0x8000


class Rcode(IntEnum):
    """Reply codes (RFC 6895 section 2.3)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    YXDOMAIN = 6
    BADVERS = 16


@dataclass(frozen=True, slots=True)
class Edns:
    """The OPT record of a query: UDP payload `size` in octets, `version`, and whether DO is set."""

    size: int
    version: int
    do: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A query that could be read. `question` is as it was asked, letter case included; `name` is the key."""

    flags: int
    question: bytes
    name: Name
    type: int
    qclass: int
    edns: Edns | None


class UnreadableError(Exception):
    """A packet that is no readable query."""


def is_query(packet: bytes) -> bool:
    """Whether a packet has a header that asks; all else gets no answer, lest two servers chat forever."""
    return len(packet) >= HEADER and not packet[2] & 0x80


def opcode(packet: bytes) -> int:
    """What kind of request a packet with a header is: 0 for a standard query, the only kind served here."""
    return (packet[2] & _OPCODE >> 8) >> 3


def parse_query(packet: bytes) -> Query:
    """Read a packet for which `is_query` holds; raises `UnreadableError`."""
    flags, questions, answers, authorities, additional = struct.unpack_from("!HHHHH", packet, 2)
    if questions != 1:  # RFC 9619
        raise UnreadableError(f"{questions} questions")
    end = _question_name_end(packet)
    if len(packet) < end + 4:
        raise UnreadableError("the question is cut off")
    record_type, qclass = struct.unpack_from("!HH", packet, end)
    edns = _find_edns(packet, end + 4, answers + authorities, additional)
    name = packet[HEADER:end].lower()
    return Query(flags, packet[HEADER : end + 4], name, record_type, qclass, edns)


def error_reply(packet: bytes, rcode: Rcode) -> bytes:
    """A reply to what cannot be read, without the id: a bare header."""
    (flags,) = struct.unpack_from("!H", packet, 2)
    return struct.pack("!HHHHH", QR | flags & (_OPCODE | RD) | rcode, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Sections:
    """What a reply says, before it is octets: records with their owners."""

    rcode: Rcode
    answer: tuple[tuple[Name, Record], ...] = ()
    authority: tuple[tuple[Name, Record], ...] = ()
    flags: int = AA | RA


def compose(query: Query, sections: Sections, limit: int, *, edns: bool = True) -> tuple[bytes, bool]:
    """A reply without the id, and whether it had to be truncated to `limit` octets (id included).

    Truncation leaves no record behind (RFC 2181 section 9), so nobody can take a part for the whole.
    """
    opt = _opt(query.edns, sections.rcode) if edns and query.edns else b""
    flags = QR | query.flags & (_OPCODE | RD | CD) | sections.flags | sections.rcode & 0xF
    room = limit - HEADER - len(query.question) - len(opt)
    body = _body(sections.answer + sections.authority, _places(query.name), room)
    counts = (len(sections.answer), len(sections.authority))
    if body is None:
        flags, counts = flags | TC, (0, 0)
    header = struct.pack("!HHHHH", flags, 1, *counts, 1 if opt else 0)
    return header + query.question + (body or b"") + opt, body is None


def _body(records: Iterable[tuple[Name, Record]], places: dict[Name, bytes], room: int) -> bytes | None:
    """The records on the wire; `None` as soon as they need more than `room` octets."""
    parts = []
    for owner, record in records:
        parts.append(_record(owner, record, places))
        room -= len(parts[-1])
        if room < 0:
            return None
    return b"".join(parts) if room >= 0 else None


def _question_name_end(packet: bytes) -> int:
    position = HEADER
    try:
        while length := packet[position]:
            if length > MAX_LABEL:  # also a compression pointer, which has nothing to point back to
                raise UnreadableError("a label of the question is malformed")
            position += 1 + length
    except IndexError:
        raise UnreadableError("the question is cut off") from None
    if position + 1 - HEADER > MAX_NAME:
        raise UnreadableError("the name asked for is too long")
    return position + 1


def _find_edns(packet: bytes, position: int, before: int, additional: int) -> Edns | None:
    """The OPT record among the additional ones; the records before them are skipped."""
    found: Edns | None = None
    for number in range(before + additional):
        start = position
        position = _skip_name(packet, position)
        if len(packet) < position + 10:
            raise UnreadableError("a record is cut off")
        record_type, size, _, version, flags, length = struct.unpack_from("!HHBBHH", packet, position)
        position += 10 + length
        if len(packet) < position:
            raise UnreadableError("a record is cut off")
        if record_type == OPT:  # RFC 6891 section 6.1.1: one, owned by the root, in the additional section
            if found or number < before or packet[start]:
                raise UnreadableError("a stray OPT record")
            found = Edns(size, version, bool(flags & _DO))
    return found


def _skip_name(packet: bytes, position: int) -> int:
    """Where a name ends that may end in a compression pointer; the pointer is not followed."""
    try:
        while length := packet[position]:
            if length >= 0xC0:
                return position + 2
            if length > MAX_LABEL:
                raise UnreadableError("a label is malformed")
            position += 1 + length
    except IndexError:
        raise UnreadableError("a name is cut off") from None
    return position + 1


def _places(name: Name) -> dict[Name, bytes]:
    """Compression pointers to the question's name and to all above it (RFC 1035 section 4.1.4)."""
    size = HEADER + len(name)
    return {
        ancestor: struct.pack("!H", 0xC000 | size - len(ancestor))
        for ancestor in lineage(name)
        if ancestor != ROOT
    }


def _record(owner: Name, record: Record, places: dict[Name, bytes]) -> bytes:
    fixed = struct.pack("!HHIH", record.type, 1, record.ttl, len(record.data))
    return places.get(owner, owner) + fixed + record.data


def _opt(edns: Edns, rcode: Rcode) -> bytes:
    flags = _DO if edns.do else 0  # RFC 3225 section 3: copied
    return struct.pack("!BHHBBHH", 0, OPT, OFFERED_UDP, rcode >> 4, 0, flags, 0)


def udp_limit(query: Query) -> int:
    """How large a reply over UDP may be, in octets (RFC 6891 section 6.2.5)."""
    return min(max(query.edns.size, CLASSIC_UDP), MAX_UDP) if query.edns else CLASSIC_UDP
