"""The way in: where a greeting comes from, and from which addresses clients can come."""

import contextlib
import ipaddress
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from fake_dns import FakeDns
from harness import settings
from harness.discovery.comparison import words
from harness.discovery.dialogues import PATIENCE, Dialogues, profile_of
from harness.discovery.evidence import heard, says
from harness.discovery.facts import Way
from harness.discovery.place import TOLD_EVERY, DiscoveryError, Place, Telling
from harness.outcome import Stage, Treatment
from harness.profile.tables import RouteName
from harness.runs.run import Run
from harness.smtp.channel import UNSOLICITED
from harness.smtp.session import Ending, Session
from harness.smtp.tls import unverifying_context
from harness.world.client import Client
from harness.world.conversation import Attempt, Step

NETWORKS = ("198.18.0.0/15", "2001:db8::/32")
OTHERS = ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24")  # where those are relayed for
LOOPBACK = "127.1.0.0/16"  # of the machine itself, and not where its own programs come from
OURSELVES = "127.0.0.1"  # where connections to this machine come from
FOREIGN = "somebody@elsewhere.example"
HEAD_START = 4.0  # seconds of silence, and other ways are tried beside the first
GRACE = 2.0  # seconds that a better way may come later
PAUSE = 45.0  # seconds that it may come later where there is a connection: some greet strangers late
HANDSHAKE = 10.0  # seconds
CLOSES_AT_EHLO = 2  # times, and HELO is tried on another connection
UNKNOWN_VERB = (500, 501, 502, 504, 550, 554)
GREETS = 220
DEFERS_RELAYING = 454  # Postfix, by defer_unauth_destination
UNHEARD = (
    f"it took a foreign recipient ({FOREIGN}); whether it takes the mail shows only at the end of a message: "
    "name a --user"
)


@dataclass(frozen=True)
class Knock:
    """What came of one way."""

    way: Way
    attempt: Attempt
    stray: (
        bool  # whether there were replies that nothing had asked for: our introduction was taken for commands
    )

    @property
    def opened(self) -> bool:
        """Whether a dialogue can begin there."""
        return self.greeted and self.attempt.helo.treatment is Treatment.PASS and not self.stray

    @property
    def greeted(self) -> bool:
        """Whether the greeting was one, whatever came then."""
        return self.attempt.connect.code == GREETS

    @property
    def said(self) -> str:
        """What it said last, and where."""
        return words(self.attempt.helo if self.greeted else self.attempt.connect)

    def __str__(self) -> str:
        """What it said last, and by which way."""
        networks = f" from {', '.join(self.way.networks)}" if self.way.route is RouteName.BIND else ""
        return f"{self.way.route}{networks}: {self.said}"


def find_way(place: Place, dns: FakeDns, telling: Telling) -> Way:
    """The first way in that is greeted, those first by which an address can be chosen.

    Raises `DiscoveryError` with what was seen on each.
    """
    telling.say(f"trying to get in at {place}")
    with _Knocking(place, dns, telling) as knocking:
        knocking.begin(list(_plain_ways(place)))
        knock = knocking.opened(HEAD_START)
        if knock is None:
            telling.say("no clear way in yet; trying TLS from the start and the PROXY protocol beside it")
            knocking.begin([Way(RouteName.PROXY_V2, NETWORKS), Way(RouteName.PROXY_V1, NETWORKS)])
            knocking.begin_tls()
            knock = knocking.opened(PATIENCE + HANDSHAKE)
        if knock is None:
            what = "greets, and takes neither EHLO nor HELO" if knocking.greeted else "greets nobody"
            raise DiscoveryError(f"{place} {what}; " + "; ".join(knocking.seen))
    telling.say(f"way in: {knock.way.route}; it says «{knock.attempt.connect}», then «{knock.attempt.helo}»")
    if not knock.way.extended:
        telling.say("it does not know EHLO, so clients greet with HELO")
    if knock.way.route is RouteName.DIRECT and "XCLIENT" in knock.attempt.helo.keywords:
        by_xclient = _knock(place, Way(RouteName.XCLIENT, NETWORKS), dns)
        telling.say(f"it offers XCLIENT: {by_xclient}")
        knock = by_xclient if by_xclient.opened else knock
    return _greeted_alone(place, knock.way, dns, telling)


def _greeted_alone(place: Place, way: Way, dns: FakeDns, telling: Telling) -> Way:
    """The way with those of its networks from which a client was greeted: clients come from the first one."""
    others = way.networks[1:]
    knocks = telling.over(
        "clients of other networks", lambda one: _knock(place, replace(way, networks=(one,)), dns), others
    )
    ungreeted = {
        network: knock.said for network, knock in zip(others, knocks, strict=True) if not knock.opened
    }
    for network, said in ungreeted.items():
        telling.say(f"a client from {network} was not greeted: {said}")
    networks = tuple(one for one in way.networks if one not in ungreeted)
    return replace(way, networks=networks, ungreeted=ungreeted)


def as_a_stranger(dialogues: Dialogues, telling: Telling, *, heard_out: bool) -> tuple[Dialogues, list[str]]:
    """The dialogues by addresses that the server does not relay for, if there are any, and what to note.

    Whom it relays for it may let through where strangers are refused, at unknown users before all. Where mail
    may be sent, clients are `heard_out` to the end of the message; where it may not, a recipient that is
    taken does not tell whom it relays for.
    """
    place, way, dns = dialogues.place, dialogues.way, dialogues.dns
    first = _foreign_mail(dialogues, heard_out=heard_out)
    telling.say(f"mail for another domain: {words(first)}")
    if not says(first):
        return dialogues, [f"whether it relays for us was not to be seen: {words(first)}"]
    if not _takes(first):
        return dialogues, []
    relayed, strange, unseen = [way.networks[0] if way.networks else OURSELVES], list[str](), list[str]()
    route, networks = _other_addresses(place, way)
    for network in networks:
        other = Way(route, (network,), extended=way.extended)
        met = _foreign_mail(Dialogues.by(place, other, dns), heard_out=heard_out)
        if _takes(met):
            relayed.append(network)
        elif _refuses_to_relay(met):
            strange.append(network)
        else:  # who got no further, or was not heard out, is of no use
            unseen.append(f"whether it relays for {network} was not to be seen: {words(met)}")
    if strange:
        note = f"it relays for {', '.join(relayed)}, so clients come from {', '.join(strange)} here"
        way = Way(route, tuple(strange), tuple(relayed), extended=way.extended)
    elif heard_out:
        note = (
            "it took mail for another domain from every address that it heard out: it RELAYS FOR US, or for "
            "everybody; what it takes from us it may refuse to strangers, so nothing is said of those"
        )
        alone = Way(RouteName.DIRECT, (), extended=way.extended) if way.route is RouteName.BIND else way
        way = replace(alone, relayed=tuple(relayed), trusted=True)
    else:
        note = UNHEARD
        way = replace(way, unheard=note)
    telling.say(note)
    return Dialogues.by(place, way, dns), [note, *unseen]


def _takes(step: Step) -> bool:
    """Whether a recipient was taken, or the message."""
    return says(step) and step.stage in (Stage.RCPT, Stage.DATA) and step.treatment is Treatment.PASS


def _refuses_to_relay(step: Step) -> bool:
    """Whether it was the recipient, or the message, that was refused.

    Postfix puts mail for others off by default, with a code that no greylist has.
    """
    refused = step.treatment in (Treatment.DENY, Treatment.DROP) or step.code == DEFERS_RELAYING
    return says(step) and step.stage in (Stage.RCPT, Stage.DATA) and refused


def _foreign_mail(dialogues: Dialogues, *, heard_out: bool) -> Step:
    """What a client meets there last that has mail for others."""
    upto = Stage.DATA if heard_out else Stage.RCPT
    return heard(lambda: dialogues.attempt(recipient=FOREIGN, upto=upto)).staged[-1]


def _other_addresses(place: Place, way: Way) -> tuple[RouteName, list[str]]:
    """Where clients may come from instead, and by which route."""
    if way.route is not RouteName.DIRECT:
        others = [one for one in OTHERS if way.route is not RouteName.BIND or _can_bind(place, one)]
        return way.route, others
    local = ipaddress.ip_address(place.address) in ipaddress.ip_network("127.0.0.0/8")
    return RouteName.BIND, [LOOPBACK] if local and _can_bind(place, LOOPBACK) else []


def _plain_ways(place: Place) -> Iterator[Way]:
    """Those on which the server sees a client's own address; the first is the best."""
    routed = [network for network in (*NETWORKS[:1], *OTHERS) if _can_bind(place, network)]
    if routed:
        yield Way(RouteName.BIND, tuple(routed[:1]))
    yield Way(RouteName.DIRECT, ())


def _can_bind(place: Place, network: str) -> bool:
    try:
        profile_of(place, Way(RouteName.BIND, (network,)))
    except settings.SettingsError:
        return False
    return True


@dataclass
class _Knocking:
    """Tries several ways side by side; at the end none is left hanging."""

    place: Place
    dns: FakeDns
    telling: Telling
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8))
    _knocks: dict[Future[Knock], list[Session]] = field(default_factory=dict)  # the best way first
    _tls: Future[str] | None = None
    _runs: list[Run] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Nothing is tried yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Whoever still waits for a greeting is cut short."""
        for run in self._runs:
            run.break_off()
        self._pool.shutdown()

    @property
    def seen(self) -> list[str]:
        """What came of each way that is at its end."""
        knocks = [str(knock.result()) for knock in self._knocks if knock.done()]
        tls = self._tls.result() if self._tls and self._tls.done() else ""
        return [*knocks, *(["TLS from the start: no"] if self._tls and not tls else [])]

    @property
    def greeted(self) -> bool:
        """Whether a greeting came on any way that is at its end."""
        return any(knock.done() and knock.result().greeted for knock in self._knocks)

    def begin(self, ways: Sequence[Way]) -> None:
        """Try some ways, the better ones first."""
        for way in ways:
            dialogues = Dialogues.by(self.place, way, self.dns)
            self._runs.append(dialogues.run)
            sessions: list[Session] = []
            self._knocks[self._pool.submit(_greeted, dialogues, sessions)] = sessions

    def begin_tls(self) -> None:
        """Try whether the server waits for a client that begins with TLS."""
        self._tls = self._pool.submit(tls_from_the_start, self.place)

    def opened(self, within: float) -> Knock | None:
        """The best way that is greeted in so many seconds; raises `DiscoveryError` where TLS comes first."""
        deadline = time.monotonic() + within
        while True:
            if found := self._first_opened():
                return found
            if self._tls and self._tls.done() and (said := self._tls.result()):
                raise DiscoveryError(
                    f"{self.place} speaks TLS from the start, as on port 465: {said}. The harness begins in "
                    "clear text: name a port where the server does so too; seen besides: "
                    + ("; ".join(self.seen) or "nothing")
                )
            waiting: set[Future[Any]] = {one for one in self._knocks if not one.done()}
            if self._tls and not self._tls.done():
                waiting.add(self._tls)
            left = deadline - time.monotonic()
            if not waiting or left <= 0:
                return None
            done, _ = wait(waiting, timeout=min(left, TOLD_EVERY), return_when=FIRST_COMPLETED)
            if not done and left > TOLD_EVERY:
                self.telling.say(f"  still waiting for a greeting, {left:.0f} s left")

    def _first_opened(self) -> Knock | None:
        if self._best is None:
            return None
        began = time.monotonic()
        while (better := self._better) and time.monotonic() - began < self._patience_with(better):
            wait([better], timeout=GRACE)
        return self._best

    @property
    def _best(self) -> Knock | None:
        """The best way of those that are open."""
        return next((one.result() for one in self._knocks if one.done() and one.result().opened), None)

    @property
    def _better(self) -> Future[Knock] | None:
        """A way that is not at its end, and better than those that are open."""
        for future in self._knocks:
            if not future.done():
                return future
            if future.result().opened:
                return None
        return None

    def _patience_with(self, better: Future[Knock]) -> float:
        """How long to wait for a better way, in seconds: servers that greet us may let strangers wait.

        A server behind PROXY never greets without it, so that is no reason to wait.
        """
        plain = self._best is not None and self._best.way.route is RouteName.DIRECT
        return PAUSE if plain and any(one.connected for one in self._knocks[better]) else GRACE


def _knock(place: Place, way: Way, dns: FakeDns) -> Knock:
    return _greeted(Dialogues.by(place, way, dns), [])


def _greeted(dialogues: Dialogues, sessions: list[Session]) -> Knock:
    """Connect and greet, with HELO where EHLO is not known, or makes the server close the connection.

    Who waits for us sees how far the sessions are.
    """
    client, way = dialogues.client(), dialogues.way
    knock = _greeted_once(client, way, sessions)
    for _ in range(CLOSES_AT_EHLO - 1):
        if not _closed_at_ehlo(knock):
            return knock
        knock = _greeted_once(client, way, sessions)
    if _closed_at_ehlo(knock):
        by_helo = _greeted_once(client, replace(way, extended=False), sessions)
        return by_helo if by_helo.opened else knock
    return knock


def _closed_at_ehlo(knock: Knock) -> bool:
    """Whether the server greeted, and took EHLO for a reason to close the connection."""
    attempt = knock.attempt
    did = attempt.helo.reply is None or (attempt.helo.code in UNKNOWN_VERB and attempt.helo.dropped)
    return attempt.connect.code == GREETS and attempt.ending in (Ending.SERVER_CLOSED, Ending.RESET) and did


def _greeted_once(client: Client, way: Way, sessions: list[Session]) -> Knock:
    with client.conversation() as talk:
        sessions.append(talk.session)
        if not way.extended:
            talk.connect()
            talk.helo(client.host)
            stray = any(UNSOLICITED in reply.flaws for reply in talk.session.replies)
            return Knock(way, talk.quit(), stray)
        unknown = talk.connect().code == GREETS and talk.ehlo(client.host).code in UNKNOWN_VERB
        if unknown and talk.helo(client.host).treatment is Treatment.PASS:
            way = replace(way, extended=False)
        stray = any(UNSOLICITED in reply.flaws for reply in talk.session.replies)
        return Knock(way, talk.quit(), stray)


def tls_from_the_start(place: Place) -> str:
    """What a server says to a client that begins with TLS; empty when it does not speak it."""
    said = b""
    try:
        with (
            socket.create_connection((place.address, place.port), HANDSHAKE) as plain,
            unverifying_context().wrap_socket(plain) as secured,
        ):
            version = secured.version()
            with contextlib.suppress(TimeoutError):  # the handshake alone says it
                said = secured.recv(512)
    except OSError:  # ssl.SSLError is one
        return ""
    greeting = said.decode("utf-8", "backslashreplace").strip()
    return f"{version}, then «{greeting}»" if greeting else f"{version}"
