"""The tables of a profile, each as it stands in TOML."""

import itertools
import os
from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from harness import settings
from harness.outcome import Stage
from harness.profile.mail_tables import Account, MailboxTable, SenderAuthentication
from harness.profile.values import AroundSeconds, PunctuationMarks, ReservedNetwork, Seconds
from harness.rules import Expectation
from harness.settings.hosts import (
    Address,
    DomainName,
    Endpoint,
    ListAnswer,
    LocalPart,
    LowerName,
    MailAddress,
    Target,
    shown,
    twice,
)
from harness.smtp.command import EXIM_DELAY
from harness.smtp.transport import LONGEST_SOCKET


class RouteName(StrEnum):
    """How the harness makes a connection come from an address."""

    DIRECT = "direct"
    BIND = "bind"
    PROXY_V1 = "proxy-v1"
    PROXY_V2 = "proxy-v2"
    XCLIENT = "xclient"
    COMMAND = "command"


def names_the_client(command: Sequence[str]) -> None:
    """Raises `ValueError` where a command is not told of its client."""
    if not any("{client}" in word for word in command):
        raise ValueError("command: {client} must stand in it, where the client's address belongs")


class Server(settings.Settings):
    """How the server is reached."""

    address: Address
    port: int = Field(default=25, ge=1, le=65535)
    hostname: LowerName
    reply_timeout: Seconds = 60.0
    scan: float | None = Field(default=None, ge=0, le=3600)  # seconds that it may look at a message's content
    jobs: int = Field(default=20, ge=1, le=2000)  # dialogues that may wait side by side
    rate: float = Field(default=20.0, gt=0, le=1000)  # connections that may begin in a second


class Clients(settings.Settings):
    """Which addresses the harness may play, and how."""

    route: RouteName = RouteName.DIRECT
    command: settings.Command = ()  # of route command; {client} in it stands for the address
    delays: AroundSeconds = (
        EXIM_DELAY  # how such a command tells that it would have waited: seconds in the first group
    )
    networks: tuple[ReservedNetwork, ...] = ()
    trusted: tuple[ReservedNetwork, ...] = ()  # that the server relays for
    refused: tuple[ReservedNetwork, ...] = ()  # that it refuses in place of its greeting

    @property
    def all_networks(self) -> tuple[tuple[str, ReservedNetwork], ...]:
        """Those of innocent clients, of relay hosts and of those that are refused, each with its key."""
        by_key = {"networks": self.networks, "trusted": self.trusted, "refused": self.refused}
        return tuple((key, network) for key, networks in by_key.items() for network in networks)

    @model_validator(mode="after")
    def _refused_are_nobody_else(self) -> Self:
        for refused, (key, others) in itertools.product(
            self.refused, (("networks", self.networks), ("trusted", self.trusted))
        ):
            if shared := [one for one in others if one.version == refused.version and one.overlaps(refused)]:
                raise ValueError(
                    f"refused: {refused} shares addresses with {shared[0]} of {key}, whose clients are not "
                    "refused; name networks that have none in common"
                )
        return self

    @model_validator(mode="after")
    def _command_goes_with_its_route(self) -> Self:
        if bool(self.command) != (self.route is RouteName.COMMAND):
            raise ValueError('a command goes with route = "command", as a list of words, and only with that')
        if self.command:
            names_the_client(self.command)
        return self


class TlsBegins(StrEnum):
    """When TLS begins at an endpoint."""

    STARTTLS = "starttls"  # by that command, where it is offered
    IMPLICIT = "implicit"  # with the connection, before the greeting (RFC 8314 §3)


class EndpointTable(settings.Settings):
    """A further place at which the server takes connections, beside that of [server]: submission, LMTP.

    Its transport is TCP, to the address of [server] unless it has another; or a unix socket, by its absolute
    path; or a command. Clients come by their addresses as at [server], unless it has a `route` of its own.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    address: Address | None = None
    port: int = Field(default=0, ge=0, le=65535)
    socket: str = ""
    command: settings.Command = ()
    delays: AroundSeconds = EXIM_DELAY
    tls: TlsBegins = TlsBegins.STARTTLS
    route: RouteName | None = None

    def route_beside(self, route: RouteName) -> RouteName:
        """How clients come by their addresses here, where `route` is that of [clients]."""
        return self.route or (RouteName.COMMAND if self.command else route)

    @model_validator(mode="after")
    def _one_transport(self) -> Self:
        if sum(map(bool, (self.port, self.socket, self.command))) != 1:
            raise ValueError(f"{self.name}: give one of port, socket and command")
        if self.address and not self.port:
            raise ValueError(f"{self.name}: an address goes with a port; leave it out")
        if self.socket and (
            not self.socket.startswith("/") or len(os.fsencode(self.socket)) > LONGEST_SOCKET
        ):
            raise ValueError(
                f"{self.name}: {shown(self.socket)} is no path of a unix socket; write an absolute one of "
                f"{LONGEST_SOCKET} bytes at most"
            )
        if self.command:
            names_the_client(self.command)
        return self


class Dns(settings.Settings):
    """Where the fake DNS listens: the server under test has it as its only resolver."""

    listen: tuple[Endpoint, ...] = Field(min_length=1)


class Policy(settings.Settings):
    """Numbers of the documented policy."""

    delay: float = Field(ge=0, le=600)
    max_recipients: int = Field(default=20, ge=1, le=10000)
    illegal_characters: PunctuationMarks = "@%!/|"


class Domain(settings.Settings):
    """A hosted domain; `bounce_recipients` is its list of senders, absent when it has none.

    An alias leads to local parts of this domain or to whole addresses; "*" takes what nobody else has.
    A domain whose mail is kept otherwise than that of the others has a mailbox of its own.
    """

    name: LowerName
    users: tuple[LocalPart, ...] = Field(min_length=1)
    aliases: dict[LocalPart, Annotated[tuple[Target, ...], Field(min_length=1)]] = Field(default_factory=dict)
    catch_all: bool = False
    bounce_recipients: tuple[LocalPart, ...] | None = None
    mailbox: MailboxTable | None = None

    @field_validator("users", "aliases", "bounce_recipients")
    @classmethod
    def _each_once(cls, value: Collection[str] | None) -> Collection[str] | None:
        if name := twice(list(value or ())):
            raise ValueError(f"{name!r} is there twice, letter case aside; leave one out")
        return value

    @property
    def takes_everyone(self) -> bool:
        """Whether no local part is unknown here."""
        return self.catch_all or "*" in self.aliases

    def leads_to(self, local_part: str) -> tuple[str, ...]:
        """The addresses of an alias, in full; empty when it is none."""
        targets = self.aliases.get(local_part, ())
        return tuple(target if "@" in target else f"{target}@{self.name}" for target in targets)


class DnsList(settings.Settings):
    """A DNS block list of the server, or, with a weight below 0, a white list.

    `answers` are the addresses and networks that count as an answer; without them all of 127.0.0.0/8 does.
    """

    name: str = Field(min_length=1)
    zones: tuple[LowerName, ...] = Field(min_length=1)
    weight: float = 1.0
    answers: tuple[ListAnswer, ...] = ()

    @field_validator("zones")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if zone := twice(list(value)):
            raise ValueError(f"{zone!r} is there twice; leave one out")
        return value

    def shares(self, other: "DnsList") -> str | None:
        """A zone of both lists whose answers may count for either; None when there is none."""
        zone = next((zone for zone in self.zones if zone in other.zones), None)
        apart = self.answers and other.answers
        if apart and not any(one.overlaps(two) for one in self.answers for two in other.answers):
            return None
        return zone

    @field_validator("weight")
    @classmethod
    def _weighs(cls, value: float) -> float:
        if value == 0:
            raise ValueError("a list of weight 0 plays no part; leave it out")
        return value


class GreylistPart(StrEnum):
    """A part of a triplet, or of one of its parts."""

    CLIENT = "client"
    SENDER = "sender"
    SENDER_DOMAIN = "sender domain"
    RECIPIENT = "recipient"


class Greylist(settings.Settings):
    """The documented greylist, all times in seconds.

    `parts` are those by which a client is known from then on; what differs in another part alone is taken.
    """

    delay: Seconds = 60.0
    timeout: Seconds = 28800.0
    lifetime: Seconds = 5184000.0
    sweep: float = Field(default=0.0, ge=0, le=31 * 86400)  # seconds by which it may forget later than that
    whitelist_hosts: tuple[str, ...] = ()
    when_unreachable: str = Field(default="pass", pattern="^(pass|defer)$")
    codes: tuple[Annotated[int, Field(ge=400, le=499)], ...] = (451,)  # any of which puts a client off
    key: Literal["address", "network", "host"] = "address"  # network: IPv4 /24, IPv6 /64
    parts: tuple[GreylistPart, ...] = (GreylistPart.CLIENT, GreylistPart.SENDER, GreylistPart.RECIPIENT)
    at: Literal["rcpt", "data"] = "rcpt"
    exempt_recipients: tuple[LocalPart, ...] = ()
    before_verification: bool = False  # whether it puts off before it looks whether there is such a recipient

    @field_validator("parts")
    @classmethod
    def _of_clients(cls, value: tuple[GreylistPart, ...]) -> tuple[GreylistPart, ...]:
        if part := twice(list(value)):
            raise ValueError(f"{part!r} is there twice; leave one out")
        if GreylistPart.CLIENT not in value:
            raise ValueError('a greylist knows clients; let "client" be among them')
        if {GreylistPart.SENDER, GreylistPart.SENDER_DOMAIN} <= set(value):
            raise ValueError('the domain is part of the "sender"; name one of the two')
        return value

    def counts(self, part: GreylistPart) -> bool:
        """Whether a client that differs in that part is put off anew; the domain is one of the sender."""
        whole = part is GreylistPart.SENDER_DOMAIN and GreylistPart.SENDER in self.parts
        return whole or part in self.parts

    @property
    def stage(self) -> Stage:
        """Where a client is put off."""
        return Stage(self.at)

    @property
    def forgets_within(self) -> float:
        """Seconds after which it does not know any more who has not come meanwhile."""
        return self.lifetime + self.sweep

    def exempts(self, recipient: str) -> bool:
        """Whether mail for that address is never put off."""
        local_part = recipient.rpartition("@")[0] or recipient
        return local_part.lower() in {name.lower() for name in self.exempt_recipients}


class Tls(settings.Settings):
    """The name that clients use, and the CA that vouches for it (the system's when absent)."""

    name: DomainName
    ca_file: settings.File | None = None


class Auth(Account):
    """One account of the server.

    `sender` is the envelope sender that it must use, if it is bound to one. With `verified` the recipients
    that it names are looked for, as a stranger's are.
    """

    sender: MailAddress | None = None
    verified: bool = False


class Clock(settings.Settings):
    """How time passes for the greylist.

    `wait` is real waiting, up to `limit` seconds a scenario. `faketime` writes the offset into the `file` of
    libfaketime, under which the greylist runs, and then runs the command `then`, if there is one.
    """

    kind: str = Field(default="wait", pattern="^(wait|faketime)$")
    limit: Seconds | None = None
    file: settings.File | None = None
    then: settings.Command = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        waits = self.kind == "wait"
        if not waits and self.file and not self.then:
            raise ValueError(
                "then: name the command after which the greylist goes by the new time and forgets what is "
                'over, as ["greylist", "save"] for greylistd; ["true"] if it does so by itself'
            )
        if (self.limit is not None) != waits or (self.file is not None) == waits or (waits and self.then):
            raise ValueError("kind wait goes with a limit in seconds; kind faketime with a file, and then")
        return self


class Operator(settings.Settings):
    """Commands that change the greylist, as argument lists with {list} {client} {sender} {recipient}."""

    add: settings.Command = Field(min_length=1)
    remove: settings.Command = Field(min_length=1)
    list: settings.Command = Field(min_length=1)


class Outage(settings.Settings):
    """Commands that put something, such as the greylist, out of everybody's reach, and back."""

    begin: settings.Command = Field(min_length=1)
    end: settings.Command = Field(min_length=1)


class Directory(settings.Settings):
    """Accounts that are entries of a directory (LDAP), beside that of [auth], whose class may send.

    Those of another class have the right password and may not log in all the same. Odd names are those of
    accounts that may, with characters that mean something in a filter (RFC 4515 §3), in the name of an entry
    (RFC 4514 §2.4) or in an address of a directory (RFC 4516 §2.1). `bind` is a command that ends with 0 when
    the directory takes the password, which it gets on its standard input, for the account `{user}`.
    """

    other_class: tuple[Account, ...] = Field(min_length=1)
    odd_name: tuple[Account, ...] = ()
    bind: settings.Command = ()
    outage: Outage | None = None

    @field_validator("bind")
    @classmethod
    def _names_the_account(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value and not any("{user}" in word for word in value):
            raise ValueError("{user} must stand in it, where the account's name belongs")
        return value

    @property
    def accounts(self) -> tuple[Account, ...]:
        """All of them."""
        return (*self.other_class, *self.odd_name)


class Override(settings.Settings):
    """What this server documents instead of the catalogue's outcome, and why."""

    outcome: Expectation
    reason: str = Field(min_length=1)


class SuiteClaims(settings.Settings):
    """The names of suites that the server documents beside those that are claimed by default, and of these
    some that it does not."""

    claim: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


class Claims(settings.Settings):
    """Which rules of these suites the server documents (patterns of ids), and where its outcome differs."""

    claim: tuple[str, ...] = ("*",)
    without: tuple[str, ...] = ()
    expect: dict[str, Override] = Field(default_factory=dict)


class Spf(SenderAuthentication):
    """`route` is how the clients of a suite come by their addresses, where not as all others do.

    A server may pass on the words of the sender's domain about a failure or not (RFC 7208 §6.2).
    """

    route: RouteName | None = None
    explanations: bool = True


class ServerTables(settings.Settings):
    """The tables that a profile may have about the dialogue and what the harness controls."""

    dns: Dns | None = None
    greylist: Greylist | None = None
    tls: Tls | None = None
    auth: Auth | None = None
    directory: Directory | None = None
    clock: Clock | None = None
    operator: Operator | None = None
    outage: Outage | None = None
    spf: Spf | None = None
