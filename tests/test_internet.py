"""The hosts that scenarios play: each has an address and names of its own."""

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from fake_dns import FakeDns, listing_name, reverse_name
from harness import settings
from harness.embedded.servers import PROFILE
from harness.profile.model import Profile
from harness.profile.values import neighbourhood
from harness.rules import Catalogue
from harness.runs.assembly import Wish, open_run
from harness.verdicts import NotTestableError
from harness.world.acts import Acts, DnsInHand
from harness.world.addresses import Addresses, Inhabitants
from harness.world.internet import Internet, Kind
from tests.dns_asking import Question, answers, ask


def internet(networks: Sequence[str] = (), key: str = "address") -> Internet:
    content = settings.read_toml(Path(PROFILE))
    content["clients"]["networks"] = list(networks) or content["clients"]["networks"]
    content["greylist"]["key"] = key
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


SMALL = [
    *(f"198.18.0.{part}/28" for part in (0, 16, 240)),
    "198.18.1.0/30",
    "198.19.0.0/23",
    "198.19.1.0/24",
    "198.18.3.7/32",
]


def test_all_networks_are_used_before_any_is_used_again() -> None:
    world = internet(SMALL)
    given = [world.identity(kind).address for kind in (Kind.STRANGER, Kind.KNOWN) * 250]
    blocks = [neighbourhood(address) for address in given]
    assert len(set(blocks[:5])) == 5
    assert len(set(given)) == len(given)
    for _ in range(3 * 14 + 2 + 1 + 2 * 254 - len(given)):
        world.identity(Kind.KNOWN)
    with pytest.raises(NotTestableError, match="no IPv4 address is left"):
        world.identity(Kind.KNOWN)


def test_nobody_has_the_address_of_the_block_lists_test_entry() -> None:
    addresses = Addresses([ipaddress.ip_network("127.0.0.0/29")], Inhabitants())
    given = [address for _ in range(6) if (address := addresses.among_others(sparing=False))]
    assert sorted(given) == [f"127.0.0.{number}" for number in (1, 3, 4, 5, 6)]


def test_a_stranger_to_a_greylist_by_networks_lives_alone() -> None:
    world = internet(SMALL, key="network")
    strangers = [neighbourhood(world.identity(Kind.KNOWN, "198.19.0.77").address)]
    strangers += [neighbourhood(world.identity(Kind.STRANGER).address) for _ in range(4)]
    assert len(set(strangers)) == len(strangers)
    with pytest.raises(NotTestableError, match="nobody is a stranger any more"):
        world.identity(Kind.STRANGER)
    others = {neighbourhood(world.identity(Kind.KNOWN).address) for _ in range(20)}
    assert others == {neighbourhood("198.19.0.77")}


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
    clients = world.profile.clients
    ours = (*clients.networks, *clients.trusted, *clients.refused)
    assert not any(ipaddress.ip_address(address) in network for network in ours)


def test_no_name_looks_like_an_address_in_disguise() -> None:
    for world in (internet() for _ in range(40)):
        for kind in (Kind.STRANGER, Kind.KNOWN):
            host = world.identity(kind)
            for name in (host.host, host.domain, world.foreign_domain()):
                groups = re.findall(r"[0-9]+", name)
                assert len(groups) == 1, name
                assert re.match(r"(mx\.)?[cd]\d+-[a-z]{6}\.", name), name


def test_no_resolver_is_to_keep_what_will_not_be_so_for_long() -> None:
    """A listing, which is taken back, and the name of an address that another host will have as well."""
    world = internet()
    ordinary, prescribed = world.identity(Kind.KNOWN), world.identity(Kind.KNOWN, "127.0.0.2")
    hand = DnsInHand(world.dns, Acts())
    hand.list_address("bl.example", ordinary.address, "127.0.0.2", "listed for testing")
    listing = listing_name(ordinary.address, "bl.example")
    kept = {
        (name, type_): ask(world.dns, Question(name, type_)).rr[0].ttl
        for name, type_ in (
            (listing, "A"),
            (listing, "TXT"),
            (reverse_name(prescribed.address), "PTR"),
            (reverse_name(ordinary.address), "PTR"),
        )
    }
    assert [*kept.values()] == [0, 0, 0, 60]


def test_the_world_knows_the_domains_of_the_server_as_it_knows_any_other() -> None:
    """Whoever greets with one is not caught for want of an address, or a sender there taken for nobody."""
    with open_run(Wish(Catalogue.below(Path("scenarios")))) as run:
        server, dns = run.profile.server, run.internet.dns
        assert answers(dns, server.hostname, "A") == [server.address]
        for domain in run.profile.domain:
            assert answers(dns, domain.name, "A") == [server.address]
            assert answers(dns, domain.name, "MX") == [f"10 {server.hostname}."]


@pytest.mark.parametrize("kind", [Kind.KNOWN, Kind.IPV6])
def test_what_the_server_asks_is_about_who_was_given(kind: Kind) -> None:
    world = internet()
    identity = world.identity(kind)
    listed = listing_name(identity.address, "bl.example")
    for name in (identity.host, f"_x.{identity.domain}".upper(), reverse_name(identity.address), listed):
        assert world.is_about_somebody(name)
    for name in (
        "pulse.invalid",
        "deb.debian.example",
        reverse_name("192.0.2.7"),
        reverse_name("2001:db8:9::7"),
        ".",
    ):
        assert not world.is_about_somebody(name)
