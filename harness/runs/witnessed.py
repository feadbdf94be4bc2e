"""The tools of a run as one try of a scenario has them: what they show is kept as evidence."""

import time
from dataclasses import dataclass, field

from harness.capabilities.mail_host import MailHost
from harness.capabilities.mailbox import Delivered
from harness.capabilities.queue import Queued
from harness.capabilities.sink import Sink
from harness.verdicts import BrokenOffError, NotTestableError
from harness.world.tools import GreylistOperator, Mailbox, QueueOperator
from harness.world.world import Act, World


@dataclass(frozen=True)
class WitnessedMailbox:
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


@dataclass(frozen=True)
class WitnessedQueue:
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
        _note(self.world, Act(time.monotonic(), f"list the queue: what mentions {word}", shown, tells))
        return found

    def remove(self, message: str) -> None:
        """Take a message, by its id, off the queue."""
        _note(self.world, Act(time.monotonic(), f"remove message {message} from the queue"))
        self.queue.remove(message)

    def thaw(self, message: str) -> None:
        """Let a frozen message be tried again."""
        _note(self.world, Act(time.monotonic(), f"thaw message {message}"))
        self.queue.thaw(message)


@dataclass(frozen=True)
class WitnessedGreylist:
    """The operator's hand on the greylist; what it does and sees is kept as evidence."""

    operator: GreylistOperator
    world: World

    def add(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Put a triplet on a list."""
        _note(self.world, Act(time.monotonic(), f"add {client} <{sender}> <{recipient}> to the {which} list"))
        self.operator.add(which, client, sender, recipient)

    def remove(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Take a triplet off a list."""
        _note(
            self.world,
            Act(time.monotonic(), f"remove {client} <{sender}> <{recipient}> from the {which} list"),
        )
        self.operator.remove(which, client, sender, recipient)

    def listed(self, which: str, client: str, sender: str, recipient: str) -> bool:
        """Whether a list shows the triplet."""
        found = self.operator.listed(which, client, sender, recipient)
        looked = f"look for {client} <{sender}> <{recipient}> on the {which} list"
        answer = "it is there" if found else "it is not there"
        _note(self.world, Act(time.monotonic(), looked, answer, answer))
        return found


def _note(world: World, act: Act) -> None:
    """Keep an act; one that is repeated until it tells something else is kept once."""
    last = world.operator[-1] if world.operator else None
    if last is None or (last.text, last.tells) != (act.text, act.tells):
        world.operator.append(act)


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
