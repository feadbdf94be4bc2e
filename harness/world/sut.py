"""The server under test as a scenario sees it: its names, its users, its lists, its numbers."""

import fnmatch
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.offence import Offence
from harness.outcome import Stage
from harness.profile.dialect import Asks
from harness.profile.model import Profile
from harness.profile.tables import DnsList, Domain, Greylist, GreylistPart
from harness.profile.values import neighbourhood
from harness.verdicts import NotTestableError
from harness.world.made_up import made_up
from harness.world.sut_mail import MailFacts

POSTMASTER = "postmaster"
UNREAD = ("127.0.0.77", "127.0.1.99", "127.7.7.7")  # answers of which hardly a list makes any use


@dataclass(frozen=True)
class BlockList:
    """A DNS block list that the server asks; a group has several zones."""

    name: str
    zones: tuple[str, ...]
    weight: float = 1.0  # below 0 it is a white list
    answer: str = "127.0.0.2"  # one that counts
    further: tuple[str, ...] = ()  # others that do: one of each network of them
    unread: str = ""  # one that counts for no list of its zones; empty where every one does

    def shares_a_zone(self, other: "BlockList") -> bool:
        """Whether another list reads other answers of the same zone."""
        return not {*self.zones}.isdisjoint(other.zones)


@dataclass(frozen=True)
class Sut:
    """What a scenario may know of the server: only what its profile documents."""

    profile: Profile
    nobody: str = field(default_factory=made_up)  # a local part that no user has: letters only

    @property
    def hostname(self) -> str:
        """The server's own host name."""
        return self.profile.server.hostname

    @property
    def delay(self) -> float:
        """The documented delay, seconds."""
        return self.profile.policy.delay

    @property
    def pause(self) -> float:
        """How long everybody waits for the greeting, seconds."""
        return self.profile.dialect.pause

    @property
    def soonest_retry(self) -> float:
        """Seconds from when the greylist hears of a client until its retry, put off as well, has ended."""
        return self.pause + 2 * self.profile.dialect.refusals_take

    @property
    def mail(self) -> MailFacts:
        """What it does with a message that it has accepted."""
        return MailFacts(self.profile, self.nobody)

    @property
    def dnsbl(self) -> tuple[BlockList, ...]:
        """The block lists, white lists among them, as the profile has them."""
        return tuple(
            BlockList(
                entry.name,
                entry.zones,
                entry.weight,
                str(entry.answers[0].network_address) if entry.answers else "127.0.0.2",
                tuple(str(network.network_address) for network in entry.answers[1:]),
                _says_nothing(entry.zones, self.profile.dnsbl),
            )
            for entry in self.profile.dnsbl
        )

    @property
    def mark(self) -> str:
        """The header field of mail that is only marked."""
        return self.profile.dialect.mark

    @property
    def marks_listed(self) -> bool:
        """Whether mail of a client that is listed, and not enough to be refused, is marked."""
        answer = self.profile.dialect.answers.get(Offence.LISTED)
        return any(entry.weight > 0 for entry in self.profile.dnsbl) and (answer is None or answer.marked)

    @property
    def names_listed(self) -> bool:
        """Whether such a mark names address and list: the document says so, a dialect need not."""
        dialect = self.profile.dialect
        return Offence.LISTED not in dialect.answers or dialect.names_lists

    @property
    def stops_asking(self) -> bool:
        """Whether it asks no more lists once their weights are enough; white lists could lower them again."""
        in_order = self.profile.dialect.asks is Asks.IN_ORDER
        return in_order and all(blocklist.weight > 0 for blocklist in self.dnsbl)

    def earned_by(self, *listed: BlockList) -> Offence | None:
        """What it is to be named by these lists: None when their weights come to nothing."""
        weight = sum(blocklist.weight for blocklist in listed)
        if weight >= self.profile.dialect.threshold:
            return Offence.LISTED_ENOUGH
        return Offence.LISTED if weight > 0 else None

    def most_below(self, lists: Sequence[BlockList], limit: float) -> tuple[BlockList, ...]:
        """Those of some black lists that weigh most together, and less than a limit; none if each is more."""
        found: dict[float, tuple[BlockList, ...]] = {0.0: ()}
        for one in lists:
            for weight, chosen in list(found.items()):
                if weight + one.weight < limit:
                    found.setdefault(weight + one.weight, (*chosen, one))
        return found[max(found)]

    @property
    def greylist(self) -> Greylist:
        """The documented greylist; raises `NotTestableError` when the profile has none."""
        if self.profile.greylist is None:
            raise NotTestableError("the profile has no [greylist]")
        return self.profile.greylist

    @property
    def domains(self) -> tuple[str, ...]:
        """All hosted domains."""
        return tuple(domain.name for domain in self.profile.domain)

    @property
    def home(self) -> Domain:
        """The hosted domain that scenarios write to unless they need another."""
        return self.domain_of(self.recipient)

    def host_inside(self, domain: str) -> str:
        """A host name in one of its domains that is neither its own name nor another of its domains."""
        return f"{made_up()}.{domain}"

    @property
    def catch_all(self) -> str:
        """A hosted domain that takes every local part: there no refusal can mean an unknown user."""
        for domain in sorted(self.profile.domain, key=lambda domain: not domain.catch_all):
            if domain.takes_everyone:
                return domain.name
        raise NotTestableError(
            "no [[domain]] has catch_all = true, so a refused local part may just be an unknown user"
        )

    @property
    def recipient(self) -> str:
        """An ordinary recipient: a user who is exempt from nothing, and who also sends mail if any does.

        In a domain that refuses unknown users and has a list of senders, if there is any.
        """
        ordinary = [
            (domain, user) for domain in self._homeliest for user in domain.users if self._is_ordinary(user)
        ]
        domain, user = min(
            ordinary or [(self._homeliest[0], self._homeliest[0].users[0])],
            key=lambda one: (self._homeliest.index(one[0]), one[1] not in (one[0].bounce_recipients or ())),
        )
        return f"{user}@{domain.name}"

    @property
    def another_recipient(self) -> str:
        """A second ordinary recipient, in the same domain if it has one."""
        if not self._others:
            raise NotTestableError(f"{self.recipient} is the only ordinary user of all [[domain]]s; add one")
        return self._others[0]

    def recipients(self, number: int) -> tuple[str, ...]:
        """So many ordinary recipients of one domain, no two alike; empty where none has so many.

        Users at home, or else made-up ones of a domain that takes everyone.
        """
        users = list(filter(self._is_ordinary, self.home.users))[:number]
        if len(users) == number:
            return tuple(f"{user}@{self.home.name}" for user in users)
        if not any(domain.takes_everyone for domain in self.profile.domain):
            return ()
        return tuple(f"{self.nobody}{one}@{self.catch_all}" for one in range(1, number + 1))

    @property
    def exempt_recipient(self) -> str:
        """One for whom nobody is greylisted; empty when there is none."""
        names = self.profile.greylist.exempt_recipients if self.profile.greylist else ()
        found = (f"{name}@{one.name}" for name in names for one in self._homeliest if self.has(one, name))
        return next(found, "")

    @property
    def unknown_recipient(self) -> str:
        """A recipient that nobody has, in a domain that refuses such, one without aliases if there is any."""
        strict = [domain for domain in self._homeliest if not domain.takes_everyone]
        for domain in sorted(strict, key=lambda domain: bool(domain.aliases)):
            return f"{self.nobody}@{domain.name}"
        raise NotTestableError("every [[domain]] takes every local part, so nobody is unknown here")

    @property
    def takes_everyone(self) -> bool:
        """Whether no domain refuses any local part."""
        return all(domain.takes_everyone for domain in self.profile.domain)

    def has(self, domain: Domain, name: str) -> bool:
        """Whether the profile says that mail for a local part of a domain is taken."""
        known = {one.lower() for one in (*domain.users, *domain.aliases)}
        return domain.takes_everyone or name.lower() in known

    def greylisted_as(self, address: str) -> tuple[str, ...]:
        """What the greylist may show of a client: its address or, where it goes by networks, its network."""
        if self.greylist.key != "network":
            return (address,)
        network = neighbourhood(address)
        return address, str(network), str(network.network_address)

    @property
    def account_names(self) -> frozenset[str]:
        """Those that the profile describes."""
        return frozenset(account.user for account in self.profile.logins)

    @property
    def verifies_for_accounts(self) -> bool:
        """Whether the recipients that an account names are looked for."""
        return self.profile.auth is not None and self.profile.auth.verified

    def whitelists(self, host: str) -> bool:
        """Whether a host of that name is never greylisted."""
        patterns = self.profile.greylist.whitelist_hosts if self.profile.greylist else ()
        return any(fnmatch.fnmatchcase(host.lower(), pattern.lower()) for pattern in patterns)

    def minds_recipients(self, host: str) -> bool:
        """Whether the greylist may put off a host of that name at each recipient that is new to it."""
        greylist = self.profile.greylist
        if greylist is None or self.whitelists(host):
            return False
        return greylist.stage is Stage.RCPT and greylist.counts(GreylistPart.RECIPIENT)

    def domain_of(self, recipient: str) -> Domain:
        """The hosted domain of an address; raises `StopIteration` when it is none of them."""
        name = recipient.rpartition("@")[2]
        return next(domain for domain in self.profile.domain if domain.name == name)

    # Whom bounces are meant for: of each domain with a list of senders one, where it has one

    @property
    def who_sends(self) -> tuple[str, ...]:
        """Those on the list of their domain, other than postmaster, for whom mail is taken."""
        return self._one_of_each(lambda domain, listed: [name for name in listed if self.has(domain, name)])

    @property
    def who_never_sends(self) -> tuple[str, ...]:
        """Those on no list of any domain, for whom mail is taken."""
        senders = {name.lower() for one in self.profile.domain for name in one.bounce_recipients or ()}
        return self._one_of_each(
            lambda domain, _: [
                name
                for name in (*domain.users, *([self.nobody] if domain.takes_everyone else ()))
                if name.lower() not in senders
            ]
        )

    @property
    def who_sends_elsewhere(self) -> tuple[str, ...]:
        """Those whose name is on the list of another domain and not of their own, for whom mail is taken."""
        senders = [(one, name) for one in self.profile.domain for name in one.bounce_recipients or ()]
        return self._one_of_each(
            lambda domain, _: [
                name
                for other, name in senders
                if other is not domain and self.has(domain, name) and not self._lists(domain, name)
            ]
        )

    @property
    def postmasters(self) -> tuple[str, ...]:
        """Every postmaster whose domain has that name on its list."""
        return tuple(
            f"{POSTMASTER}@{domain.name}"
            for domain in self.profile.domain
            if self._lists(domain, POSTMASTER) and self.has(domain, POSTMASTER)
        )

    @property
    def legal_bounce(self) -> str:
        """A recipient who also sends, so that bounces are taken; where no domain has a list, anyone."""
        return self._legal_bounces[0]

    @property
    def another_legal_bounce(self) -> str:
        """Another one than that, who is not exempt from the greylist."""
        found = [one for one in self._legal_bounces[1:] if not self._exempts(one)]
        if not found:
            raise NotTestableError(
                f"bounces are taken for {self.legal_bounce} and nobody else whom no greylist exempts; "
                "add one to bounce_recipients"
            )
        return found[0]

    @property
    def _legal_bounces(self) -> list[str]:
        """All of them: ordinary users first, of these those at home; aliases and postmasters last."""
        if all(domain.bounce_recipients is None for domain in self.profile.domain):
            return [self.recipient, *self._others]
        found = [
            (not self._is_ordinary(name), name not in domain.users, domain is not self.home, name, domain)
            for domain in self.profile.domain
            for name in domain.bounce_recipients or ()
            if self.has(domain, name)
        ]
        if not found:
            raise NotTestableError("no user of any [[domain]] is in its bounce_recipients; add one")
        return [f"{name}@{domain.name}" for *_, name, domain in sorted(found, key=lambda one: one[:3])]

    def _one_of_each(self, choose: Callable[[Domain, tuple[str, ...]], list[str]]) -> tuple[str, ...]:
        """Of every domain with a list of senders the first that is chosen, a user before an alias."""
        found = []
        for domain in self.profile.domain:
            if domain.bounce_recipients is None:
                continue
            names = [n for n in choose(domain, domain.bounce_recipients) if n.lower() != POSTMASTER]
            names.sort(key=lambda name: name not in domain.users)
            found += [f"{name}@{domain.name}" for name in names[:1]]
        return tuple(found)

    def _lists(self, domain: Domain, name: str) -> bool:
        return name.lower() in {one.lower() for one in domain.bounce_recipients or ()}

    def ordinary_user(self, domain: Domain) -> str:
        """A user of a domain, no postmaster if it has any other."""
        return next(filter(self._is_ordinary, domain.users), domain.users[0])

    def no_postmaster(self, domain: Domain) -> str:
        """A user of a domain who is not postmaster, an ordinary one if there is any; else empty."""
        found = [name for name in domain.users if name.lower() != POSTMASTER]
        found.sort(key=lambda name: not self._is_ordinary(name))
        return f"{found[0]}@{domain.name}" if found else ""

    @property
    def _homeliest(self) -> list[Domain]:
        """All domains, first those that refuse unknown users, and of these those with a list of senders."""
        return sorted(self.profile.domain, key=lambda one: (one.takes_everyone, not one.bounce_recipients))

    @property
    def _others(self) -> list[str]:
        """All ordinary recipients but the first, those in the same domain before others."""
        found = [
            f"{user}@{domain.name}"
            for domain in sorted(self._homeliest, key=lambda domain: domain is not self.home)
            for user in (*domain.users, *([self.nobody] if domain.takes_everyone else ()))
            if self._is_ordinary(user)
        ]
        return [one for one in found if one != self.recipient]

    def _is_ordinary(self, user: str) -> bool:
        """Whether neither postmaster's privileges nor the greylist's exemptions are those of a user."""
        return user.lower() != POSTMASTER and not self._exempts(user)

    def _exempts(self, recipient: str) -> bool:
        return self.profile.greylist is not None and self.profile.greylist.exempts(recipient)


def _says_nothing(zones: tuple[str, ...], lists: Sequence[DnsList]) -> str:
    """An answer of a list that counts for none of those that ask these zones; empty where there is none."""
    readers = [one for one in lists if not {*zones}.isdisjoint(one.zones)]
    if not all(one.answers for one in readers):
        return ""
    read = [network for one in readers for network in one.answers]
    free = (one for one in UNREAD if not any(ipaddress.ip_address(one) in network for network in read))
    return next(free, "")
