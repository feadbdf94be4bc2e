"""The internet around the server: hands out clients and names that nobody else has, and publishes them."""

import ipaddress
import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

from fake_dns import FakeDns
from harness.profile.model import Profile
from harness.profile.values import neighbourhood, neighbourhoods_in, room_in
from harness.settings.hosts import Network, is_domain_name
from harness.verdicts import NotTestableError
from harness.world.addresses import Addresses, Inhabitants
from harness.world.made_up import made_up
from harness.world.retries import Retries

FAR_AWAY = ("192.0.2.25", "198.51.100.25", "203.0.113.25")
SIZES = {4: "/24", 6: "/64"}  # of networks whose hosts servers take for one another
TOKEN = 6  # letters in all names of a run
RESERVED_NAMES = ("example", "test", "invalid", "localhost", "example.com", "example.net", "example.org")


class Kind(Enum):
    """What sort of sending host a client is; all but `REFUSED` are innocent until a scenario changes them."""

    KNOWN = "its name is on the greylist's host whitelist, where the profile has one"
    STRANGER = "nobody has heard of it"
    TRUSTED = "its address is one that the server relays for"
    REFUSED = "its address is one that the server refuses in place of its greeting"
    IPV6 = "known too, with an IPv6 address"
    ORDINARY = "its name is on no whitelist, and where it is greylisted it waits and comes again"
    IPV6_STRANGER = "nobody has heard of it, and it has an IPv6 address"

    @property
    def is_strange(self) -> bool:
        """Whether a greylist puts it off."""
        return self in (Kind.STRANGER, Kind.IPV6_STRANGER)

    @property
    def is_known(self) -> bool:
        """Whether its name is one that the greylist spares."""
        return self in (Kind.KNOWN, Kind.IPV6)

    @property
    def prescribed(self) -> str:
        """The key of [clients] that names its networks, of either version; empty: they are those of all."""
        return {Kind.TRUSTED: "trusted", Kind.REFUSED: "refused"}.get(self, "")

    @property
    def version(self) -> int:
        """The IP version of its address; one whose networks are prescribed may have either."""
        return 6 if self in (Kind.IPV6, Kind.IPV6_STRANGER) else 4


@dataclass(frozen=True)
class Identity:
    """A sending host: an address, its host name, its domain; forward and reverse DNS agree."""

    address: str
    host: str
    domain: str

    @property
    def sender(self) -> str:
        """An envelope sender at the client's own domain."""
        return f"sender@{self.domain}"


def publish_domain(dns: FakeDns, domain: str, mail_host: str, address: str) -> None:
    """A domain as the world knows one: mail for it goes to a host, and an address (of its website, say)."""
    dns.zone(domain)
    dns.publish(domain, "MX", f"10 {mail_host}.")
    if domain.lower() != mail_host.lower():
        dns.publish(domain, _address_type(address), address)


def is_reserved(name: str) -> bool:
    """Whether a name lies in the space that nobody can register (RFC 2606)."""
    labels = name.lower().rstrip(".")
    return any(labels == space or labels.endswith(f".{space}") for space in RESERVED_NAMES)


def known_patterns(profile: Profile) -> list[str]:
    """The reserved names on the greylist's host whitelist: of one host, or "*." and what all names end in."""
    patterns = profile.greylist.whitelist_hosts if profile.greylist else ()
    names = {one: one.removeprefix("*.") for one in patterns}
    return [one for one, name in names.items() if is_domain_name(name) and is_reserved(name)]


@dataclass
class Internet:
    """Allocates identities, each fresh in every run, and publishes what DNS says about them.

    Thread-safe: scenarios that run side by side share one.
    """

    dns: FakeDns
    profile: Profile
    token: str = field(default_factory=lambda: made_up(TOKEN))
    nobody: str = field(default_factory=made_up)  # a local part that no user has
    retries: Retries = field(default_factory=Retries)
    given: set[str] = field(default_factory=set)  # addresses, and domains up to the first dot, see `apart`
    _all_given: set[str] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _addresses: dict[tuple[Network, ...], Addresses] = field(default_factory=dict)
    _inhabitants: Inhabitants = field(default_factory=Inhabitants)
    _hosts: dict[str, str] = field(default_factory=dict)  # by address
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def apart(self) -> "Internet":
        """The same internet for one world: what that is given is told apart from what others have."""
        return replace(self, given=set())

    def has_given(self, name: str) -> bool:
        """Whether an address, or a domain up to its first dot, was given to anybody."""
        return name in self._all_given

    def is_about_somebody(self, question: str, *, or_any_address: bool = False) -> bool:
        """Whether a name in DNS, as it is asked for, has an address or a name in it that was given.

        Other programs of a machine may ask for all else. `or_any_address`: whose name is asked for may have
        an address that we do not know of, as behind a bridge.
        """
        if or_any_address and question.endswith((".in-addr.arpa", ".ip6.arpa")):
            return True
        labels = question.lower().rstrip(".").split(".")
        by_address = [".".join(reversed(labels[:4]))]
        nibbles = "".join(reversed(labels[:32]))
        if len(nibbles) == 32 and set(nibbles) <= set("0123456789abcdef"):  # RFC 3596 §2.5
            by_address.append(str(ipaddress.IPv6Address(int(nibbles, 16))))
        return any(map(self.has_given, (*by_address, *labels)))

    def identity(
        self,
        kind: Kind,
        address: str | None = None,
        *,
        network: Network | None = None,
        pattern: str | None = None,
    ) -> Identity:
        """A new innocent host, of one `network` of its kind's if that is named.

        It is known, where its kind is, by the `pattern` of the greylist's host whitelist or the first of a
        reserved name. Raises `NotTestableError` when the profile has no such address.
        """
        prescribed = address is not None
        with self._lock:
            number = next(self._numbers)
            address = address or self._next_address(kind, network)
            self._inhabitants.add(address)
        domain = f"c{number}-{self.token}.example"
        if kind.is_known and pattern is None:
            pattern = self._known_pattern()
        host = f"mx.{domain}" if pattern is None else pattern.replace("*", f"mx.c{number}-{self.token}")
        self.publish_host(host, address)
        if prescribed:  # and the next host with it, in this run or another, has another name
            self.dns.publish_ptr(address, host, ttl=0)
        else:
            self.dns.publish_ptr(address, host)
        self.dns.zone(domain)
        self.dns.publish(domain, "MX", f"10 {host}.")
        self.dns.publish(domain, _address_type(address), address)
        self._hosts[address] = host
        self._note(address, domain)
        return Identity(address, host, domain)

    def neighbours(self, kind: Kind) -> tuple[Identity, Identity]:
        """Two innocent hosts in one network (IPv4 /24, IPv6 /64)."""
        with self._lock:
            first = self._next_address(kind)
            while (second := self._beside(first, kind)) is None:
                first = self._next_address(kind)
        return self.identity(kind, first), self.identity(kind, second)

    def choice_of(self, strangers: Kind) -> int:
        """How many hosts, or networks where the greylist goes by these, strangers to it are chosen from."""
        networks = [one for one in self._networks(strangers) if one.version == strangers.version]
        by_network = self.profile.greylist is not None and self.profile.greylist.key == "network"
        return neighbourhoods_in(networks) if by_network else sum(map(room_in, networks))

    @property
    def spares_by_name(self) -> bool:
        """Whether known hosts have names that the greylist spares."""
        return self._known_pattern() is not None

    def host_at(self, address: str) -> str:
        """The name of the client with that address, as its PTR record had it at first; empty without one."""
        return self._hosts.get(address, "")

    def publish_host(self, name: str, address: str) -> None:
        """Publish an A or AAAA record, by the family of `address`."""
        self.dns.publish(name, _address_type(address), address)

    def foreign_domain(self) -> str:
        """A domain of somebody else, that neither the server nor any client has.

        Its mail host has an address, as servers want it that look whether mail could be sent there; nobody
        answers at it.
        """
        with self._lock:
            domain = f"d{next(self._numbers)}-{self.token}.example"
        self._note(domain)
        self.dns.zone(domain)
        self.dns.publish(domain, "MX", f"10 mx.{domain}.")
        self.publish_host(f"mx.{domain}", self._far_away())
        return domain

    def spare_address(self) -> str:
        """An address of the same space that no client has: for records that lead elsewhere."""
        with self._lock:
            return self._next_address(Kind.KNOWN)

    def _note(self, *names: str) -> None:
        known = {name.removesuffix(".example") for name in names}
        self.given.update(known)
        self._all_given.update(known)

    def _beside(self, address: str, kind: Kind) -> str | None:
        """An address next to another one in its network; None when there is none to give."""
        first = ipaddress.ip_address(address)
        for neighbour in (first + 1, first - 1):
            allowed = any(
                neighbour.version == network.version and neighbour in network
                for network in self._networks(kind)
            )
            taken = str(neighbour) in self._inhabitants.addresses
            if allowed and not taken and neighbourhood(str(neighbour)) == neighbourhood(address):
                self._inhabitants.add(str(neighbour))
                return str(neighbour)
        return None

    def _networks(self, kind: Kind) -> tuple[Network, ...]:
        found: tuple[Network, ...] = getattr(self.profile.clients, kind.prescribed or "networks")
        return found

    def _far_away(self) -> str:
        """An address that is kept for documents (RFC 5737), and no client's where there is one left."""
        ours = [network for _, network in self.profile.clients.all_networks]
        free = (one for one in FAR_AWAY if not any(ipaddress.ip_address(one) in network for network in ours))
        return next(free, FAR_AWAY[0])

    def _known_pattern(self) -> str | None:
        return next((one for one in known_patterns(self.profile) if one.startswith("*.")), None)

    def _next_address(self, kind: Kind, network: Network | None = None) -> str:
        """A fresh one, in a network of its own for as long as there are networks that nobody is in.

        Where the greylist takes hosts of one network for one another, a stranger to it lives alone in one.
        """
        networks = (network,) if network else self._networks(kind)
        version = kind.version
        versions = {one.version: None for one in networks} if network or kind.prescribed else (version,)
        by_network = self.profile.greylist is not None and self.profile.greylist.key == "network"
        for wanted in versions:
            of_version = tuple(one for one in networks if one.version == wanted)
            addresses = self._addresses.setdefault(of_version, Addresses(of_version, self._inhabitants))
            alone = by_network and kind.is_strange
            if chosen := addresses.alone() if alone else addresses.among_others(sparing=by_network):
                return chosen
            if alone and of_version:
                raise NotTestableError(
                    f"the greylist goes by networks, and somebody is in each {SIZES[version]} of "
                    "clients.networks already, so that nobody is a stranger any more; give clients.networks "
                    "a larger network"
                )
        raise NotTestableError(
            f"no IPv{version} address is left for another client; give clients."
            f"{kind.prescribed or 'networks'} a larger network"
        )


def _address_type(address: str) -> str:
    return "AAAA" if ipaddress.ip_address(address).version == 6 else "A"
