"""From a query's octets to the reply: what is scripted, what is published, and how both look on the wire."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import islice
from typing import TypeAlias

from fake_dns import message
from fake_dns.behaviour import (
    Answer,
    FormErr,
    Lame,
    Late,
    NoAnswer,
    NxDomain,
    Published,
    Refused,
    ServFail,
    Step,
    Truncated,
    WrongId,
)
from fake_dns.message import Query, Rcode, Sections
from fake_dns.names import MAX_NAME, ROOT, Name, name_text
from fake_dns.records import Record, flat, make_record, name_server
from fake_dns.rrtypes import ANY, CNAME, OPT, is_data_type, type_text
from fake_dns.scripts import Due, Scripts
from fake_dns.shown import MAX_SHOWN, shown
from fake_dns.tree import Records

MAX_CHAIN = 16  # aliases followed for one question: CNAME and DNAME records
IN, ANY_CLASS = 1, 255


class Transport(Enum):
    """How a query came."""

    UDP = "udp"
    TCP = "tcp"


@dataclass(frozen=True, slots=True)
class Noted:
    """What the log keeps of a query and its reply.

    `name` is empty where no question could be read; `missing` is the name that the question came to and that
    nobody published; `octets` is about the memory that these texts take.
    """

    name: Name
    type: int
    text: str
    missing: Name | None
    octets: int


@dataclass(frozen=True, slots=True)
class Response:
    """What to do about one query, and what the log says of it: `noted`, which outlives the reply.

    `wire` is the reply without its id, `None` for silence; `delay` in seconds. `lasting` replies are the same
    until something changes. `name` and `missing` are those of `Noted`.
    """

    name: Name
    type: int
    text: str
    wire: bytes | None
    delay: float = 0.0
    wrong_id: bool = False
    missing: Name | None = None
    lasting: bool = True
    noted: Noted = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """The name stands in the log and in its index."""
        octets = sys.getsizeof(self.text) + 2 * len(self.name) + len(self.missing or b"")
        object.__setattr__(self, "noted", Noted(self.name, self.type, self.text, self.missing, octets))

    def packet(self, query_id: bytes) -> bytes | None:
        """The reply to the query with that id (two octets), `None` for silence."""
        if self.wire is None:
            return None
        return (bytes(octet ^ 0xFF for octet in query_id) if self.wrong_id else query_id) + self.wire


_CODES = {ServFail: Rcode.SERVFAIL, Refused: Rcode.REFUSED, FormErr: Rcode.FORMERR}

Owned: TypeAlias = tuple[tuple[Name, Record], ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """Where a question led: the aliases on the way, the `end` of it, and what is published there.

    `records` is `None` when the end does not exist; `due` is the first script met on the way. `overlong`: the
    way would go on to a name that is too long to be one.
    """

    aliases: Owned
    end: Name
    records: tuple[Record, ...] | None
    due: Due | None
    overlong: bool = False


def reply_to(packet: bytes, transport: Transport, records: Records, scripts: Scripts) -> Response:
    """The reply to any octets whatsoever."""
    if not message.is_query(packet):
        return Response(b"", 0, "no answer (not a query)", None)
    if message.opcode(packet):
        return Response(b"", 0, "NOTIMP", message.error_reply(packet, Rcode.NOTIMP))
    try:
        query = message.parse_query(packet)
    except message.UnreadableError as error:
        return Response(b"", 0, f"FORMERR ({error})", message.error_reply(packet, Rcode.FORMERR))
    if (rcode := _refusal(query)) is not Rcode.NOERROR:
        return _written(query, transport, Sections(rcode, flags=message.RA))
    found = _follow(query, records, scripts)
    due = found.due or Due(Published(), lasting=True)
    reply = _perform(due.step, query, transport, found, records)
    return reply if due.lasting else replace(reply, lasting=False)


def _refusal(query: Query) -> Rcode:
    """Why a readable query gets no answer, whatever it asks for; NOERROR when it gets one."""
    if query.edns and query.edns.version:
        return Rcode.BADVERS
    if query.type == OPT:
        return Rcode.FORMERR
    if query.qclass not in (IN, ANY_CLASS):
        return Rcode.REFUSED
    return Rcode.NOERROR if is_data_type(query.type) or query.type == ANY else Rcode.NOTIMP


def _follow(query: Query, records: Records, scripts: Scripts) -> _Found:
    """Walk the aliases to a name that is none, to a name seen before, or to the limit."""
    name, due = query.name, scripts.due(query.name, query.type)
    aliases: list[tuple[Name, Record]] = []
    seen: set[Name] = set()
    while True:
        alias: Record | None
        chosen: tuple[Record, ...]
        if renamed := records.renamed(name):
            aliases.append(renamed)
            alias = _synthesized(name, *renamed)
            if alias is None:
                return _Found(tuple(aliases), name, (), due, overlong=True)
            chosen = (alias,) if query.type in (CNAME, ANY) else ()
        else:
            sets = records.at(name)
            if sets is None:
                return _Found(tuple(aliases), name, None, due)
            published = flat(sets) if query.type == ANY else sets.get(query.type, ())
            chosen = tuple(islice(published, message.MAX_RECORDS + 1))  # one more than any reply can carry
            alias = next(iter(sets[CNAME])) if CNAME in sets else None
        if chosen or alias is None or name in seen or len(seen) == MAX_CHAIN:
            return _Found(tuple(aliases), name, chosen, due)
        seen.add(name)
        aliases.append((name, alias))
        name = alias.data.lower()
        due = due or scripts.due(name, query.type)


def _synthesized(name: Name, owner: Name, dname: Record) -> Record | None:
    """The CNAME that a DNAME means for a name below its owner; `None` where it would be too long.

    (RFC 6672 sections 2.2 and 3.1.)
    """
    target = name[: len(name) - len(owner)] + dname.data
    return Record(CNAME, dname.ttl, target, name_text(target)) if len(target) <= MAX_NAME else None


def _perform(step: Step, query: Query, transport: Transport, found: _Found, records: Records) -> Response:
    """Do what is scripted with what was found."""
    match step:
        case Published():
            return _published(query, transport, found, records)
        case Answer(data, ttl):
            made = tuple(make_record(type_text(query.type), text, ttl) for text in data)
            return _published(query, transport, replace(found, records=made), records)
        case NxDomain():
            return replace(_published(query, transport, replace(found, records=None), records), missing=None)
        case ServFail() | Refused() | FormErr():
            sections = Sections(_CODES[type(step)], flags=message.RA)
            return _written(query, transport, sections, edns=not isinstance(step, FormErr))
        case NoAnswer():
            return Response(query.name, query.type, "no answer (scripted)", None)
        case Lame():
            upward = Sections(Rcode.NOERROR, authority=((ROOT, name_server()),), flags=0)
            return replace(_written(query, transport, upward), text="lame (scripted)")
        case Truncated():
            if transport is Transport.TCP:
                return _published(query, transport, found, records)
            wire, _ = message.compose(query, Sections(Rcode.NOERROR), limit=0)
            return Response(query.name, query.type, "truncated (scripted)", wire)
        case WrongId():
            reply = _published(query, transport, found, records)
            return replace(reply, wrong_id=True, text=f"{reply.text} (scripted: wrong id)")
        case Late(seconds, then):
            reply = _perform(then, query, transport, found, records)
            return replace(reply, delay=seconds, text=f"{reply.text} (scripted: {seconds:g} s late)")


def _published(query: Query, transport: Transport, found: _Found, records: Records) -> Response:
    if found.records:
        answer = found.aliases + tuple((found.end, record) for record in found.records)
        return _written(query, transport, Sections(Rcode.NOERROR, answer))
    rcode = Rcode.NXDOMAIN if found.records is None else Rcode.NOERROR
    if found.overlong:
        return _written(query, transport, Sections(Rcode.YXDOMAIN, found.aliases))
    sections = Sections(rcode, found.aliases, _negative(records.authority(found.end)))
    reply = _written(query, transport, sections)
    return reply if found.records is not None else replace(reply, missing=found.end)


def _negative(authority: tuple[Name, Record]) -> Owned:
    """The SOA record as "no" needs it: its TTL is how long "no" holds (RFC 2308 section 3)."""
    owner, soa = authority
    minimum = int.from_bytes(soa.data[-4:], "big")
    return ((owner, replace(soa, ttl=min(soa.ttl, minimum))),)


def _written(query: Query, transport: Transport, sections: Sections, *, edns: bool = True) -> Response:
    limit = message.MAX_TCP if transport is Transport.TCP else message.udp_limit(query)
    wire, truncated = message.compose(query, sections, limit, edns=edns)
    text = _summary(sections.rcode, (record for _, record in sections.answer))
    return Response(query.name, query.type, f"{text} (truncated)" if truncated else text, wire)


def _summary(rcode: Rcode, answer: Iterable[Record]) -> str:
    """The answer in one short line, as the log shows it."""
    data = ", ".join(record.text for record in islice(answer, MAX_SHOWN))
    return shown(f"{rcode.name} {data}" if data else "NODATA" if rcode is Rcode.NOERROR else rcode.name)
