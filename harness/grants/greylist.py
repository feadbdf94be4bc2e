"""The greylist: its clock, its operator, its outage."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from harness.capabilities.clock import FakeTimeFile, SharedClock, SteeredClock, WaitingClock
from harness.capabilities.operator import CommandOperator
from harness.capabilities.outage import CommandOutage
from harness.grants.capability import Capability, Site, Tool
from harness.grants.outage import Outage, RecordedOutage
from harness.world.acts import Who
from harness.world.world import Clock, World

UNMOVED = 0.001  # seconds; reading a clock twice takes as long


class GreylistOperator(Protocol):
    """Changes the greylist as an operator of the server does."""

    def add(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Put a triplet on the `white`, `grey` or `black` list."""

    def remove(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Take a triplet off a list."""

    def listed(self, which: str, client: str, sender: str, recipient: str) -> bool:
        """Whether a list shows the triplet."""


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


def _clock(site: Site) -> Clock | None:
    table = site.profile.clock
    if site.mta:
        return SteeredClock(site.mta.advance)
    if table is None:
        return None
    if table.file:
        return SharedClock(FakeTimeFile(table.file, table.then).move)
    return WaitingClock(table.limit or 0.0)


def _recorded_clock(clock: Clock, world: World) -> Clock:
    return RecordedClock(clock, world)


def _operator(site: Site) -> GreylistOperator | None:
    table = site.profile.operator
    return site.mta or (CommandOperator(table) if table else None)


def _recorded_operator(operator: GreylistOperator, world: World) -> GreylistOperator:
    return RecordedGreylist(operator, world)


def _outage(site: Site) -> Outage | None:
    table = site.profile.outage
    return site.mta or (CommandOutage(table.begin, table.end) if table else None)


def _recorded_outage(outage: Outage, world: World) -> Outage:
    return RecordedOutage(outage, world, "the greylist")


CLOCK = Capability(
    "clock",
    lambda profile: profile.clock is not None,
    "the profile has no [clock], so no time can pass",
    Tool(_clock, _recorded_clock, "clock", stop=lambda clock: clock.stop()),
)
GREYLIST_OPERATOR = Capability(
    "greylist-operator",
    lambda profile: profile.operator is not None,
    "the profile has no [operator] commands to change the greylist with",
    Tool(_operator, _recorded_operator, "greylist"),
)
GREYLIST_OUTAGE = Capability(
    "greylist-outage",
    lambda profile: profile.outage is not None,
    "the profile has no [outage] commands to put the greylist out of reach with",
    Tool(
        _outage,
        _recorded_outage,
        "greylist_outage",
        undo=lambda outage: outage.end(),
        hits_all=lambda outage: outage.shared,
    ),
)
