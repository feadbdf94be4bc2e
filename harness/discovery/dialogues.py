"""Dialogues with a server of which only a part is known: clients, and how far what they say goes."""

import contextlib
import functools
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from fake_dns import FakeDns
from harness import settings
from harness.capabilities.clock import WaitingClock
from harness.discovery.facts import GreylistSeen, Way
from harness.discovery.place import Place
from harness.grants.capability import Tools
from harness.grants.greylist import CLOCK
from harness.judge import Judge
from harness.outcome import Stage
from harness.profile.model import Profile
from harness.rules import Catalogue
from harness.runs.run import Run
from harness.world.client import GREYLIST_SLACK, Client
from harness.world.conversation import Attempt
from harness.world.endpoints import endpoints_of
from harness.world.internet import Identity, Internet, Kind
from harness.world.made_up import made_up

PATIENCE = 90.0  # seconds for one reply
RATE = 20.0  # connections in a second
NOBODY = "postmaster@unknown.example"


@dataclass(frozen=True)
class Dialogues:
    """What all dialogues have in common, by what is known so far."""

    place: Place
    way: Way
    dns: FakeDns
    internet: Internet  # of that way
    recipient: str = NOBODY
    goal: Stage = Stage.RCPT
    hostname: str = "unknown"
    greylist: GreylistSeen | None = None  # that lets a retry through after its delay
    nobody: str = field(default_factory=made_up)  # a local part that no user has
    introduced: deque[Identity] = field(default_factory=deque)  # hosts that the greylist knows by now
    regulars: deque[Identity] = field(
        default_factory=deque
    )  # such hosts, for innocent dialogues again and again

    @classmethod
    def by(cls, place: Place, way: Way, dns: FakeDns) -> "Dialogues":
        """The first ones by a way."""
        return cls(place, way, dns, Internet(dns, profile_of(place, way)))

    @functools.cached_property
    def run(self) -> Run:
        """A run without a profile that anybody wrote."""
        profile = profile_of(
            self.place, self.way, recipient=self.recipient, hostname=self.hostname, greylist=self.greylist
        )
        clock = WaitingClock(self.greylist.delay + 2 * GREYLIST_SLACK) if self.greylist else None
        judge = Judge(0.0, lambda since, until: 0.0)
        return Run(
            profile,
            Catalogue(),
            self.internet,
            endpoints_of(profile, self.internet),
            judge,
            Tools({CLOCK: clock} if clock else {}),
        )

    @property
    def chooses_addresses(self) -> bool:
        """Whether each client has an address of its own."""
        return bool(self.way.networks)

    def client(self) -> Client:
        """A fresh innocent host, that goes as far as these dialogues do."""
        world = self.run.world()
        world.goal = self.goal
        with contextlib.suppress(IndexError):  # none is left
            return Client(world, self.introduced.popleft(), Kind.KNOWN)
        return self.run.observer(world)

    def innocent_attempt(self) -> Attempt:
        """An innocent dialogue, of a fresh client where that costs no wait for the greylist."""
        if self.greylist is None:
            return self.attempt()
        world = self.run.world()
        world.goal = self.goal
        try:
            client = Client(world, self.regulars.popleft(), Kind.KNOWN)
        except IndexError:  # all of them are in a dialogue, or there is none yet
            client = self.client()
        attempt = self.attempt(client)
        self.regulars.append(client.identity)
        return attempt

    def attempt(self, client: Client | None = None, **words: Any) -> Attempt:
        """A dialogue of a client, a fresh one unless it is given; `words` are those of `Client.attempt`."""
        return (client or self.client()).attempt(**{"extended": self.way.extended, **words})


def profile_of(
    place: Place,
    way: Way,
    *,
    recipient: str = NOBODY,
    hostname: str = "unknown",
    greylist: GreylistSeen | None = None,
) -> Profile:
    """A profile with next to nothing in it; raises `settings.SettingsError` where the way is none."""
    user, _, domain = recipient.rpartition("@")
    content: dict[str, Any] = {
        "name": "unknown",
        "server": {
            "address": place.address,
            "port": place.port,
            "hostname": hostname,
            "reply_timeout": PATIENCE,
            "rate": RATE,
        },
        "clients": {"route": way.route.value, "networks": list(way.networks)},
        "policy": {"delay": 0},
        "domain": [{"name": domain, "users": [user]}],
    }
    if greylist:
        content["greylist"] = {"delay": greylist.delay, "codes": [greylist.code], "at": greylist.at}
    return settings.check("discovery", content, Profile)
