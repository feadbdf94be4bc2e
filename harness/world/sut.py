"""The server under test as a scenario sees it: its names, its users, its lists, its numbers."""

from dataclasses import dataclass

from harness.offence import Offence
from harness.profile.dialect import Asks
from harness.profile.model import Profile
from harness.profile.tables import Domain, Greylist
from harness.verdicts import NotTestableError
from harness.world.sut_mail import MailFacts


@dataclass(frozen=True)
class BlockList:
    """A DNS block list that the server asks; a group has several zones."""

    name: str
    zones: tuple[str, ...]
    weight: float = 1.0  # below 0 it is a white list
    answer: str = "127.0.0.2"  # one that counts


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
        """The block lists, white lists among them, as the profile has them."""
        return tuple(
            BlockList(
                entry.name,
                entry.zones,
                entry.weight,
                str(entry.answers[0].network_address) if entry.answers else "127.0.0.2",
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
        return answer is None or answer.marked

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
