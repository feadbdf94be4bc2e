"""What a scenario may know of what the server does with accepted mail: only what its profile documents."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from harness.profile.mail_tables import (
    Authenticity,
    Filter,
    Forward,
    LocalOnly,
    Mailbox,
    Queue,
    Smarthost,
    Srs,
)
from harness.profile.model import Profile
from harness.profile.tables import Domain, Spf
from harness.verdicts import NotTestableError

T = TypeVar("T")


@dataclass(frozen=True)
class Alias:
    """An alias, the users of the server whom it leads to, and the users of its domain whom it does not."""

    address: str
    targets: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True)
class MailFacts:
    """Aliases, mailboxes, filters and ways to send; each raises `NotTestableError` when there is none."""

    profile: Profile

    @property
    def alias(self) -> Alias:
        """An alias for one user."""
        for alias in self._aliases():
            if len(alias.targets) == 1:
                return alias
        raise NotTestableError("no [[domain]] aliases leads to one of its users; describe one")

    @property
    def alias_for_many(self) -> Alias:
        """An alias for several users."""
        for alias in self._aliases():
            if len(alias.targets) > 1:
                return alias
        raise NotTestableError("no [[domain]] aliases leads to several of its users; describe one")

    @property
    def catch_all(self) -> Alias:
        """What takes the rest of a domain, as an address that nobody has there."""
        for alias in self._aliases():
            if alias.address.startswith("*@"):
                domain = alias.address.removeprefix("*@")
                return Alias(f"nobody-of-that-name@{domain}", alias.targets, alias.others)
        raise NotTestableError('no [[domain]] aliases has a "*" that leads to its users; describe one')

    @property
    def without_catch_all(self) -> tuple[str, str]:
        """An alias of a domain that refuses everybody else, and such an address."""
        for domain in self.profile.domain:
            if domain.aliases and not domain.takes_everyone:
                return f"{next(iter(domain.aliases))}@{domain.name}", f"nobody-of-that-name@{domain.name}"
        raise NotTestableError('no [[domain]] has aliases and no "*"; describe one')

    @property
    def same_alias(self) -> tuple[Alias, Alias]:
        """Aliases of one name in two domains that lead to different users."""
        aliases = [alias for alias in self._aliases() if not alias.address.startswith("*@")]
        for one in aliases:
            for other in aliases:
                same = one.address.partition("@")[0] == other.address.partition("@")[0]
                if same and one.address != other.address and self._apart(one.targets, other.targets):
                    return one, other
        raise NotTestableError("no alias of one name leads to different users in two [[domain]]s")

    def kept_as(self, kind: str) -> str:
        """A user whose mail is kept as `maildir` or `mbox`."""
        for domain in self.profile.domain:
            if getattr(self._kept(domain.name), kind):
                return f"{domain.users[0]}@{domain.name}"
        raise NotTestableError(f"the profile has no [mailbox] of kind {kind}")

    @property
    def filter(self) -> Filter:
        """The user whose filter files mail."""
        return self._there(self.profile.filter, "filter")

    def folder(self, key: str) -> str:
        """A folder of the filter, as the profile names it under that key."""
        folder: str = getattr(self.filter, key)
        if not folder:
            raise NotTestableError(f"filter.{key}: the profile names no folder")
        kept = self._kept(self.filter.user.rpartition("@")[2])
        if kept.mbox:
            raise NotTestableError(f"filter.{key}: {self.filter.user} has an mbox, which has no folders")
        if kept.maildir and not folder.startswith("."):
            raise NotTestableError(f"filter.{key}: in a Maildir folders begin with a dot; write .{folder}")
        return folder

    @property
    def queue(self) -> Queue:
        """When mail is tried again."""
        return self._there(self.profile.queue, "queue")

    @property
    def smarthost(self) -> Smarthost:
        """A server that sends everything to one host."""
        return self._there(self.profile.smarthost, "smarthost")

    @property
    def local_only(self) -> LocalOnly:
        """A server that sends nothing elsewhere."""
        return self._there(self.profile.local_only, "local_only")

    @property
    def forward(self) -> Forward:
        """A recipient whose mail goes elsewhere."""
        return self._there(self.profile.forward, "forward")

    @property
    def srs(self) -> Srs:
        """How senders of forwarded mail are rewritten."""
        return self._there(self.profile.srs, "srs")

    @property
    def spf(self) -> Spf:
        """A server that checks SPF."""
        return self._there(self.profile.spf, "spf")

    @property
    def dkim(self) -> Authenticity:
        """A server that checks DKIM signatures."""
        return self._there(self.profile.dkim, "dkim")

    def _there(self, table: T | None, key: str) -> T:
        if table is None:
            raise NotTestableError(f"the profile has no [{key}]")
        return table

    def _aliases(self) -> Iterator[Alias]:
        """All that lead to users of the same domain only, and past one of them."""
        for domain in self.profile.domain:
            users = self._users(domain)
            for name in domain.aliases:
                targets = domain.leads_to(name)
                others = tuple(user for user in users if user not in targets)
                if set(targets) <= set(users) and others and self._apart(targets, others):
                    yield Alias(f"{name}@{domain.name}", targets, others)

    def _apart(self, some: Sequence[str], others: Sequence[str]) -> bool:
        """Whether each of them has a mailbox of its own, and not two addresses one."""
        return len({self._place(user) for user in (*some, *others)}) == len(some) + len(others)

    def _place(self, user: str) -> str:
        """Where the mail of a user is read."""
        name, _, domain = user.partition("@")
        kept = self._kept(domain)
        template = kept.maildir or kept.mbox or (kept.imap.user if kept.imap else "{user}@{domain}")
        return template.replace("{user}", name).replace("{domain}", domain)

    def _kept(self, domain: str) -> Mailbox:
        """How mail of a domain is kept; empty when the profile does not say."""
        own = next((each.mailbox for each in self.profile.domain if each.name == domain), None)
        return own or self.profile.mailbox or Mailbox.model_construct()

    def _users(self, domain: Domain) -> list[str]:
        """The users of a domain that are no aliases themselves and have no filter."""
        filtered = self.profile.filter.user if self.profile.filter else ""
        users = [f"{user}@{domain.name}" for user in domain.users if user not in domain.aliases]
        return [user for user in users if user != filtered]
