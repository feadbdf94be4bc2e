"""What is published: records by name, empty non-terminals, wildcards, and whose zone a name is in."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from fake_dns.masterfile import Token, tokens_of
from fake_dns.names import ROOT, Name, lineage, wire_name
from fake_dns.rdata import parse_rdata, shown_rdata
from fake_dns.rrtypes import NS, SOA, TXT, check_ttl, data_type_number

WILDCARD = b"\x01*"


@dataclass(frozen=True, slots=True)
class Record:
    """One record without its owner; `ttl` in seconds, `data` in wire form, `text` for the log."""

    type: int
    ttl: int
    data: bytes
    text: str

    def __post_init__(self) -> None:
        """Raises `RecordError` for a TTL that cannot be."""
        check_ttl(self.ttl)


def make_record(record_type: str, text: str, ttl: int) -> Record:
    """A record from its data in master-file text, names in it being absolute; raises `RecordError`.

    A TXT that does not begin with a quote is taken literally as one string: blanks and semicolons, which
    would split it or end it in a master file, are what an SPF or DKIM record is made of.
    """
    number = data_type_number(record_type)
    literal = number == TXT and not text.lstrip().startswith(('"', "\\#"))
    tokens = (Token(text.replace("\\", "\\\\")),) if literal else tokens_of(text)
    data = parse_rdata(number, tokens)
    return Record(number, ttl, data, text if literal else shown_rdata(number, tokens))


RecordSets: TypeAlias = dict[int, list[Record]]

_HOST = wire_name("ns.fake-dns.invalid")
_MAILBOX = wire_name("hostmaster.fake-dns.invalid")
_TIMES = (1, 3600, 600, 86400)  # serial; refresh, retry and expire in seconds


def name_server(ttl: int = 60) -> Record:
    """The NS record of every zone here; the name of the server is as fictitious as its zones."""
    return Record(NS, ttl, _HOST, "ns.fake-dns.invalid")


def start_of_authority(ttl: int = 60) -> Record:
    """The SOA record of every zone here; its last field bounds how long "no" is believed (RFC 2308)."""
    numbers = (*_TIMES, ttl)
    data = _HOST + _MAILBOX + b"".join(number.to_bytes(4, "big") for number in numbers)
    shown = " ".join(str(number) for number in numbers)
    return Record(SOA, ttl, data, f"ns.fake-dns.invalid hostmaster.fake-dns.invalid {shown}")


_ROOT_AUTHORITY = start_of_authority()


class Records:
    """The tree of published names. Not thread-safe: its owner holds the lock."""

    def __init__(self) -> None:
        """Nothing is published."""
        self._sets: dict[Name, RecordSets] = {}
        self._below: Counter[Name] = Counter()  # published names under each name: what makes it exist

    def publish(self, owner: Name, record: Record) -> None:
        """Add a record, or replace its twin; a whole set has the newest TTL (RFC 2181 section 5.2)."""
        if owner not in self._sets:
            self._sets[owner] = {}
            self._below.update(_parents(owner))
        sets = self._sets[owner]
        others = [
            replace(other, ttl=record.ttl)
            for other in sets.get(record.type, [])
            if other.data != record.data and record.type != SOA
        ]
        sets[record.type] = [*others, record]

    def withdraw(self, owner: Name, record_type: int | None) -> int:
        """Remove the records of a type, or all; returns how many there were."""
        sets = self._sets.get(owner, {})
        chosen = list(sets) if record_type is None else [record_type]
        removed = sum(len(sets.pop(number, [])) for number in chosen)
        if removed and not sets:
            del self._sets[owner]
            self._below.subtract(_parents(owner))
            for parent in _parents(owner):
                if not self._below[parent]:
                    del self._below[parent]
        return removed

    def __bool__(self) -> bool:
        """Whether anything is published."""
        return bool(self._sets)

    def has(self, owner: Name, record_type: int) -> bool:
        """Whether that very name has a record of the type."""
        return record_type in self._sets.get(owner, {})

    def at(self, name: Name) -> RecordSets | None:
        """All records of a name, wildcards considered; `None` when the name does not exist.

        A wildcard speaks for a name only when nothing between the two exists (RFC 4592 section 3.3.1).
        """
        if (sets := self._exact(name)) is not None:
            return sets
        for ancestor in _parents(name):
            if self._exact(ancestor) is not None or ancestor == ROOT:
                return self._sets.get(WILDCARD + ancestor)
        return None

    def authority(self, name: Name) -> tuple[Name, Record]:
        """The SOA record of a name's zone, and its owner: the root's where no zone was declared."""
        for ancestor in lineage(name):
            if found := self._sets.get(ancestor, {}).get(SOA):
                return ancestor, found[0]
        return ROOT, _ROOT_AUTHORITY

    def _exact(self, name: Name) -> RecordSets | None:
        """The records of that very name; empty for an empty non-terminal (RFC 4592 section 2.2.2)."""
        sets = self._sets.get(name)
        return {} if sets is None and name in self._below else sets


def _parents(name: Name) -> Sequence[Name]:
    return [] if name == ROOT else list(lineage(name))[1:]


def flat(record_sets: RecordSets) -> list[Record]:
    """All records of a name, type by type, as a question for ANY gets them."""
    return [record for records in record_sets.values() for record in records]
