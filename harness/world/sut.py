"""The server under test as a scenario sees it: its names, its users, its lists, its numbers."""

from dataclasses import dataclass

from harness.outcome import Verdict
from harness.profile.model import Profile
from harness.profile.tables import Domain, Greylist
from harness.verdicts import NotTestableError
from harness.world.sut_mail import MailFacts


@dataclass(frozen=True)
class BlockList:
    """A DNS block list that the server asks; a group has several zones."""

    name: str
    zones: tuple[str, ...]


@dataclass(frozen=True)
class Sut:
    """What a scenario may know of the server: only what its profile documents."""

    profile: Profile

    @property
    def hostname(self) -> str:
        """The server's own host name."""
        return self.profile.server.hostname

    @property
    def delay(self) -> float:
        """The documented delay, seconds."""
        return self.profile.policy.delay

    @property
    def mail(self) -> MailFacts:
        """What it does with a message that it has accepted."""
        return MailFacts(self.profile)

    @property
    def dnsbl(self) -> tuple[BlockList, ...]:
        """The block lists in the order in which the server asks them."""
        return tuple(BlockList(entry.name, entry.zones) for entry in self.profile.dnsbl)

    @property
    def one_hit_refuses(self) -> bool:
        """Whether a client that one block list names is refused here, by the profile."""
        override = self.profile.rules.expect.get("dnsbl.one")
        return override is not None and all(
            outcome.verdict is not Verdict.PASS for outcome in override.outcome
        )

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
        """The hosted domain that scenarios write to: no catch-all, with a list of senders if any has."""
        strict = [domain for domain in self.profile.domain if not domain.takes_everyone]
        listed = [domain for domain in strict if domain.bounce_recipients]
        for domain in (*listed, *strict):
            return domain
        raise NotTestableError(
            "every [[domain]] has a catch_all; describe one that refuses unknown users (a server that relays "
            "for our address may take them all from us and nobody else: choose another address then)"
        )

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
        """An ordinary recipient: a user who also sends mail."""
        senders = self.home.bounce_recipients or self.home.users
        names = [user for user in self.home.users if user in senders and user.lower() != "postmaster"]
        return f"{(names or self.home.users)[0]}@{self.home.name}"

    @property
    def recipients(self) -> tuple[str, ...]:
        """All users of the home domain."""
        return tuple(f"{user}@{self.home.name}" for user in self.home.users)

    @property
    def unknown_recipient(self) -> str:
        """A recipient that nobody at home has."""
        return f"nobody-of-that-name@{self.home.name}"

    @property
    def never_sends(self) -> str:
        """A user at home who never sends, under no hosted domain: no bounce can be meant for them."""
        senders = {name.lower() for domain in self.profile.domain for name in domain.bounce_recipients or ()}
        for user in self.home.users:
            if user.lower() not in senders:
                return f"{user}@{self.home.name}"
        raise NotTestableError(
            f"every user of {self.home.name} is in some bounce_recipients; add one who is not"
        )

    @property
    def legal_bounce(self) -> str:
        """A user at home whose name stands on the list of senders."""
        for user in self.home.users:
            if user in (self.home.bounce_recipients or ()) and user.lower() != "postmaster":
                return f"{user}@{self.home.name}"
        raise NotTestableError(f"no user of {self.home.name} is in bounce_recipients; add one")

    @property
    def legal_elsewhere(self) -> str:
        """A user of one hosted domain whose name is a legal sender in another domain only."""
        for domain in self.profile.domain:
            for other in self.profile.domain:
                if domain.bounce_recipients is None or other is domain:
                    continue
                for user in domain.users:
                    if user not in domain.bounce_recipients and user in (other.bounce_recipients or ()):
                        return f"{user}@{domain.name}"
        raise NotTestableError(
            "no user name is a legal bounce recipient in one [[domain]] and not in another"
        )

    @property
    def listless_recipient(self) -> str:
        """A user of a hosted domain that has no list of senders."""
        for domain in self.profile.domain:
            if domain.bounce_recipients is None:
                return f"{domain.users[0]}@{domain.name}"
        raise NotTestableError("every [[domain]] has bounce_recipients; describe one without")

    @property
    def postmasters(self) -> tuple[str, ...]:
        """Postmaster of every domain that has a list of senders."""
        return tuple(
            f"postmaster@{domain.name}" for domain in self.profile.domain if domain.bounce_recipients
        )
