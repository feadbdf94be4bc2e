"""The end of DATA: the message itself (wiki 719–720)."""

from harness.reference_mta.mail.address_list import parses
from harness.reference_mta.mail.header import fields
from harness.reference_mta.policy.checks import PASS, Check, deny, question
from harness.reference_mta.policy.transaction import Transaction

ADDRESS_HEADERS = ("From", "To", "Cc", "Bcc", "Reply-To", "Sender")
LARGEST_HEADER = 1 << 20  # bytes; what is larger does not count as a header that parses


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


HEADER = question(
    header_syntax,
    Check("data.header-syntax", then=deny("An address header does not parse", status="6.0"), off=PASS),
)
