"""Puts the zone data of a set into the fake DNS, and takes it out again."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from fake_dns import FakeDns, NoAnswer, RecordError
from harness.settings import SettingsError
from harness.spf_suite.suite import CaseSet, Suite, Zone
from harness.wording import counted

ASKED = ("A", "AAAA", "CNAME", "MX", "PTR", "TXT", "TYPE99")
LONGEST_STRING = 255  # octets of one string of a TXT record
TTL = 0  # seconds: the next set says something else of the same names


def rehearse(path: Path, suite: Suite) -> None:
    """Publish all that a suite has where nobody asks; raises `SettingsError` for what DNS cannot carry."""
    problems = []
    for number, cases in enumerate(suite.sets, 1):
        nowhere = FakeDns()
        for zone in cases.zones:
            try:
                _publish(nowhere, zone)
            except RecordError as error:
                problems.append(f"set {number}: zonedata.{zone.name}: {error}")
    if problems:
        raise SettingsError(path, problems)


@contextlib.contextmanager
def published(dns: FakeDns, cases: CaseSet) -> Iterator[None]:
    """The zone data for the length of the context; raises `RecordError` for a suite not rehearsed."""
    try:
        for zone in cases.zones:
            _publish(dns, zone)
        yield
    finally:
        for zone in cases.zones:
            with contextlib.suppress(RecordError):  # then nothing was published either
                dns.withdraw(zone.name)


def _publish(dns: FakeDns, zone: Zone) -> None:
    for kind, parts in zone.records:
        dns.publish(zone.name, "TYPE99" if kind == "SPF" else kind, _data(kind, parts), ttl=TTL)
    there = {"TYPE99" if kind == "SPF" else kind for kind, _ in zone.records}
    for kind in ASKED if zone.silent else ():
        if kind not in there:
            dns.script(zone.name, kind, NoAnswer())


def _data(kind: str, parts: tuple[str, ...]) -> str:
    """The data in master-file text; strings as octets, so that nothing in them has a meaning there."""
    match kind:
        case "TXT" | "SPF":
            octets = b"".join(_string(part.encode("latin-1", "replace")) for part in parts)
            return f"\\# {len(octets)} {octets.hex()}".strip()
        case "MX":
            if len(parts) != 2:
                raise RecordError(f"MX has {counted(len(parts), 'part')}; write MX: [PREFERENCE, HOST]")
            return f"{parts[0]} {_absolute(parts[1])}"
        case "PTR" | "CNAME":
            if len(parts) != 1:
                raise RecordError(f"{kind} has {counted(len(parts), 'part')}; write {kind}: HOST")
            return _absolute(parts[0])
    return " ".join(parts)


def _string(octets: bytes) -> bytes:
    pieces = [octets[at : at + LONGEST_STRING] for at in range(0, len(octets), LONGEST_STRING)] or [b""]
    return b"".join(bytes((len(piece),)) + piece for piece in pieces)


def _absolute(host: str) -> str:
    return host.removesuffix(".") + "."
