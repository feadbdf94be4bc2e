"""The data of records: from master-file text to wire form, checked.

The types that mail needs are a table of fields here, so that an error can name the field. Other types that
dnspython knows are read by dnspython; whatever is left is written as RFC 3597 has it: `\\# 3 0a0b0c`.
"""

import ipaddress
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from fake_dns.masterfile import Token
from fake_dns.names import (
    Origin,
    RecordError,
    check_no_interface,
    is_wire_name,
    name_text,
    octets_of,
    unescape,
    wire_name,
)
from fake_dns.rrtypes import AAAA, CNAME, DNAME, NS, SOA, TXT, A, parse_ttl, type_text

MAX_STRING = 255  # octets of one character-string, RFC 1035 section 3.3
MAX_DATA = 65535  # octets of a record's data

_NO_ORIGIN = "give an origin, by a line such as $ORIGIN example.org. or by --origin"

Encode = Callable[[Token, Origin | None], bytes]


class UnusualDataError(RecordError):
    """Data of a type that mail has no use for, and that cannot be read; a zone can do without the record."""


@dataclass(frozen=True)
class Field:
    """A field of a record's data: what it is called, and how it goes on the wire."""

    label: str
    encode: Encode
    many: bool = False  # takes all words that are left, at least one


def parse_rdata(record_type: int, tokens: Sequence[Token], origin: Origin | None = None) -> bytes:
    """A record's data in wire form, from its words; raises `RecordError`, `UnusualDataError` among them.

    Names without a final dot are below `origin`, and absolute where `origin` is `None`.
    """
    if tokens and tokens[0] == Token("\\#"):
        data = _generic(tokens[1:])
        if record_type in (CNAME, DNAME) and not is_wire_name(data):  # the only data that is ever looked up
            kind = type_text(record_type)
            raise RecordError(f"the data of a {kind} must be a name in wire form, uncompressed")
    elif record_type in _FIELDS:
        data = _by_fields(record_type, _FIELDS[record_type], tokens, origin)
    else:
        data = _by_dnspython(record_type, tokens, origin)
    if len(data) > MAX_DATA:
        raise RecordError(f"{type_text(record_type)} data of {len(data)} octets; at most {MAX_DATA} fit")
    return data


def shown_rdata(record_type: int, tokens: Sequence[Token], origin: Origin | None = None) -> str:
    """Words that `parse_rdata` accepts, for people: names absolute, without the final dot."""
    fields = () if tokens[0] == Token("\\#") else _FIELDS.get(record_type, ())
    words = [f'"{token.text}"' if token.quoted else token.text for token in tokens]
    for position, (field, token) in enumerate(zip(fields, tokens, strict=False)):
        if field.encode is _name:
            words[position] = name_text(_name(token, origin))
    parts = (word if token.attached else f" {word}" for word, token in zip(words, tokens, strict=True))
    return "".join(parts).lstrip()


def quote(text: str) -> str:
    """Any text as one quoted string in master-file form."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\010") + '"'


def _by_fields(
    record_type: int, fields: Sequence[Field], tokens: Sequence[Token], origin: Origin | None
) -> bytes:
    expected = " ".join(field.label + (" …" if field.many else "") for field in fields)
    shown = " ".join(token.text for token in tokens)[:60]
    many = fields[-1].many
    if len(tokens) < len(fields) or (len(tokens) > len(fields) and not many):
        raise RecordError(f"{type_text(record_type)} data is written as: {expected}; found {shown!r}")
    rest = [fields[-1]] * (len(tokens) - len(fields))
    parts = []
    for field, token in zip([*fields, *rest], tokens, strict=True):
        try:
            parts.append(field.encode(token, origin))
        except RecordError as error:
            raise RecordError(f"{type_text(record_type)} {field.label}: {error}") from None
    return b"".join(parts)


def _by_dnspython(record_type: int, tokens: Sequence[Token], origin: Origin | None) -> bytes:
    label, kind = type_text(record_type), dns.rdatatype.RdataType.make(record_type)
    below: dns.name.Name | None = dns.name.root
    if origin:
        below = dns.name.from_wire(origin.name, 0)[0] if origin.name else None
    text = "".join(("" if token.attached else " ") + _ascii(token) for token in tokens)
    try:
        return dns.rdata.from_text(dns.rdataclass.IN, kind, text, below, relativize=False).to_wire() or b""
    except dns.name.NeedAbsoluteNameOrOrigin:
        raise RecordError(f"{label} data has a name without a final dot; {_NO_ORIGIN}") from None
    except (dns.exception.DNSException, ValueError, OverflowError, struct.error) as error:
        raise UnusualDataError(
            f"this is not {label} data: {error}; write it as RFC 3597 has it: \\# LENGTH HEX"
        ) from error


def _ascii(token: Token) -> str:
    """A token as it was written, other octets than ASCII as escapes."""
    if token.text.isascii():
        return f'"{token.text}"' if token.quoted else token.text
    if not token.quoted:
        raise RecordError(f"{token.text[:80]!r} is not ASCII; write an international name in its xn-- form")
    octets = octets_of(token.text)
    return '"' + "".join(chr(octet) if octet < 0x80 else f"\\{octet:03d}" for octet in octets) + '"'


def _generic(tokens: Sequence[Token]) -> bytes:
    digits = "".join(token.text for token in tokens[1:])
    if not tokens or not tokens[0].text.isdecimal():
        raise RecordError("after \\# comes the length of the data in octets (RFC 3597 section 5)")
    data = _hex(Token(digits), None)
    if len(data) != int(tokens[0].text[:6]):
        raise RecordError(f"\\# announces {tokens[0].text[:6]} octets and {len(data)} follow")
    return data


def _ipv4(token: Token, _origin: Origin | None) -> bytes:
    try:
        return ipaddress.IPv4Address(token.text).packed
    except ValueError:
        raise RecordError(f"{token.text!r} is not an IPv4 address") from None


def _ipv6(token: Token, _origin: Origin | None) -> bytes:
    try:
        packed = ipaddress.IPv6Address(token.text).packed
    except ValueError:
        raise RecordError(f"{token.text!r} is not an IPv6 address") from None
    check_no_interface(token.text)
    return packed


def _name(token: Token, origin: Origin | None) -> bytes:
    return origin.wire(token.text) if origin else wire_name(token.text)


def _seconds(token: Token, _origin: Origin | None) -> bytes:
    return struct.pack("!I", parse_ttl(token.text))


def _number(octets: int) -> Encode:
    highest = (1 << 8 * octets) - 1

    def encode(token: Token, _origin: Origin | None) -> bytes:
        if not re.fullmatch(r"\d{1,10}", token.text) or int(token.text) > highest:
            raise RecordError(f"{token.text!r} is not a number from 0 to {highest}")
        return int(token.text).to_bytes(octets, "big")

    return encode


def _hex(token: Token, _origin: Origin | None) -> bytes:
    try:
        return bytes.fromhex(token.text)
    except ValueError:
        raise RecordError(f"{token.text[:40]!r} is not hexadecimal") from None


def _string(token: Token, _origin: Origin | None) -> bytes:
    octets = unescape(token.text)
    if len(octets) > MAX_STRING:
        raise RecordError(f"{len(octets)} octets in a string; at most {MAX_STRING} fit")
    return bytes((len(octets),)) + octets


def _long_string(token: Token, _origin: Origin | None) -> bytes:
    """One string or, where it is too long for one, several that a reader joins (RFC 7208 section 3.3)."""
    octets = unescape(token.text)
    pieces = [octets[at : at + MAX_STRING] for at in range(0, len(octets), MAX_STRING)] or [b""]
    return b"".join(bytes((len(piece),)) + piece for piece in pieces)


def _bare_string(token: Token, _origin: Origin | None) -> bytes:
    return unescape(token.text)


_U8, _U16, _U32 = _number(1), _number(2), _number(4)
_TEXT = (Field("text", _long_string, many=True),)
_DIGEST = (Field("algorithm", _U8), Field("kind", _U8), Field("hex", _hex, many=True))

_CERTIFICATE = (Field("usage", _U8), Field("selector", _U8), Field("matching", _U8), _DIGEST[-1])

_FIELDS: dict[int, tuple[Field, ...]] = {
    A: (Field("address", _ipv4),),
    AAAA: (Field("address", _ipv6),),
    NS: (Field("host", _name),),
    CNAME: (Field("target", _name),),
    12: (Field("host", _name),),  # PTR
    DNAME: (Field("target", _name),),
    15: (Field("preference", _U16), Field("host", _name)),  # MX
    TXT: _TEXT,
    99: _TEXT,  # SPF
    13: (Field("cpu", _string), Field("os", _string)),  # HINFO
    17: (Field("mailbox", _name), Field("text", _name)),  # RP
    18: (Field("subtype", _U16), Field("host", _name)),  # AFSDB
    33: (Field("priority", _U16), Field("weight", _U16), Field("port", _U16), Field("target", _name)),  # SRV
    43: (Field("tag", _U16), *_DIGEST),  # DS
    59: (Field("tag", _U16), *_DIGEST),  # CDS
    44: _DIGEST,  # SSHFP
    52: _CERTIFICATE,  # TLSA
    53: _CERTIFICATE,  # SMIMEA
    257: (Field("flags", _U8), Field("tag", _string), Field("value", _bare_string)),  # CAA
    SOA: (
        Field("primary", _name),
        Field("mailbox", _name),
        Field("serial", _U32),
        Field("refresh", _seconds),
        Field("retry", _seconds),
        Field("expire", _seconds),
        Field("minimum", _seconds),
    ),
}
