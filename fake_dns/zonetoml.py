r"""The TOML form of a zone file, which says what a master file cannot: addresses, block lists, faults.

    zones = ["k3.example", "bl.example"]      # each gets its SOA and NS records
    ttl = 60                                  # seconds; of records that say nothing else

    [[record]]
    name = "k3.example"
    type = "MX"
    data = ["10 mx7.k3.example.", "20 mx8.k3.example."]     # or one string

    [[ptr]]
    address = "198.18.0.7"
    host = "mx7.k3.example"

    [[listing]]
    zone = "bl.example"
    address = "198.18.0.9"
    code = "127.0.0.2"                        # these two as by default
    text = "spam source"

    [[script]]
    name = "mx7.k3.example"
    type = "AAAA"                             # left out: every type
    behaviour = "no-answer"

A behaviour is one of the words of `WORDS`, `{ late = 2.5 }` (seconds) perhaps with a `then`, or
`{ data = "…" }` with records as above. Instead of `behaviour`, `sequence = ["servfail", "published"]` is a
different one with each query; `again = true` lets it begin anew at its end.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError, model_validator
from pydantic_core import ErrorDetails

from fake_dns.behaviour import (
    Answer,
    Behaviour,
    FormErr,
    Lame,
    Late,
    NoAnswer,
    NxDomain,
    Published,
    Refused,
    Sequence,
    ServFail,
    Step,
    Truncated,
    WrongId,
)
from fake_dns.dns import DEFAULT_TTL, FakeDns
from fake_dns.masterfile import LineError
from fake_dns.names import RecordError

WORDS: Mapping[str, Step] = {
    "nxdomain": NxDomain(),
    "servfail": ServFail(),
    "refused": Refused(),
    "formerr": FormErr(),
    "no-answer": NoAnswer(),
    "truncated": Truncated(),
    "wrong-id": WrongId(),
    "lame": Lame(),
    "published": Published(),
}

_SECTIONS = ("zones", "ttl", "record", "ptr", "listing", "script")

# Strings and comments are consumed whole, so a header or key that is found is a real one.
_MARKS = re.compile(
    r'''
    """(?:\\.|[^\\])*?"""
    | \'\'\'.*?\'\'\'
    | "(?:\\.|[^"\\\n])*"
    | '[^'\n]*'
    | \#[^\n]*
    | ^[ \t]*\[\[?[ \t]*(?P<table>[\w-]+)[ \t]*\]\]?
    | ^[ \t]*(?P<key>[\w-]+)[ \t]*=
    ''',
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)


def _strings(value: object) -> list[str]:
    """One string or several; raises `RecordError`."""
    strings = [value] if isinstance(value, str) else value
    if not isinstance(strings, list) or not all(isinstance(text, str) for text in strings):
        raise RecordError("data is a string, or a list of strings")
    return strings


def _step(value: object) -> Step:
    """A behaviour as the file writes it; raises `RecordError`."""
    if isinstance(value, str) and value in WORDS:
        return WORDS[value]
    match value:
        case {"late": int() | float() as seconds, **rest} if rest.keys() <= {"then"}:
            return Late(float(seconds), _step(rest.get("then", "published")))
        case {"data": data, **rest} if rest.keys() <= {"ttl"}:
            ttl = rest.get("ttl", DEFAULT_TTL)
            if not isinstance(ttl, int):
                raise RecordError(f"a ttl is a number of seconds, not {ttl!r}")
            return Answer(*_strings(data), ttl=ttl)
    known = ", ".join(WORDS)
    raise RecordError(
        f"{value!r} is no behaviour; write {{ late = SECONDS }}, {{ data = … }} or one of {known}"
    )


Strings = Annotated[list[str], PlainValidator(_strings)]
OneStep = Annotated[Step, PlainValidator(_step)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Record(_Table):
    name: str
    type: str
    data: Strings
    ttl: int | None = None


class _Ptr(_Table):
    address: str
    host: str


class _Listing(_Table):
    zone: str
    address: str
    code: str = "127.0.0.2"
    text: str = "spam source"


class _Script(_Table):
    name: str
    type: str | None = None
    behaviour: OneStep | None = None
    sequence: list[OneStep] | None = None
    again: bool = False

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.behaviour is None) == (self.sequence is None):
            raise ValueError("a script has either a behaviour or a sequence")
        return self

    def chosen(self) -> Behaviour:
        return self.behaviour or Sequence(self.sequence or (), again=self.again)


class _File(_Table):
    zones: list[str] = []
    ttl: int = DEFAULT_TTL
    record: list[_Record] = []
    ptr: list[_Ptr] = []
    listing: list[_Listing] = []
    script: list[_Script] = []


_TABLES: dict[str, type[_Table]] = {"record": _Record, "ptr": _Ptr, "listing": _Listing, "script": _Script}


def apply_toml(text: str, dns: FakeDns) -> None:
    """Publish and script what TOML text says; raises `LineError`."""
    try:
        content = _File.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise LineError(line, f"this is not valid TOML: {error}") from error
    except ValidationError as error:
        detail = min(error.errors(), key=_rank)
        raise LineError(_line(text, detail["loc"]), _problem(detail)) from error
    with _placed(text, "zones"):
        for apex in content.zones:
            dns.zone(apex, ttl=content.ttl)
    for number, record in enumerate(content.record):
        with _placed(text, "record", number):
            for data in record.data:
                dns.publish(
                    record.name, record.type, data, ttl=content.ttl if record.ttl is None else record.ttl
                )
    for number, ptr in enumerate(content.ptr):
        with _placed(text, "ptr", number):
            dns.publish_ptr(ptr.address, ptr.host, ttl=content.ttl)
    for number, listing in enumerate(content.listing):
        with _placed(text, "listing", number):
            dns.list_address(listing.zone, listing.address, listing.code, listing.text)
    for number, script in enumerate(content.script):
        with _placed(text, "script", number):
            dns.script(script.name, script.type, script.chosen())


@contextmanager
def _placed(text: str, *place: str | int) -> Iterator[None]:
    try:
        yield
    except RecordError as error:
        raise LineError(_line(text, place), str(error)) from error


def _line(text: str, place: tuple[str | int, ...]) -> int:
    """The line of a value, given its keys and positions from the top; or of the table that it is in."""
    lines: dict[tuple[str | int, ...], int] = {}
    seen: Counter[str] = Counter()
    table: tuple[str | int, ...] = ()
    for mark in _MARKS.finditer(text):
        line = text.count("\n", 0, mark.start(mark.lastgroup or 0)) + 1
        if mark["table"]:
            table = (mark["table"], seen[mark["table"]])
            seen[mark["table"]] += 1
            lines[table] = line
        elif mark["key"]:
            lines.setdefault((*table, mark["key"]), line)
    return next((lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in lines), 1)


def _rank(detail: ErrorDetails) -> bool:
    """An unknown key first: misspelt, it is also the reason why another one is missing."""
    return detail["type"] != "extra_forbidden"


def _problem(detail: ErrorDetails) -> str:
    *parents, last = detail["loc"] or ("the file",)
    if detail["type"] == "extra_forbidden":
        known = _TABLES[str(parents[0])] if parents else _File
        return f"{last}: unknown key; known here: {', '.join(known.model_fields)}"
    if detail["type"] == "missing":
        return f"{last}: is required and missing; add it"
    return f"{last}: {detail['msg'].removeprefix('Value error, ')}"
