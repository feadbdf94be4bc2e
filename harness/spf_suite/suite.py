"""Reads a suite: YAML documents, each a set of cases and the zone data that they share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator

from harness import settings
from harness.settings.hosts import Address, shown
from harness.spf_suite.documents import documents

Result: TypeAlias = Literal["none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"]
DEFAULT = "DEFAULT"  # stands for whatever a server says when the domain has no words of its own
TIMEOUT = "TIMEOUT"  # no question gets an answer, but those whose records are there
NONE = "NONE"  # no record of this type, made from one of type SPF neither
Entry: TypeAlias = dict[str, tuple[str, ...]] | str


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _one_line(value: object) -> object:
    """What a client says in one command: a line end in it would be another command."""
    if isinstance(value, str) and any(character in value for character in "\r\n\0"):
        raise ValueError(f"{shown(value)} has a line end or a NUL, which no command can carry; leave it out")
    return value


def _entry(value: object) -> Entry:
    """Records of a name by type, each a text or its parts; or a word."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict) or not value:
        raise ValueError(f"is no record; write TYPE: DATA, such as A: 192.0.2.3, or {TIMEOUT}")
    return {str(kind): _parts(str(kind), data) for kind, data in value.items()}


def _parts(kind: str, data: object) -> tuple[str, ...]:
    parts = [data] if isinstance(data, str) else data
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValueError(
            f"{kind} is neither a text nor a list of texts; write {kind}: DATA or {kind}: [A, B]"
        )
    return tuple(parts)


def _reference(value: object) -> object:
    """The sections of the RFC, one or several."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


class _Case(settings.Settings):
    model_config = ConfigDict(extra="ignore", str_strip_whitespace=False)

    host: Address
    helo: Annotated[str, BeforeValidator(_one_line)] = Field(min_length=1)
    mailfrom: Annotated[str, BeforeValidator(_one_line)]
    result: Annotated[tuple[Result, ...], BeforeValidator(_listed)] = Field(min_length=1)
    explanation: str | None = None
    description: str = ""
    spec: Annotated[str, BeforeValidator(_reference)] = ""


class _Set(settings.Settings):
    model_config = ConfigDict(extra="ignore", str_strip_whitespace=False)

    description: str = ""
    tests: dict[str, _Case] = Field(min_length=1)
    zonedata: dict[str, list[Annotated[Entry, PlainValidator(_entry)]]]


@dataclass(frozen=True)
class Case:
    """Who connects, what they say, and the results that are right."""

    name: str
    host: str
    helo: str
    sender: str
    results: tuple[Result, ...]
    explanation: str | None
    statement: str
    sections: str


@dataclass(frozen=True)
class Zone:
    """One name: its records by type, each as its parts, and whether other questions get no answer."""

    name: str
    records: tuple[tuple[str, tuple[str, ...]], ...]
    silent: bool


@dataclass(frozen=True)
class CaseSet:
    """Cases that share their zone data."""

    title: str
    cases: tuple[Case, ...]
    zones: tuple[Zone, ...]


@dataclass(frozen=True)
class Suite:
    """A whole file."""

    name: str
    sets: tuple[CaseSet, ...]

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases of all sets, in order."""
        return tuple(case for one in self.sets for case in one.cases)


def load(path: Path) -> Suite:
    """Read a suite; raises `settings.SettingsError`, which names the file and the place."""
    sets: list[CaseSet] = []
    seen: dict[str, int] = {}
    for number, document in enumerate(documents(path), 1):
        if not isinstance(document, dict):
            raise settings.SettingsError(
                path, [f"set {number}: is no table with description, tests, zonedata"]
            )
        try:
            found = settings.check(path, document, _Set)
        except settings.SettingsError as error:
            problems = [f"set {number}: {problem}" for problem in error.problems]
            raise settings.SettingsError(path, problems) from None
        for name in found.tests:
            if name in seen:
                problem = f"set {number}: tests.{name} is in set {seen[name]} as well; give it another name"
                raise settings.SettingsError(path, [problem])
            seen[name] = number
        zones = tuple(_zone(path, number, name, entries) for name, entries in found.zonedata.items())
        cases = tuple(_case(name, case) for name, case in found.tests.items())
        sets.append(CaseSet(found.description.strip(), cases, zones))
    if not sets:
        raise settings.SettingsError(path, ["has no tests; each document needs tests and zonedata"])
    return Suite(path.stem, tuple(sets))


def _case(name: str, case: _Case) -> Case:
    statement = " ".join(case.description.split()) or f"Section {case.spec} of RFC 7208"
    sections = f"RFC 7208 §{case.spec}" if case.spec else "RFC 7208"
    return Case(name, case.host, case.helo, case.mailfrom, case.result, case.explanation, statement, sections)


def _zone(path: Path, number: int, name: str, entries: list[Entry]) -> Zone:
    """A name's records; every one of type SPF is one of type TXT as well, unless TXT is spelt out."""
    records: list[tuple[str, tuple[str, ...]]] = []
    silent = False
    for entry in entries:
        if entry == TIMEOUT:
            silent = True
        elif isinstance(entry, str):
            problem = f"set {number}: zonedata.{name}: {entry!r} is no record and not {TIMEOUT}"
            raise settings.SettingsError(path, [problem])
        else:
            records += [(kind.upper(), parts) for kind, parts in entry.items()]
    told = any(kind == "TXT" for kind, _ in records)
    copies = [] if told else [("TXT", parts) for kind, parts in records if kind == "SPF"]
    kept = tuple(record for record in (*records, *copies) if record[1] != (NONE,))
    return Zone(name, kept, silent)
