r"""`$GENERATE` in master files, as BIND has it: one line that stands for many records.

    $GENERATE 1-127 host-$ A 198.18.0.$
    $GENERATE 0-30/2 ${1,3,x} CNAME ${-1}.pool

`$` is the number; `${OFFSET,WIDTH,BASE}` adds to it, fills it up with zeros, and writes it in base d, o, x,
X, or as reversed nibbles n, N. `\$` and `$$` are a dollar sign.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from fake_dns.masterfile import Token, tokens_of
from fake_dns.names import RecordError
from fake_dns.rrtypes import TXT, type_number

MAX_STEPS = 65_536  # records of one directive
FORM = "$GENERATE START-STOP[/STEP] owner [ttl] [IN] type data"

_RANGE = re.compile(r"(\d{1,10})-(\d{1,10})(?:/(\d{1,10}))?")
_PLACE = re.compile(r"\\.|\$\$|\$\{(?P<how>[^}]*)\}|\$(?P<open>\{?)", re.DOTALL)
_HOW = re.compile(r"(-?\d{1,10})(?:,(\d{1,3})(?:,([doxXnN]))?)?")
_FORMATS = {"d": "d", "o": "o", "x": "x", "X": "X"}
_MAX_WIDTH = 255  # characters


def generated(tokens: tuple[Token, ...]) -> Iterator[tuple[Token, ...]]:
    """The words of each record that a directive stands for, the owner first; raises `RecordError`."""
    if len(tokens) < 5:
        raise RecordError(f"$GENERATE is written as: {FORM}")
    numbers = _numbers(tokens[1].text)
    template = _unquoted(tokens[2:])
    for number in numbers:
        yield tuple(replace(token, text=_filled(token.text, number)) for token in template)


def _numbers(text: str) -> range:
    found = _RANGE.fullmatch(text)
    if not found:
        raise RecordError(f"{text[:40]!r} is no range; $GENERATE is written as: {FORM}")
    start, stop, step = int(found[1]), int(found[2]), int(found[3] or 1)
    if stop < start or step == 0:
        raise RecordError(f"the range {text} is empty; its end comes before its start, or its step is 0")
    numbers = range(start, stop + 1, step)
    if len(numbers) > MAX_STEPS:
        raise RecordError(f"the range {text} has {len(numbers)} numbers; at most {MAX_STEPS} are possible")
    return numbers


def _unquoted(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """Data of several words may stand in one quoted string, as in `host$ MX "10 mx$"`."""
    *before, kind, data = tokens
    if not data.quoted or kind.quoted or not before:
        return tokens
    try:
        if type_number(kind.text) in (TXT, 99):
            return tokens
    except RecordError:  # then it is the last of several words
        return tokens
    return (*before, kind, *tokens_of(data.text.replace('\\"', '"')))


def _filled(text: str, number: int) -> str:
    def place(found: re.Match[str]) -> str:
        if found["open"]:
            raise RecordError(f"{text[:40]!r} has a ${{ that is never closed")
        if found[0].startswith("\\"):
            return found[0]
        if found[0] == "$$":
            return "\\$"
        return _written(found["how"], number) if found["how"] is not None else str(number)

    return _PLACE.sub(place, text)


def _written(how: str, number: int) -> str:
    found = _HOW.fullmatch(how)
    width = int(found[2] or 0) if found else 0
    if not found or width > _MAX_WIDTH:
        raise RecordError(
            f"${{{how[:40]}}} cannot be; write ${{OFFSET,WIDTH,BASE}} with a base of d, o, x, X, n, N"
        )
    value, base = number + int(found[1]), found[3] or "d"
    if value < 0:
        raise RecordError(f"${{{how}}} makes {value} of {number}; a number that is written is not negative")
    if base in "nN":
        return _nibbles(value, width, upper=base == "N")
    return format(value, _FORMATS[base]).zfill(width)


def _nibbles(value: int, width: int, *, upper: bool) -> str:
    """The hexadecimal digits, the lowest first, with dots between; the width counts both."""
    digits: list[str] = []
    while not digits or value or len(digits) < (width + 1) // 2:
        digits.append(format(value & 0xF, "X" if upper else "x"))
        value >>= 4
    return ".".join(digits)
