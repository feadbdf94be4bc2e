"""A sending host that the harness plays: what DNS says of it, and how it talks to the server."""

import contextlib
import ipaddress
import itertools
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Protocol

from fake_dns import Behaviour, QueryEntry, listing_name, reverse_name
from harness.capabilities.mail_host import MailHost
from harness.capabilities.mailbox import Delivered
from harness.outcome import Stage, Verdict, later
from harness.rules import Capability
from harness.smtp.routes import Route
from harness.smtp.session import Ending, Session
from harness.smtp.tls import unverifying_context
from harness.verdicts import NotTestableError
from harness.world.conversation import Attempt, Conversation, Step
from harness.world.internet import Identity, Internet, Kind
from harness.world.pace import Pace
from harness.world.sut import BlockList, Sut

GREYLIST_SLACK = 1.0  # seconds over the documented delay before a retry
UNHEARD = (Ending.UNREACHABLE, Ending.NOT_INTRODUCED)  # the server never met such a client


class Clock(Protocol):
    """Lets time pass for the greylist."""

    def advance(self, client: str, seconds: float) -> None:
        """Let `seconds` pass as the server sees that client; raises `NotTestableError`."""

    def reading(self, client: str) -> float:
        """The time in seconds as the server sees that client: real time, and what was let pass."""

    def taking_part(self) -> AbstractContextManager[None]:
        """For as long as a scenario is played: its time passes only when it waits for that."""

    def stop(self) -> None:
        """The run is over: nobody waits any more."""


@dataclass(frozen=True)
class Act:
    """Something that was done or looked up as the server's operator."""

    at: float  # time.monotonic()
    text: str
    shown: str = ""
    tells: str = ""  # of what is shown, what makes it another answer


@dataclass(frozen=True)
class Cause:
    """Something that the server must have looked at, or a rule cannot have been at work."""

    missing: str  # the sentence for when it was not seen
    seen: bool
    usual: bool = False  # whether it was seen for innocent clients at the beginning of the run


@dataclass
class World:
    """What all clients of one scenario share."""

    internet: Internet
    sut: Sut
    route: Route
    clock: Clock | None
    server: tuple[str, int]
    pace: Pace
    usual: frozenset[tuple[str, int]] = frozenset()  # zones that were asked about innocents of an IP version
    goal: Stage = Stage.RCPT  # how far dialogues go: to where the server tells the verdict in question
    waited: float = 0.0  # seconds, for turns to connect
    conversations: list[tuple[str, "Client", Conversation]] = field(default_factory=list)
    hosts: list[MailHost] = field(default_factory=list)  # of everybody else
    deliveries: list[Delivered] = field(default_factory=list)  # that were found
    operator: list[Act] = field(default_factory=list)  # what was done as the server's operator

    @property
    def client_domains(self) -> set[str]:
        """What the mail of this scenario's clients mentions."""
        return {client.identity.domain for _, client, _ in self.conversations}

    @property
    def servers(self) -> list[tuple[str, int]]:
        """Those that this scenario's clients talked to."""
        return list(dict.fromkeys(client.server or self.server for _, client, _ in self.conversations))

    @property
    def lost(self) -> str:
        """How one of the dialogues was lost, if so: what it was to show was not seen then."""
        return next((talk.lost for _, _, talk in self.conversations if talk.lost), "")

    @property
    def unheard(self) -> str:
        """Why one of the clients could not come from its address, if so: the server did not judge it then."""
        sessions = ((talk, talk.session.ending) for _, _, talk in self.conversations)
        return next((talk.broken for talk, ending in sessions if ending in UNHEARD), "")


@dataclass
class Client:
    """One sending host. It is innocent in every respect until a scenario changes something."""

    world: World
    identity: Identity
    kind: Kind
    label: str = "client"
    server: tuple[str, int] | None = None  # that it talks to; the one of the profile unless told otherwise
    word: str = "message"  # what its messages are called in what they are found by

    @property
    def address(self) -> str:
        """The address that the server sees."""
        return self.identity.address

    @property
    def version(self) -> int:
        """The IP version of its address."""
        return ipaddress.ip_address(self.address).version

    @property
    def host(self) -> str:
        """The host name, the same in PTR, A and greeting."""
        return self.identity.host

    @property
    def sender(self) -> str:
        """The envelope sender that it uses unless told otherwise."""
        return self.identity.sender

    @property
    def token(self) -> str:
        """What no message has in it but its own, and notifications about that."""
        return f"{self.word}-{self.identity.domain}"

    def another(self, label: str = "another host") -> "Client":
        """Another host of the same kind that is innocent in every respect, in another network."""
        identity = self.world.internet.identity(self.kind)
        return Client(self.world, identity, self.kind, label=label, server=self.server)

    def neighbours(self) -> tuple["Client", "Client"]:
        """Two other hosts of the same kind, with addresses side by side in one network."""
        one, other = self.world.internet.neighbours(self.kind)
        return (
            Client(self.world, one, self.kind, label="a host"),
            Client(self.world, other, self.kind, label="its neighbour"),
        )

    def at_address(self, address: str) -> "Client":
        """An innocent host with an address that a scenario prescribes."""
        self.world.internet.dns.withdraw(reverse_name(address), "PTR")
        identity = self.world.internet.identity(self.kind, address)
        return Client(self.world, identity, self.kind, label=f"client {address}")

    # What DNS says of it

    def name(self, label: str) -> str:
        """A host name inside the client's domain that nothing is published for yet."""
        return f"{label}.{self.identity.domain}"

    def publish(self, name: str, record_type: str, *data: str) -> None:
        """Publish records of a name of this client."""
        for entry in data:
            self.world.internet.dns.publish(name, record_type, entry)

    def withdraw(self, name: str, record_type: str) -> None:
        """Take records of a name of this client away."""
        self.world.internet.dns.withdraw(name, record_type)

    def script(self, name: str, record_type: str, behaviour: Behaviour) -> None:
        """Make the fake DNS misbehave when it is asked for that name and type."""
        self.world.internet.dns.script(name, record_type, behaviour)

    def without_ptr(self) -> None:
        """Take the PTR record away; raises `NotTestableError` where the server does not look for it."""
        if reason := self.world.sut.profile.lacks(Capability.REVERSE_LOOKUP):
            raise NotTestableError(reason)
        self.world.internet.dns.withdraw(reverse_name(self.address), "PTR")

    def ptr_names(self, host: str) -> None:
        """Let the PTR record name another host."""
        self.without_ptr()
        self.world.internet.dns.publish_ptr(self.address, host)

    def another_name(self, label: str) -> str:
        """A second name of this host, as good as the first: forward and reverse DNS agree."""
        name = self.name(label)
        self.world.internet.publish_host(name, self.address)
        self.another_ptr(name)
        return name

    def another_ptr(self, host: str) -> None:
        """Add a second name to the PTR record."""
        self.world.internet.dns.publish_ptr(self.address, host)

    def ptr_answers(self, behaviour: Behaviour) -> None:
        """Make the PTR lookup of the client's address misbehave."""
        self.without_ptr()
        self.script(reverse_name(self.address), "PTR", behaviour)

    def list_on(self, blocklist: BlockList, *, text: str = "listed for testing", zone: int = 0) -> None:
        """Put the address on a block list (on one zone of a grouped one)."""
        self.world.internet.dns.list_address(blocklist.zones[zone], self.address, blocklist.answer, text=text)

    def unlist_from(self, blocklist: BlockList) -> None:
        """Take the address off every zone of a block list."""
        for zone in blocklist.zones:
            self.world.internet.dns.unlist_address(zone, self.address)

    def lookup_fails(self, blocklist: BlockList, behaviour: Behaviour, *, zones: int | None = None) -> None:
        """Make a block list, or its first so many `zones`, misbehave when it is asked about this client."""
        for zone in blocklist.zones[:zones]:
            name = listing_name(self.address, zone)
            for record_type in ("A", "TXT"):
                self.script(name, record_type, behaviour)

    def asked(self, *blocklists: BlockList) -> Cause:
        """That the server asked each of these block lists about this client."""
        missing = [one for one in blocklists if not self.queries_for(one)]
        names = ", ".join(one.name for one in missing)
        usual = all(self._usually_asked(one) for one in missing)
        return Cause(f"{names} was not asked about {self.address}", not missing, usual)

    def asked_any(self, *blocklists: BlockList) -> Cause:
        """That the server asked one of these block lists about this client."""
        seen = any(self.queries_for(one) for one in blocklists)
        usual = any(map(self._usually_asked, blocklists))
        return Cause(f"no list was asked about {self.address}", seen, usual)

    def _usually_asked(self, blocklist: BlockList) -> bool:
        """Whether a list was asked about innocent clients like this one at the beginning of the run."""
        return any((zone, self.version) in self.world.usual for zone in blocklist.zones)

    def looked_up(self, name: str) -> Cause:
        """That the server looked a name up, for whatever type of record."""
        found = self.world.internet.dns.queries(under=name)
        return Cause(f"{name} was not looked up", any(entry.name == name.lower() for entry in found))

    def looked_up_text(self, name: str) -> Cause:
        """That the server looked for TXT records of a name, as for a policy or a key."""
        found = self.world.internet.dns.queries(under=name)
        seen = any(entry.name == name.lower() and entry.type == "TXT" for entry in found)
        return Cause(f"no TXT record of {name} was looked for", seen)

    def looked_up_address(self) -> Cause:
        """That the server looked for the name of this client's address (PTR)."""
        return self.looked_up(reverse_name(self.address))

    def queries_for(self, blocklist: BlockList) -> list[QueryEntry]:
        """The server's questions to a block list about this client."""
        dns = self.world.internet.dns
        return [
            entry for zone in blocklist.zones for entry in dns.queries(under=listing_name(self.address, zone))
        ]

    def queries(self) -> list[QueryEntry]:
        """Every question of the server that bears a name or the address of this client, in order of time."""
        dns = self.world.internet.dns
        places = {self.identity.domain, self.host, reverse_name(self.address)}
        places |= {
            listing_name(self.address, zone) for blocklist in self.world.sut.dnsbl for zone in blocklist.zones
        }
        return sorted((entry for place in places for entry in dns.queries(under=place)), key=_when)

    def _silence(self, since: float, until: float) -> float:
        """The longest time between two moments in which the server asked nothing about this client."""
        asked = [entry.at for entry in self.queries() if since < entry.at < until]
        return max(later - earlier for earlier, later in itertools.pairwise([since, *asked, until]))

    # How it talks

    def session(self) -> Session:
        """A session that is not connected yet."""
        auth = self.world.sut.profile.auth
        return Session(
            self.server or self.world.server,
            self.address,
            self.world.route,
            reply_timeout=self.world.sut.profile.patience,
            secrets=[auth.secret] if auth else (),
        )

    @contextlib.contextmanager
    def conversation(self, label: str = "") -> Iterator[Conversation]:
        """A session to be driven by hand; the socket is closed at the end, whatever happens."""
        session = self.session()
        self.world.waited += self.world.pace.take_turn(session)
        conversation = Conversation(session, self.address, self._silence, token=self.token)
        self.world.conversations.append((label or self.label, self, conversation))
        try:
            yield conversation
        finally:
            session.close()

    def attempt(
        self,
        *,
        helo: str | None = None,
        extended: bool = True,
        sender: str | None = None,
        recipient: str | Sequence[str] | None = None,
        message: bytes | None = None,
        covered: bool = False,
        authenticated: bool = False,
        upto: Stage | None = None,
        patient: bool = True,
        label: str = "",
    ) -> Attempt:
        """A whole dialogue, connect to QUIT, as far as the server must be heard to tell the verdict.

        That is the stage at which it tells verdicts of the rule, or the end of DATA with a `message` of one's
        own, and no less than `upto`; it ends early at the first refusal. It greets with EHLO, or with HELO
        when it is not to be `extended`, and again under TLS when it is to be `covered`. Several recipients
        are told one after the other. A known or trusted host that is greylisted all the same waits and tries
        again, as any mail server would, where the profile lets time pass; unless it is not `patient`.
        """
        goal = Stage.DATA if message is not None else later(self.world.goal, upto or Stage.CONNECT)
        recipients = (
            [recipient or self.world.sut.recipient] if isinstance(recipient, str | None) else list(recipient)
        )
        if sender is None:
            sender = self._account_sender if authenticated else self.sender

        def once() -> Attempt:
            with self.conversation(label) as talk:
                self._go_through(
                    talk,
                    goal,
                    greet=lambda: self._greet(
                        talk, helo, extended=extended, covered=covered, authenticated=authenticated
                    ),
                    sender=sender,
                    recipients=recipients,
                    content=message,
                )
                return replace(talk.quit(), recipient=recipients[0])

        attempt = once()
        if patient and (authenticated or self.kind is not Kind.STRANGER):
            for _ in recipients:  # each is a triplet of its own
                attempt = self._after_greylist(attempt, once)
        return attempt

    def be_known(self, recipient: str | None = None) -> None:
        """Before a dialogue by hand: see to it that no greylist puts this host off in it.

        Where its name is on no whitelist and time can pass, it comes once before, waits and comes again.
        """
        sut = self.world.sut
        if sut.profile.greylist and self.world.clock and not sut.whitelists(self.host):
            before = replace(self, label="the same host, before", word="earlier")
            before.attempt(recipient=recipient, upto=sut.greylist.stage)

    def carry_on(self, talk: Conversation, recipient: str = "") -> None:
        """From MAIL on as far as the server must be heard to tell the verdict, or to the first refusal."""
        goal, recipient = self.world.goal, recipient or self.world.sut.recipient
        if goal in (Stage.CONNECT, Stage.HELO, Stage.TLS, Stage.AUTH):
            return
        if talk.mail(self.sender).verdict is not Verdict.PASS or goal is Stage.MAIL:
            return
        if talk.rcpt(recipient).verdict is Verdict.PASS and goal is Stage.DATA:
            talk.data(message(self, recipient))

    def _greet(
        self, talk: Conversation, helo: str | None, *, extended: bool, covered: bool, authenticated: bool
    ) -> Step:
        if authenticated:
            return self.log_in(talk)
        if covered:
            return self._cover(talk)[1]
        return (talk.ehlo if extended else talk.helo)(helo or self.host)

    def _go_through(
        self,
        talk: Conversation,
        goal: Stage,
        *,
        greet: Callable[[], Step],
        sender: str,
        recipients: Sequence[str],
        content: bytes | None,
    ) -> None:
        """Stage by stage, up to the goal or the first refusal."""
        if talk.connect().verdict is not Verdict.PASS or goal is Stage.CONNECT:
            return
        if greet().verdict is not Verdict.PASS or goal in (Stage.HELO, Stage.TLS, Stage.AUTH):
            return
        if talk.mail(sender).verdict is not Verdict.PASS or goal is Stage.MAIL:
            return
        for one in recipients:
            if talk.rcpt(one).verdict is not Verdict.PASS:
                return
        if goal is not Stage.RCPT:
            talk.data(message(self, recipients[0]) if content is None else content)

    @property
    def _account_sender(self) -> str:
        """The envelope sender that the profile's account uses."""
        auth = self.world.sut.profile.auth
        return (auth.sender if auth else None) or self.sender

    def _after_greylist(self, attempt: Attempt, again: Callable[[], Attempt]) -> Attempt:
        """The attempt, made again after the greylist's delay if that put it off."""
        greylist, clock = self.world.sut.profile.greylist, self.world.clock
        if not greylist or not clock:
            return attempt
        put_off = attempt.reached  # at RCPT or at the end of DATA, as bounces always are
        if (
            put_off is None
            or put_off.stage not in (greylist.stage, Stage.DATA)
            or put_off.verdict is not Verdict.DEFER
            or put_off.code not in greylist.codes
        ):
            return attempt
        clock.advance(self.address, greylist.delay + GREYLIST_SLACK)
        return again()

    def tls_context(self) -> ssl.SSLContext:
        """TLS as scenarios that are not about the certificate use it: encrypted, unverified."""
        return unverifying_context()

    def verifying_context(self) -> tuple[str, ssl.SSLContext]:
        """The name that clients use, and TLS as a careful client does it: against the profile's CA."""
        tls = self.world.sut.profile.tls
        if tls is None:
            raise NotTestableError("the profile has no [tls]")
        return tls.name, ssl.create_default_context(cafile=tls.ca_file)

    def account(self) -> tuple[str, str]:
        """Name and password of the profile's account."""
        auth = self.world.sut.profile.auth
        if auth is None:
            raise NotTestableError("the profile has no [auth] account")
        return auth.user, auth.secret

    def begin_tls(self, talk: Conversation) -> tuple[Step, Step]:
        """Connect, EHLO, STARTTLS, EHLO: the two answers to EHLO, in clear text and under TLS."""
        talk.connect()
        return self._cover(talk)

    def log_in(self, talk: Conversation) -> Step:
        """EHLO, STARTTLS, EHLO and AUTH with the account of the profile."""
        user, secret = self.account()
        self._cover(talk)
        return talk.auth_plain(user, secret)

    def _cover(self, talk: Conversation) -> tuple[Step, Step]:
        clear = talk.ehlo(self.host)
        talk.starttls(self.tls_context(), self.world.sut.hostname)
        return clear, talk.ehlo(self.host)


def message(
    client: Client, recipient: str, *, subject: str = "smtp-harness", body: str = "Hello.\r\n", to: str = ""
) -> bytes:
    """A well-formed message of a client (RFC 5322), with CRLF line ends; `to` is another value of To.

    It is found by `client.token`, which stands in its Message-ID. It is dated now: content filters hold an
    old date against a message.
    """
    header = {
        "From": f"<{client.sender}>",
        "To": to or f"<{recipient}>",
        "Subject": subject,
        "Date": format_datetime(datetime.now(UTC)),
        "Message-ID": f"<{client.token}@{client.host}>",
    }
    return ("".join(f"{name}: {value}\r\n" for name, value in header.items()) + "\r\n" + body).encode()


def _when(entry: QueryEntry) -> float:
    return entry.at
