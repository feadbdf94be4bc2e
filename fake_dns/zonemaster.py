"""Master files (RFC 1035 section 5, RFC 2308 section 4): directives, owners and times that carry over."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fake_dns.dns import DEFAULT_TTL, FakeDns
from fake_dns.generate import generated
from fake_dns.masterfile import LineError, MasterEntry, Token, entries
from fake_dns.names import Name, Origin, RecordError
from fake_dns.rdata import UnusualDataError, parse_rdata, shown_rdata
from fake_dns.records import Record
from fake_dns.rrtypes import data_type_number, parse_ttl
from fake_dns.shown import shown
from fake_dns.zonecheck import Neighbours, Place
from fake_dns.zonesource import Includes

MAX_RECORDS = 1_000_000  # of one zone file and all that it includes

_TTL = re.compile(r"\d[\dsmhdw]*", re.IGNORECASE)
_CLASS = re.compile(r"CH|HS|CS|CLASS\d{1,5}")
_DIRECTIVES = {
    "$ORIGIN": "$ORIGIN NAME",
    "$TTL": "$TTL SECONDS",
    "$INCLUDE": "$INCLUDE FILE [ORIGIN]",
}


def apply_master(
    text: str, dns: FakeDns, path: Path | None = None, origin: Name | None = None
) -> list[LineError]:
    """Publish the records of a master file; raises `LineError`, and then nothing was published.

    Returns what was left out: records of unusual types that cannot be read, each with its line. `origin` is
    what names without a final dot stand below until the first $ORIGIN; `None` refuses them. `path` is where
    the text is from; without it nothing can be included.
    """
    reader = _Reader(Origin(origin), Includes(path) if path else None)
    neighbours, records = Neighbours(), list(reader.read(text, None))
    for place, file, owner, record in records:
        try:
            neighbours.add(owner, record.type, record.data, place)
        except RecordError as error:
            raise LineError(place.line, str(error), file) from error
    if hidden := neighbours.below_dname():
        place, problem = hidden
        raise LineError(place.line, problem, Path(place.file) if place.file else None)
    for _, _, owner, record in records:
        dns.publish_record(owner, record)
    return reader.left_out


class _Placed(NamedTuple):
    place: Place
    file: Path | None  # an included one
    owner: Name
    record: Record


class _Fields(NamedTuple):
    ttl: int | None
    type: int
    data: tuple[Token, ...]


@dataclass
class _Reader:
    """What one entry passes on to those after it."""

    origin: Origin
    includes: Includes | None
    owner: Name | None = None
    default_ttl: int | None = None
    last_ttl: int = DEFAULT_TTL
    left_out: list[LineError] = field(default_factory=list)
    _count: int = 0

    def read(self, text: str, file: Path | None) -> Iterator[_Placed]:
        """The records of a text; `file` is where it is from when it is included."""
        lines = entries(text)
        while True:
            line = 1
            try:
                entry = next(lines, None)
                if entry is None:
                    return
                line = entry.line
                yield from self._follow(entry, file)
            except UnusualDataError as error:
                self.left_out.append(LineError(line, str(error), file))
            except LineError as error:
                raise LineError(error.line, str(error), error.path or file) from error
            except RecordError as error:
                raise LineError(line, str(error), file) from error

    def _follow(self, entry: MasterEntry, file: Path | None) -> Iterator[_Placed]:
        word = entry.tokens[0].text.upper()
        if word == "$INCLUDE":
            yield from self._include(entry.tokens)
        elif word == "$GENERATE":
            owner = self.owner
            for tokens in generated(entry.tokens):
                yield self._placed(MasterEntry(entry.line, indented=False, tokens=tokens), file)
            self.owner = owner
        elif word.startswith("$"):
            self._direct(entry.tokens)
        else:
            yield self._placed(entry, file)

    def _placed(self, entry: MasterEntry, file: Path | None) -> _Placed:
        self._count += 1
        if self._count > MAX_RECORDS:
            raise RecordError(f"there are more than {MAX_RECORDS} records; take some out")
        return _Placed(Place(entry.line, str(file) if file else ""), file, *self._record(entry))

    def _include(self, tokens: tuple[Token, ...]) -> Iterator[_Placed]:
        """RFC 1035 section 5.1: the origin for the file alone, and afterwards all is as before."""
        if not 2 <= len(tokens) <= 3:
            raise RecordError(f"it is written as: {_DIRECTIVES['$INCLUDE']}")
        if self.includes is None:
            raise RecordError("$INCLUDE is for zone files; this text is none")
        before = self.origin, self.owner
        path, text = self.includes.enter(tokens[1].text)
        if len(tokens) == 3:
            self.origin = Origin(self.origin.wire(tokens[2].text))
        yield from self.read(text, path)
        self.includes.leave()
        self.origin, self.owner = before

    def _direct(self, tokens: tuple[Token, ...]) -> None:
        directive = tokens[0].text.upper()
        if directive not in _DIRECTIVES:
            known = ", ".join((*_DIRECTIVES, "$GENERATE"))
            raise RecordError(f"{tokens[0].text[:40]} is not understood here; there are {known}")
        if len(tokens) != 2:
            raise RecordError(f"{directive} takes one value; it is written as: {_DIRECTIVES[directive]}")
        if directive == "$ORIGIN":
            self.origin = Origin(self.origin.wire(tokens[1].text))
        else:
            self.default_ttl = parse_ttl(tokens[1].text)

    def _record(self, entry: MasterEntry) -> tuple[Name, Record]:
        """The record of an entry, and its owner."""
        if not entry.indented:
            self.owner = self.origin.wire(entry.tokens[0].text).lower()
        if self.owner is None:
            raise RecordError("the first record needs an owner; begin the line with a name")
        fields = _fields(entry.tokens if entry.indented else entry.tokens[1:])
        if fields.ttl is not None:
            self.last_ttl = fields.ttl
        ttl = next(t for t in (fields.ttl, self.default_ttl, self.last_ttl) if t is not None)
        data = parse_rdata(fields.type, fields.data, self.origin)
        text = shown_rdata(fields.type, fields.data, self.origin)
        return self.owner, Record(fields.type, ttl, data, shown(text))


def _fields(tokens: tuple[Token, ...]) -> _Fields:
    """TTL and class in either order, both optional; then the type, and its data."""
    ttl: int | None = None
    for position, token in enumerate(tokens):
        word = token.text.upper()
        if word in ("IN", "CLASS1"):
            continue
        if _CLASS.fullmatch(word):
            raise RecordError(f"class {word} is not served; only IN is")
        if ttl is not None or not _TTL.fullmatch(word):
            return _Fields(ttl, data_type_number(word), tokens[position + 1 :])
        ttl = parse_ttl(word)
    raise RecordError("a record is written as: owner [ttl] [IN] type data; the type is missing")
