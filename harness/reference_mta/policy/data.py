"""The end of DATA: the message itself (wiki 719–720)."""

import email.policy
from collections.abc import Awaitable, Callable
from email.message import Message
from email.parser import BytesHeaderParser

from harness.reference_mta.policy.checks import PASS, Check, deny
from harness.reference_mta.policy.transaction import Transaction

ADDRESS_HEADERS = ("From", "To", "Cc", "Bcc", "Reply-To", "Sender")
PARSER = BytesHeaderParser(policy=email.policy.default)


def header_syntax(content: bytes) -> Callable[[Transaction], Awaitable[str | None]]:
    """Whether every address header parses (RFC 5322 §3.4)."""

    async def sort(transaction: Transaction) -> str | None:
        if transaction.trusted or transaction.authenticated:
            return None
        message = PARSER.parsebytes(content.partition(b"\r\n\r\n")[0])
        names = [
            name for name in ADDRESS_HEADERS if not transaction.quirk(f"data.header-syntax:weak-no-{name}")
        ]
        return "data.header-syntax" if any(_broken(message, name) for name in names) else None

    return sort


def _broken(message: Message, name: str) -> bool:
    for value in message.get_all(name, []):
        addresses = getattr(value, "addresses", ())
        if getattr(value, "defects", ()) or any(not found.domain for found in addresses):
            return True
    return False


HEADER_CHECK = Check("data.header-syntax", then=deny("5.6.0 An address header does not parse"), off=PASS)
