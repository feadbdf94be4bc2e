"""Puts the zone data of a set into the fake DNS, and takes it out again."""

import contextlib
from collections.abc import Iterator

from fake_dns import FakeDns, NoAnswer, RecordError
from harness.spf_suite.suite import CaseSet, Zone

ASKED = ("A", "AAAA", "CNAME", "MX", "PTR", "TXT", "TYPE99")
LONGEST_STRING = 255  # octets of one string of a TXT record
TTL = 0  # seconds: the next set says something else of the same names


class ZoneDataError(Exception):
    """Zone data that DNS cannot carry; the text names it."""


@contextlib.contextmanager
def published(dns: FakeDns, cases: CaseSet) -> Iterator[None]:
    """The zone data for the length of the context; raises `ZoneDataError`."""
    try:
        for zone in cases.zones:
            _publish(dns, zone)
        yield
    finally:
        for zone in cases.zones:
            with contextlib.suppress(RecordError):  # then nothing was published either
                dns.withdraw(zone.name)


def _publish(dns: FakeDns, zone: Zone) -> None:
    name = zone.name
    try:
        for kind, parts in zone.records:
            dns.publish(name, "TYPE99" if kind == "SPF" else kind, _data(kind, parts), ttl=TTL)
        there = {"TYPE99" if kind == "SPF" else kind for kind, _ in zone.records}
        for kind in ASKED if zone.silent else ():
            if kind not in there:
                dns.script(name, kind, NoAnswer())
    except RecordError as error:
        raise ZoneDataError(f"zonedata.{name}: {error}") from error


def _data(kind: str, parts: tuple[str, ...]) -> str:
    """The data in master-file text; strings as octets, so that nothing in them has a meaning there."""
    match kind:
        case "TXT" | "SPF":
            octets = b"".join(_string(part.encode("latin-1", "replace")) for part in parts)
            return f"\\# {len(octets)} {octets.hex()}".strip()
        case "MX":
            return f"{parts[0]} {_absolute(parts[-1])}"
        case "PTR" | "CNAME":
            return _absolute(parts[0])
    return " ".join(parts)


def _string(octets: bytes) -> bytes:
    pieces = [octets[at : at + LONGEST_STRING] for at in range(0, len(octets), LONGEST_STRING)] or [b""]
    return b"".join(bytes((len(piece),)) + piece for piece in pieces)


def _absolute(host: str) -> str:
    return host.removesuffix(".") + "."
