"""What the server sends on: the mail hosts of everybody else, and by which way mail goes there."""

from dataclasses import dataclass, field
from typing import Protocol

from harness.capabilities.mail_host import PATIENCE, MailHost
from harness.capabilities.sink import Sink
from harness.capabilities.srs import CommandRewriter
from harness.embedded.process import RewriterControl
from harness.grants.capability import Capability, Plain, Site, Tool
from harness.profile.model import Profile
from harness.verdicts import NotTestableError
from harness.world.acts import Who
from harness.world.world import World


class MailHosts(Protocol):
    """Plays the mail hosts of everybody else."""

    def host(self, domain: str = "") -> MailHost:
        """A new one, which DNS names for `domain` (a new one, too, unless it is given)."""

    def forward_target(self) -> MailHost:
        """That of the domain that the profile's [forward] leads to; others use it, too."""

    def smarthost(self) -> MailHost:
        """That of the profile's [smarthost]; others use it, too."""


class Rewriter(Protocol):
    """Makes rewritten senders (SRS) as the server does."""

    def aged(self, sender: str, days: int) -> str:
        """The rewritten form of a sender, so many days old."""


@dataclass
class RecordedSink:
    """The mail hosts of one scenario; they are gone when it is over, but for those that all share."""

    sink: Sink
    world: World
    _own: list[MailHost] = field(default_factory=list)

    def host(self, domain: str = "") -> MailHost:
        """A new mail host, which DNS names for `domain` (a new one, too, unless it is given)."""
        host = self.sink.open(domain or self.world.internet.foreign_domain(), held=len(self._own))
        self._own.append(host)
        self.world.hosts.append(host)
        there = f"{host.name} is there at {host.address}, the mail host of {host.domain}"
        self.world.acts.note(Who.MAIL_HOST, there)
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
            host = self._own.pop()
            self.sink.close(host)
            self.world.acts.note(Who.MAIL_HOST, f"{host.name} is gone")

    def _shared(self, domain: str, address: str = "") -> MailHost:
        host = self.sink.shared(domain, address)
        if host not in self.world.hosts:
            self.world.hosts.append(host)
        return host


def _hosts_can_be_played(profile: Profile) -> bool:
    return profile.sink is not None and profile.dns is not None


def _sink(site: Site) -> Sink | None:
    profile = site.profile
    if profile.sink is None or SINK.lacking(profile):
        return None
    kept = [profile.smarthost.host[0]] if profile.smarthost else []
    interval = min(profile.queue.interval, PATIENCE) if profile.queue else 0.0  # of a queue runner
    sink = Sink(
        site.dns,
        profile.sink.networks,
        profile.sink.port,
        kept=kept,
        secrets=profile.secrets,
        patience=profile.sink.patience + interval,
    )
    return site.stack.enter_context(sink)


def _rewriter(site: Site) -> Rewriter | None:
    table = site.profile.srs
    if table and site.mta:
        return RewriterControl(site.mta, table.domain)
    return CommandRewriter(table) if table and table.make else None


def _as_it_is(rewriter: Rewriter, _: World) -> Rewriter:
    """What it says is the word of no server that is judged."""
    return rewriter


SINK: Capability[Sink, RecordedSink] = Capability(
    "sink",
    _hosts_can_be_played,
    "the profile has no [sink] networks (with [dns]) at which other mail hosts could be played",
    Tool(_sink, RecordedSink, "sink", undo=RecordedSink.close, stop=Sink.stop),
    in_a_dry_run=False,
)
SMARTHOST = Plain(
    "smarthost", lambda profile: profile.smarthost is not None, "the profile has no [smarthost]"
)
LOCAL_ONLY = Plain(
    "local-only",
    lambda profile: profile.local_only is not None,
    "the profile has no [local_only]",
    in_a_dry_run=False,
)
FORWARD = Plain(
    "forward",
    lambda profile: profile.forward is not None,
    "the profile has no [forward] recipient whose mail goes elsewhere",
)
SRS = Capability(
    "srs",
    lambda profile: profile.srs is not None,
    "the profile has no [srs]",
    Tool(_rewriter, _as_it_is, "rewriter"),
)
