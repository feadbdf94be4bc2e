"""What scenarios can do beyond talking to the server, as the run grants it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from harness.capabilities.mail_host import MailHost
from harness.capabilities.mailbox import Delivered
from harness.capabilities.queue import Queued
from harness.capabilities.sink import Sink
from harness.profile.mail_tables import Account
from harness.rules import Capability
from harness.world.world import Clock


class GreylistOperator(Protocol):
    """Changes the greylist as an operator of the server does."""

    def add(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Put a triplet on the `white`, `grey` or `black` list."""

    def remove(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Take a triplet off a list."""

    def listed(self, which: str, client: str, sender: str, recipient: str) -> bool:
        """Whether a list shows the triplet."""


class Outage(Protocol):
    """Puts something that the server rests on out of reach: its greylist, its directory of accounts."""

    def cut(self, client: str) -> None:
        """From now on nothing can be looked up for this client."""

    def end(self) -> None:
        """Everything is as before, if it was out of reach."""

    @property
    def shared(self) -> bool:
        """Whether it is an outage for every client, so that nobody else may be played meanwhile."""


class Directory(Protocol):
    """A directory of accounts, apart from the server that goes by it."""

    def vouch_for(self, account: Account) -> None:
        """Raises `InconclusiveError` unless the account is there and its password is right."""


class Mailbox(Protocol):
    """Reads what the server delivered."""

    def find(self, recipient: str, token: str) -> Delivered:
        """The first copy with `token` in it; raises `NeverCameError` when none arrives in time."""

    def copies(self, recipient: str, token: str) -> list[Delivered]:
        """Every copy with `token` in it that is there now, in whatever folder."""


class MailHosts(Protocol):
    """Plays the mail hosts of everybody else."""

    def host(self, domain: str = "") -> MailHost:
        """A new one, which DNS names for `domain` (a new one, too, unless it is given)."""

    def forward_target(self) -> MailHost:
        """That of the domain that the profile's [forward] leads to; others use it, too."""

    def smarthost(self) -> MailHost:
        """That of the profile's [smarthost]; others use it, too."""


class QueueOperator(Protocol):
    """Works on the server's queue as an operator does."""

    def entries(self, word: str) -> list[Queued]:
        """The queued messages whose entry in the list mentions a word, such as a recipient's domain."""

    def remove(self, message: str) -> None:
        """Take a message, by its id, off the queue."""

    def thaw(self, message: str) -> None:
        """Let a frozen message be tried again."""


class Rewriter(Protocol):
    """Makes rewritten senders (SRS) as the server does."""

    def aged(self, sender: str, days: int) -> str:
        """The rewritten form of a sender, so many days old."""


@dataclass(frozen=True)
class Tools:
    """What the run can do beyond talking to the server; absent tools are not granted."""

    clock: Clock | None = None
    operator: GreylistOperator | None = None
    outage: Outage | None = None  # of the greylist
    directory: Directory | None = None
    directory_outage: Outage | None = None
    mailbox: Mailbox | None = None
    sink: Sink | None = None
    queue: QueueOperator | None = None
    rewriter: Rewriter | None = None
    reached: Callable[[], Mapping[str, Iterable[str]]] | None = None  # parts of the server, and for whom

    @property
    def outages(self) -> dict[Capability, Outage]:
        """Those that are granted, by what a scenario needs for them."""
        granted = {
            Capability.GREYLIST_OUTAGE: self.outage,
            Capability.DIRECTORY_OUTAGE: self.directory_outage,
        }
        return {capability: outage for capability, outage in granted.items() if outage}
