"""What may not stand side by side in a zone: a CNAME and other data, data below a DNAME.

`FakeDns.publish` takes such records, for broken DNS is what it is for; in a zone file they are a slip.
"""

from dataclasses import dataclass, field

from fake_dns.names import Name, RecordError, lineage, name_text
from fake_dns.rrtypes import CNAME, DNAME, type_text

# RRSIG, NSEC and their forerunners SIG, KEY, NXT: RFC 2181 section 10.1, RFC 4034 sections 3 and 4
_BESIDE_CNAME = frozenset({46, 47, 24, 25, 30})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: a line counted from 1, in the text of `file` (empty: of the zone file)."""

    line: int
    file: str = ""

    def __str__(self) -> str:
        """As a sentence names it."""
        return f"{self.file} line {self.line}".lstrip()


@dataclass
class Neighbours:
    """The records of a zone file as far as they were read, each with its place."""

    _aliases: dict[Name, tuple[Place, bytes]] = field(default_factory=dict)  # owners of a CNAME
    _others: dict[Name, tuple[Place, int]] = field(default_factory=dict)  # owners of anything else
    _renamed: dict[Name, tuple[Place, bytes]] = field(default_factory=dict)  # owners of a DNAME

    def add(self, owner: Name, record_type: int, data: bytes, place: Place) -> None:
        """One more record; raises `RecordError` when one before it forbids it."""
        if record_type == CNAME:
            self._single(self._aliases, owner, data, place, "CNAME", "RFC 2181 section 10.1")
        elif record_type not in _BESIDE_CNAME:
            self._others.setdefault(owner, (place, record_type))
        if record_type == DNAME:
            self._single(self._renamed, owner, data, place, "DNAME", "RFC 6672 section 2.4")
        if owner in self._aliases and owner in self._others:
            alias, (other, kind) = self._aliases[owner][0], self._others[owner]
            raise RecordError(
                f"{name_text(owner)} has a CNAME ({alias}) and {type_text(kind)} data ({other}), and nothing "
                "stands beside a CNAME (RFC 1034 section 3.6.2); remove one of the two"
            )

    def below_dname(self) -> tuple[Place, str] | None:
        """The place of a record that nobody sees, for it is below a DNAME (RFC 6672 section 2.4), and why."""
        for owner, (place, _) in (*self._others.items(), *self._aliases.items()) if self._renamed else ():
            for above in list(lineage(owner))[1:]:
                if above in self._renamed:
                    where = self._renamed[above][0]
                    return place, (
                        f"{name_text(owner)} is below the DNAME of {name_text(above)} ({where}), which "
                        "stands for all names there (RFC 6672 section 2.4); remove one of the two"
                    )
        return None

    @staticmethod
    def _single(
        known: dict[Name, tuple[Place, bytes]], owner: Name, data: bytes, place: Place, kind: str, source: str
    ) -> None:
        before, told = known.setdefault(owner, (place, data))
        if told.lower() != data.lower():
            raise RecordError(
                f"{name_text(owner)} has another {kind} already ({before}), and there can be one only "
                f"({source}); remove one of the two"
            )
