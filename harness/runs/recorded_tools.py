"""The tools of a run as one try of a scenario has them: what they do and show is kept as evidence."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from harness.capabilities.mail_host import MailHost
from harness.capabilities.mailbox import Delivered
from harness.capabilities.queue import Queued
from harness.capabilities.sink import Sink
from harness.verdicts import BrokenOffError, NotTestableError
from harness.world.acts import Who
from harness.world.tools import GreylistOperator, Mailbox, Outage, QueueOperator
from harness.world.world import Clock, World

UNMOVED = 0.001  # seconds; reading a clock twice takes as long


@dataclass(frozen=True)
class RecordedClock:
    """A clock; what it lets pass is kept as evidence."""

    clock: Clock
    world: World

    def advance(self, client: str, seconds: float) -> None:
        """Let `seconds` pass as the server sees that client; raises `NotTestableError`."""
        began, read = time.monotonic(), self.clock.reading(client)
        self.clock.advance(client, seconds)
        took, moved = time.monotonic() - began, self.clock.reading(client) - read
        self._note(client, began, took, moved - took)

    def reading(self, client: str) -> float:
        """The time in seconds as the server sees that client."""
        return self.clock.reading(client)

    def lag(self, client: str) -> float:
        """How many seconds more may pass than it is told to let pass; to find out may let some pass."""
        began, read = time.monotonic(), self.clock.reading(client)
        lag = self.clock.lag(client)
        took, moved = time.monotonic() - began, self.clock.reading(client) - read
        if moved - took > UNMOVED:
            self._note(client, began, took, moved - took)
        return lag

    def taking_part(self) -> AbstractContextManager[None]:
        """For as long as a scenario is played: its time passes only when it waits for that."""
        return self.clock.taking_part()

    def stop(self) -> None:
        """The run is over: nobody waits any more."""
        self.clock.stop()

    def _note(self, client: str, began: float, took: float, moved: float) -> None:
        if moved > UNMOVED:
            text = f"the greylist's clock is moved on by {moved:.2f} s for {client}"
            text += f", for which others are waited for, {took:.2f} s" if took > 1.0 else ""
        else:
            text = f"{took:.2f} s are waited for the greylist"
        self.world.acts.note(Who.CLOCK, text, self._documented, at=began)

    @property
    def _documented(self) -> str:
        """The times that the retry is held against."""
        greylist = self.world.sut.profile.greylist
        if greylist is None:
            return ""
        times = (greylist.delay, greylist.timeout, greylist.lifetime)
        return "greylist.delay is {}, timeout {}, lifetime {}".format(*map(_span, times))


def _span(seconds: float) -> str:
    """Such as `8 h` or `90 s`."""
    for unit, long in (("d", 86400.0), ("h", 3600.0)):
        if seconds >= long and seconds % long == 0:
            return f"{seconds / long:.0f} {unit}"
    return f"{seconds:g} s"


@dataclass
class RecordedOutage:
    """An outage of the greylist; when it began and ended is kept as evidence."""

    outage: Outage
    world: World
    _lasts: bool = False

    def cut(self, client: str) -> None:
        """From now on nothing can be looked up about this client."""
        self.outage.cut(client)
        self._lasts = True
        whom = "everybody" if self.shared else client
        self.world.acts.note(Who.OUTAGE, f"the greylist is out of reach for {whom} from now on")

    def end(self) -> None:
        """Everything is as before."""
        self.outage.end()
        if self._lasts:
            self._lasts = False
            self.world.acts.note(Who.OUTAGE, "the greylist is within reach again")

    @property
    def shared(self) -> bool:
        """Whether it is an outage for every client."""
        return self.outage.shared


@dataclass(frozen=True)
class RecordedMailbox:
    """A mailbox; every message that is found is kept as evidence, once."""

    mailbox: Mailbox
    world: World

    def find(self, recipient: str, token: str) -> Delivered:
        """The first copy with `token` in it; raises `NeverCameError` when none arrives in time."""
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
            where = found.folder or "the inbox"
            self.world.acts.note(Who.MAILBOX, f"the message is found in {where} of {found.recipient}")


@dataclass(frozen=True)
class RecordedQueue:
    """The operator's hand on the queue; what it does and sees is kept as evidence."""

    queue: QueueOperator
    world: World

    def entries(self, word: str) -> list[Queued]:
        """The queued messages whose entry in the list mentions a word.

        Whoever looks again and again until one is there stops when the run is over: `BrokenOffError`.
        """
        if self.world.pace.is_over:
            raise BrokenOffError
        found = self.queue.entries(word)
        shown = "\n".join(one.entry.strip("\n") for one in found) or "nothing"
        tells = " ".join(f"{one.id} {one.frozen}" for one in found)  # and the rest changes with time
        looked = f"list the queue: what mentions {word}"
        self.world.acts.note(Who.OPERATOR, looked, shown, tells or shown)
        return found

    def remove(self, message: str) -> None:
        """Take a message, by its id, off the queue."""
        self.world.acts.note(Who.OPERATOR, f"remove message {message} from the queue")
        self.queue.remove(message)

    def thaw(self, message: str) -> None:
        """Let a frozen message be tried again."""
        self.world.acts.note(Who.OPERATOR, f"thaw message {message}")
        self.queue.thaw(message)


@dataclass(frozen=True)
class RecordedGreylist:
    """The operator's hand on the greylist; what it does and sees is kept as evidence."""

    operator: GreylistOperator
    world: World

    def add(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Put a triplet on a list."""
        self.world.acts.note(Who.OPERATOR, f"add {client} <{sender}> <{recipient}> to the {which} list")
        self.operator.add(which, client, sender, recipient)

    def remove(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Take a triplet off a list."""
        self.world.acts.note(Who.OPERATOR, f"remove {client} <{sender}> <{recipient}> from the {which} list")
        self.operator.remove(which, client, sender, recipient)

    def listed(self, which: str, client: str, sender: str, recipient: str) -> bool:
        """Whether a list shows the triplet."""
        found = self.operator.listed(which, client, sender, recipient)
        looked = f"look for {client} <{sender}> <{recipient}> on the {which} list"
        answer = "it is there" if found else "it is not there"
        self.world.acts.note(Who.OPERATOR, looked, answer, answer)
        return found


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
