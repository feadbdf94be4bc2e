"""Which hosts take mail for a domain: by MX, or the one smarthost (RFC 5321 §5.1, RFC 7505)."""

import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from harness.reference_mta.config import Config
from harness.reference_mta.mail.delivery_result import DeliveryResult, failed, later
from harness.reference_mta.resolver import Lookup, Resolver

MOST_HOSTS = 20  # MX hosts of a domain that are tried, the most preferred ones
MOST_ADDRESSES = 10  # of one host
NOT_SUPPORTED = "Mailing to remote domains not supported"
RESERVED = tuple(
    map(
        ipaddress.ip_network,
        (
            "127.0.0.0/8",
            "::1/128",
            "192.0.2.0/24",  # RFC 5737
            "198.51.100.0/24",
            "203.0.113.0/24",
            "198.18.0.0/15",  # RFC 2544
            "2001:db8::/32",  # RFC 3849
        ),
    )
)
_order = secrets.SystemRandom()


@dataclass(frozen=True)
class Host:
    """One address of a host to be tried; or, with `trouble`, why the host has none."""

    name: str
    address: str
    port: int
    trouble: DeliveryResult | None = None


@dataclass(frozen=True)
class Finder:
    """Finds the hosts for a domain, in the order in which they are to be tried."""

    config: Config
    resolver: Resolver
    parts: "FindingParts" = field(default_factory=lambda: FindingParts())

    async def hosts(self, domain: str) -> tuple[Host, ...]:
        """At least one; the last resort is one that is in trouble."""
        return await self.parts.hosts(self, domain)

    async def addresses(self, name: str) -> tuple[Host, ...]:
        """Those of a host, or its trouble."""
        answers = [await self.resolver.ask(name, kind) for kind in ("A", "AAAA")]
        found = [address for answer in answers for address in answer.values]
        if found:
            port = self.config.outgoing.port
            return tuple(Host(name, address, port) for address in found[:MOST_ADDRESSES])
        if any(answer.lookup is Lookup.FAILED for answer in answers):
            return (_none(name, later(f"The addresses of {name} could not be looked up", "4.4.3")),)
        return (_none(name, failed(f"The mail host {name} has no address", "5.1.2", elsewhere=True)),)

    def literal(self, domain: str) -> Host:
        """The host of an address literal."""
        text = domain.strip("[]")
        try:
            address = str(ipaddress.ip_address(text[5:] if text.lower().startswith("ipv6:") else text))
        except ValueError:
            return _none(domain, failed(f"{domain} is no address", "5.1.2"))
        return Host(domain, address, self.config.outgoing.port)


async def hosts(finder: Finder, domain: str) -> tuple[Host, ...]:
    """See `Finder.hosts`."""
    if finder.config.hosted(domain):
        return (_none(domain, failed("Nobody has this address here", "5.1.1")),)
    outgoing = finder.config.outgoing
    if outgoing.smarthost is not None:
        return (Host(outgoing.smarthost[0], *outgoing.smarthost),)
    if outgoing.route == "none":
        return (_none(domain, failed(NOT_SUPPORTED, "5.4.4")),)
    return await finder.parts.by_dns(finder, domain)


async def by_dns(finder: Finder, domain: str) -> tuple[Host, ...]:
    """The hosts that DNS names, or the address that the domain is."""
    if domain.startswith("["):
        return (finder.literal(domain),)
    answer = await finder.resolver.ask(domain, "MX")
    if answer.lookup is Lookup.FAILED:
        return (_none(domain, later(f"The MX records of {domain} could not be looked up", "4.4.3")),)
    if answer.lookup is Lookup.NOTHING:
        return await finder.addresses(domain)  # the implicit MX
    names = finder.parts.preferred(finder.config, answer.values)
    if names == [""]:
        return (_none(domain, failed(f"{domain} accepts no mail (null MX)", "5.1.10")),)
    if not names:
        return (_none(domain, failed(f"Mail for {domain} loops back to this server", "5.4.6")),)
    found: list[Host] = []
    for name in names[:MOST_HOSTS]:
        found += await finder.addresses(name)
    return tuple(found)


def preferred(config: Config, values: Sequence[str]) -> list[str]:
    """The names in MX records by preference, equals in any order; those that prefer others to this server."""
    records = mx_records(values)
    own = config.own_names
    limit = min((preference for preference, name in records if name.lower() in own), default=1 << 16)
    _order.shuffle(records)
    return [name for preference, name in sorted(records, key=lambda each: each[0]) if preference < limit]


def mx_records(values: Sequence[str]) -> list[tuple[int, str]]:
    """Preferences and names."""
    return [(int(preference), name) for preference, _, name in (each.partition(" ") for each in values)]


@dataclass(frozen=True)
class FindingParts:
    """Each as it should be; another one may take its place."""

    hosts: Callable[[Finder, str], Awaitable[tuple[Host, ...]]] = hosts
    by_dns: Callable[[Finder, str], Awaitable[tuple[Host, ...]]] = by_dns
    preferred: Callable[[Config, Sequence[str]], list[str]] = preferred


def permitted(address: str, *, allow_public: bool) -> bool:
    """Whether this server may connect there: to loopback and reserved addresses, unless it was told more."""
    there = ipaddress.ip_address(address)
    return allow_public or any(there.version == network.version and there in network for network in RESERVED)


def _none(name: str, trouble: DeliveryResult) -> Host:
    return Host(name, "", 0, trouble)
