"""The end of DATA: the message itself (wiki 719–720)."""

import re
from collections.abc import Iterator

from harness.reference_mta.policy.address_list import parses
from harness.reference_mta.policy.checks import PASS, Check, deny, question
from harness.reference_mta.policy.transaction import Transaction

ADDRESS_HEADERS = ("From", "To", "Cc", "Bcc", "Reply-To", "Sender")
LARGEST_HEADER = 1 << 20  # bytes; what is larger does not count as a header that parses
FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\r]|\r(?!\n)|\r\n[ \t])*+)(?:\r\n|$)")


def is_broken(name: str, value: str) -> bool:
    """Whether an address header of that name, in lower case, does not parse."""
    return not parses(value)


async def header_syntax(transaction: Transaction) -> str | None:
    """Whether every address header parses (RFC 5322 §3.4)."""
    known = {name.lower() for name in ADDRESS_HEADERS}
    header = transaction.content[: LARGEST_HEADER + 1].partition(b"\r\n\r\n")[0]
    found = ((name, value) for name, value in fields(header) if name in known)
    broken = any(transaction.policy.is_broken(name, value) for name, value in found)
    return "data.header-syntax" if broken or len(header) > LARGEST_HEADER else None


def fields(header: bytes) -> Iterator[tuple[str, str]]:
    """The fields up to the first line that is none: names in lower case, values as they stand."""
    position = 0
    while field := FIELD.match(header, position):
        yield field[1].decode("ascii").lower(), field[2].decode("utf-8", "replace")
        position = field.end()


HEADER = question(
    header_syntax,
    Check("data.header-syntax", then=deny("An address header does not parse", status="6.0"), off=PASS),
)
