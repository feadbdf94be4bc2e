"""A host that the harness plays, in DNS: what is published of it, and what the server asked about it."""

import ipaddress
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from fake_dns import Behaviour, FakeDns, QueryEntry, listing_name, reverse_name
from harness.profile.model import NAMES_ARE_TOLD
from harness.smtp.endpoint import Endpoint
from harness.smtp.identity import XClient
from harness.verdicts import NotTestableError
from harness.world.internet import Identity
from harness.world.sut import BlockList
from harness.world.world import Cause, World

SKIPS_LOOPBACK = (
    "many filters look at no client of 127.0.0.0/8; clients of another network (clients.networks) decide it"
)


@dataclass
class Host:
    """Innocent in every respect until a scenario changes something."""

    world: World
    identity: Identity
    is_confirmed: bool = field(
        default=True, kw_only=True
    )  # whether DNS gives its address the name that it has
    other_names: list[str] = field(default_factory=list, kw_only=True)  # by which it may be taken as well

    server: tuple[str, int] | None = field(default=None, kw_only=True)  # another instance than the profile's
    endpoint: Endpoint | None = field(default=None, kw_only=True)  # another than the first of the profile

    @property
    def reached_at(self) -> Endpoint:
        """Where it talks to the server, and how it comes there."""
        endpoint = self.endpoint or self.world.endpoints.first
        return endpoint.elsewhere(self.server) if self.server else endpoint

    @property
    def address(self) -> str:
        """The address that the server sees."""
        return self.identity.address

    @property
    def is_in_local_network(self) -> bool:
        """Whether its address is one of 127.0.0.0/8, or ::1, where servers look for nobody but themselves."""
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def version(self) -> int:
        """The IP version of its address."""
        return ipaddress.ip_address(self.address).version

    @property
    def host(self) -> str:
        """The host name, the same in PTR, A and greeting."""
        return self.identity.host

    @property
    def sender(self) -> str:
        """The envelope sender that it uses unless told otherwise."""
        return self.identity.sender

    def name(self, label: str) -> str:
        """A host name inside the client's domain that nothing is published for yet."""
        return f"{label}.{self.identity.domain}"

    def publish(self, name: str, record_type: str, *data: str) -> None:
        """Publish records of a name of this client."""
        for entry in data:
            self.world.dns.publish(name, record_type, entry)

    def publish_ptr(self, address: str, host: str) -> None:
        """Let the reverse name of another address point to a host."""
        self.world.dns.publish_ptr(address, host)

    def withdraw(self, name: str, record_type: str) -> None:
        """Take records of a name of this client away."""
        self._doubt(name)
        self.world.dns.withdraw(name, record_type)

    def script(self, name: str, record_type: str, behaviour: Behaviour) -> None:
        """Make the fake DNS misbehave when it is asked for that name and type."""
        self._doubt(name)
        self.world.dns.script(name, record_type, behaviour)

    def _doubt(self, name: str) -> None:
        if name == self.host:
            self.is_confirmed = False

    def without_ptr(self) -> None:
        """Take the PTR record away; raises `NotTestableError` where the server does not look for it."""
        if isinstance(self.reached_at.identity, XClient):
            raise NotTestableError(NAMES_ARE_TOLD)
        self.is_confirmed = False
        self.world.dns.withdraw(reverse_name(self.address), "PTR")

    def ptr_names(self, host: str) -> None:
        """Let the PTR record name another host."""
        self.without_ptr()
        self.world.dns.publish_ptr(self.address, host)

    def another_name(self, label: str) -> str:
        """A second name of this host, as good as the first: forward and reverse DNS agree.

        Where the greylist knows hosts by patterns that the second name fits as the first does, it is that.
        """
        below = f"{label}.{self.host}"
        name = below if self.world.sut.whitelists(below) else self.name(label)
        self.world.internet.publish_host(name, self.address)
        self.another_ptr(name)
        return name

    def another_ptr(self, host: str) -> None:
        """Add a second name to the PTR record: a server may take it for either."""
        self.other_names.append(host)
        self.world.dns.publish_ptr(self.address, host)

    def ptr_answers(self, behaviour: Behaviour) -> None:
        """Make the PTR lookup of the client's address misbehave."""
        self.without_ptr()
        self.script(reverse_name(self.address), "PTR", behaviour)

    def list_on(
        self, blocklist: BlockList, *, text: str | None = "listed for testing", zone: int = 0
    ) -> None:
        """Put the address on a block list (on one zone of a grouped one), with or without a TXT record.

        Lists of one zone, which read different answers of it, stand beside each other.
        """
        self.world.dns.list_address(blocklist.zones[zone], self.address, blocklist.answer, text)

    def unlist_from(self, blocklist: BlockList) -> None:
        """Take the address off every zone of a block list, with whatever other list is in it."""
        for zone in blocklist.zones:
            self.world.dns.unlist_address(zone, self.address)

    def lookup_fails(self, blocklist: BlockList, behaviour: Behaviour, *, zones: int | None = None) -> None:
        """Make a block list, or its first so many `zones`, misbehave when it is asked about this client."""
        for zone in blocklist.zones[:zones]:
            name = listing_name(self.address, zone)
            for record_type in ("A", "TXT"):
                self.script(name, record_type, behaviour)

    def asked(self, *blocklists: BlockList) -> Cause:
        """That the server asked each of these block lists about this client."""
        missing = [one for one in blocklists if not self.queries_for(one)]
        names = ", ".join(one.name for one in missing)
        usual = all(self._usually_asked(one) for one in missing)
        return Cause(f"{names} was not asked about {self.address}", not missing, usual)

    def asked_any(self, *blocklists: BlockList) -> Cause:
        """That the server asked one of these block lists about this client."""
        seen = any(self.queries_for(one) for one in blocklists)
        usual = any(map(self._usually_asked, blocklists))
        return Cause(f"no list was asked about {self.address}", seen, usual)

    def _usually_asked(self, blocklist: BlockList) -> bool:
        """Whether a list was asked about innocent clients like this one at the beginning of the run."""
        return any((zone, self.version) in self.world.usual for zone in blocklist.zones)

    def looked_up(self, name: str) -> Cause:
        """That the server looked a name up, for whatever type of record."""
        found = self.world.internet.dns.queries(under=name)
        return Cause(f"{name} was not looked up", any(entry.name == name.lower() for entry in found))

    def looked_up_text(self, name: str) -> Cause:
        """That the server looked for TXT records of a name, as for a policy or a key."""
        found = self.world.internet.dns.queries(under=name)
        seen = any(entry.name == name.lower() and entry.type == "TXT" for entry in found)
        return Cause(f"no TXT record of {name} was looked for", seen)

    def looked_up_address(self) -> Cause:
        """That the server looked for the name of this client's address (PTR)."""
        return self.looked_up(reverse_name(self.address))

    def queries_for(self, blocklist: BlockList) -> list[QueryEntry]:
        """The server's questions to a block list about this client."""
        dns = self.world.internet.dns
        return [
            entry for zone in blocklist.zones for entry in dns.queries(under=listing_name(self.address, zone))
        ]

    @property
    def places(self) -> frozenset[str]:
        """The names in DNS, each with all below it, that a question about this client bears."""
        lists = (zone for blocklist in self.world.sut.dnsbl for zone in blocklist.zones)
        own = {self.identity.domain, self.host, reverse_name(self.address)}
        return frozenset(
            name.lower().rstrip(".") for name in own.union(listing_name(self.address, zone) for zone in lists)
        )

    def queries(self, since: float | None = None) -> list[QueryEntry]:
        """Every question of the server that bears a name or the address of this client, in order of time.

        Those of before `since` (`time.monotonic`) are left out.
        """
        return asked_below(self.world.internet.dns, self.places, since)

    def silence(self, since: float, until: float) -> float:
        """The longest time between two moments in which the server asked nothing about this client."""
        asked = [entry.at for entry in self.queries(since) if since < entry.at < until]
        return max(later - earlier for earlier, later in itertools.pairwise([since, *asked, until]))


def asked_below(dns: FakeDns, places: Iterable[str], since: float | None = None) -> list[QueryEntry]:
    """Every question for one of these names or for something below it, each once, in order of time.

    Those of before `since` (`time.monotonic`) are left out.
    """
    places = frozenset(places)
    outermost = (place for place in places if not any(is_below(place, other) for other in places))
    found = (entry for place in outermost for entry in dns.queries(under=place, since=since))
    return sorted(found, key=_when)


def is_below(name: str, place: str) -> bool:
    """Whether a name lies below another one, both in lower case."""
    return name.endswith(f".{place}")


def _when(entry: QueryEntry) -> float:
    return entry.at
