"""The hosts that scenarios play: each has an address and names of its own."""

import ipaddress
import re
from pathlib import Path

from fake_dns import FakeDns
from harness import settings
from harness.embedded.servers import PROFILE
from harness.profile.model import Profile
from harness.world.internet import Internet, Kind
from tests.dns_asking import answers


def internet() -> Internet:
    content = settings.read_toml(Path(PROFILE))
    content["rules"] = {"claim": ["connect.*"]}
    return Internet(FakeDns(), settings.check(PROFILE, content, Profile))


def test_neighbours_are_two_hosts_of_one_network() -> None:
    world, seen = internet(), set()
    for kind, prefix in ((Kind.STRANGER, 24), (Kind.IPV6, 64)):
        for _ in range(300):  # more than one network has
            one, other = world.neighbours(kind)
            assert ipaddress.ip_address(other.address) in ipaddress.ip_network(
                f"{one.address}/{prefix}", strict=False
            )
            seen |= {one.address, other.address, one.host, other.host}
    assert len(seen) == 2 * 300 * 4


def test_who_lives_where() -> None:
    world = internet()
    host = world.identity(Kind.KNOWN)
    assert world.host_at(host.address) == host.host
    assert world.host_at("192.0.2.1") == ""


def test_the_mail_host_of_a_foreign_domain_has_an_address_that_is_no_clients() -> None:
    world = internet()
    domain = world.foreign_domain()
    (mx,) = answers(world.dns, domain, "MX")
    (address,) = answers(world.dns, mx.split()[1])
    clients = (*world.profile.clients.networks, *world.profile.clients.trusted)
    assert not any(ipaddress.ip_address(address) in network for network in clients)


def test_no_name_looks_like_an_address_in_disguise() -> None:
    for world in (internet() for _ in range(40)):
        for kind in (Kind.STRANGER, Kind.KNOWN):
            host = world.identity(kind)
            for name in (host.host, host.domain, world.foreign_domain()):
                groups = re.findall(r"[0-9]+", name)
                assert len(groups) == 1, name
                assert re.match(r"(mx\.)?[cd]\d+-[a-z]{6}\.", name), name
