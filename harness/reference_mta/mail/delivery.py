"""Local delivery: each mailbox gets a copy that says from whom, to whom and when it came (wiki 447–482).

Mailboxes lie in the state directory: a Maildir `mail/user@domain` with folders `.NAME` in it, or an mbox file
of that name with files `user@domain:NAME` beside it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from email.utils import formatdate

from harness.reference_mta.addresses import split
from harness.reference_mta.config import Config
from harness.reference_mta.domains import Format
from harness.reference_mta.mail.files import folder_name
from harness.reference_mta.mail.header import fields_named, without
from harness.reference_mta.mail.keeper import Copy
from harness.reference_mta.mail.maildir import MaildirCopy
from harness.reference_mta.mail.mbox import MboxCopy
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.routing import Destinations
from harness.reference_mta.policy.transaction import Transaction
from harness.reference_mta.replies import word

INBOX = ""
OURS = fields_named(("Return-path", "Envelope-to", "Delivery-date"))  # only final delivery may add them


@dataclass(frozen=True)
class Mailboxes:
    """The mailboxes of this server."""

    config: Config
    quirks: frozenset[str] = frozenset()

    def copies(self, message: Message, destinations: Destinations) -> list[Copy]:
        """A copy of a message for each mailbox; what a client wrote in place of our fields is left out."""
        content = without(message.content, OURS)
        return [
            self._copy(message, trace_lines(message.sender, recipients), content, mailbox, INBOX)
            for mailbox, recipients in destinations.items()
        ]

    def _copy(
        self, message: Message, lines: Iterable[str], content: bytes, mailbox: str, folder: str
    ) -> Copy:
        place = self.config.server.state / "mail" / folder_name(mailbox)
        header = replace(message, annotations=(*lines, *message.annotations)).head
        if self._format(mailbox) == "mbox":
            file = place.with_name(f"{place.name}:{folder}") if folder else place
            return MboxCopy(file, message.sender, header + content)
        return MaildirCopy(place / f".{folder}" if folder else place, header, content)

    def _format(self, mailbox: str) -> Format:
        domain = self.config.hosted(split(mailbox).domain)
        return (domain.format if domain else None) or self.config.delivery.format


def trace_lines(sender: str, recipients: Iterable[str]) -> tuple[str, ...]:
    """The header lines of final delivery; `recipients` are those of the envelope that led to the mailbox."""
    return (
        f"Return-path: <{sender}>",
        "Envelope-to: " + ",\r\n\t".join(recipients),
        f"Delivery-date: {formatdate()}",
    )


def received(about: Transaction, name: str, protocol: str) -> tuple[str, ...]:
    """The header lines on top of an accepted message (RFC 5321 §4.4), a block list's warning among them."""
    literal = f"IPv6:{about.client}" if ":" in about.client else about.client
    return (
        *about.marks,
        f"Received: from {word(name)} ([{literal}])",
        f"\tby {about.config.server.hostname} with {protocol}; {formatdate()}",
    )
