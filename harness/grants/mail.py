"""What becomes of a message at the server: its mailboxes, its filter, its queue."""

from dataclasses import dataclass
from typing import Protocol

from harness.capabilities.imap import ImapStore
from harness.capabilities.mailbox import Delivered, PolledMailbox, Store
from harness.capabilities.maildir import MaildirStore, MboxStore
from harness.capabilities.queue import CommandQueue, Queued
from harness.embedded.process import QueueControl
from harness.grants.capability import Capability, Plain, Site, Tool
from harness.profile.mail_tables import MailboxTable
from harness.verdicts import BrokenOffError
from harness.world.acts import Who
from harness.world.world import World


class Mailbox(Protocol):
    """Reads what the server delivered."""

    def find(self, recipient: str, token: str) -> Delivered:
        """The first copy with `token` in it; raises `NeverCameError` when none arrives in time."""

    def copies(self, recipient: str, token: str) -> list[Delivered]:
        """Every copy with `token` in it that is there now, in whatever folder."""


class QueueOperator(Protocol):
    """Works on the server's queue as an operator does."""

    def entries(self, word: str) -> list[Queued]:
        """The queued messages whose entry in the list mentions a word, such as a recipient's domain."""

    def remove(self, message: str) -> None:
        """Take a message, by its id, off the queue."""

    def thaw(self, message: str) -> None:
        """Let a frozen message be tried again."""


@dataclass(frozen=True)
class RecordedMailbox:
    """A mailbox; every message that is found is kept as evidence, once."""

    mailbox: Mailbox
    world: World

    def find(self, recipient: str, token: str) -> Delivered:
        """The first copy with `token` in it; raises `NeverCameError` when none arrives in time."""
        found = self.mailbox.find(recipient, token)
        self._keep(found)
        return found

    def copies(self, recipient: str, token: str) -> list[Delivered]:
        """Every copy with `token` in it that is there now, in whatever folder."""
        found = self.mailbox.copies(recipient, token)
        for one in found:
            self._keep(one)
        return found

    def _keep(self, found: Delivered) -> None:
        if found not in self.world.deliveries:
            self.world.deliveries.append(found)
            where = found.folder or "the inbox"
            self.world.acts.note(Who.MAILBOX, f"the message is found in {where} of {found.recipient}")


@dataclass(frozen=True)
class RecordedQueue:
    """The operator's hand on the queue; what it does and sees is kept as evidence."""

    queue: QueueOperator
    world: World

    def entries(self, word: str) -> list[Queued]:
        """The queued messages whose entry in the list mentions a word.

        Whoever looks again and again until one is there stops when the run is over: `BrokenOffError`.
        """
        if self.world.pace.is_over:
            raise BrokenOffError
        found = self.queue.entries(word)
        shown = "\n".join(one.entry.strip("\n") for one in found) or "nothing"
        tells = " ".join(f"{one.id} {one.frozen}" for one in found)  # and the rest changes with time
        looked = f"list the queue: what mentions {word}"
        self.world.acts.note(Who.OPERATOR, looked, shown, tells or shown)
        return found

    def remove(self, message: str) -> None:
        """Take a message, by its id, off the queue."""
        self.world.acts.note(Who.OPERATOR, f"remove message {message} from the queue")
        self.queue.remove(message)

    def thaw(self, message: str) -> None:
        """Let a frozen message be tried again."""
        self.world.acts.note(Who.OPERATOR, f"thaw message {message}")
        self.queue.thaw(message)


def _mailbox(site: Site) -> Mailbox | None:
    table = site.profile.mailbox
    if table is None:
        return None
    hosted = site.profile.domain
    others = {entry.name.lower(): _store(entry.mailbox) for entry in hosted if entry.mailbox}
    return PolledMailbox(_store(table), others, table.patience, site.over)


def _store(table: MailboxTable) -> Store:
    if table.imap:
        return ImapStore(table.imap)
    return MaildirStore(table.maildir) if table.maildir else MboxStore(table.mbox)


def _recorded_mailbox(mailbox: Mailbox, world: World) -> Mailbox:
    return RecordedMailbox(mailbox, world)


def _queue(site: Site) -> QueueOperator | None:
    table = site.profile.queue
    if site.mta:
        return QueueControl(site.mta)
    return CommandQueue(table) if table and table.list else None


def _recorded_queue(queue: QueueOperator, world: World) -> QueueOperator:
    return RecordedQueue(queue, world)


MAILBOX = Capability(
    "mailbox",
    lambda profile: profile.mailbox is not None,
    "the profile has no [mailbox] to read mail from",
    Tool(_mailbox, _recorded_mailbox, "mailbox"),
    in_a_dry_run=False,
)
FILTER = Plain("filter", lambda profile: profile.filter is not None, "the profile has no [filter] user")
SPAM = Plain("spam", lambda profile: profile.spam is not None, "the profile has no [spam]")
QUEUE = Plain(
    "queue",
    lambda profile: profile.queue is not None,
    "the profile has no [queue], so it is not known when mail is tried again",
    in_a_dry_run=False,
)
QUEUE_OPERATOR = Capability(
    "queue-operator",
    lambda profile: profile.queue is not None and bool(profile.queue.list),
    "the profile has no [queue] commands list and remove",
    Tool(_queue, _recorded_queue, "queue"),
)
