"""Puts a run together: fake DNS, server under test, tools; and takes it apart again."""

import contextlib
import ipaddress
import itertools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from fake_dns import DnsServer, FakeDns
from harness.embedded.process import ReferenceMta
from harness.embedded.servers import reference_mta
from harness.grants.capability import Site
from harness.grants.registry import CAPABILITIES
from harness.judge import NOISE_BELOW, Judge
from harness.profile import claims
from harness.profile.model import Profile
from harness.profile.values import room_in
from harness.results.model import ServerFacts
from harness.rules import Catalogue
from harness.runs.baseline import look
from harness.runs.diagnosis import State
from harness.runs.doctor import examine
from harness.runs.noise import NOOPS, DnsProbe, GreetingProbe, Pulse, ServerProbe
from harness.runs.run import Run
from harness.runs.server_facts import server_facts
from harness.smtp.session import Session
from harness.world.addresses import TEST_ENTRIES
from harness.world.client import Client
from harness.world.endpoints import endpoints_of
from harness.world.internet import Internet, publish_domain
from harness.world.sut import Sut

OBSTACLES = (State.BAD, State.UNTOLD, State.UNKNOWN)  # for the rules that rest on what a finding is about
BEATS = 8  # of the pulse within one delay
BEATS_WITH_PAUSE = 4  # where each connection of the pulse takes a while to come about
SHORTEST_BEAT = 0.1  # seconds
DELAYS_TO_GET_GOING = 2  # at most, of the policy, until the pulse beats
HOSTS = 8  # of the pulse, where there are many addresses
ROOM_FOR_A_HOST = 16  # addresses, of which the pulse has one

Embedded = Callable[[tuple[str, int], Sequence[str]], AbstractContextManager[tuple[Profile, ReferenceMta]]]


@dataclass(frozen=True)
class Wish:
    """What the user asked for: a profile, or the embedded server (with mutants switched on)."""

    catalogue: Catalogue
    profile: Path | None = None
    mutants: Sequence[str] = ()
    heavy: bool = False
    lean: bool = False
    to_the_end: bool = False
    embedded: Embedded = reference_mta  # what is judged without a profile


@contextlib.contextmanager
def open_run(wish: Wish) -> Iterator[Run]:
    """Everything up and running for the length of the context.

    Raises `settings.SettingsError`, `fake_dns.DnsServerError` or `mta_process.EmbeddedError`.
    """
    with contextlib.ExitStack() as stack:
        dns, mta = FakeDns(), None
        if wish.profile is None:
            names = stack.enter_context(DnsServer(dns, addresses=[("127.0.0.1", 0)]))
            profile, mta = stack.enter_context(wish.embedded(names.addresses[0], wish.mutants))
        else:
            profile = claims.load(wish.profile, wish.catalogue)
            if profile.dns:
                listen = list(profile.dns.listen)
                stack.enter_context(DnsServer(dns, addresses=listen, loopback_only=False))
        over = threading.Event()
        tools = CAPABILITIES.tools(Site(profile, dns, over, stack, mta, wish.heavy))
        _publish_server(dns, profile)
        pause = profile.dialect.pause
        beat = max(SHORTEST_BEAT, profile.policy.delay / (BEATS_WITH_PAUSE if pause else BEATS))
        pulse = Pulse(beat, pause=pause)
        internet = Internet(dns, profile)
        run = Run(
            profile,
            wish.catalogue,
            internet,
            stack.enter_context(contextlib.closing(endpoints_of(profile, internet))),
            Judge(
                profile.policy.delay,
                pulse.worst,
                profile.server.scan,
                pause,
                pulse.arrival,
                refusals_take=profile.dialect.refusals_take,
                taken=pulse.taken,
            ),
            tools,
            lean=wish.lean,
            to_the_end=wish.to_the_end,
            over=over,
            await_lull=lambda: pulse.await_lull(NOISE_BELOW * (profile.policy.delay or 1.0), over),
            reached=mta.reached if mta else None,
        )
        hosts = _hosts_of_the_pulse(run)
        pulse.probes.append(ServerProbe(_in_turn(hosts), 1 + math.ceil(pause / (NOOPS * beat))))
        pulse.greetings = GreetingProbe(_in_turn(hosts))
        if profile.dns:
            pulse.probes.append(DnsProbe(profile.dns.listen[0]))
        stack.enter_context(pulse)
        pulse.get_going(pause + DELAYS_TO_GET_GOING * profile.policy.delay)
        yield run


def begin(run: Run) -> tuple[Run, ServerFacts]:
    """The run with its baseline, and what the server says of itself.

    It is marked unusable when that shows that no verdict could mean anything; what is wrong in one respect
    is an obstacle to the rules that rest on that. Raises `NotTestableError` where the addresses do not even
    suffice for these clients.
    """
    with run.threads(1, "server_facts") as pool:
        facts = pool.submit(server_facts, run)
        run = replace(run, baseline=look(run))
    if run.baseline.misses("pause"):  # then nothing of what is late is due to it
        run = replace(run, judge=replace(run.judge, pause=0.0))
    if run.baseline.misses("refusals_take"):
        run = replace(run, judge=replace(run.judge, refusals_take=0.0))
    found = [finding for _, finding in examine(run, short=True)]
    wrong = [finding.saw for finding in found if finding.state is State.BAD and not finding.without]
    obstacles = {one.without: one.saw for one in found if one.without and one.state in OBSTACLES}
    run = replace(run, obstacles=obstacles)
    if nobody := run.baseline.nobody_served:
        wrong.append(nobody)
    if wrong:
        run = replace(run, unusable=f"{wrong[0]}; until that is mended nothing can be judged")
    return run, facts.result()


def _hosts_of_the_pulse(run: Run) -> list[Client]:
    """A few innocent hosts that are set apart, so that the pulse goes on when addresses run out.

    Raises `NotTestableError` where there is no address at all.
    """
    networks = run.profile.clients.networks
    played = [one for one in networks if one.version == 4] or networks  # by the observer
    room = sum(room_in(network) for network in played)
    wanted = max(1, min(HOSTS, room // ROOM_FOR_A_HOST))
    return [run.observer(run.world()) for _ in range(wanted)]


def _in_turn(hosts: Sequence[Client]) -> Callable[[], Session]:
    turns = itertools.cycle(hosts)
    return lambda: next(turns).session()


def _publish_server(dns: FakeDns, profile: Profile) -> None:
    """What the world knows of the server itself, and the block lists' zones, with their test entries."""
    for blocklist in Sut(profile).dnsbl:
        for zone in blocklist.zones:
            dns.zone(zone)
            for address in TEST_ENTRIES if blocklist.weight > 0 else ():  # or some servers ask no list
                dns.list_address(zone, address, blocklist.answer, "test entry", beside=True)
    version = ipaddress.ip_address(profile.server.address).version
    dns.publish(profile.server.hostname, "AAAA" if version == 6 else "A", profile.server.address)
    for domain in profile.domain:
        publish_domain(dns, domain.name, profile.server.hostname, profile.server.address)
