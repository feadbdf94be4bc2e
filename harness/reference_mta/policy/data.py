"""The end of DATA: the message itself (wiki 719–720)."""

import re
from collections.abc import Awaitable, Callable, Iterator

from harness.reference_mta.policy.address_list import parses
from harness.reference_mta.policy.checks import PASS, Check, deny
from harness.reference_mta.policy.transaction import Transaction

ADDRESS_HEADERS = ("From", "To", "Cc", "Bcc", "Reply-To", "Sender")
LARGEST_HEADER = 1 << 20  # bytes; what is larger does not count as a header that parses
FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\r]|\r(?!\n)|\r\n[ \t])*+)(?:\r\n|$)")


def header_syntax(content: bytes) -> Callable[[Transaction], Awaitable[str | None]]:
    """Whether every address header parses (RFC 5322 §3.4)."""

    async def sort(transaction: Transaction) -> str | None:
        known = {name.lower(): name for name in ADDRESS_HEADERS}
        header = content[: LARGEST_HEADER + 1].partition(b"\r\n\r\n")[0]
        found = [(known[name], value) for name, value in fields(header) if name in known]
        broken = any(
            not parses(value) and not transaction.quirk(f"data.header-syntax:weak-no-{name}")
            for name, value in found
        )
        quoted = any('"' in value for _, value in found)
        broken = broken or (quoted and transaction.quirk("data.header-syntax:strict-quoted"))
        return "data.header-syntax" if broken or len(header) > LARGEST_HEADER else None

    return sort


def fields(header: bytes) -> Iterator[tuple[str, str]]:
    """The fields up to the first line that is none: names in lower case, values as they stand."""
    position = 0
    while field := FIELD.match(header, position):
        yield field[1].decode("ascii").lower(), field[2].decode("utf-8", "replace")
        position = field.end()


HEADER_CHECK = Check(
    "data.header-syntax", then=deny("An address header does not parse", status="6.0"), off=PASS
)
