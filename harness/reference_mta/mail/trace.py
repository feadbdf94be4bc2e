"""The header lines of final delivery (wiki 447–482)."""

from email.utils import formatdate

from harness.reference_mta.mail.message import Message


def trace_lines(message: Message, mailbox: str, recipients: tuple[str, ...]) -> tuple[str, ...]:
    """From whom, to whom and when: `recipients` are those of the envelope that led to the mailbox."""
    return (
        f"Return-path: <{message.sender}>",
        "Envelope-to: " + ",\r\n\t".join(recipients),
        f"Delivery-date: {formatdate()}",
    )
