"""Results of authentication in header fields: whose they are, how this server's are written (RFC 8601)."""

import re
from collections.abc import Iterable

from harness.reference_mta.mail.address_list import end_of_comment
from harness.reference_mta.replies import printable

DOT_ATOM = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
VALUE = re.compile(r'"((?:[^"\\]|\\.)*+)"|([^\x00- \x7f()<>@,;:\\"/\[\]?=]+)', re.DOTALL)  # RFC 2045 §5.1
LONGEST_VALUE = 480  # characters


def authserv_id(results: str) -> str:
    """The name in which a field's value, unfolded or not, tells results; empty where none can be read.

    It is unquoted and in lower case (RFC 8601 §2.2).
    """
    position = 0
    while position < len(results) and results[position] in " \t\r\n(":
        position = end_of_comment(results, position) if results[position] == "(" else position + 1
        if position < 0:
            return ""
    found = VALUE.match(results, position)
    if found is None:
        return ""
    return (found[2] or re.sub(r"\\(.)", r"\1", found[1].replace("\r\n", ""))).lower()


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
