"""The header section of a message: read, and rid of fields that only this server may add."""

import re
from collections.abc import Iterable, Iterator
from email.errors import MessageError
from email.header import decode_header, make_header

END = b"\r\n\r\n"
FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\r]|\r(?!\n)|\r\n[ \t])*+)(?:\r\n|$)")
LARGEST = 1 << 20  # bytes of a header section that are looked at
DECODED = 1000  # characters of the fields of one name that are searched for encoded words


def parted(content: bytes) -> tuple[bytes, bytes]:
    """Header section and body of a message with CRLF line ends; the empty line between belongs to neither."""
    if content.startswith(b"\r\n"):
        return b"", content[2:]
    header, _, body = content.partition(END)
    return header + b"\r\n", body


def read(header: bytes) -> dict[str, list[str]]:
    """The values of each field, unfolded; names in lower case."""
    found: dict[str, list[str]] = {}
    for name, value in fields(header[:LARGEST]):
        found.setdefault(name, []).append(value.replace("\r\n", "").strip())
    return found


def fields(header: bytes) -> Iterator[tuple[str, str]]:
    """The fields up to the first line that is none: names in lower case, values as they stand."""
    position = 0
    while field := FIELD.match(header, position):
        yield field[1].decode("ascii").lower(), field[2].decode("utf-8", "replace")
        position = field.end()


def decoded(values: Iterable[str]) -> list[str]:
    """The values of one field's occurrences with their encoded words read (RFC 2047).

    Encoded words behind the first `DECODED` characters, all values together, stay as they stand, since
    reading them takes time that is quadratic in their length; and so does a value that cannot be read.
    """
    left, found = DECODED, []
    for value in values:
        if left <= 0 or "=?" not in value:
            found.append(value)
            continue
        try:
            start = str(make_header(decode_header(value[:left])))
        except (LookupError, ValueError, MessageError):  # charsets and encodings are whatever somebody wrote
            start = value[:left]
        found.append(start + value[left:])
        left -= len(value)
    return found


def fields_named(names: Iterable[str]) -> re.Pattern[bytes]:
    """A pattern of whole fields of these names, their line ends included; a name may end in `*`."""
    choice = "|".join(re.escape(name).replace(r"\*", "[!-9;-~]*") for name in names)
    return re.compile(rf"(?im)^(?:{choice})[ \t]*:.*\n(?:[ \t].*\n)*".encode())


def without(content: bytes, unwanted: re.Pattern[bytes]) -> bytes:
    """The message without the fields that the pattern of `fields_named` matches; its body as it was."""
    if content.startswith(b"\r\n"):
        return content
    end = content.find(END) + 2
    header = content[:end] if end > 1 else content
    stripped = unwanted.sub(b"", header)
    return content if len(stripped) == len(header) else stripped + content[len(header) :]
