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
from harness.capabilities.clock import FakeTimeFile, SharedClock, SteeredClock, WaitingClock
from harness.capabilities.directory import CommandDirectory
from harness.capabilities.imap import ImapStore
from harness.capabilities.mail_host import PATIENCE
from harness.capabilities.mailbox import PolledMailbox, Store
from harness.capabilities.maildir import MaildirStore, MboxStore
from harness.capabilities.operator import CommandOperator
from harness.capabilities.outage import CommandOutage
from harness.capabilities.queue import CommandQueue
from harness.capabilities.sink import Sink
from harness.capabilities.srs import CommandRewriter
from harness.embedded.process import QueueControl, ReferenceMta, RewriterControl
from harness.embedded.servers import reference_mta
from harness.judge import Judge
from harness.profile import model as profiles
from harness.profile.mail_tables import MailboxTable
from harness.profile.model import Profile
from harness.profile.tables import RouteName
from harness.profile.values import room_in
from harness.results.model import ServerFacts
from harness.rules import Capability, Catalogue
from harness.runs.baseline import look
from harness.runs.diagnosis import State
from harness.runs.doctor import examine
from harness.runs.noise import NOOPS, DnsProbe, GreetingProbe, Pulse, ServerProbe
from harness.runs.run import Run
from harness.runs.server_facts import server_facts
from harness.smtp.command import CommandRoute
from harness.smtp.routes import BindSource, Direct, ProxyV1, ProxyV2, Route, XClient
from harness.smtp.session import Session
from harness.world.client import Client
from harness.world.internet import Internet
from harness.world.tools import Tools
from harness.world.world import Clock

BEATS = 8  # of the pulse within one delay
BEATS_WITH_PAUSE = 4  # where each connection of the pulse takes a while to come about
SHORTEST_BEAT = 0.1  # seconds
DELAYS_TO_GET_GOING = 2  # at most, of the policy, until the pulse beats
HOSTS = 8  # of the pulse, where there are many addresses
ROOM_FOR_A_HOST = 16  # addresses, of which the pulse has one

ROUTES: dict[RouteName, type[Route]] = {
    RouteName.DIRECT: Direct,
    RouteName.BIND: BindSource,
    RouteName.PROXY_V1: ProxyV1,
    RouteName.PROXY_V2: ProxyV2,
}

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
        dns = FakeDns()
        if wish.profile is None:
            names = stack.enter_context(DnsServer(dns, addresses=[("127.0.0.1", 0)]))
            profile, mta = stack.enter_context(wish.embedded(names.addresses[0], wish.mutants))
            tools = _embedded_tools(profile, mta)
        else:
            profile = profiles.load(wish.profile, wish.catalogue)
            if profile.dns:
                listen = list(profile.dns.listen)
                stack.enter_context(DnsServer(dns, addresses=listen, loopback_only=False))
            tools = _tools(profile)
        over = threading.Event()
        tools = replace(tools, mailbox=_mailbox(profile, over), sink=_sink(stack, dns, profile))
        _publish_server(dns, profile)
        pause = profile.dialect.pause
        beat = max(SHORTEST_BEAT, profile.policy.delay / (BEATS_WITH_PAUSE if pause else BEATS))
        pulse = Pulse(beat, pause=pause)
        internet = Internet(dns, profile)
        run = Run(
            profile,
            wish.catalogue,
            internet,
            stack.enter_context(_route(profile, internet)),
            Judge(profile.policy.delay, pulse.worst, profile.server.scan, pause, pulse.arrival),
            tools,
            heavy=wish.heavy,
            lean=wish.lean,
            to_the_end=wish.to_the_end,
            over=over,
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
    found = [finding for _, finding in examine(run, short=True) if finding.state is State.BAD]
    wrong = [finding.saw for finding in found if finding.without is None]
    obstacles = {finding.without: finding.saw for finding in found if finding.without}
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


@contextlib.contextmanager
def _route(profile: Profile, internet: Internet) -> Iterator[Route]:
    clients = profile.clients
    match clients.route:
        case RouteName.COMMAND:
            with contextlib.closing(CommandRoute(clients.command, clients.delays)) as route:
                yield route
        case RouteName.XCLIENT:
            yield XClient(internet.host_at)
        case name:
            yield ROUTES[name]()


def _embedded_tools(profile: Profile, mta: ReferenceMta) -> Tools:
    return Tools(
        clock=SteeredClock(mta.advance),
        operator=mta,
        outage=mta,
        queue=QueueControl(mta),
        rewriter=RewriterControl(mta, profile.srs.domain) if profile.srs else None,
        reached=mta.reached,
    )


def _tools(profile: Profile) -> Tools:
    directory = profile.directory
    cut = directory.outage if directory else None
    return Tools(
        clock=_clock(profile),
        operator=CommandOperator(profile.operator) if profile.operator else None,
        outage=CommandOutage(profile.outage.begin, profile.outage.end) if profile.outage else None,
        directory=CommandDirectory(directory.bind) if directory and directory.bind else None,
        directory_outage=CommandOutage(cut.begin, cut.end, "directory.outage") if cut else None,
        queue=CommandQueue(profile.queue) if profile.queue and profile.queue.list else None,
        rewriter=CommandRewriter(profile.srs) if profile.srs and profile.srs.make else None,
    )


def _clock(profile: Profile) -> Clock | None:
    if profile.clock is None:
        return None
    if profile.clock.file:
        return SharedClock(FakeTimeFile(profile.clock.file, profile.clock.then).move)
    return WaitingClock(profile.clock.limit or 0.0)


def _mailbox(profile: Profile, over: threading.Event) -> PolledMailbox | None:
    if profile.mailbox is None:
        return None
    others = {entry.name.lower(): _store(entry.mailbox) for entry in profile.domain if entry.mailbox}
    return PolledMailbox(_store(profile.mailbox), others, profile.mailbox.patience, over)


def _store(table: MailboxTable) -> Store:
    if table.imap:
        return ImapStore(table.imap)
    return MaildirStore(table.maildir) if table.maildir else MboxStore(table.mbox)


def _sink(stack: contextlib.ExitStack, dns: FakeDns, profile: Profile) -> Sink | None:
    if profile.sink is None or profile.lacks(Capability.SINK):
        return None
    kept = [profile.smarthost.host[0]] if profile.smarthost else []
    interval = min(profile.queue.interval, PATIENCE) if profile.queue else 0.0  # of a queue runner
    sink = Sink(
        dns,
        profile.sink.networks,
        profile.sink.port,
        kept=kept,
        secrets=profile.secrets,
        patience=profile.sink.patience + interval,
    )
    return stack.enter_context(sink)


def _publish_server(dns: FakeDns, profile: Profile) -> None:
    """What the world knows of the server itself, and the block lists' zones, empty."""
    for blocklist in profile.dnsbl:
        for zone in blocklist.zones:
            dns.zone(zone)
    version = ipaddress.ip_address(profile.server.address).version
    dns.publish(profile.server.hostname, "AAAA" if version == 6 else "A", profile.server.address)
    for domain in profile.domain:
        dns.zone(domain.name)
        dns.publish(domain.name, "MX", f"10 {profile.server.hostname}.")
