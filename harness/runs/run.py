"""A run: one server, one profile, one catalogue, and the tools that the profile grants."""

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from harness.grants.capability import Absent, Tools
from harness.grants.greylist import CLOCK
from harness.grants.registry import CAPABILITIES
from harness.judge import Fault, Judge
from harness.outcome import Stage, Treatment, later
from harness.profile.model import Profile
from harness.rules import Catalogue, Rule
from harness.runs.baseline import Baseline, Innocent, Meeting, innocents, meet
from harness.runs.refusals import Refusals
from harness.runs.severed import Severed
from harness.runs.steadiness import Steadiness
from harness.settings.hosts import Network
from harness.smtp.endpoint import Endpoint
from harness.verdicts import NotApplicableError, NotTestableError, ScenarioEnd
from harness.world.client import Client
from harness.world.conversation import SERVICE_ENDS, Attempt
from harness.world.endpoints import Endpoints
from harness.world.internet import Internet, Kind
from harness.world.pace import Pace
from harness.world.room import Room
from harness.world.sut import Sut
from harness.world.world import World

MOST_TROUBLES = 5  # innocent clients in a row that are not served, before a run gives up
LASTING = 15.0  # seconds of such trouble, more than a server takes to be started again


@dataclass
class _Canary:
    """Who is sent to see how one kind of innocent clients is served: one at a time, and what the last met."""

    out: threading.Lock = field(default_factory=threading.Lock)
    sent: float = 0.0  # time.monotonic()
    found: str = ""  # the trouble


@dataclass
class Run:
    """Everything that the scenarios of a run share; thread-safe."""

    profile: Profile
    catalogue: Catalogue
    internet: Internet
    endpoints: Endpoints
    judge: Judge
    tools: Tools = field(default_factory=Tools)
    lean: bool = False  # verdicts only: no dialogues are kept
    to_the_end: bool = False  # dialogues go to the end of DATA, wherever a verdict is expected
    side_by_side: bool = True  # whether scenarios, and their plays, run on threads of their own
    steadiness: Steadiness = field(default_factory=Steadiness)
    baseline: Baseline = field(default_factory=Baseline)  # what innocent clients met before any offence
    refusals: Refusals = field(default_factory=Refusals)  # what they are refused with since
    severed: Severed = field(default_factory=Severed)  # dialogues that the server broke off
    obstacles: Mapping[str, str] = field(default_factory=dict)  # why what is granted is not there
    unusable: str = ""  # why no verdict means anything; empty when the server is fit to be judged
    over: threading.Event = field(default_factory=threading.Event)  # nothing counts any more
    await_lull: Callable[[], None] = lambda: None  # until nothing is slow any more, or for a while
    reached: Callable[[], Mapping[str, Iterable[str]]] | None = None  # parts of the server, and for whom
    pace: Pace = field(init=False)
    room: Room = field(init=False)  # for as many dialogues at a time as the profile allows
    _troubles: int = 0  # canaries in a row that were not served
    _trouble_since: float = 0.0  # time.monotonic() of the first of them
    _served: float = 0.0  # time.monotonic() of the last one that was
    _canaries: dict[tuple[Endpoint, Innocent], _Canary] = field(default_factory=dict)
    _told: dict[Innocent, str] = field(default_factory=dict)  # to the last canary in that manner, in short
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """One pace for all, and one room."""
        self.pace = Pace(self.profile.server.rate)
        self.room = Room(self.profile.server.jobs)

    @property
    def sut(self) -> Sut:
        """The server as scenarios see it."""
        return Sut(self.profile, self.internet.nobody)

    def world(self) -> World:
        """A world for one try of a scenario."""
        usual = self.baseline.zones_asked
        world = World(self.internet.apart(), self.sut, self.endpoints, None, self.pace, usual, room=self.room)
        greylist = self.profile.greylist
        if greylist and SERVICE_ENDS in greylist.codes:
            world.may_end = frozenset({greylist.stage, Stage.DATA})  # where it tells bounces
        world.clock = self.tools.recorded(CLOCK, world)
        return world

    def client(
        self,
        world: World,
        kind: Kind,
        label: str = "client",
        *,
        network: Network | None = None,
        pattern: str | None = None,
    ) -> Client:
        """A fresh innocent host; a stranger is one to the greylist as well, or cannot be had.

        It is in a `network` of its kind's, or known to the greylist by a `pattern` of names, if these are
        given. Raises `NotTestableError` where there is no such host.
        """
        identity = world.internet.identity(kind, network=network, pattern=pattern)
        made = Client(world, identity, kind, label)
        made.forget_earlier_runs()
        return made

    def refusal(self, rule: Rule, needs: Iterable[str]) -> ScenarioEnd | None:
        """Why a case that `needs` something is not to be tried on this server; None when it is."""
        if not self.profile.claims(rule):
            return NotApplicableError("the profile does not claim this rule")
        of_case = frozenset(needs)
        wanted = sorted(rule.needs | of_case)
        lacking = [(CAPABILITIES[name], reason) for name in wanted if (reason := self._lacks(name))]
        for capability, reason in lacking:
            by_rule = capability.absent is Absent.RULE_DOES_NOT_APPLY and capability.name in rule.needs
            by_case = capability.absent is Absent.CASE_DOES_NOT_APPLY and capability.name in of_case
            if by_rule or by_case:
                return NotApplicableError(reason)
        return next((NotTestableError(reason, capability.name) for capability, reason in lacking), None)

    def obstacle(self, needs: Iterable[str]) -> tuple[str, str] | None:
        """What keeps a case that `needs` something from being told; None when nothing does."""
        return next(((need, self.obstacles[need]) for need in sorted(needs) if need in self.obstacles), None)

    def taking_part(self) -> AbstractContextManager[None]:
        """For as long as a scenario is played: no time passes for it but what it waits for."""
        clock = self.tools.get(CLOCK)
        return clock.taking_part() if clock else contextlib.nullcontext()

    def break_off(self) -> None:
        """The run is over: whoever still waits, for a turn, a reply, mail or the clock, stops doing so.

        What comes of that says nothing of the server, and counts nowhere.
        """
        self.over.set()
        self.steadiness.freeze()
        self.pace.end()
        self.room.end()
        self.tools.stop()

    @contextlib.contextmanager
    def threads(self, number: int, name: str) -> Iterator[ThreadPoolExecutor]:
        """So many threads for the length of the context, whose waits an interrupt breaks off."""
        with ThreadPoolExecutor(number, thread_name_prefix=name) as pool:
            try:
                yield pool
            except (KeyboardInterrupt, SystemExit):
                pool.shutdown(wait=False, cancel_futures=True)
                self.break_off()
                raise

    def trouble_in_full(self) -> str:
        """The same as `trouble`, with the dialogues that were broken off just before, if any."""
        found = self.trouble()
        return self._since_whom(found) if found else ""

    def trouble(self, server: Endpoint | None = None, like: Innocent | None = None) -> str:
        """What keeps an innocent client from being served right now; empty when nothing does.

        That is a canary: an innocent dialogue with the `server` that is judged, which may be another instance
        than the profile's or another endpoint of it, in the manner of whoever met something, and as far as
        that (`like`). It is well when it meets what innocent clients met at the beginning. One of a kind
        at a time: whoever asks while one is out waits for the next, and all who wait share it. A server that
        serves not even the plainest innocents is spared: the run slows down until it does again, and when
        that has not helped for a while, nothing more is tried, and `unusable` says why.
        """
        asked, main = time.monotonic(), self.endpoints.first
        plain = self._plain
        server, like = server or main, like or plain
        with self._lock:
            canary = self._canaries.setdefault((server, like), _Canary())
        with canary.out:
            if canary.sent < asked:
                sent = time.monotonic()
                # One may be lost on the way; two in a row have met trouble.
                found = self._send_canary(server, like) and self._send_canary(server, like)
                canary.sent, canary.found = sent, found
                if server == main and found and like != plain:
                    self.trouble()  # whether the plainest are served
                elif server == main:
                    self._count(found, sent)
            return canary.found

    def refused_with(self, like: Innocent | None) -> str:
        """The id that a finding about what the last canary in that manner was told has; empty: it was served.

        Without `like` it is that of the plainest innocent clients.
        """
        return self._told.get(like or self._plain, "")

    @property
    def _plain(self) -> Innocent:
        return replace(next(innocents(self.profile)), goal=Stage.RCPT)

    def wearied(self, like: Innocent, times: int) -> str:
        """How an innocent client is refused that comes again so many `times`; empty when it is not.

        That is one in the manner of whoever met something, and as far as that (`like`): some servers take no
        more than so many messages of one client in a while. What it met the first time counts for nothing.
        """
        first = meet(self, like, patient=False)
        usual = _refused_at(first)
        for number in range(times):
            again = meet(self, like, patient=False, client=first.client)
            refused = _refused_at(again)
            if again.lost or not refused or refused == usual:
                continue
            return f"{like} that come {number + 2} times in a row are refused: {again.attempt.staged[-1]}"
        return ""

    def _count(self, found: str, sent: float) -> None:
        """What a canary met that was sent then; a server that is being started again serves the next ones."""
        now = time.monotonic()
        with self._lock:
            if found and sent < self._served:
                return  # others have been served since
            if not found:
                self._troubles, self._served = 0, now
                self.pace.speed_up()
                return
            if self._troubles == 0:
                self._trouble_since = sent
            self._troubles += 1
            self.pace.slow_down()
            lasted = now - self._trouble_since
            too_long = self._troubles >= MOST_TROUBLES and lasted >= LASTING
        if too_long and not self.unusable:
            self.unusable = f"in the middle of the run {found}; nothing more was tried after that"

    @property
    def given_up(self) -> str:
        """Why the run was given up, and after which dialogues if that is known; empty while it was not."""
        return self._since_whom(self.unusable) if self.unusable else ""

    def _since_whom(self, trouble: str) -> str:
        """What keeps innocents from being served, with the dialogues that were broken off just before."""
        last = self.severed.before(self._trouble_since, served=self._served) if self._troubles else ""
        return f"{trouble}; {last}" if last else trouble

    def _send_canary(self, server: Endpoint, like: Innocent) -> str:
        if server != self.endpoints.first:
            found = self._send_elsewhere(server, like)
            return f"at {server} {found}" if found else ""
        # It asked at the beginning, or nothing would have been tried. Where addresses are not chosen, it may
        # remember ours.
        may_ask = self.profile.dns and self.profile.clients.networks and not self.obstacles
        asked_at = self.baseline.asked_at if may_ask and like.who not in self.baseline.unasked else None
        goal = later(like.goal, asked_at) if asked_at else like.goal
        met = meet(self, replace(like, goal=goal), patient=False)
        if met.step and self.baseline.has_waited(like.kind, met.step):  # as then, it comes again
            met = meet(self, replace(like, goal=goal))
        manner, step = like.manner, met.step
        fault = Fault.LATE if met.late else Fault.REPLY
        # Who is let through is served well enough, unless a greylist put such clients off at the beginning.
        let_in = step and step.treatment is Treatment.PASS and not met.late and not like.kind.is_strange
        usual = let_in or (step and self.baseline.explains(met.client, step, manner, like.recipient, fault))
        self.steadiness.innocent_met("" if usual or met.lost else met.said)
        self.steadiness.dialogue_ended(lost=met.lost)
        self._told[like] = self.refusals.canary_met(met, usual=bool(usual) or not met.deviation)
        if usual:
            return ""
        if met.lost:
            reached = met.attempt.staged[-1].stage if met.attempt.staged else Stage.CONNECT
            return f"an innocent client got no further than {reached}: {met.deviation}"
        if met.deviation:
            return f"{like} met something else than at the beginning: {met.deviation}"
        if asked_at and not met.client.queries():
            return "the server asked our DNS nothing about an innocent client"
        return ""

    def _send_elsewhere(self, server: Endpoint, like: Innocent) -> str:
        """A canary for another instance, which judges what senders publish, or for another endpoint.

        It goes as far as whoever met something, and under TLS if that one did. What is asked of clients at an
        endpoint of its own, such as to log in, only its rules know: there it is well when it is greeted,
        twice.
        """
        canary = self.observer(self.world())
        canary.endpoint = server
        goal, covered = like.goal, like.covered
        if server.name:
            goal, covered = Stage.HELO, False
        canary.world.goal = goal
        checking = [table.server for table in (self.profile.spf, self.profile.dkim) if table]
        if server.server in checking:  # it may be judged for refusing those without a record
            version = ipaddress.ip_address(canary.address).version
            canary.publish(canary.identity.domain, "TXT", f"v=spf1 ip{version}:{canary.address} -all")
        attempt = canary.attempt(upto=goal, covered=covered, patient=False)
        greylist = self.profile.greylist
        found = ailing(attempt, greylist.codes, greylist.stage) if greylist else ailing(attempt)
        lost = any(talk.lost for _, _, talk in canary.world.conversations)
        self.steadiness.innocent_met("" if lost else found)
        self.steadiness.dialogue_ended(lost=lost)
        return found

    def observer(self, world: World) -> Client:
        """An innocent client for the harness's own questions, of whichever IP version there is.

        It has the machine's own address where none can be chosen.
        """
        if networks := self.profile.clients.networks:
            any_v4 = any(network.version == 4 for network in networks)
            return self.client(world, Kind.KNOWN if any_v4 else Kind.IPV6, "observer")
        identity = world.internet.identity(Kind.KNOWN, address=own_address(self.profile.server.address))
        return Client(world, identity, Kind.KNOWN, "observer")

    def _lacks(self, name: str) -> str:
        capability = CAPABILITIES[name]
        return "" if self.tools.get(capability) is not None else capability.lacking(self.profile)


def own_address(towards: str) -> str:
    """The address from which this machine talks to another one; that one where there is no way to it."""
    family = socket.AF_INET6 if ":" in towards else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:  # which sends nothing
            asking.connect((towards, 9))
            return str(asking.getsockname()[0])
    except OSError:
        return towards


def _refused_at(met: Meeting) -> tuple[Stage, int] | None:
    """Where an innocent client was refused, for now or for good, and by which code; None when it was not."""
    last = met.attempt.staged[-1] if met.attempt.staged else None
    refused = last is not None and last.treatment not in (None, Treatment.PASS)
    return (last.stage, last.code) if last and refused else None


def ailing(attempt: Attempt, put_off_with: tuple[int, ...] = (), put_off_at: Stage = Stage.RCPT) -> str:
    """Where an innocent dialogue was stopped, unless by a greylist's code at its stage; empty otherwise."""
    for step in attempt.staged:
        if step.stage is put_off_at and step.code in put_off_with:
            continue
        if step.reply is None or step.code == SERVICE_ENDS:
            return f"an innocent client got no further than {step.stage}: {step}"
        if step.misplaced:
            return f"an innocent client was told what is no answer at {step.stage}: {step}, {step.misplaced}"
        if step.treatment is not Treatment.PASS:
            return f"an innocent client was refused at {step.stage}: {step}"
    return ""
