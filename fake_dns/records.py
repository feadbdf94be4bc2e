"""Records, and the sets that they stand in."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TypeAlias

from fake_dns.masterfile import Token, tokens_of
from fake_dns.names import wire_name
from fake_dns.rdata import parse_rdata, shown_rdata
from fake_dns.rrtypes import NS, SOA, TXT, check_ttl, data_type_number
from fake_dns.shown import shown


@dataclass(frozen=True, slots=True)
class Record:
    """One record without its owner; `ttl` in seconds, `data` in wire form, `text` as the log shows it."""

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
    return Record(number, ttl, data, shown(text if literal else shown_rdata(number, tokens)))


@dataclass(slots=True)
class RecordSet:
    """The records of one name and type, oldest first, none twice; a whole set has the newest TTL.

    (RFC 2181 sections 5 and 5.2.) To add one costs the same however many there are.
    """

    _records: dict[bytes, Record] = field(default_factory=dict)
    _ttl: int = 0  # seconds; of the newest
    _stale: bool = False  # whether older ones still have another TTL

    def add(self, record: Record) -> None:
        """Add a record, or replace its twin; a name has one SOA only."""
        if record.type == SOA:
            self._records.clear()
        self._records.pop(record.data, None)
        self._stale |= bool(self._records) and record.ttl != self._ttl
        self._ttl = record.ttl
        self._records[record.data] = record

    def __len__(self) -> int:
        """How many there are."""
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        """The records, all with the same TTL."""
        if self._stale:
            self._records = {
                data: record if record.ttl == self._ttl else replace(record, ttl=self._ttl)
                for data, record in self._records.items()
            }
            self._stale = False
        return iter(self._records.values())


RecordSets: TypeAlias = Mapping[int, RecordSet]


def record_sets(records: Iterable[Record]) -> RecordSets:
    """Records of one name, set by set."""
    sets: dict[int, RecordSet] = {}
    for record in records:
        sets.setdefault(record.type, RecordSet()).add(record)
    return sets


_HOST = wire_name("ns.fake-dns.invalid")
_MAILBOX = wire_name("hostmaster.fake-dns.invalid")
_TIMES = (1, 3600, 600, 86400)  # serial; refresh, retry and expire in seconds


def name_server(ttl: int = 60) -> Record:
    """The NS record of every zone here; the name of the server is as fictitious as its zones."""
    return Record(NS, ttl, _HOST, "ns.fake-dns.invalid")


def start_of_authority(ttl: int = 60) -> Record:
    """The SOA record of every zone here; its last field bounds how long "no" is believed (RFC 2308)."""
    numbers = (*_TIMES, check_ttl(ttl))
    data = _HOST + _MAILBOX + b"".join(number.to_bytes(4, "big") for number in numbers)
    text = " ".join(str(number) for number in numbers)
    return Record(SOA, ttl, data, f"ns.fake-dns.invalid hostmaster.fake-dns.invalid {text}")


def flat(sets: RecordSets) -> Iterator[Record]:
    """All records of a name, type by type, as a question for ANY gets them."""
    return chain.from_iterable(sets.values())
