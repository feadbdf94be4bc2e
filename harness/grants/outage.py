"""Something that the server rests on, put out of reach."""

from dataclasses import dataclass
from typing import Protocol

from harness.world.acts import Who
from harness.world.world import World


class Outage(Protocol):
    """Puts something that the server rests on out of reach: its greylist, its directory of accounts."""

    def cut(self, client: str) -> None:
        """From now on nothing can be looked up for this client."""

    def end(self) -> None:
        """Everything is as before, if it was out of reach."""

    @property
    def shared(self) -> bool:
        """Whether it is an outage for every client, so that nobody else may be played meanwhile."""


@dataclass
class RecordedOutage:
    """An outage; when it began and ended is kept as evidence."""

    outage: Outage
    world: World
    what: str  # is out of reach
    _lasts: bool = False

    def cut(self, client: str) -> None:
        """From now on nothing can be looked up about this client."""
        self.outage.cut(client)
        self._lasts = True
        whom = "everybody" if self.shared else client
        self.world.acts.note(Who.OUTAGE, f"{self.what} is out of reach for {whom} from now on")

    def end(self) -> None:
        """Everything is as before."""
        self.outage.end()
        if self._lasts:
            self._lasts = False
            self.world.acts.note(Who.OUTAGE, f"{self.what} is within reach again")

    @property
    def shared(self) -> bool:
        """Whether it is an outage for every client."""
        return self.outage.shared
