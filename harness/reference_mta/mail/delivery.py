"""Local delivery: each mailbox gets a copy that says from whom, to whom and when it came (wiki 447–482).

Mailboxes lie in the state directory: a Maildir `mail/user@domain` with folders `.NAME` in it, or an mbox file
of that name with files `user@domain:NAME` beside it.
"""

from dataclasses import dataclass, replace
from email.utils import formatdate

from harness.reference_mta.addresses import split
from harness.reference_mta.config import Config
from harness.reference_mta.domains import Format
from harness.reference_mta.mail.files import folder_name
from harness.reference_mta.mail.filter import INBOX
from harness.reference_mta.mail.filters import Filters
from harness.reference_mta.mail.header import fields_named, parted, without
from harness.reference_mta.mail.mbox import MboxCopy
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.parts import AS_IT_SHOULD_BE, MailParts
from harness.reference_mta.mail.routing import Destinations
from harness.reference_mta.mail.storage import Copy
from harness.reference_mta.policy.transaction import Transaction
from harness.reference_mta.reached import SOUND, Quirks
from harness.reference_mta.replies import word

OURS = fields_named(("Return-path", "Envelope-to", "Delivery-date"))  # only final delivery may add them
TO = fields_named(("To",))


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
    quirks: Quirks = SOUND
    parts: MailParts = AS_IT_SHOULD_BE

    def letters(self, message: Message, destinations: Destinations) -> list[Letter]:
        """One for each mailbox; what a client wrote in place of our header lines is left out."""
        content = without(message.content, OURS)
        found = (self._letter(message, content, *destination) for destination in destinations.items())
        return [letter for letter in found if letter is not None]

    def copy(self, letter: Letter) -> Copy:
        """The letter on its way to its folder."""
        place = self.config.server.state / "mail" / folder_name(letter.mailbox)
        if self._format(letter.mailbox) == "mbox":
            file = place.with_name(f"{place.name}:{letter.folder}") if letter.folder else place
            return MboxCopy(file, self.parts.mbox_entry(letter.sender, letter.header + letter.content))
        folder = place / f".{letter.folder}" if letter.folder else place
        return self.parts.maildir(folder, letter.header, letter.content)

    def _letter(
        self, message: Message, content: bytes, mailbox: str, recipients: tuple[str, ...]
    ) -> Letter | None:
        lines = self.parts.trace(message, mailbox, recipients)
        header = replace(message, annotations=(*lines, *message.annotations)).head
        rules = self.filters.of(mailbox)
        mark = self.config.speech.mark_field
        folder = rules.folder(header + content, self.quirks, mark) if rules.rules else INBOX
        if folder is None and "filter.catch-all:off" in self.quirks:
            return None
        if folder is None and "filter.catch-all:weak-junk" in self.quirks:
            folder = "Junk"
        if "delivery.to-header-kept:off" in self.quirks:
            start, _ = parted(content)
            content = TO.sub(f"To: {mailbox}\r\n".encode(), start, count=1) + content[len(start) :]
        return Letter(mailbox, folder or INBOX, message.sender, header, content)

    def _format(self, mailbox: str) -> Format:
        domain = self.config.hosted(split(mailbox).domain)
        return (domain.format if domain else None) or self.config.delivery.format


def received(about: Transaction, name: str, protocol: str) -> tuple[str, ...]:
    """The header lines on top of an accepted message (RFC 5321 §4.4), warnings among them."""
    literal = f"IPv6:{about.client}" if ":" in about.client else about.client
    confirmed = f"{word(about.host_name)} " if about.host_name else ""
    return (
        *about.earned.lines,
        f"Received: from {word(name)} ({confirmed}[{literal}])",
        f"\tby {about.config.server.hostname} with {protocol}; {formatdate()}",
    )
