"""The tree of published names: empty non-terminals, wildcards, aliases, zones, and what is listed."""

from collections import Counter
from collections.abc import Sequence

from fake_dns.listings import Listings
from fake_dns.names import ROOT, Name, lineage
from fake_dns.records import Record, RecordSet, RecordSets, start_of_authority
from fake_dns.rrtypes import DNAME, SOA

WILDCARD = b"\x01*"

_ROOT_AUTHORITY = start_of_authority()


class Records:
    """What is published, name by name or in ranges. Not thread-safe: its owner holds the lock."""

    def __init__(self) -> None:
        """Nothing is published."""
        self.listings = Listings()
        self._sets: dict[Name, dict[int, RecordSet]] = {}
        self._below: Counter[Name] = Counter()  # published names under each name: what makes it exist
        self._renamed: set[Name] = set()  # names with a DNAME record

    def publish(self, owner: Name, record: Record) -> None:
        """Add a record, or replace its twin."""
        if owner not in self._sets:
            self._sets[owner] = {}
            self._below.update(_parents(owner))
        self._sets[owner].setdefault(record.type, RecordSet()).add(record)
        if record.type == DNAME:
            self._renamed.add(owner)

    def withdraw(self, owner: Name, record_type: int | None) -> int:
        """Remove the records of a type, or all; returns how many there were."""
        sets = self._sets.get(owner, {})
        chosen = list(sets) if record_type is None else [record_type]
        removed = sum(len(sets.pop(number, ())) for number in chosen)
        if DNAME not in sets:
            self._renamed.discard(owner)
        if removed and not sets:
            del self._sets[owner]
            self._below.subtract(_parents(owner))
            for parent in _parents(owner):
                if not self._below[parent]:
                    del self._below[parent]
        return removed

    def __bool__(self) -> bool:
        """Whether anything is published."""
        return bool(self._sets or self.listings)

    def has(self, owner: Name, record_type: int) -> bool:
        """Whether that very name has a record of the type."""
        return record_type in self._sets.get(owner, {})

    def at(self, name: Name) -> RecordSets | None:
        """All records of a name, ranges and wildcards considered; `None` when the name does not exist.

        What is published for that very name goes before what a range says of it. A wildcard speaks for a name
        only when nothing between the two exists (RFC 4592 section 3.3.1).
        """
        sets = self._exact(name)
        if not sets and self.listings and (listed := self.listings.look_up(name)) is not None:
            return listed
        if sets is not None:
            return sets
        for ancestor in _parents(name):
            if self._exact(ancestor) is not None or ancestor == ROOT:
                return self._sets.get(WILDCARD + ancestor)
        return None

    def renamed(self, name: Name) -> tuple[Name, Record] | None:
        """The DNAME record that redirects a name, and its owner: the one nearest to the root (RFC 6672)."""
        if not self._renamed:
            return None
        owner = next((above for above in reversed(_parents(name)) if above in self._renamed), None)
        return (owner, next(iter(self._sets[owner][DNAME]))) if owner else None

    def authority(self, name: Name) -> tuple[Name, Record]:
        """The SOA record of a name's zone, and its owner: the root's where no zone was declared."""
        for ancestor in lineage(name):
            if found := self._sets.get(ancestor, {}).get(SOA):
                return ancestor, next(iter(found))
        return ROOT, _ROOT_AUTHORITY

    def _exact(self, name: Name) -> RecordSets | None:
        """The records of that very name; empty for an empty non-terminal (RFC 4592 section 2.2.2)."""
        sets = self._sets.get(name)
        return {} if sets is None and name in self._below else sets


def _parents(name: Name) -> Sequence[Name]:
    return [] if name == ROOT else list(lineage(name))[1:]
