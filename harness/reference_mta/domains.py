"""Hosted domains: their users and their aliases (wiki 576–658)."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from harness import settings
from harness.reference_mta.addresses import split

LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
Name = Annotated[str, Field(pattern=rf"^{LABEL}(\.{LABEL})*$", max_length=253)]
# RFC 5321 §4.1.2; dots may stand anywhere, as they do in addresses that are in use.
LOCAL_PART = re.compile(r"""[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+|"([ !#-\[\]-~]|\\[ -~])*\"""")
MAIL_DOMAIN = re.compile(rf"{LABEL}(\.{LABEL})*|\[[0-9A-Za-z:.]+\]")
Format = Literal["maildir", "mbox"]
Targets = Annotated[tuple[str, ...], Field(min_length=1)]
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

    name: Name
    users: tuple[str, ...] = ()
    aliases: dict[str, Targets] = Field(default_factory=dict)
    catch_all: bool = False
    bounce_recipients: tuple[str, ...] | None = None
    format: Format | None = None  # of its mailboxes; None for the one of [delivery]

    @field_validator("users")
    @classmethod
    def _named(cls, users: tuple[str, ...]) -> tuple[str, ...]:
        for user in users:
            if not LOCAL_PART.fullmatch(user):
                raise ValueError(f"{user!r} is no local part; write what stands before the @ of this domain")
        return users

    @field_validator("aliases")
    @classmethod
    def _readable(cls, aliases: dict[str, Targets]) -> dict[str, Targets]:
        """The same with names in lower case."""
        lowered: dict[str, Targets] = {}
        for name, targets in aliases.items():
            if not LOCAL_PART.fullmatch(name):
                raise ValueError(f"{name!r} is no local part; write what stands before the @ of this domain")
            if name.lower() in lowered:
                raise ValueError(f"{name!r} is there twice, in different letter case; merge the two")
            for target in targets:
                mailbox = split(target)
                elsewhere = target != mailbox.local_part
                if not LOCAL_PART.fullmatch(mailbox.local_part) or (
                    elsewhere and not MAIL_DOMAIN.fullmatch(mailbox.domain)
                ):
                    raise ValueError(
                        f"{name!r} leads to {target!r}; name a local part of this domain, or a whole address "
                        "without < > and words beside it"
                    )
            lowered[name.lower()] = targets
        return lowered

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
