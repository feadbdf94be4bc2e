"""Block lists as rbldnsd reads them: an entry on each line, and behind it what is said of it.

    :127.0.0.2:Listed, see http://bl.example/$
    198.18.0.0/24
    198.18.1.7          :4:An open relay
    !198.18.0.9

Data sets: ip4set, ip4tset, ip4trie, ip6tset, ip6trie, dnset, generic, and combined, which has others in
itself. Everything that a line cannot say here is refused with its line, never passed over.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from fake_dns.dns import DEFAULT_TTL, FakeDns
from fake_dns.listings import MAX_TEXT, Listed, Network, parse_code
from fake_dns.masterfile import LineError
from fake_dns.names import ROOT, Name, RecordError, name_key, name_text, octets_of
from fake_dns.networks import ip4_networks, ip6_network
from fake_dns.records import Record, make_record
from fake_dns.rrtypes import parse_ttl

DATASETS = ("ip4set", "ip4tset", "ip4trie", "ip6tset", "ip6trie", "dnset", "generic", "combined")

_SPECIAL = re.compile(r"[#;:]?\$(\w+)(?:\s+(.*))?")
_VALUE = re.compile(r":\s*([\d.]*)\s*(?::\s*(.*))?")
_REFERENCE = re.compile(r"\$\$|\$(\d)|\$")
_GENERIC = re.compile(r"(\S+)\s+(?:(\d\w*)\s+)?(A|TXT|MX)\s+(.+)", re.IGNORECASE)
_WITHOUT_EFFECT = ("TIMESTAMP", "MAXRANGE4", "ENT")  # of reloading, of what a list may say at all, of NODATA
_DEFAULT = Listed(ipaddress.IPv4Address("127.0.0.2"), None, DEFAULT_TTL)

Publish = Callable[[FakeDns], None]


def read_block_list(text: str, zone: str, dataset: str) -> list[Publish]:
    """What a list says, each to be called with the `FakeDns` that shall say it; raises `LineError`.

    `zone` is where the list is asked; it gets SOA and NS records unless the list has its own.
    """
    check_dataset(dataset)
    apex = name_key(zone)
    if apex == ROOT:
        raise RecordError(f"{zone!r} cannot be the zone of a block list; give one such as bl.example")
    reader = _Reader(apex, dataset, (apex,))
    for number, line in enumerate(text.split("\n"), 1):
        try:
            reader.read(line.strip())
        except RecordError as error:
            raise LineError(number, str(error)) from error
    return [*reader.published, lambda dns: dns.zone(name_text(apex))]


def check_dataset(dataset: str) -> None:
    """Raises `RecordError` where rbldnsd, or we, know no such data set."""
    if dataset not in DATASETS:
        raise RecordError(
            f"{dataset[:40]!r} is no data set that is read here; there are {', '.join(DATASETS)}"
        )


@dataclass
class _Reader:
    apex: Name  # of the whole list
    dataset: str
    zones: tuple[Name, ...]  # where the entries that follow are asked
    published: list[Publish] = field(default_factory=list)
    default: Listed = _DEFAULT
    variables: dict[str, str] = field(default_factory=dict)
    combined: bool = False
    authority: bool = False  # whether there was an SOA

    def read(self, line: str) -> None:
        """Take one line, without blanks around it."""
        if special := _SPECIAL.fullmatch(line):
            self._special(special[1].upper(), special[2] or "", strict=line.startswith("$"))
        elif not line or line[0] in "#;":
            return
        elif self.dataset == "combined":
            raise RecordError("an entry stands before the first line with $DATASET; move it below one")
        elif self.dataset == "generic":
            self._generic(line)
        elif line[0] == ":":
            self.default = self._value(line)
        else:
            self._entry(line)

    def _entry(self, line: str) -> None:
        excluded = line[0] == "!"
        subject, _, rest = line.removeprefix("!").strip().partition(" ")
        subject, tab, more = subject.partition("\t")
        entry = None if excluded else self._value((more + rest if tab else rest).strip())
        for apex in self.zones:
            if self.dataset == "dnset":
                self._domain(apex, subject, entry)
                continue
            for network in self._networks(subject, excluded=excluded):
                self.published.append(partial(_list, apex=apex, listed=network, entry=entry))

    def _networks(self, text: str, *, excluded: bool) -> list[Network]:
        if self.dataset.startswith("ip4"):
            return list(ip4_networks(text))
        return [ip6_network(text, 64 if self.dataset == "ip6tset" and not excluded else 128)]

    def _domain(self, apex: Name, text: str, entry: Listed | None) -> None:
        """`example.org`, `*.example.org` for all below it, `.example.org` for both."""
        bare = text.removeprefix("*").removeprefix(".")
        domain = name_key(bare)
        if not text.startswith("*."):
            self.published.append(partial(_list, apex=apex, listed=domain, entry=entry))
        if text.startswith(("*.", ".")):
            self.published.append(partial(_list, apex=apex, listed=domain, entry=entry, below=True))

    def _value(self, text: str) -> Listed:
        """What is said of an entry: `:CODE:TEXT`, `:CODE`, or `TEXT`; the default where nothing is."""
        if not text or text[0] in "#;":
            return self.default
        if text[0] != ":":
            return Listed(self.default.code, self._text(text), self.default.ttl)
        found = _VALUE.fullmatch(text)
        if not found:
            raise RecordError(
                f"{text[:60]!r} is not :CODE:TEXT with an address or its last number as the code"
            )
        code = self.default.code
        if found[1]:
            code = parse_code(found[1] if "." in found[1] else f"127.0.0.{found[1]}")
        said = self.default.text if found[2] is None else self._text(found[2]) if found[2] else None
        return Listed(code, said, self.default.ttl)

    def _text(self, text: str) -> str:
        """A text with its `$1` … filled in, `$` and `$$` left for the answer; cut as rbldnsd cuts it."""

        def fill(found: re.Match[str]) -> str:
            return self.variables.get(found[1], "").replace("$", "$$") if found[1] else found[0]

        octets = octets_of(_REFERENCE.sub(fill, text))[:MAX_TEXT]
        return octets.decode("utf-8", "surrogateescape")

    def _generic(self, line: str) -> None:
        """`name [ttl] type data`, the name below the zone, names in the data absolute."""
        found = _GENERIC.fullmatch(line)
        if not found:
            raise RecordError(
                "a line of a generic data set is written as: name [ttl] A, TXT or MX, and its data"
            )
        name, ttl, kind, data = found.groups()
        record = make_record(kind, data, parse_ttl(ttl) if ttl else self.default.ttl)
        for apex in self.zones:
            owner = apex if name == "@" else name_key(f"{name.rstrip('.')}.{name_text(apex)}")
            self.published.append(partial(_publish, owner=owner, record=record))

    def _special(self, word: str, rest: str, *, strict: bool) -> None:
        """A line that begins with a dollar sign; not `strict` behind a comment mark, where it may be none."""
        if word == "DATASET" and (self.dataset == "combined" or self.combined):
            self._section(rest.split())
        elif len(word) == 1 and word.isdecimal():
            self.variables[word] = rest
        elif word == "TTL":
            self.default = Listed(self.default.code, self.default.text, parse_ttl(rest.strip()))
        elif word == "SOA":
            ttl, _, data = rest.partition(" ")
            record = make_record("SOA", data, parse_ttl(ttl) or self.default.ttl)
            if not self.authority:  # the first one counts
                self.published.append(partial(_publish, owner=self.apex, record=record))
            self.authority = True
        elif word == "NS":
            ttl, *hosts = rest.split() or [""]
            if not hosts:
                raise RecordError("it is written as: $NS TTL host …, such as $NS 3600 ns.bl.example")
            for host in hosts:
                record = make_record("NS", host, parse_ttl(ttl) or self.default.ttl)
                self.published.append(partial(_publish, owner=self.apex, record=record))
        elif strict and word not in _WITHOUT_EFFECT:
            raise RecordError(
                f"${word} is not understood here; there are $SOA, $NS, $TTL, $0 to $9, $DATASET"
            )

    def _section(self, words: list[str]) -> None:
        """`$DATASET type subzone …`: what follows is asked below these subzones; `@` is the zone itself."""
        dataset, *subzones = words or [""]
        dataset = dataset.partition(":")[0]
        check_dataset(dataset)
        if dataset == "combined" or not subzones:
            raise RecordError(
                "it is written as: $DATASET type subzone …, and combined is no type of a section"
            )
        top = name_text(self.apex)
        self.combined, self.dataset, self.default = True, dataset, _DEFAULT
        self.zones = tuple(self.apex if sub == "@" else name_key(f"{sub}.{top}") for sub in subzones)


def _list(
    dns: FakeDns, *, apex: Name, listed: Network | Name, entry: Listed | None, below: bool = False
) -> None:
    dns.list_range(apex, listed, entry, below=below)


def _publish(dns: FakeDns, *, owner: Name, record: Record) -> None:
    dns.publish_record(owner, record)
