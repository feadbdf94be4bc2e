"""Files that somebody else wrote: read whole, within bounds, and refused in one sentence."""

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

LARGEST = 4 << 20  # bytes of a file that people write
DEEPEST = 40  # tables and lists within each other; no file of ours has more than six
LONGEST_WORD = 1000  # characters of a bare key or a number
BLOCK = 1 << 16  # bytes read at once

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
_WIDE = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}  # by the byte order mark
# Strings and comments are consumed whole, so that a bracket that is found is a real one.
_MARKS = re.compile(
    r'''
    """(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|'[^'\n]*'
    |\#[^\n]*
    |(?P<sign>[][{}.=,\n])|(?P<word>[\w+-]+)''',
    re.DOTALL | re.VERBOSE,
)


class UnreadableError(Exception):
    """A file that cannot be read as what it should be; the text is a clause about it, with the mend."""


class MissingError(UnreadableError):
    """There is no file of that name."""


def content(path: Path, largest: int = LARGEST) -> bytes:
    """All bytes of a regular file; raises `UnreadableError`, also for one of more than `largest` bytes.

    A folder, a pipe or a device is no file: it would be read for ever, or never answer.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        raise MissingError("there is no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UnreadableError(_trouble(error)) from error
    found = bytearray()
    try:
        mode = os.fstat(handle).st_mode
        if kind := next((name for is_of, name in _KINDS if is_of(mode)), ""):
            raise UnreadableError(f"is {kind} and no file; name a file")
        while len(found) <= largest and (block := os.read(handle, BLOCK)):
            found += block
    except OSError as error:
        raise UnreadableError(_trouble(error)) from error
    finally:
        os.close(handle)
    if len(found) > largest:
        raise UnreadableError(f"has more than {_size(largest)}, which no such file needs; shorten it")
    return bytes(found)


def text(octets: bytes) -> str:
    """What UTF-8 says, without a byte order mark; raises `UnreadableError` with the line."""
    if wide := _WIDE.get(octets[:2]):
        raise UnreadableError(f"is in {wide}; save it as UTF-8")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UnreadableError(
            f"line {line}: the byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None


def bounded_toml(toml: str) -> None:
    """Raises `UnreadableError`, with the line, for TOML that lies too deep or has numbers without end.

    `tomllib` would come to the end of Python's stack with brackets, of its digits with numbers, and of our
    patience with dotted keys.
    """
    line, brackets, dots = 1, 0, 0
    for mark in _MARKS.finditer(toml):
        sign = mark["sign"]
        if sign == ".":
            dots += 1
        elif sign:
            dots = 0
            brackets += (sign in "[{") - (sign in "]}")
        if brackets + dots > DEEPEST:
            raise UnreadableError(f"line {line}: more than {DEEPEST} levels within each other; write it flat")
        if mark["word"] and len(mark["word"]) > LONGEST_WORD:
            raise UnreadableError(
                f"line {line}: a number or key of {len(mark['word'])} characters; at most {LONGEST_WORD} fit"
            )
        line += mark[0].count("\n")


def as_json(content: object, default: Callable[[object], str] | None = None) -> bytes:
    """What was read, as JSON for a check; raises `UnreadableError` that names the text which is none.

    Formats with escapes can write half of a character, a lone surrogate. `default` makes a text of what JSON
    does not have. Raises `RecursionError` for values too deep within each other.
    """
    try:
        return json.dumps(content, default=default, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UnreadableError(
            f"{_place_of_half(content)}: has half of a character (a lone surrogate, \\ud800 to \\udfff); "
            "write the whole one, or leave it out"
        ) from None


def _place_of_half(content: object) -> str:
    """The keys that lead to the first text with a lone surrogate."""
    found: list[tuple[str, object]] = [("", content)]
    while found:
        place, value = found.pop()
        below: Iterable[tuple[object, object]] = ()
        if isinstance(value, str) and _is_half(value):
            break
        if isinstance(value, Mapping):
            if any(_is_half(str(key)) for key in value):
                place = f"a key of {place}" if place else "a key"
                break
            below = value.items()
        elif isinstance(value, list | tuple):
            below = enumerate(value)
        found += reversed([(f"{place}.{part}".lstrip("."), inner) for part, inner in below])
    else:
        return "a secret"  # which alone is a text only when it is revealed
    return place or "the file"


def _is_half(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _trouble(error: OSError | ValueError) -> str:
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return f"cannot be read ({reason}); check the path and its permissions"


def _size(octets: int) -> str:
    return f"{octets >> 20} MiB" if octets >= 1 << 20 else f"{octets >> 10} KiB"
