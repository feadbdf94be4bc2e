"""Domain names: from text to wire form and back, and what stands above a name.

In this package a name is its wire form in lower case (RFC 1035 section 3.1): `b"\\x02k3\\x07example\\x00"`.
That is a ready dictionary key, and parents are plain slices of it. Lower-casing the wire form is safe, for a
length octet (at most 63) is never a letter.
"""

import functools
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

Name: TypeAlias = bytes

ROOT: Name = b"\0"
MAX_LABEL = 63  # octets
MAX_NAME = 255  # octets, in wire form

_LABEL = r"(?:\\\d{3}|\\[^\d]|[^.\\])+"
_LABELS = re.compile(_LABEL)
_WELL_FORMED_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*(?P<dot>\.?)")
_WELL_FORMED_TEXT = re.compile(r"(?:\\\d{3}|\\[^\d]|[^\\])*", re.DOTALL)
_ESCAPE = re.compile(rb"\\(\d{3}|[^\d])", re.DOTALL)
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_*/+=!#%&'<>?[]^`{|}~:,")


class RecordError(ValueError):
    """A name or a record that DNS cannot carry; the text says what is wrong and how to mend it."""


@functools.lru_cache(maxsize=1 << 14)
def wire_name(text: str, origin: Name | None = None) -> bytes:
    """The wire form of the name `text`, letter case kept.

    With an `origin`, "@" is the origin and a name without a final dot stands below it (RFC 1035 section 5.1);
    without one every name is absolute. Escapes (backslash and a character or three digits) are understood.
    Raises `RecordError`.
    """
    if text == ".":
        return ROOT
    if text == "@" and origin is not None:
        return origin
    if not text.isascii():
        raise RecordError(f"{text!r} is not ASCII; write an international name in its xn-- form")
    whole = _WELL_FORMED_NAME.fullmatch(text)
    if not whole:
        raise RecordError(f"{text!r} is not a domain name: an empty label or a broken escape")
    labels = [unescape(label) for label in _LABELS.findall(text)]
    if any(len(label) > MAX_LABEL for label in labels):
        raise RecordError(f"{text!r} has a label of more than {MAX_LABEL} octets")
    stem = b"".join(bytes((len(label),)) + label for label in labels)
    wire = stem + (ROOT if origin is None or whole["dot"] else origin)
    if len(wire) > MAX_NAME:
        raise RecordError(f"{text[:40]!r}… has {len(wire)} octets, and a name has at most {MAX_NAME}")
    return wire


@dataclass(frozen=True, slots=True)
class Origin:
    """What names without a final dot stand below in a master file; `None` until somebody says so."""

    name: Name | None

    def wire(self, text: str) -> bytes:
        """The wire form of a name, letter case kept; raises `RecordError`, also where an origin is needed."""
        if self.name is None and text != ".":
            whole = _WELL_FORMED_NAME.fullmatch(text)
            if whole and not whole["dot"]:
                other = "" if text == "@" else f", or write {text[:80]}. with a final dot"
                raise RecordError(
                    f"{text[:80]!r} is below an origin, and none is given; begin the file with a line such "
                    f"as $ORIGIN example.org., or give it with --origin{other}"
                )
        return wire_name(text, self.name)


def is_wire_name(octets: bytes) -> bool:
    """Whether these octets are one whole name in wire form, without compression."""
    position = 0
    while position < len(octets) and 0 < octets[position] <= MAX_LABEL:
        position += 1 + octets[position]
    return octets[position:] == ROOT and len(octets) <= MAX_NAME


def name_key(text: str) -> Name:
    """The absolute name `text` as it is looked up: in wire form and lower case; raises `RecordError`."""
    return wire_name(text).lower()


def name_text(wire: bytes) -> str:
    """A name in wire form as text without the final dot, unusual octets escaped; the root is "."."""
    labels = []
    position = 0
    while length := wire[position]:
        labels.append(_escape(wire[position + 1 : position + 1 + length]))
        position += 1 + length
    return ".".join(labels) or "."


def lineage(name: Name) -> Iterator[Name]:
    """The name itself, its parent, the parent of that, and so on to the root."""
    while name != ROOT:
        yield name
        name = name[1 + name[0] :]
    yield ROOT


def backwards(name: Name) -> bytes:
    """The labels from the root down: of all that is below the name, and only of that, it is the beginning."""
    return b"".join(reversed([ancestor[: 1 + ancestor[0]] for ancestor in lineage(name)]))


def unescape(text: str) -> bytes:
    """The octets that text in master-file form stands for (RFC 1035 section 5.1); raises `RecordError`."""
    if not _WELL_FORMED_TEXT.fullmatch(text):
        raise RecordError(f"{text!r} has a broken escape; a backslash itself is written \\\\")
    return _ESCAPE.sub(_escaped_octet, octets_of(text))


def octets_of(text: str) -> bytes:
    """Text in UTF-8; octets of a file that were no UTF-8 come out as they were. Raises `RecordError`."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise RecordError(f"{text[:80]!r} has half of a surrogate pair, which is no character") from None


def reverse_name(address: str) -> str:
    """The name that holds the PTR record of an IPv4 or IPv6 address (RFC 1035 section 3.5, RFC 3596).

    Raises `RecordError` when `address` is none.
    """
    return parse_address(address).reverse_pointer


def parse_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 or IPv6 address that `address` is the text of; raises `RecordError`."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        raise RecordError(f"{address!r} is neither an IPv4 nor an IPv6 address") from None
    check_no_interface(address)
    return found


def check_no_interface(address: str) -> None:
    """Raises `RecordError` for an address of one interface (RFC 4007 section 11), which Python reads."""
    bare, percent, _ = address.partition("%")
    if percent:
        raise RecordError(f"{address[:80]!r} names an interface, and DNS knows none; write {bare}")


def _escaped_octet(match: re.Match[bytes]) -> bytes:
    sequence = match[1]
    if not sequence.isdigit():
        return sequence
    if int(sequence) > 255:
        raise RecordError(f"the escape \\{sequence.decode()} is no octet; the highest is \\255")
    return bytes((int(sequence),))


def _escape(label: bytes) -> str:
    if _PLAIN.issuperset(label):
        return label.decode("ascii")
    return "".join(chr(octet) if octet in _PLAIN else f"\\{octet:03d}" for octet in label)
