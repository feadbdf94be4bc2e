"""Local delivery: each mailbox gets a copy that says from whom, to whom and when it came (wiki 447–482).

Mailboxes lie in the state directory: a Maildir `mail/user@domain` with folders `.NAME` in it, or an mbox file
of that name with files `user@domain:NAME` beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import TYPE_CHECKING

from harness.reference_mta.addresses import split
from harness.reference_mta.config import Config
from harness.reference_mta.domains import Format
from harness.reference_mta.mail.files import folder_name
from harness.reference_mta.mail.filter import INBOX
from harness.reference_mta.mail.filters import Filters
from harness.reference_mta.mail.header import fields_named, without
from harness.reference_mta.mail.mbox import MboxCopy
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.parts import AS_IT_SHOULD_BE, MailParts
from harness.reference_mta.mail.routing import Destinations
from harness.reference_mta.mail.storage import Copy
from harness.reference_mta.replies import word

if TYPE_CHECKING:
    from harness.reference_mta.policy.transaction import Transaction

OURS = fields_named(("Return-path", "Envelope-to", "Delivery-date"))  # only final delivery may add them


@dataclass(frozen=True)
class Letter:
    """What one mailbox gets of a message, and the folder that its filter chooses."""

    mailbox: str
    folder: str
    sender: str
    header: bytes  # the lines of this server
    content: bytes


@dataclass(frozen=True)
class Mailboxes:
    """The mailboxes of this server."""

    config: Config
    filters: Filters
    parts: MailParts = AS_IT_SHOULD_BE
    filing: "FilingParts" = field(default_factory=lambda: FilingParts())

    def letters(self, message: Message, destinations: Destinations) -> list[Letter]:
        """One for each mailbox; what a client wrote in place of our header lines is left out."""
        return self.filing.letters(self, message, destinations)

    def copy(self, letter: Letter) -> Copy:
        """The letter on its way to its folder."""
        place = self.config.server.state / "mail" / folder_name(letter.mailbox)
        if self._format(letter.mailbox) == "mbox":
            file = place.with_name(f"{place.name}:{letter.folder}") if letter.folder else place
            return MboxCopy(file, self.parts.mbox_entry(letter.sender, letter.header + letter.content))
        folder = place / f".{letter.folder}" if letter.folder else place
        return self.parts.maildir(folder, letter.header, letter.content)

    def letter(self, message: Message, content: bytes, mailbox: str, recipients: tuple[str, ...]) -> Letter:
        """What a mailbox gets; the content is that of the message, cleaned."""
        lines = self.parts.trace(message, mailbox, recipients)
        header = replace(message, annotations=(*lines, *message.annotations)).head
        folder = self.filing.folder(self, mailbox, header + content)
        return Letter(mailbox, folder or INBOX, message.sender, header, content)

    def _format(self, mailbox: str) -> Format:
        domain = self.config.hosted(split(mailbox).domain)
        return (domain.format if domain else None) or self.config.delivery.format


def letters(mailboxes: Mailboxes, message: Message, destinations: Destinations) -> list[Letter]:
    """See `Mailboxes.letters`."""
    content = without(message.content, OURS)
    return [mailboxes.letter(message, content, *destination) for destination in destinations.items()]


def folder(mailboxes: Mailboxes, mailbox: str, message: bytes) -> str | None:
    """The folder that a mailbox's filter chooses for a message as it is kept; None when no rule holds."""
    rules = mailboxes.filters.of(mailbox)
    return rules.folder(message) if rules.rules else INBOX


@dataclass(frozen=True)
class FilingParts:
    """Each as it should be; another one may take its place."""

    letters: Callable[[Mailboxes, Message, Destinations], list[Letter]] = letters
    folder: Callable[[Mailboxes, str, bytes], str | None] = folder


def received(about: "Transaction", name: str, protocol: str) -> tuple[str, ...]:
    """The header lines on top of an accepted message (RFC 5321 §4.4), warnings among them."""
    literal = f"IPv6:{about.client}" if ":" in about.client else about.client
    confirmed = f"{word(about.host_name)} " if about.host_name else ""
    return (
        *about.earned.lines,
        f"Received: from {word(name)} ({confirmed}[{literal}])",
        f"\tby {about.config.server.hostname} with {protocol}; {formatdate()}",
    )
