"""What all clients of one scenario share, and what the harness remembers of it."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from harness.capabilities.mail_host import MailHost
from harness.capabilities.mailbox import Delivered
from harness.outcome import Stage
from harness.smtp.endpoint import Endpoint
from harness.smtp.session import Ending
from harness.world.acts import Acts, DnsInHand
from harness.world.conversation import Conversation
from harness.world.endpoints import Endpoints
from harness.world.internet import Internet
from harness.world.pace import Pace
from harness.world.room import Room
from harness.world.sut import Sut

if TYPE_CHECKING:
    from harness.world.client import Client

UNHEARD = (Ending.UNREACHABLE, Ending.NOT_INTRODUCED)  # the server never met such a client


class Clock(Protocol):
    """Lets time pass for the greylist."""

    def advance(self, client: str, seconds: float) -> None:
        """Let `seconds` pass as the server sees that client; raises `NotTestableError`."""

    def reading(self, client: str) -> float:
        """The time in seconds as the server sees that client: real time, and what was let pass."""

    def lag(self, client: str) -> float:
        """How many seconds more may pass than it is told to let pass."""

    def taking_part(self) -> AbstractContextManager[None]:
        """For as long as a scenario is played: its time passes only when it waits for that."""

    def stop(self) -> None:
        """The run is over: nobody waits any more."""


@dataclass(frozen=True)
class Cause:
    """Something that the server must have looked at, or a rule cannot have been at work."""

    missing: str  # the sentence for when it was not seen
    seen: bool
    usual: bool = False  # whether it was seen for innocent clients at the beginning of the run

    @property
    def vanished(self) -> bool:
        """Whether the server looked at it before and does not any more: nothing follows from that."""
        return self.usual and not self.seen

    def beside(self, other: "Cause") -> "Cause":
        """The same; where the server still looks at it for another client, it says something of this one."""
        return replace(self, usual=self.usual and not other.seen)


@dataclass
class World:
    """What all clients of one scenario share."""

    internet: Internet
    sut: Sut
    endpoints: Endpoints
    clock: Clock | None
    pace: Pace
    usual: frozenset[tuple[str, int]] = frozenset()  # zones that were asked about innocents of an IP version
    may_end: frozenset[Stage] = frozenset()  # where a 421 is an answer, as the profile has it
    goal: Stage = Stage.RCPT  # how far dialogues go: to where the server tells the verdict in question
    waited: float = 0.0  # seconds, for a place and for turns to connect
    room: Room = field(default_factory=Room)
    conversations: list[tuple[str, "Client", Conversation]] = field(default_factory=list)
    hosts: list[MailHost] = field(default_factory=list)  # of everybody else
    deliveries: list[Delivered] = field(default_factory=list)  # that were found
    acts: Acts = field(default_factory=Acts)  # what was done beside the dialogues
    _has_place: bool = False  # for as long as its scenario is played
    _dialogues: int = 0  # that are held at the moment
    _counting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def dns(self) -> DnsInHand:
        """What DNS says, to be changed by this scenario."""
        return DnsInHand(self.internet.dns, self.acts)

    @contextmanager
    def place(self) -> Iterator[None]:
        """For as long as a scenario is played: one of its dialogues at a time has a place for certain."""
        with self.room.place() as waited:
            self.waited += waited
            self._has_place = True
            try:
                yield
            finally:
                self._has_place = False

    @contextmanager
    def dialogue(self) -> Iterator[None]:
        """Room for a dialogue: the first waits for a place, and those that are held beside it do not."""
        with self._counting:
            first = self._dialogues == 0
            self._dialogues += 1
        try:
            if not first:
                place: AbstractContextManager[float] = self.room.beside()
            else:
                place = nullcontext(0.0) if self._has_place else self.room.place()
            with place as waited:
                self.waited += waited
                yield
        finally:
            with self._counting:
                self._dialogues -= 1

    @property
    def client_domains(self) -> set[str]:
        """What the mail of this scenario's clients mentions."""
        return {client.identity.domain for _, client, _ in self.conversations}

    @property
    def servers(self) -> list[Endpoint]:
        """Those that this scenario's clients talked to."""
        return list(dict.fromkeys(client.reached_at for _, client, _ in self.conversations))

    @property
    def lost(self) -> str:
        """How one of the dialogues was lost, if so: what it was to show was not seen then."""
        return next((talk.lost for _, _, talk in self.conversations if talk.lost), "")

    @property
    def unheard(self) -> str:
        """Why one of the clients could not come from its address, if so: the server did not judge it then."""
        sessions = ((talk, talk.session.ending) for _, _, talk in self.conversations)
        return next((talk.broken for talk, ending in sessions if ending in UNHEARD), "")
