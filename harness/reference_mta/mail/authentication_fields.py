"""How results of authentication are written in header fields: safe values, folded lines (RFC 5322 §2.2.3)."""

import re
from collections.abc import Iterable

from harness.reference_mta.replies import printable

DOT_ATOM = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
LONGEST_VALUE = 480  # characters


def value(text: str) -> str:
    """Text that somebody else chose: as it is where it is a dot-atom, otherwise quoted, in one line."""
    plain = printable(text, LONGEST_VALUE)
    return plain if DOT_ATOM.fullmatch(plain) else quoted(plain)


def quoted(text: str) -> str:
    """Text as a quoted string of one line."""
    return '"' + printable(text, LONGEST_VALUE).replace("\\", "\\\\").replace('"', '\\"') + '"'


def folded(name: str, first: str, parts: Iterable[str]) -> str:
    """A field whose parts stand on lines of their own."""
    return f"{name}: " + ";\r\n\t".join((first, *parts))
