"""Which clients can be played, and what the server finds out about them."""

import ipaddress

from harness.grants.capability import Absent, Plain
from harness.profile.model import NAMES_ARE_TOLD, Profile
from harness.profile.tables import RouteName


def _has_ipv6_clients(profile: Profile) -> bool:
    address = ipaddress.ip_address(profile.server.address)
    reached = address.version == 6 or address.is_loopback  # there it is reached in either family
    known = any(network.version == 6 for network in profile.clients.networks)
    return known and (profile.clients.route is not RouteName.BIND or reached)


ADDRESS = Plain(
    "address",
    lambda profile: profile.clients.route is not RouteName.DIRECT,
    "clients.route is direct, so the client address cannot be chosen; name a route",
    shown_at=lambda endpoint: endpoint.chooses_addresses,
)
IPV6 = Plain(
    "ipv6",
    _has_ipv6_clients,
    "the profile knows of no IPv6 clients; add a part of 2001:db8::/32 to clients.networks"
    " (with route bind, a server that is not on loopback must have an IPv6 address)",
    absent=Absent.CASE_DOES_NOT_APPLY,
)
DNS = Plain(
    "dns",
    lambda profile: profile.dns is not None,
    "the profile has no [dns], so the server does not resolve through the fake DNS",
)
REVERSE_LOOKUP = Plain(
    "reverse-lookup",
    lambda profile: profile.looks_names_up,
    NAMES_ARE_TOLD,
    shown_at=lambda endpoint: not endpoint.introduces,
)
TRUSTED_ADDRESS = Plain(
    "trusted-address",
    lambda profile: bool(profile.clients.trusted),
    "clients.trusted names no address that the server relays for",
    shown_at=lambda endpoint: endpoint.chooses_addresses,
)
REFUSED_ADDRESS = Plain(
    "refused-address",
    lambda profile: bool(profile.clients.refused),
    "clients.refused names no address that the server refuses in place of its greeting",
    shown_at=lambda endpoint: endpoint.chooses_addresses,
)
