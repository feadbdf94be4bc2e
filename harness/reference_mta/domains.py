"""Hosted domains: their users and their aliases (wiki 576–658)."""

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, field_validator

from harness import settings
from harness.reference_mta.tables.values import MailboxName
from harness.settings.hosts import DomainName, Target, twice

Format = Literal["maildir", "mbox"]
Targets = Annotated[tuple[Target, ...], Field(min_length=1)]
REST = "*"  # the alias that takes what nothing else in the domain has
POSTMASTER = "postmaster"
REWRITTEN = ("srs0", "srs1")  # how a rewritten sender begins


class Domain(settings.Settings):
    """A hosted domain; without `bounce_recipients` it has no list of senders and takes no bounce.

    Every domain has a postmaster, named or not (RFC 5321 §4.5.1); where there is a list, bounces reach it.
    An alias leads to local parts of this domain or to whole addresses, here or elsewhere; "*" takes the rest.
    An alias goes before a user of the same name; where it leads back to itself, that user gets it too.
    With `catch_all` every address that nothing else has is a mailbox of its own.
    """

    name: DomainName
    users: tuple[MailboxName, ...] = ()
    aliases: dict[MailboxName, Targets] = Field(default_factory=dict)
    catch_all: bool = False
    bounce_recipients: tuple[MailboxName, ...] | None = None
    format: Format | None = None  # of its mailboxes; None for the one of [delivery]

    @field_validator("users", "aliases")
    @classmethod
    def _each_once(cls, value: Collection[str]) -> Collection[str]:
        if name := twice(list(value)):
            raise ValueError(f"{name!r} is there twice, letter case aside; leave one out, or merge the two")
        return value

    @field_validator("aliases")
    @classmethod
    def _in_lower_case(cls, aliases: dict[str, Targets]) -> dict[str, Targets]:
        return {name.lower(): targets for name, targets in aliases.items()}

    def entry(self, local_part: str) -> str | None:
        """The alias or user that mail for a local part belongs to, in lower case; None when there is neither.

        Letter case does not count, and what stands before or behind a "=" is enough, save in a sender that
        was rewritten, whose "=" are others (SRS). "*" is not looked at.
        """
        whole = local_part.lower()
        front, _, _ = whole.partition("=")
        known = {user.lower() for user in self.users} | (self.aliases.keys() - {REST})
        behind = "" if front in REWRITTEN else whole.rpartition("=")[2]
        for name in (whole, front, behind):
            if name in known:
                return name
        return POSTMASTER if front == POSTMASTER and REST not in self.aliases else None

    def takes(self, local_part: str) -> bool:
        """Whether there is anybody here for that local part."""
        return self.catch_all or REST in self.aliases or self.entry(local_part) is not None
