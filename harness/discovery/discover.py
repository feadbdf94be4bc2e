"""Talks to a server that nobody has described, as strangers do; what is seen is for `draft` to write down."""

import contextlib
import ipaddress
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from fake_dns import DnsServer, DnsServerError, FakeDns, reverse_name
from harness import settings
from harness.judge import Judge
from harness.outcome import Stage, Verdict
from harness.profile.model import Profile
from harness.profile.tables import RouteName
from harness.rules import Catalogue
from harness.runs.run import Run
from harness.smtp.routes import BindSource, Direct, ProxyV1, ProxyV2, Route, XClient
from harness.world.client import Client
from harness.world.internet import Internet, Kind

NETWORKS = ("198.18.0.0/15", "2001:db8::/32")
OTHERS = ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24")  # where those are relayed for
LOOPBACK = "127.1.0.0/16"  # of the machine itself, and not where its own programs come from
OURSELVES = "127.0.0.1"  # where connections to this machine come from
PATIENCE = 60.0  # seconds for one reply
HELD_FROM = 0.5  # seconds by which a suspect must be slower than an innocent client
NOBODY = "nobody-of-that-name"
FOREIGN = "somebody@elsewhere.example"
HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)+")


class DiscoveryError(Exception):
    """The server could not be talked to; the text says what was tried."""


@dataclass(frozen=True)
class Place:
    """Where the server is, and where our DNS may listen."""

    address: str
    port: int
    dns: tuple[str, int]


@dataclass(frozen=True)
class HostedDomain:
    """A domain that the server takes mail for: `catch_all` when it takes it for anybody there."""

    name: str
    catch_all: bool
    takes_bounces: bool


@dataclass
class Seen:
    """What was seen of a server."""

    route: RouteName
    networks: tuple[str, ...]
    relayed: tuple[str, ...] = ()  # networks that it relays for; what their clients meet, strangers may not
    trusted: bool = False  # whether all that we can come from is among them
    hostname: str = ""
    keywords: dict[str, str] = field(default_factory=dict)
    keywords_tls: dict[str, str] = field(default_factory=dict)
    resolves: bool = False
    delay: float = 0.0  # seconds
    held_at: tuple[Stage, ...] = ()
    zones: tuple[str, ...] = ()
    greylists: bool = False
    domains: tuple[HostedDomain, ...] = ()
    notes: list[str] = field(default_factory=list)
    late_rules: tuple[str, ...] = ()  # that speak of a delay

    @property
    def offers_auth(self) -> bool:
        """Whether AUTH is listed, in clear text or under TLS."""
        return "AUTH" in self.keywords or "AUTH" in self.keywords_tls

    @property
    def undocumented(self) -> dict[str, str]:
        """Patterns of rules for which nothing was seen that they could rest on, each with what would do."""
        prompt = "nobody was kept waiting; if somebody is, set policy.delay"
        missing = {
            "*.delay-repeated": (not self.held_at, prompt),
            "delay.*": (not self.held_at, prompt),
            "dnsbl.*": (
                len(self.zones) < 3,
                f"it asked {len(self.zones)} block lists, the rules need three; describe more as [[dnsbl]]",
            ),
            "greylist.*": (not self.greylists, "no stranger was put off; if one is, describe [greylist]"),
            "greylist.host-whitelist": (
                self.greylists,
                "whom it never puts off was not seen; name a pattern in greylist.whitelist_hosts",
            ),
            "bounce.*": (True, "not to be seen from outside; give a [[domain]] its bounce_recipients"),
            "tls.*": ("STARTTLS" not in self.keywords, "it offers no STARTTLS"),
            "auth.*": (not self.offers_auth, "it offers no AUTH, in clear text or under TLS"),
        }
        late = {} if self.delay else dict.fromkeys(self.late_rules, prompt)
        return {pattern: mend for pattern, (is_missing, mend) in missing.items() if is_missing} | late


def explore(place: Place, domains: Iterable[str], catalogue: Catalogue) -> Seen:
    """Talk to the server as strangers do; `domains` are those that it is said to host.

    Raises `DiscoveryError`.
    """
    with _internet(place) as (dns, listening):
        seen = _as_a_stranger(place, _find_route(place, dns), dns)
        if not listening:
            seen.notes.append(
                f"{place.dns[0]}:{place.dns[1]} was not to be had, so its DNS questions were not seen"
            )
        run = _run(place, seen, dns)
        _look_at_greeting(run, seen)
        _look_at_domains(run, seen, [*domains, *_likely_domains(seen.hostname)])
        if not seen.domains and seen.hostname:
            _look_at_domains(run, seen, [seen.hostname])
        _look_at_delays(run, seen)
        _look_at_questions(run, seen, dns)
    late = [rule.id for rule in catalogue if all(outcome.late for outcome in rule.expect)]
    seen.late_rules = tuple(late)
    return seen


@contextlib.contextmanager
def _internet(place: Place) -> Iterator[tuple[FakeDns, bool]]:
    dns = FakeDns()
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(DnsServer(dns, addresses=[place.dns], loopback_only=False))
        except DnsServerError:
            yield dns, False
            return
        yield dns, True


# The way in


def _find_route(place: Place, dns: FakeDns) -> Seen:
    """The first way in that is answered with 220, those first by which an address can be chosen."""
    tried = []
    for route, networks in _routes(place):
        seen = Seen(route, networks)
        run = _run(place, seen, dns)
        attempt = _stranger(run).attempt(upto=Stage.HELO)
        if attempt.connect.code == 220 and attempt.helo.reply:
            offers_xclient = "XCLIENT" in attempt.helo.keywords
            if route in (RouteName.BIND, RouteName.DIRECT) and offers_xclient:
                return _by_xclient(place, dns) or seen
            return seen
        tried.append(f"{route}: {attempt.connect}")
    raise DiscoveryError(f"{place.address}:{place.port} greets nobody; " + "; ".join(tried))


def _by_xclient(place: Place, dns: FakeDns) -> Seen | None:
    seen = Seen(RouteName.XCLIENT, NETWORKS)
    attempt = _stranger(_run(place, seen, dns)).attempt(upto=Stage.HELO)
    return seen if attempt.connect.code == 220 else None


def _routes(place: Place) -> Iterator[tuple[RouteName, tuple[str, ...]]]:
    local = ipaddress.ip_address(place.address).is_loopback
    if local and _can_bind(NETWORKS[0]):
        yield RouteName.BIND, NETWORKS[:1]
    yield RouteName.DIRECT, ()
    yield RouteName.PROXY_V2, NETWORKS
    yield RouteName.PROXY_V1, NETWORKS


def _as_a_stranger(place: Place, seen: Seen, dns: FakeDns) -> Seen:
    """The way in by an address that the server does not relay for, if there is one.

    Whom it relays for it may let through where strangers are refused, at unknown users before all.
    """
    if _foreign_mail(place, seen, dns) is not Verdict.PASS:
        return seen
    relayed, strange = [seen.networks[0] if seen.networks else OURSELVES], list[str]()
    route, networks = _other_addresses(place, seen)
    for network in networks:
        verdict = _foreign_mail(place, replace(seen, route=route, networks=(network,)), dns)
        if verdict:  # who was not heard out is of no use
            (relayed if verdict is Verdict.PASS else strange).append(network)
    if not strange:
        seen.notes.append(
            "it took mail for another domain from every address that was tried: it RELAYS FOR US, or for "
            "everybody; what it takes from us it may refuse to strangers"
        )
        return replace(seen, relayed=tuple(relayed), trusted=True)
    seen.notes.append(f"it relays for {', '.join(relayed)}, so clients come from {', '.join(strange)} here")
    return replace(seen, route=route, networks=tuple(strange), relayed=tuple(relayed))


def _foreign_mail(place: Place, seen: Seen, dns: FakeDns) -> Verdict | None:
    """What a client meets there that has mail for others; None when it did not come as far as that."""
    return _stranger(_run(place, seen, dns)).attempt(recipient=FOREIGN).rcpt.verdict


def _other_addresses(place: Place, seen: Seen) -> tuple[RouteName, list[str]]:
    """Where clients may come from instead, and by which route."""
    if seen.route is not RouteName.DIRECT:
        return seen.route, [one for one in OTHERS if seen.route is not RouteName.BIND or _can_bind(one)]
    local = ipaddress.ip_address(place.address) in ipaddress.ip_network("127.0.0.0/8")
    return RouteName.BIND, [LOOPBACK] if local and _can_bind(LOOPBACK) else []


def _can_bind(network: str) -> bool:
    try:
        _profile({"clients": {"route": "bind", "networks": [network]}})
    except settings.SettingsError:
        return False
    return True


# What it is and what it does


def _look_at_greeting(run: Run, seen: Seen) -> None:
    client = _stranger(run)
    with client.conversation() as talk:
        greeting = talk.connect()
        clear = talk.ehlo(client.host)
        seen.keywords = clear.keywords
        if "STARTTLS" in clear.keywords:
            talk.starttls(client.tls_context(), seen.hostname or "localhost")
            seen.keywords_tls = talk.ehlo(client.host).keywords
        talk.quit()
    named = HOST_NAME.search(greeting.text) or HOST_NAME.search(clear.text)
    seen.hostname = named[0].lower() if named else ""
    if not named:
        seen.notes.append("it does not say its own name")


def _likely_domains(hostname: str) -> list[str]:
    _, _, parent = hostname.partition(".")
    return [parent] if "." in parent else []


def _look_at_domains(run: Run, seen: Seen, names: list[str]) -> None:
    hosted = []
    for name in dict.fromkeys(names):
        stranger = _stranger(run)
        postmaster = stranger.attempt(recipient=f"postmaster@{name}").rcpt
        if postmaster.verdict not in (Verdict.PASS, Verdict.DEFER):
            continue
        seen.greylists = seen.greylists or postmaster.verdict is Verdict.DEFER
        anybody = _stranger(run).attempt(recipient=f"{NOBODY}@{name}").rcpt
        bounce = _stranger(run).attempt(sender="", recipient=f"postmaster@{name}").rcpt
        hosted.append(
            HostedDomain(
                name,
                catch_all=anybody.verdict in (Verdict.PASS, Verdict.DEFER),
                takes_bounces=bounce.verdict in (Verdict.PASS, Verdict.DEFER),
            )
        )
    seen.domains = tuple(hosted)


def _look_at_delays(run: Run, seen: Seen) -> None:
    """Who is kept waiting: a host without a name that greets without one, beside an innocent host."""
    recipient = f"postmaster@{seen.domains[0].name}" if seen.domains else FOREIGN
    usual = _stranger(run).attempt(recipient=recipient)
    suspect = _stranger(run)
    run.internet.dns.withdraw(reverse_name(suspect.address), "PTR")
    odd = suspect.attempt(helo="unqualified", recipient=recipient)
    waits = {step.stage: step.seconds - usual.step(step.stage).seconds for step in odd.steps}
    held = {stage: seconds for stage, seconds in waits.items() if seconds >= HELD_FROM}
    seen.held_at = tuple(held)
    if held:
        seen.delay = float(max(1, math.floor(min(held.values()) + HELD_FROM)))


def _look_at_questions(run: Run, seen: Seen, dns: FakeDns) -> None:
    """Whether it asks our DNS, and which block lists it asks about an innocent host."""
    seen.resolves = bool([one for one in dns.queries() if one.name != "pulse.invalid"])
    recipient = f"postmaster@{seen.domains[0].name}" if seen.domains else FOREIGN
    stranger = _stranger(run)
    stranger.attempt(recipient=recipient)
    labels = reverse_name(stranger.address).removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
    zones: dict[str, None] = {}
    for entry in dns.queries():
        if entry.name.startswith(f"{labels}.") and not entry.name.endswith(".arpa"):
            zones[entry.name.removeprefix(f"{labels}.")] = None
    seen.zones = tuple(zones)


# Running without a profile


def _stranger(run: Run) -> Client:
    if run.profile.clients.networks:
        return run.client(run.world(), Kind.STRANGER)
    return run.observer(run.world())


def _run(place: Place, seen: Seen, dns: FakeDns) -> Run:
    content: dict[str, Any] = {
        "server": {"address": place.address, "port": place.port, "hostname": seen.hostname or "unknown"},
        "clients": {"route": seen.route.value, "networks": list(seen.networks)},
    }
    profile = _profile(content)
    internet = Internet(dns, profile)
    routes: dict[RouteName, Route] = {
        RouteName.DIRECT: Direct(),
        RouteName.BIND: BindSource(),
        RouteName.PROXY_V1: ProxyV1(),
        RouteName.PROXY_V2: ProxyV2(),
        RouteName.XCLIENT: XClient(internet.host_at),
    }
    return Run(profile, Catalogue(), internet, routes[seen.route], Judge(0.0, lambda since, until: 0.0))


def _profile(content: dict[str, Any]) -> Profile:
    basis: dict[str, Any] = {
        "name": "unknown",
        "server": {"address": "127.0.0.1", "hostname": "unknown", "reply_timeout": PATIENCE},
        "policy": {"delay": 0},
        "domain": [{"name": "unknown.example", "users": ["postmaster"]}],
    }
    return settings.check("discovery", {**basis, **content}, Profile)
