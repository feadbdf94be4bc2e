"""Which hosts take mail for a domain: by MX, or the one smarthost (RFC 5321 §5.1, RFC 7505)."""

import ipaddress
import secrets
from dataclasses import dataclass

from harness.reference_mta.config import Config
from harness.reference_mta.mail.defects import Defects
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
    defects: Defects

    async def hosts(self, domain: str) -> tuple[Host, ...]:
        """At least one; the last resort is one that is in trouble."""
        if self.config.hosted(domain) and not self.defects.has("smarthost.routes-nonlocal:strict-local"):
            return (_none(domain, failed("Nobody has this address here", "5.1.1")),)
        outgoing = self.config.outgoing
        if outgoing.smarthost is not None and not await self._passes_by(domain):
            return (Host(outgoing.smarthost[0], *outgoing.smarthost),)
        if outgoing.route == "none" and not self.defects.has("local-only.nonlocal-refused:off"):
            kept = self.defects.has("local-only.nonlocal-refused:weak-kept")
            return (_none(domain, (later if kept else failed)(NOT_SUPPORTED, "5.4.4")),)
        if domain.startswith("["):
            return (self._literal(domain),)
        answer = await self.resolver.ask(domain, "MX")
        if answer.lookup is Lookup.FAILED:
            return (_none(domain, later(f"The MX records of {domain} could not be looked up", "4.4.3")),)
        if answer.lookup is Lookup.NOTHING or self.defects.has("smarthost.off:off"):
            return await self._addresses(domain)  # the implicit MX
        names = self._preferred(answer.values)
        if names == [""]:
            return (_none(domain, failed(f"{domain} accepts no mail (null MX)", "5.1.10")),)
        if not names:
            return (_none(domain, failed(f"Mail for {domain} loops back to this server", "5.4.6")),)
        found: list[Host] = []
        most = 1 if self.defects.has("smarthost.off:weak-first-only") else MOST_HOSTS
        for name in names[:most]:
            found += await self._addresses(name)
        return tuple(found)

    async def _passes_by(self, domain: str) -> bool:
        """Whether a defect sends mail for a domain past the smarthost."""
        if self.defects.has("smarthost.routes-nonlocal:off"):
            return True
        weak = self.defects.has("smarthost.routes-nonlocal:weak-last-resort")
        return weak and (await self.resolver.ask(domain, "MX")).lookup is Lookup.FOUND

    def _preferred(self, values: tuple[str, ...]) -> list[str]:
        """Names by preference, equals in any order; those that prefer others to this server itself."""
        records = [
            (int(preference), name) for preference, _, name in (each.partition(" ") for each in values)
        ]
        if self.defects.has("smarthost.off:weak-unsorted"):
            return [name for _, name in records]
        own = self.config.own_names
        limit = min((preference for preference, name in records if name.lower() in own), default=1 << 16)
        _order.shuffle(records)
        if self.defects.has("smarthost.off:weak-backwards"):
            records = [(-preference, name) for preference, name in records]
        return [name for preference, name in sorted(records, key=lambda each: each[0]) if preference < limit]

    async def _addresses(self, name: str) -> tuple[Host, ...]:
        answers = [await self.resolver.ask(name, kind) for kind in ("A", "AAAA")]
        found = [address for answer in answers for address in answer.values]
        if found:
            port = self.config.outgoing.port
            return tuple(Host(name, address, port) for address in found[:MOST_ADDRESSES])
        if any(answer.lookup is Lookup.FAILED for answer in answers):
            return (_none(name, later(f"The addresses of {name} could not be looked up", "4.4.3")),)
        return (_none(name, failed(f"The mail host {name} has no address", "5.1.2", elsewhere=True)),)

    def _literal(self, domain: str) -> Host:
        text = domain.strip("[]")
        try:
            address = str(ipaddress.ip_address(text[5:] if text.lower().startswith("ipv6:") else text))
        except ValueError:
            return _none(domain, failed(f"{domain} is no address", "5.1.2"))
        return Host(domain, address, self.config.outgoing.port)


def permitted(address: str, *, allow_public: bool) -> bool:
    """Whether this server may connect there: to loopback and reserved addresses, unless it was told more."""
    there = ipaddress.ip_address(address)
    return allow_public or any(there.version == network.version and there in network for network in RESERVED)


def _none(name: str, trouble: DeliveryResult) -> Host:
    return Host(name, "", 0, trouble)
