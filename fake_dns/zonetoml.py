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
    address = "198.18.0.9"                    # or a network: "198.18.4.0/22"
    code = "127.0.0.2"                        # these two as by default
    text = "spam source"

    [[rbldnsd]]                               # a list in the format of rbldnsd
    zone = "zen.example"
    dataset = "ip4set"                        # or another of `rbldnsd.DATASETS`
    file = "lists/zen"                        # in the folder of this file, or below

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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator, ValidationError, model_validator
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
from fake_dns.names import Name, RecordError, name_key
from fake_dns.networks import listed_network
from fake_dns.rbldnsd import read_block_list
from fake_dns.records import make_record
from fake_dns.rrtypes import check_ttl, type_number
from fake_dns.tomllines import DEEP, TomlLines, deepest_line
from fake_dns.zonecheck import Neighbours, Place
from fake_dns.zonesource import Includes, check_utf8

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


def _strings(value: object) -> list[str]:
    """One string or several; raises `RecordError`."""
    strings = [value] if isinstance(value, str) else value
    if not isinstance(strings, list) or not all(isinstance(text, str) for text in strings):
        raise RecordError("data is a string, or a list of strings")
    return strings


def _records(value: object) -> list[str]:
    """The data of one record or of several; raises `RecordError`, also where there is none."""
    if not (strings := _strings(value)):
        raise RecordError(
            "without data there is no record; write at least one string, or leave the table out"
        )
    return strings


def _step(value: object) -> Step:
    """A behaviour as the file writes it; raises `RecordError`."""
    if isinstance(value, str) and value in WORDS:
        return WORDS[value]
    match value:
        case {"late": seconds, **rest} if rest.keys() <= {"then"}:
            if type(seconds) not in (int, float):  # `true` is an int to Python
                raise RecordError(f"late is a number of seconds, not {seconds!r}")
            return Late(float(seconds), _step(rest.get("then", "published")))
        case {"data": data, **rest} if rest.keys() <= {"ttl"}:
            ttl = rest.get("ttl", DEFAULT_TTL)
            if type(ttl) is not int:
                raise RecordError(f"a ttl is a number of seconds, not {ttl!r}")
            return Answer(*_strings(data), ttl=check_ttl(ttl))
    known = ", ".join(WORDS)
    raise RecordError(
        f"{value!r} is no behaviour; write {{ late = SECONDS }}, {{ data = … }} or one of {known}"
    )


Data = Annotated[list[str], PlainValidator(_records)]
Ttl = Annotated[int, AfterValidator(check_ttl)]
OneStep = Annotated[Step, PlainValidator(_step)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Record(_Table):
    name: str
    type: str
    data: Data
    ttl: Ttl | None = None


class _Ptr(_Table):
    address: str
    host: str


class _Listing(_Table):
    zone: str
    address: str
    code: str = "127.0.0.2"
    text: str = "spam source"


class _BlockList(_Table):
    zone: str
    dataset: str
    file: str


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
        if self.again and self.sequence is None:
            raise ValueError("again is about a sequence, and there is none; leave it out")
        return self

    def chosen(self) -> Behaviour:
        return self.behaviour or Sequence(self.sequence or (), again=self.again)


class _File(_Table):
    zones: list[str] = []
    ttl: Ttl = DEFAULT_TTL
    record: list[_Record] = []
    ptr: list[_Ptr] = []
    listing: list[_Listing] = []
    rbldnsd: list[_BlockList] = []
    script: list[_Script] = []


_TABLES: dict[str, type[_Table]] = {
    "record": _Record,
    "ptr": _Ptr,
    "listing": _Listing,
    "rbldnsd": _BlockList,
    "script": _Script,
}


def apply_toml(text: str, dns: FakeDns, path: Path | None = None) -> None:
    """Publish and script what TOML text says; raises `LineError`.

    `path` is where the text is from; without it no other file can be named.
    """
    check_utf8(text)
    lines = TomlLines(text)
    parsed = _parsed(text)
    _check_bounds(parsed, lines)
    try:
        content = _File.model_validate(parsed)
    except ValidationError as error:
        detail = min(error.errors(), key=_rank)
        raise LineError(lines.of(detail["loc"]), _problem(detail)) from error
    with _placed(lines, "zones"):
        for apex in content.zones:
            dns.zone(apex, ttl=content.ttl)
    neighbours = Neighbours()
    for number, record in enumerate(content.record):
        with _placed(lines, "record", number):
            place = Place(lines.of(("record", number)))
            for data in record.data:
                made = make_record(record.type, data, content.ttl if record.ttl is None else record.ttl)
                neighbours.add(name_key(record.name), made.type, made.data, place)
                dns.publish_record(name_key(record.name), made)
    if hidden := neighbours.below_dname():
        raise LineError(hidden[0].line, hidden[1])
    for number, ptr in enumerate(content.ptr):
        with _placed(lines, "ptr", number):
            dns.publish_ptr(ptr.address, ptr.host, ttl=content.ttl)
    for number, listing in enumerate(content.listing):
        with _placed(lines, "listing", number):
            if "/" in listing.address:
                network = listed_network(listing.address)
                dns.list_network(listing.zone, network, listing.code, listing.text)
            else:
                dns.list_address(listing.zone, listing.address, listing.code, listing.text, beside=True)
    includes = Includes(path) if path else None
    for number, block_list in enumerate(content.rbldnsd):
        with _placed(lines, "rbldnsd", number):
            _read_list(block_list, dns, includes)
    scripted: dict[tuple[Name, int], int] = {}
    for number, script in enumerate(content.script):
        with _placed(lines, "script", number):
            dns.script(script.name, script.type, script.chosen())
            what = name_key(script.name), type_number(script.type or "ANY")
            if scripted.setdefault(what, number) != number:
                line = lines.of(("script", scripted[what]))
                raise RecordError(
                    f"{script.name} has such a script already (line {line}); make them a sequence"
                )


def _parsed(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise LineError(line, f"this is not valid TOML: {error}") from error
    except RecursionError:
        raise LineError(
            deepest_line(text), "lists or tables are nested too deep here; write them flat"
        ) from None
    except ValueError:  # Python reads no number of more than 4300 digits
        found = re.search(r"\d{4000,}", text)
        line = 1 + text.count("\n", 0, found.start() if found else 0)
        raise LineError(line, "there is a number of thousands of digits; write a shorter one") from None


def _check_bounds(content: dict[str, object], lines: TomlLines) -> None:
    """Raises `LineError` for what `tomllib` reads and no zone file has: deep tables, endless numbers."""
    found: list[tuple[tuple[str | int, ...], object]] = [((), content)]
    while found:
        place, value = found.pop()
        if len(place) > DEEP:
            raise LineError(lines.of(place), "tables are nested too deep here; write them flat")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            key = next(part for part in reversed(place) if isinstance(part, str))
            raise LineError(
                lines.of(place), f"{key}: a number has 64 bits at most in TOML; write a smaller one"
            )
        inner = (
            value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
        )
        found += (((*place, part), below) for part, below in inner)


def _read_list(block_list: _BlockList, dns: FakeDns, includes: Includes | None) -> None:
    if includes is None:
        raise RecordError("a list in another file is for zone files; this text is none")
    file, text = includes.enter(block_list.file)
    includes.leave()
    try:
        publish = read_block_list(text, block_list.zone, block_list.dataset)
    except LineError as error:
        raise LineError(error.line, str(error), file) from error
    for change in publish:
        change(dns)


@contextmanager
def _placed(lines: TomlLines, *place: str | int) -> Iterator[None]:
    try:
        yield
    except LineError:
        raise  # it says where, in another file
    except RecordError as error:
        raise LineError(lines.of(place), str(error)) from error


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
