"""The tools of a run as one try of a scenario has them: what they show is kept as evidence."""

from dataclasses import dataclass, field

from harness.capabilities.mail_host import MailHost
from harness.capabilities.mailbox import Delivered
from harness.capabilities.sink import Sink
from harness.verdicts import NotTestableError
from harness.world.client import World
from harness.world.tools import Mailbox


@dataclass(frozen=True)
class WitnessedMailbox:
    """A mailbox; every message that is found is kept as evidence, once."""

    mailbox: Mailbox
    world: World

    def find(self, recipient: str, token: str) -> Delivered:
        """The first copy with `token` in it; raises `FailedError` when none arrives in time."""
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


@dataclass
class WitnessedSink:
    """The mail hosts of one scenario; they are gone when it is over, but for those that all share."""

    sink: Sink
    world: World
    _own: list[MailHost] = field(default_factory=list)

    def host(self, domain: str = "") -> MailHost:
        """A new mail host, which DNS names for `domain` (a new one, too, unless it is given)."""
        host = self.sink.open(domain or self.world.internet.foreign_domain(), held=len(self._own))
        self._own.append(host)
        self.world.hosts.append(host)
        return host

    def forward_target(self) -> MailHost:
        """The mail host of the domain that the profile's [forward] leads to."""
        forward = self.world.sut.profile.forward
        if forward is None:
            raise NotTestableError("the profile has no [forward]")
        return self._shared(forward.target.rpartition("@")[2])

    def smarthost(self) -> MailHost:
        """The host that a server with a smarthost sends everything to."""
        smarthost = self.world.sut.profile.smarthost
        if smarthost is None:
            raise NotTestableError("the profile has no [smarthost]")
        address, port = smarthost.host
        if port != self.sink.port:
            raise NotTestableError(f"smarthost.host: its port is not {self.sink.port}, that of the [sink]")
        return self._shared("smarthost.example", address)

    def close(self) -> None:
        """The scenario is over."""
        while self._own:
            self.sink.close(self._own.pop())

    def _shared(self, domain: str, address: str = "") -> MailHost:
        host = self.sink.shared(domain, address)
        if host not in self.world.hosts:
            self.world.hosts.append(host)
        return host
