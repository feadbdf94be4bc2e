"""The numbers of record types, and the times that records live."""

import re

import dns.exception
import dns.rdatatype

from fake_dns.names import RecordError

A, NS, CNAME, SOA, TXT, AAAA, DNAME, OPT, ANY = 1, 2, 5, 6, 16, 28, 39, 41, 255

MAX_TTL = 2**31 - 1  # seconds, RFC 2181 section 8

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:\d{1,10}[smhdw])+|\d{1,10}", re.IGNORECASE)


def type_number(text: str) -> int:
    """The number of a record type such as "MX" or "TYPE65280"; raises `RecordError`."""
    try:
        return int(dns.rdatatype.from_text(text))
    except (dns.exception.DNSException, ValueError):
        raise RecordError(
            f"{text[:40]!r} is no record type; an unusual one is written by its number, as in TYPE65280"
        ) from None


def type_text(number: int) -> str:
    """The name of a record type; TYPEnnn for one without a name (RFC 3597 section 5)."""
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(number))


def data_type_number(text: str) -> int:
    """The number of a record type that can be published; raises `RecordError`."""
    number = type_number(text)
    if not is_data_type(number):
        raise RecordError(f"{text} is a type of questions only; nothing can be published as it")
    return number


def is_data_type(number: int) -> bool:
    """Whether a type can be published: not one of questions or packets only (RFC 6895 section 3.1)."""
    return number not in (0, OPT, 0xFFFF) and not 128 <= number <= 255


def parse_ttl(text: str) -> int:
    """Seconds, as a number or with units such as 1h30m; raises `RecordError`."""
    if not _DURATION.fullmatch(text):
        raise RecordError(f"{text!r} is not a time; write seconds, or units as in 1h30m")
    parts = re.findall(r"(\d+)([smhdw]?)", text.lower())
    return check_ttl(sum(int(number) * _UNITS.get(unit, 1) for number, unit in parts))


def check_ttl(ttl: int) -> int:
    """The same number of seconds; raises `RecordError` when it cannot be a TTL."""
    if not 0 <= ttl <= MAX_TTL:
        raise RecordError(f"a TTL of {ttl} s cannot be; it lies between 0 and {MAX_TTL}")
    return ttl
