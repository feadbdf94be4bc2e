"""A run: one server, one profile, one catalogue, and the tools that the profile grants."""

import contextlib
import ipaddress
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from harness.judge import Judge
from harness.outcome import Stage, Verdict
from harness.profile.model import Profile
from harness.rules import Capability, Catalogue, Rule
from harness.runs.baseline import Baseline
from harness.runs.steadiness import Steadiness
from harness.smtp.routes import Route
from harness.verdicts import NotApplicableError, NotTestableError, ScenarioEnd
from harness.world.client import Client
from harness.world.conversation import Attempt
from harness.world.internet import Internet, Kind
from harness.world.pace import Pace
from harness.world.sut import Sut
from harness.world.tools import Tools
from harness.world.world import World

CHECKS = frozenset((Capability.SPF, Capability.DKIM))  # a server without them has nothing to be judged for
MOST_TROUBLES = 5  # innocent clients in a row that are not served, before a run gives up


@dataclass
class Run:
    """Everything that the scenarios of a run share; thread-safe."""

    profile: Profile
    catalogue: Catalogue
    internet: Internet
    route: Route
    judge: Judge
    tools: Tools = field(default_factory=Tools)
    heavy: bool = False
    lean: bool = False  # verdicts only: no dialogues are kept
    to_the_end: bool = False  # dialogues go to the end of DATA, wherever a verdict is expected
    side_by_side: bool = True  # whether scenarios, and their plays, run on threads of their own
    steadiness: Steadiness = field(default_factory=Steadiness)
    baseline: Baseline = field(default_factory=Baseline)  # what innocent clients met before any offence
    obstacles: Mapping[Capability, str] = field(
        default_factory=dict
    )  # why what the profile grants is not there
    unusable: str = ""  # why no verdict means anything; empty when the server is fit to be judged
    pace: Pace = field(init=False)
    _troubles: int = 0  # canaries in a row that were not served
    _canaries: dict[tuple[str, int], tuple[float, str]] = field(default_factory=dict)  # by server
    _canary: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """One pace for all."""
        self.pace = Pace(self.profile.server.rate)

    @property
    def sut(self) -> Sut:
        """The server as scenarios see it."""
        return Sut(self.profile, self.internet.nobody)

    def world(self) -> World:
        """A world for one try of a scenario."""
        server = (self.profile.server.address, self.profile.server.port)
        usual = self.baseline.zones_asked
        return World(self.internet, self.sut, self.route, self.tools.clock, server, self.pace, usual)

    def client(self, world: World, kind: Kind, label: str = "client") -> Client:
        """A fresh innocent host."""
        return Client(world, self.internet.identity(kind), kind, label)

    def refusal(self, rule: Rule, needs: Iterable[Capability]) -> ScenarioEnd | None:
        """Why a case that `needs` something is not to be tried on this server; None when it is."""
        if not self.profile.claims(rule):
            return NotApplicableError("the profile does not claim this rule")
        for capability in sorted({*(rule.needs & CHECKS), *({*needs} & {Capability.IPV6})}):
            if reason := self._lacks(capability):
                return NotApplicableError(reason)
        for capability in sorted({*rule.needs, *needs}):
            if reason := self._lacks(capability):
                return NotTestableError(reason)
        return None

    def obstacle(self, needs: Iterable[Capability]) -> tuple[Capability, str] | None:
        """What keeps a case that `needs` something from being told; None when nothing does."""
        return next(((need, self.obstacles[need]) for need in sorted(needs) if need in self.obstacles), None)

    def taking_part(self) -> AbstractContextManager[None]:
        """For as long as a scenario is played: no time passes for it but what it waits for."""
        return self.tools.clock.taking_part() if self.tools.clock else contextlib.nullcontext()

    def break_off(self) -> None:
        """The run is over: whoever still waits, for a turn, a reply or the clock, stops doing so."""
        self.pace.end()
        if self.tools.clock:
            self.tools.clock.stop()

    def trouble(self, server: tuple[str, int] | None = None) -> str:
        """What keeps an innocent client from being served right now; empty when nothing does.

        One canary at a time: an innocent dialogue as far as RCPT, with the `server` that is judged, which may
        be another instance than the profile's. Whoever asks while one is out waits for the next, and all who
        wait share it. A server that refuses us as a whole is spared: the run slows down, and when that does
        not help, nothing more is tried, and `unusable` says why.
        """
        asked, main = time.monotonic(), (self.profile.server.address, self.profile.server.port)
        server = server or main
        with self._canary:
            sent, found = self._canaries.get(server, (0.0, ""))
            if sent < asked:
                sent = time.monotonic()
                # One may be lost on the way; two in a row have met trouble.
                found = self._send_canary(server, main) and self._send_canary(server, main)
                self._canaries[server] = (sent, found)
                if server == main:
                    self._count(found)
            return found

    def _count(self, found: str) -> None:
        self._troubles = self._troubles + 1 if found else 0
        if found:
            self.pace.slow_down()
        if self._troubles >= MOST_TROUBLES and not self.unusable:
            self.unusable = f"in the middle of the run {found}; nothing more was tried after that"

    def _send_canary(self, server: tuple[str, int], main: tuple[str, int]) -> str:
        canary = self.observer(self.world())
        canary.server = server
        authenticity = [table.server for table in (self.profile.spf, self.profile.dkim) if table]
        if server != main and server in authenticity:  # it may be judged for refusing those without a record
            version = ipaddress.ip_address(canary.address).version
            canary.publish(canary.identity.domain, "TXT", f"v=spf1 ip{version}:{canary.address} -all")
        attempt = canary.attempt(upto=Stage.RCPT, patient=False)
        found = ailing(attempt)
        self.steadiness.innocent_met(well=not found or self._lost(canary))
        self.steadiness.dialogue_ended(lost=self._lost(canary))
        met = attempt.reached
        if found and met and self.baseline.explains(canary, met):
            return ""  # as it was at the beginning
        if server != main:
            return f"at {server[0]}:{server[1]} {found}" if found else ""
        # It asked at the beginning, or nothing would have been tried. Where addresses are not chosen, it may
        # remember ours.
        asks = self.profile.dns and self.profile.clients.networks and not self.obstacles
        if not found and asks and not canary.queries():
            return "the server asked our DNS nothing about an innocent client"
        return found

    def _lost(self, client: Client) -> bool:
        return any(talk.lost for _, _, talk in client.world.conversations)

    def observer(self, world: World) -> Client:
        """An innocent client for the harness's own questions; it has the machine's own address if need be."""
        if self.profile.clients.networks:
            return self.client(world, Kind.KNOWN, "observer")
        identity = self.internet.identity(Kind.KNOWN, address=self.profile.server.address)
        return Client(world, identity, Kind.KNOWN, "observer")

    def _lacks(self, capability: Capability) -> str:
        if capability is Capability.HEAVY:
            return "" if self.heavy else "it strains a shared server; run with --allow-heavy to allow it"
        granted = {
            Capability.CLOCK: self.tools.clock,
            Capability.GREYLIST_OPERATOR: self.tools.operator,
            Capability.GREYLIST_OUTAGE: self.tools.outage,
            Capability.MAILBOX: self.tools.mailbox,
            Capability.SINK: self.tools.sink,
            Capability.QUEUE_OPERATOR: self.tools.queue,
        }.get(capability)
        return "" if granted else self.profile.lacks(capability)


def ailing(attempt: Attempt) -> str:
    """What keeps a canary dialogue from showing a server in health; empty when it is well.

    A recipient that is greylisted is well: strangers meet that every day.
    """
    for step in attempt.steps:
        if step.reply is None or step.code == 421:
            return f"an innocent client got no further than {step.stage}: {step}"
        if step.verdict is not Verdict.PASS and not (
            step.stage.value == "rcpt" and step.verdict is Verdict.DEFER
        ):
            return f"an innocent client was refused at {step.stage}: {step}"
    return ""
