"""What a block list says of whole ranges: networks of addresses, and domains with all below them.

Such a list is too large to be published name by name: 10.0.0.0/8 alone has 16 million. Here a question is
looked up by what it asks: the longest prefix that is listed decides, and an exclusion is an entry like
another. That is how rbldnsd reads its `ip4set`, `ip6trie` and `dnset` data.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from fake_dns.names import Name, RecordError, lineage, name_text, octets_of
from fake_dns.records import Record, RecordSets, record_sets
from fake_dns.rrtypes import TXT, A, check_ttl
from fake_dns.shown import shown

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_TEXT = 255  # octets of the text of an entry, and of what it becomes
_DECIMAL = re.compile(rb"0|[1-9]\d{0,2}")
_NIBBLE = re.compile(rb"[0-9a-f]")
_VARIABLE = re.compile(r"\$\$|\$")


@dataclass(frozen=True, slots=True)
class Listed:
    """What is said of those who are listed: an A record, and perhaps a TXT.

    In `text` a `$` stands for the address or the domain that was asked for, and `$$` for a dollar sign. `ttl`
    is in seconds.
    """

    code: ipaddress.IPv4Address
    text: str | None
    ttl: int

    def __post_init__(self) -> None:
        """Raises `RecordError` for a text that is too long, and a TTL that cannot be."""
        check_ttl(self.ttl)
        octets = len(octets_of(self.text or ""))
        if octets > MAX_TEXT:
            raise RecordError(f"the text of a listing has {octets} octets; at most {MAX_TEXT} fit")

    def records(self, subject: str) -> Iterator[Record]:
        """The records for an address or a domain."""
        yield Record(A, self.ttl, self.code.packed, str(self.code))
        if self.text is not None:
            text = _VARIABLE.sub(lambda found: "$" if found[0] == "$$" else subject, self.text)
            octets = octets_of(text)[:MAX_TEXT]
            yield Record(TXT, self.ttl, bytes((len(octets),)) + octets, shown(text))


def parse_code(text: str) -> ipaddress.IPv4Address:
    """The address that a list answers with; raises `RecordError`."""
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        raise RecordError(f"{text[:80]!r} is not the IPv4 address that a list answers with") from None


Entry: TypeAlias = Listed | None
"""`None` is an exclusion: who is there is not listed, whatever holds for more."""


@dataclass(slots=True)
class _Networks:
    """The networks of one address family: labels of `step` bits, `bits` in all."""

    bits: int
    step: int
    entries: dict[int, dict[int, list[Entry]]] = field(default_factory=dict)  # by prefix length, by its bits
    above: set[tuple[int, int]] = field(default_factory=set)  # prefixes of whole labels with entries below

    def add(self, network: Network, entry: Entry) -> None:
        prefix = int(network.network_address) >> (self.bits - network.prefixlen)
        entries = self.entries.setdefault(network.prefixlen, {}).setdefault(prefix, [])
        if entry not in entries:
            entries.append(entry)
        for length in range(self.step, network.prefixlen, self.step):
            self.above.add((length, prefix >> (network.prefixlen - length)))

    def find(self, value: int, length: int) -> list[Entry]:
        """What the longest prefix of the first `length` bits says that says something."""
        for listed in sorted(self.entries, reverse=True):
            if listed <= length and (found := self.entries[listed].get(value >> (length - listed))):
                return found
        return []


@dataclass(slots=True)
class _Zone:
    """All ranges of one list; names are below its zone, without it."""

    v4: _Networks = field(default_factory=lambda: _Networks(32, 8))
    v6: _Networks = field(default_factory=lambda: _Networks(128, 4))
    domains: dict[Name, list[Entry]] = field(default_factory=dict)
    below: dict[Name, list[Entry]] = field(default_factory=dict)  # for all names below that one
    above: Counter[Name] = field(default_factory=Counter)  # names with domains below

    def look_up(self, name: Name) -> RecordSets | None:
        labels = _labels(name)
        exists = name in self.above or name in self.below
        for networks, read, subject in (
            (self.v4, _decimal, ipaddress.IPv4Address),
            (self.v6, _nibbles, ipaddress.IPv6Address),
        ):
            value = read(labels) if networks.entries else None
            if value is None:
                continue
            length = len(labels) * networks.step
            entries = networks.find(value, length)
            if length == networks.bits:
                return _said(entries, str(subject(value))) or ({} if exists else None)
            exists |= (length, value) in networks.above or any(entries)
        return _said(self._domain(name), name_text(name)) or ({} if exists else None)

    def _domain(self, name: Name) -> Sequence[Entry]:
        if name in self.domains:
            return self.domains[name]
        above = (self.below[ancestor] for ancestor in list(lineage(name))[1:] if ancestor in self.below)
        return next(above, ())


class Listings:
    """The ranges of all block lists, by zone. Not thread-safe: its owner holds the lock."""

    def __init__(self) -> None:
        """Nothing is listed."""
        self._zones: dict[Name, _Zone] = {}

    def __bool__(self) -> bool:
        """Whether anything is listed."""
        return bool(self._zones)

    def add_network(self, apex: Name, network: Network, entry: Entry) -> None:
        """List, or exclude, all addresses of a network."""
        zone = self._zones.setdefault(apex, _Zone())
        (zone.v4 if network.version == 4 else zone.v6).add(network, entry)

    def add_domain(self, apex: Name, domain: Name, entry: Entry, *, below: bool) -> None:
        """List, or exclude, a domain (absolute, as it is listed), or with `below` all domains below it."""
        zone = self._zones.setdefault(apex, _Zone())
        entries = (zone.below if below else zone.domains).setdefault(domain, [])
        if entry not in entries:
            entries.append(entry)
        zone.above.update(list(lineage(domain))[1:])

    def look_up(self, name: Name) -> RecordSets | None:
        """The records of a name of some list; empty for one that only has listed ones below it.

        `None` where no list knows it.
        """
        for apex in lineage(name):
            if zone := self._zones.get(apex):
                return zone.look_up(name[: len(name) - len(apex)] + b"\0")
        return None


def _said(entries: Sequence[Entry], subject: str) -> RecordSets | None:
    """The records for all entries of the same range; nothing where one of them is an exclusion."""
    listed = [entry for entry in entries if entry is not None]
    if not listed or len(listed) != len(entries):
        return None
    return record_sets(record for entry in listed for record in entry.records(subject))


def _labels(name: Name) -> list[bytes]:
    return [ancestor[1 : 1 + ancestor[0]] for ancestor in lineage(name) if ancestor[0]]


def _decimal(labels: Sequence[bytes]) -> int | None:
    """The beginning of an IPv4 address, from its reversed labels."""
    if not 1 <= len(labels) <= 4 or not all(_DECIMAL.fullmatch(label) for label in labels):
        return None
    octets = [int(label) for label in reversed(labels)]
    return int.from_bytes(bytes(octets), "big") if max(octets) <= 255 else None


def _nibbles(labels: Sequence[bytes]) -> int | None:
    """The beginning of an IPv6 address, from its reversed labels."""
    if not 1 <= len(labels) <= 32 or not all(_NIBBLE.fullmatch(label) for label in labels):
        return None
    return int(b"".join(reversed(labels)), 16)
