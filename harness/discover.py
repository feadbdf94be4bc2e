"""Talks to a server that nobody has described, and drafts its profile: what was seen, and what to ask for.

What can be seen from outside is written down as keys; what cannot stands as a question in a comment.
"""

import contextlib
import ipaddress
import math
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jinja2

from fake_dns import DnsServer, DnsServerError, FakeDns, reverse_name
from harness import settings
from harness.client import Client
from harness.internet import Internet, Kind
from harness.judge import LATE_FROM, Judge
from harness.mutants import run_pytest
from harness.outcome import Outcome, Stage, Verdict
from harness.profile import Profile
from harness.results.model import RunResult, Status
from harness.results.visible import shortened, visible
from harness.rules import Catalogue
from harness.run import Run
from harness.smtp.routes import BindSource, Direct, ProxyV1, ProxyV2, Route, XClient
from harness.tables import RouteName

NETWORKS = ("198.18.0.0/15", "2001:db8::/32")
LOOPBACK = ("127.0.0.0/8",)
PATIENCE = 60.0  # seconds for one reply
SUPPOSED_DELAY = 1.0  # seconds
HELD_FROM = 0.5  # seconds by which a suspect must be slower than an innocent client
NOBODY = "nobody-of-that-name"
FOREIGN = "somebody@elsewhere.example"
TEMPLATE = "draft.toml.jinja"
LONGEST = 160  # characters of what a server said, in a comment
OBSERVED = re.compile(r"(?P<stage>\w+): (?P<code>\d{3})\b.* after (?P<seconds>[\d.]+) s", re.DOTALL)
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
    def undocumented(self) -> list[str]:
        """Patterns of rules for which nothing was seen that they could rest on."""
        missing = {
            "*.delay-repeated": not self.held_at,
            "delay.*": not self.held_at,
            "dnsbl.*": len(self.zones) < 3,
            "greylist.*": not self.greylists,
            "greylist.host-whitelist": self.greylists,
            "bounce.*": True,
            "tls.*": "STARTTLS" not in self.keywords,
            "auth.*": not self.offers_auth,
        }
        late = () if self.delay else self.late_rules
        return [*(pattern for pattern, is_missing in missing.items() if is_missing), *late]


def explore(place: Place, domains: Iterable[str], catalogue: Catalogue) -> Seen:
    """Talk to the server as strangers do; `domains` are those that it is said to host.

    Raises `DiscoveryError`.
    """
    with _internet(place) as (dns, listening):
        seen = _find_route(place, dns)
        if not listening:
            seen.notes.append(
                f"{place.dns[0]}:{place.dns[1]} was not to be had, so its DNS questions were not seen"
            )
        run = _run(place, seen, dns)
        _look_at_greeting(run, seen)
        _look_at_domains(run, seen, [*domains, *_likely_domains(seen.hostname)])
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
    return [name for name in (parent, hostname) if "." in name]


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
    relayed = _stranger(run).attempt(recipient=FOREIGN).rcpt
    if relayed.verdict is Verdict.PASS:
        seen.notes.append("it takes mail of strangers for other domains: it is an OPEN RELAY to us")


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


# The draft


@dataclass(frozen=True)
class Deviation:
    """A rule that did not hold, and what was seen instead."""

    id: str
    expectation: str
    seen: str
    outcome: str


def draft(place: Place, seen: Seen, rules: Iterable[Deviation] = ()) -> str:
    """The profile as far as it was seen, in TOML, with questions in comments."""
    shown = [replace(rule, seen=visible(shortened(rule.seen, LONGEST))) for rule in rules]
    return environment().get_template(TEMPLATE).render(place=place, seen=seen, rules=shown)


def environment() -> jinja2.Environment:
    """Templates for TOML: what is filled in is quoted by `tojson`, whose strings are TOML's too."""
    loader = jinja2.PackageLoader("harness", "")
    return jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701


def try_rules(place: Place, seen: Seen, scenarios: Path) -> list[Deviation]:
    """Run the scenarios with the draft; raises `BrokenRunError` when that leaves no result.

    Where nobody is kept waiting they still look for delays, so that what comes instead is seen.
    """
    profile = draft(place, replace(seen, delay=seen.delay or SUPPOSED_DELAY))
    with tempfile.TemporaryDirectory(prefix="smtp-harness-") as folder:
        file = Path(folder) / "draft.toml"
        file.write_text(profile, "utf-8")
        return deviations(run_pytest(scenarios, Path(folder), [f"--sut={file}"]))


def deviations(result: RunResult) -> list[Deviation]:
    """What a run with the draft showed: the rules that did not hold, and what the server did instead."""
    found = []
    for rule in result.rules:
        case = next((case for case in rule.cases if case.status is Status.FAILED), None)
        if case and (outcome := outcome_of(case.observed, result.delay)):
            found.append(Deviation(rule.id, rule.expectation, case.observed, outcome))
    return found


def outcome_of(observed: str, delay: float) -> str:
    """What a case saw, such as `rcpt: 550 No such user after 0.02 s`, in the words of a profile."""
    match = OBSERVED.fullmatch(observed)
    if match is None:
        return ""
    code, seconds = int(match["code"]), float(match["seconds"])
    verdict = Verdict.PASS if code < 400 else Verdict.DEFER if code < 500 else Verdict.DENY
    late = delay > 0 and seconds >= LATE_FROM * delay
    return str(Outcome(verdict, Stage(match["stage"]), late=late))
