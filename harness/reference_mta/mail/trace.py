"""The header lines of final delivery (wiki 447–482)."""

from email.utils import formatdate

from harness.reference_mta.mail.message import Message


def protocol(*, extended: bool, international: bool, covered: bool, authenticated: bool) -> str:
    """What a Received field says that a message came with (RFC 3848; RFC 6531 §4.3 for SMTPUTF8)."""
    name = "UTF8SMTP" if international else "ESMTP" if extended else "SMTP"
    return name + ("S" if covered else "") + ("A" if authenticated else "")


def trace_lines(message: Message, mailbox: str, recipients: tuple[str, ...]) -> tuple[str, ...]:
    """From whom, to whom and when: `recipients` are those of the envelope that led to the mailbox."""
    return (
        f"Return-path: <{message.sender}>",
        "Envelope-to: " + ",\r\n\t".join(recipients),
        f"Delivery-date: {formatdate()}",
    )
