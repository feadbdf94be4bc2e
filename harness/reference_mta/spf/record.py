"""SPF records: the terms of a record, checked as a whole before any of them counts (RFC 7208 §4.6, §12)."""

import ipaddress
import re
from dataclasses import dataclass, field

from harness.reference_mta.spf.macro import SyntaxFault, Text, read, read_domain

VERSION = "v=spf1"
MODIFIER = re.compile(r"([a-z][a-z0-9._-]*)=(.*)", re.IGNORECASE | re.DOTALL)
MECHANISM = re.compile(r"([-+?~]?)([a-z0-9]+)(.*)", re.IGNORECASE | re.DOTALL)
LENGTHS = re.compile(r"(?:/(0|[1-9]\d?))?(?://(0|[1-9]\d{0,2}))?")
SLASHES = re.compile(r"(?:/\d*)?(?://\d*)?$")
ADDRESS = re.compile(r"(.*?)(?:/(0|[1-9]\d{0,2}))?", re.DOTALL)
WIDTH = {4: 32, 6: 128}  # bits

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Term:
    """A mechanism: its qualifier, its name, and what the name takes.

    `domain` is empty where the current domain is meant; `lengths` are prefix lengths for IPv4 and IPv6.
    """

    qualifier: str
    name: str
    domain: Text = ()
    lengths: tuple[int, int] = (32, 128)
    network: Network | None = None
    source: str = ""  # as it stands in the record


@dataclass(frozen=True)
class Record:
    """A whole record: its mechanisms in order, and the two modifiers that mean something."""

    terms: tuple[Term, ...]
    modifiers: dict[str, Text] = field(default_factory=dict)  # redirect and exp


def is_spf(text: str) -> bool:
    """Whether a TXT record is one for SPF: the version stands alone (RFC 7208 §4.5)."""
    return text.lower() == VERSION or text.lower().startswith(f"{VERSION} ")


def parse(text: str) -> Record:
    """The record; raises `SyntaxFault` for anything that the grammar does not have."""
    if not text.isascii():
        raise SyntaxFault("the record is not ASCII")
    terms: list[Term] = []
    modifiers: dict[str, Text] = {}
    for source in text[len(VERSION) :].split(" "):
        if not source:
            continue
        if match := MODIFIER.fullmatch(source):
            _modify(modifiers, match[1].lower(), match[2])
        else:
            terms.append(_mechanism(source))
    return Record(tuple(terms), modifiers)


def _modify(modifiers: dict[str, Text], name: str, value: str) -> None:
    if name not in ("redirect", "exp"):
        read(value)
        return
    if name in modifiers:
        raise SyntaxFault(f"{name} is there twice")
    modifiers[name] = read_domain(value)


def _mechanism(source: str) -> Term:
    match = MECHANISM.fullmatch(source)
    if not match:
        raise SyntaxFault(f"{source[:60]!r} is no term")
    qualifier, name, argument = match[1] or "+", match[2].lower(), match[3]
    match name:
        case "all" if not argument:
            return Term(qualifier, name, source=source)
        case "a" | "mx":
            lengths, argument = _lengths(argument)
            domain = _domain(argument) if argument else ()
            return Term(qualifier, name, domain, lengths, source=source)
        case "ptr":
            return Term(qualifier, name, _domain(argument) if argument else (), source=source)
        case "include" | "exists":
            return Term(qualifier, name, _domain(argument), source=source)
        case "ip4" | "ip6":
            return Term(qualifier, name, network=_network(argument, int(name[2])), source=source)
    raise SyntaxFault(f"{source[:60]!r} is no mechanism")


def _domain(argument: str) -> Text:
    if not argument.startswith(":"):
        raise SyntaxFault(f"{argument[:60]!r} stands where a colon and a domain belong")
    return read_domain(argument[1:])


def _lengths(argument: str) -> tuple[tuple[int, int], str]:
    """The prefix lengths at the end of an argument, and what stands before them."""
    found = SLASHES.search(argument)
    cut = found.start() if found else len(argument)
    match = LENGTHS.fullmatch(argument[cut:])
    if not match:
        raise SyntaxFault(f"{argument[cut:][:20]!r} is no prefix length")
    lengths = int(match[1] or WIDTH[4]) if match[1] else WIDTH[4], int(match[2]) if match[2] else WIDTH[6]
    if lengths[0] > WIDTH[4] or lengths[1] > WIDTH[6]:
        raise SyntaxFault(f"{argument[cut:][:20]!r} is longer than an address")
    return lengths, argument[:cut]


def _network(argument: str, version: int) -> Network:
    match = ADDRESS.fullmatch(argument.removeprefix(":")) if argument.startswith(":") else None
    if not match or "%" in argument:
        raise SyntaxFault(f"{argument[:60]!r} is no network")
    length = int(match[2]) if match[2] else WIDTH[version]
    kind = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    try:
        return kind(f"{match[1]}/{length}", strict=False)
    except ValueError as error:
        raise SyntaxFault(f"{argument[:60]!r} is no network") from error
