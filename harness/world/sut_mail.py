"""What a scenario may know of what the server does with accepted mail: only what its profile documents."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from harness.profile.mail_tables import (
    Filter,
    Forward,
    LocalOnly,
    MailboxTable,
    Queue,
    SenderAuthentication,
    Smarthost,
    Srs,
)
from harness.profile.model import Profile
from harness.profile.tables import Domain, Spf
from harness.verdicts import NotTestableError
from harness.world.made_up import made_up

T = TypeVar("T")


REST = "*"  # the alias that takes what nobody else in its domain has


@dataclass(frozen=True)
class Alias:
    """An address that leads to users of the server, and the users whom it does not lead to.

    Each of them has a mailbox of its own. Where the profile does not say in whose mailbox mail for the
    address is kept, it is `untold`, and the only target is the address itself.
    """

    address: str
    targets: tuple[str, ...]
    others: tuple[str, ...] = ()  # those of the same domain first
    untold: bool = False

    @property
    def domain(self) -> str:
        """Of the address."""
        return self.address.rpartition("@")[2]

    @property
    def neighbours(self) -> tuple[str, ...]:
        """The others in the same domain."""
        return tuple(user for user in self.others if user.endswith(f"@{self.domain}"))

    def __str__(self) -> str:
        """The address."""
        return self.address


@dataclass(frozen=True)
class MailFacts:
    """Aliases, mailboxes, filters and ways to send; each raises `NotTestableError` when there is none."""

    profile: Profile
    nobody: str = field(default_factory=made_up)  # a local part that no user has

    @property
    def aliases(self) -> tuple[Alias, ...]:
        """Of each domain the first alias for one user of it, and the first for a user of another domain."""
        return self._first_of_kind(alias for alias in self._unique() if len(alias.targets) == 1)

    @property
    def aliases_for_many(self) -> tuple[Alias, ...]:
        """Of each domain the first alias for several users of it, and the first for some of other domains."""
        return self._first_of_kind(alias for alias in self._unique() if len(alias.targets) > 1)

    @property
    def leading(self) -> tuple[Alias, ...]:
        """All of these, and what nobody has where the profile says whose mailbox that comes to."""
        rest = (one for one in self.catch_alls if not one.untold)
        return (*self.aliases, *self.aliases_for_many, *rest)

    @property
    def catch_alls(self) -> tuple[Alias, ...]:
        """What nobody has in each domain that takes everybody, by its "*" or as an address of its own."""
        return tuple(self._catch_alls())

    @property
    def without_catch_alls(self) -> tuple[tuple[str, str], ...]:
        """In each domain that has aliases and no "*": an alias, or else a user, and an address of nobody."""
        found = []
        for domain in self.profile.domain:
            if domain.aliases and not domain.takes_everyone:
                leading = [name for name in domain.aliases if self._led(domain, name)]
                known = (leading or domain.users)[0]
                found.append((f"{known}@{domain.name}", f"{self.nobody}@{domain.name}"))
        return tuple(found)

    @property
    def namesakes(self) -> tuple[tuple[Alias, Alias], ...]:
        """Aliases of one name in two domains that lead to different users: one pair for each two domains."""
        found: dict[tuple[str, str], tuple[Alias, Alias]] = {}
        for one, other in self._namesakes():
            found.setdefault((one.domain, other.domain), (one, other))
        return tuple(found.values())

    def kept_as(self, kind: str) -> tuple[str, ...]:
        """A user of each domain whose mail is kept as `maildir` or `mbox`; raises `NotTestableError`."""
        kept = [domain.name for domain in self.profile.domain if getattr(self._kept(domain.name), kind)]
        if not kept:
            raise NotTestableError(f"the profile has no [mailbox] of kind {kind}")
        return tuple(self.user_of(domain) for domain in kept)

    @property
    def takes_bounces(self) -> str:
        """A user who is said to get bounces, no postmaster if there is any other; empty without one."""
        listed = [
            user
            for domain in self.profile.domain
            for user in self._users(domain)
            if user.partition("@")[0] in (domain.bounce_recipients or ())
        ]
        return min(listed, key=lambda user: user.lower().startswith("postmaster@"), default="")

    def user_of(self, domain: str) -> str:
        """A user of a domain, one without a filter if there is any."""
        (described,) = (one for one in self.profile.domain if one.name == domain)
        users = self._users(described) or [f"{described.users[0]}@{domain}"]
        return users[0]

    @property
    def sends_by_mx(self) -> bool:
        """Whether the server itself sends mail for others to those that DNS names for it."""
        tables = (self.profile.smarthost, self.profile.local_only)
        return all(table is None or table.server is not None for table in tables)

    @property
    def unfiltered(self) -> str:
        """A user whose mail goes past the filter of the user who has one, into another mailbox."""
        filtered = self.filter.user
        for domain in self.profile.domain:
            for user in self._users(domain):
                if user.lower() != filtered.lower() and self._apart((user,), (filtered,)):
                    return user
        raise NotTestableError(f"{filtered} is the only user with a mailbox; describe one without a filter")

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
        """A recipient whose mail goes elsewhere, to a host that DNS names."""
        if not self.sends_by_mx:
            raise NotTestableError(
                "this server sends nothing by MX records, so nothing that is forwarded comes to the host of "
                "forward.target"
            )
        return self._there(self.profile.forward, "forward")

    @property
    def forwards_bounces(self) -> bool:
        """Whether the recipient whose mail goes elsewhere is said to get bounces."""
        name, _, at = self.forward.recipient.rpartition("@")
        return any(
            domain.name == at and name in (domain.bounce_recipients or ()) for domain in self.profile.domain
        )

    @property
    def srs(self) -> Srs:
        """How senders of forwarded mail are rewritten."""
        return self._there(self.profile.srs, "srs")

    @property
    def spf(self) -> Spf:
        """A server that checks SPF."""
        return self._there(self.profile.spf, "spf")

    @property
    def dkim(self) -> SenderAuthentication:
        """A server that checks DKIM signatures."""
        return self._there(self.profile.dkim, "dkim")

    def _there(self, table: T | None, key: str) -> T:
        if table is None:
            raise NotTestableError(f"the profile has no [{key}]")
        return table

    def _aliases(self) -> Iterator[Alias]:
        """All that lead to users of the server and nowhere else, each to a mailbox of its own."""
        for domain in self.profile.domain:
            for name in domain.aliases:
                targets = self._led(domain, name)
                if name != REST and targets and self.tell_apart(targets):
                    yield Alias(f"{name}@{domain.name}", targets, self._others(targets, domain))

    def _unique(self) -> list[Alias]:
        """Without those that have a namesake, for other users, in a domain before theirs."""
        namesakes = {other.address for _, other in self._namesakes()}
        return [alias for alias in self._aliases() if alias.address not in namesakes]

    def _namesakes(self) -> Iterator[tuple[Alias, Alias]]:
        """All pairs of aliases of one name that lead to different users."""
        for one, other in itertools.combinations(self._aliases(), 2):
            same = one.address.partition("@")[0] == other.address.partition("@")[0]
            if same and self._apart(one.targets, other.targets):
                yield one, other

    def _catch_alls(self) -> Iterator[Alias]:
        for domain in self.profile.domain:
            address, targets = f"{self.nobody}@{domain.name}", self._led(domain, REST)
            if targets and self.tell_apart(targets):
                yield Alias(address, targets, self._others(targets, domain))
            elif domain.catch_all and REST not in domain.aliases:
                yield Alias(address, (address,), untold=True)

    def _first_of_kind(self, aliases: Iterable[Alias]) -> tuple[Alias, ...]:
        """The first of each domain that stays within it, and the first that leads out of it."""
        found: dict[tuple[str, bool], Alias] = {}
        for alias in aliases:
            within = all(target.endswith(f"@{alias.domain}") for target in alias.targets)
            found.setdefault((alias.domain, within), alias)
        return tuple(found.values())

    def _led(self, domain: Domain, name: str) -> tuple[str, ...] | None:
        """The users that an alias leads to; None where it leads to anybody else, or two share a mailbox."""
        found, unfit = self.followed(domain, name)
        return None if unfit else found

    def followed(self, domain: Domain, name: str) -> tuple[tuple[str, ...], str]:
        """The users that an alias leads to, and why nothing can be told of it; that is empty where it can."""
        users = self._everybody
        found: dict[str, None] = {}
        left, seen = list(domain.leads_to(name)), {f"{name}@{domain.name}"}
        while left:
            address = left.pop(0)
            if address in seen:
                return (), f"comes to {address} twice"
            seen.add(address)
            local_part, _, at = address.rpartition("@")
            further = next((one.leads_to(local_part) for one in self.profile.domain if one.name == at), ())
            if address in users:
                found[address] = None
            elif further:
                left += further
            elif self.profile.filter and address == self.profile.filter.user:
                return (), f"leads to {address}, whose filter may file the mail elsewhere"
            else:
                return (), f"leads to {address}, who is no user in [[domain]]"
        if not found:
            return (), "leads to nobody"
        targets = tuple(found)
        if not self._apart(targets, ()):
            return targets, "leads to users who share a mailbox"
        return targets, ""

    def keeps_apart(self, one: str, other: str) -> bool:
        """Whether mail of these recipients is read at two places."""
        return self._apart((one,), (other,))

    def tell_apart(self, targets: tuple[str, ...]) -> bool:
        """Whether mail of these users lies elsewhere than that of others, if there are others."""
        users = self._everybody
        places = {self._place(user) for user in users}
        return users == set(targets) or len(places) > len(targets)

    def _others(self, targets: tuple[str, ...], domain: Domain) -> tuple[str, ...]:
        """Users with other mailboxes than these, one for each mailbox, those of the domain first."""
        order = (domain, *(one for one in self.profile.domain if one is not domain))
        users = [user for one in order for user in self._users(one)]
        taken = {self._place(target) for target in targets}
        return self._each_place(user for user in users if self._place(user) not in taken)

    def _each_place(self, users: Iterable[str]) -> tuple[str, ...]:
        """The first of the users for each mailbox."""
        found: dict[str, str] = {}
        for user in users:
            found.setdefault(self._place(user), user)
        return tuple(found.values())

    def _apart(self, some: Sequence[str], others: Sequence[str]) -> bool:
        """Whether each of them has a mailbox of its own, and not two addresses one."""
        return len({self._place(user) for user in (*some, *others)}) == len(some) + len(others)

    def _place(self, user: str) -> str:
        """Where the mail of a user is read."""
        name, _, domain = user.partition("@")
        kept = self._kept(domain)
        template = kept.maildir or kept.mbox or (kept.imap.user if kept.imap else "{user}@{domain}")
        return template.replace("{user}", name).replace("{domain}", domain)

    def _kept(self, domain: str) -> MailboxTable:
        """How mail of a domain is kept; empty when the profile does not say."""
        own = next((each.mailbox for each in self.profile.domain if each.name == domain), None)
        return own or self.profile.mailbox or MailboxTable.model_construct()

    @property
    def _everybody(self) -> set[str]:
        """The users of all domains."""
        return {user for domain in self.profile.domain for user in self._users(domain)}

    def _users(self, domain: Domain) -> list[str]:
        """The users of a domain that are no aliases themselves and have no filter."""
        filtered = self.profile.filter.user if self.profile.filter else ""
        users = [f"{user}@{domain.name}" for user in domain.users if user not in domain.aliases]
        return [user for user in users if user != filtered]
