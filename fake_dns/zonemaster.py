"""Master files (RFC 1035 section 5, RFC 2308 section 4): directives, owners and times that carry over."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from fake_dns.dns import DEFAULT_TTL, FakeDns
from fake_dns.masterfile import Entry, LineError, Token, entries
from fake_dns.names import ROOT, Name, RecordError, wire_name
from fake_dns.rdata import parse_rdata, shown_rdata
from fake_dns.records import Record
from fake_dns.rrtypes import data_type_number, parse_ttl

_TTL = re.compile(r"\d[\dsmhdw]*", re.IGNORECASE)
_OTHER_CLASSES = ("CH", "HS", "CS")


def apply_master(text: str, dns: FakeDns) -> None:
    """Publish the records of a master file; raises `LineError`.

    Until the first $ORIGIN names are absolute, with or without a final dot.
    """
    reader = _Reader()
    for entry in entries(text):
        try:
            if entry.tokens[0].text.startswith("$"):
                reader.direct(entry.tokens)
            else:
                dns.publish_record(*reader.record(entry))
        except RecordError as error:
            raise LineError(entry.line, str(error)) from error


class _Fields(NamedTuple):
    ttl: int | None
    type: int
    data: tuple[Token, ...]


@dataclass
class _Reader:
    """What one entry passes on to those after it."""

    origin: Name = ROOT
    owner: Name | None = None
    default_ttl: int | None = None
    last_ttl: int = DEFAULT_TTL

    def direct(self, tokens: tuple[Token, ...]) -> None:
        """Follow a directive."""
        directive = tokens[0].text.upper()
        if directive not in ("$ORIGIN", "$TTL"):
            raise RecordError(f"{directive} is not understood here; only $ORIGIN and $TTL are")
        if len(tokens) != 2:
            raise RecordError(f"{directive} takes one value")
        if directive == "$ORIGIN":
            self.origin = wire_name(tokens[1].text, self.origin)
        else:
            self.default_ttl = parse_ttl(tokens[1].text)

    def record(self, entry: Entry) -> tuple[Name, Record]:
        """The record of an entry, and its owner."""
        if not entry.indented:
            self.owner = wire_name(entry.tokens[0].text, self.origin).lower()
        if self.owner is None:
            raise RecordError("the first record needs an owner; begin the line with a name")
        fields = _fields(entry.tokens if entry.indented else entry.tokens[1:])
        if fields.ttl is not None:
            self.last_ttl = fields.ttl
        ttl = next(t for t in (fields.ttl, self.default_ttl, self.last_ttl) if t is not None)
        data = parse_rdata(fields.type, fields.data, self.origin)
        return self.owner, Record(fields.type, ttl, data, shown_rdata(fields.type, fields.data, self.origin))


def _fields(tokens: tuple[Token, ...]) -> _Fields:
    """TTL and class in either order, both optional; then the type, and its data."""
    ttl: int | None = None
    for position, token in enumerate(tokens):
        word = token.text.upper()
        if word in _OTHER_CLASSES:
            raise RecordError(f"class {word} is not served; only IN is")
        if ttl is None and _TTL.fullmatch(word):
            ttl = parse_ttl(word)
        elif word != "IN":
            return _Fields(ttl, data_type_number(word), tokens[position + 1 :])
    raise RecordError("a record is written as: owner [ttl] [IN] type data; the type is missing")
