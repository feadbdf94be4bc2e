"""The profile: what is known of a server under test, read from TOML and checked as a whole."""

import fnmatch
import ipaddress
import os
import re
import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from harness import settings
from harness.rules import Capability, Catalogue, Expectation, Rule
from harness.smtp.command import EXIM_DELAY

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

RESERVED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.2.0/24",  # RFC 5737
        "198.51.100.0/24",
        "203.0.113.0/24",
        "198.18.0.0/15",  # RFC 2544
        "2001:db8::/32",  # RFC 3849
        "127.0.0.0/8",
    )
)


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        network = ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"{error}; write an address or a network such as 198.18.0.0/15") from None
    if not any(network.version == space.version and network.subnet_of(space) for space in RESERVED):  # type: ignore[arg-type]
        raise ValueError(
            f"{value} is not reserved for testing; use a part of "
            + ", ".join(str(space) for space in RESERVED)
        )
    return network


def _is_of_this_host(network: Network) -> bool:
    """Whether the addresses of a network can be bound here; its first stands for all."""
    family = socket.AF_INET6 if network.version == 6 else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.bind((str(network.network_address + (network.num_addresses > 1)), 0))
    except OSError:
        return False
    return True


def endpoint(value: str) -> tuple[str, int]:
    """An address and a port, as in `127.0.0.1:5353` or `[::1]:5353`; raises `ValueError` with the mend."""
    host, separator, port = value.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        number = int(port)
    except ValueError:
        raise ValueError(f"{value!r} is no address and port; write 127.0.0.1:5353 or [::1]:5353") from None
    if not separator or not 0 <= number <= 65535:
        raise ValueError(f"{value!r} has no port from 0 to 65535; write 127.0.0.1:5353")
    return (str(address), number)


def _endpoint(value: object) -> object:
    return endpoint(value) if isinstance(value, str) else value


def _address(value: object) -> object:
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError:
        raise ValueError(f"{value!r} is no IP address; write it in numbers, as 127.0.0.1 or ::1") from None


ReservedNetwork = Annotated[Network, BeforeValidator(_network)]
Endpoint = Annotated[tuple[str, int], BeforeValidator(_endpoint)]
Address = Annotated[str, BeforeValidator(_address)]
Seconds = Annotated[float, Field(gt=0, le=86400 * 365)]


class RouteName(StrEnum):
    """How the harness makes a connection come from an address."""

    DIRECT = "direct"
    BIND = "bind"
    PROXY_V1 = "proxy-v1"
    PROXY_V2 = "proxy-v2"
    XCLIENT = "xclient"
    COMMAND = "command"


class Server(settings.Settings):
    """How the server is reached."""

    address: Address
    port: int = Field(default=25, ge=1, le=65535)
    hostname: str = Field(min_length=1)
    reply_timeout: Seconds = 60.0
    scan: float = Field(default=0, ge=0, le=3600)  # seconds that it may take to look at a message's content
    jobs: int = Field(default=20, ge=1, le=2000)  # scenarios that may wait side by side
    rate: float = Field(default=20.0, gt=0, le=1000)  # connections that may begin in a second


class Clients(settings.Settings):
    """Which addresses the harness may play, and how."""

    route: RouteName = RouteName.DIRECT
    command: tuple[str, ...] = ()  # of route command; {client} in it stands for the address
    delays: str = EXIM_DELAY  # how such a command tells that it would have waited: seconds in the first group
    networks: tuple[ReservedNetwork, ...] = ()
    trusted: tuple[ReservedNetwork, ...] = ()

    @field_validator("delays")
    @classmethod
    def _pattern(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"{value!r} is no regular expression: {error}") from None
        if groups != 1:
            raise ValueError(f"{value!r} has {groups} groups; write one, around the seconds")
        return value

    @model_validator(mode="after")
    def _command_goes_with_its_route(self) -> Self:
        if bool(self.command) != (self.route is RouteName.COMMAND):
            raise ValueError('a command goes with route = "command", as a list of words, and only with that')
        if self.command and not any("{client}" in word for word in self.command):
            raise ValueError("command: {client} must stand in it, where the client's address belongs")
        return self


class Dns(settings.Settings):
    """Where the fake DNS listens: the server under test has it as its only resolver."""

    listen: tuple[Endpoint, ...] = Field(min_length=1)


class Policy(settings.Settings):
    """Numbers of the documented policy."""

    delay: float = Field(ge=0, le=600)
    max_recipients: int = Field(default=20, ge=1, le=10000)
    illegal_characters: str = "@%!/|"


class Domain(settings.Settings):
    """A hosted domain; `bounce_recipients` is its list of senders, absent when it has none."""

    name: str = Field(min_length=1)
    users: tuple[str, ...] = Field(min_length=1)
    catch_all: bool = False
    bounce_recipients: tuple[str, ...] | None = None


class DnsList(settings.Settings):
    """A DNS block list of the server, in the order in which it asks them."""

    name: str = Field(min_length=1)
    zones: tuple[str, ...] = Field(min_length=1)


class Greylist(settings.Settings):
    """The documented greylist, all times in seconds."""

    delay: Seconds = 60.0
    timeout: Seconds = 28800.0
    lifetime: Seconds = 5184000.0
    whitelist_hosts: tuple[str, ...] = ()
    when_unreachable: str = Field(default="pass", pattern="^(pass|defer)$")


class Tls(settings.Settings):
    """The name that clients use, and the CA that vouches for it (the system's when absent)."""

    name: str
    ca_file: Path | None = None


class Auth(settings.Settings):
    """One account of the server; the password may come from the environment instead."""

    user: str = Field(min_length=1)
    password: str = Field(default="", repr=False)
    password_env: str = ""

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if bool(self.password) == bool(self.password_env):
            raise ValueError("give either password or password_env")
        if self.password_env and not os.environ.get(self.password_env):
            raise ValueError(
                f"the environment has no {self.password_env}; export the password under that name"
            )
        return self

    @property
    def secret(self) -> str:
        """The password itself."""
        return self.password or os.environ[self.password_env]


class Clock(settings.Settings):
    """How time passes for the greylist.

    `wait` is real waiting, up to `limit` seconds a scenario. `faketime` writes the offset into the `file` of
    libfaketime, under which the greylist runs, and then runs the command `then`, if there is one.
    """

    kind: str = Field(default="wait", pattern="^(wait|faketime)$")
    limit: Seconds | None = None
    file: Path | None = None
    then: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        waits = self.kind == "wait"
        if (self.limit is not None) != waits or (self.file is not None) == waits or (waits and self.then):
            raise ValueError("kind wait goes with a limit in seconds; kind faketime with a file, and then")
        return self


class Mailbox(settings.Settings):
    """Where accepted mail is found: a Maildir; `{user}` and `{domain}` stand for the recipient's parts."""

    maildir: str = Field(min_length=1)


class Operator(settings.Settings):
    """Commands that change the greylist, as argument lists with {list} {client} {sender} {recipient}."""

    add: tuple[str, ...] = Field(min_length=1)
    remove: tuple[str, ...] = Field(min_length=1)
    list: tuple[str, ...] = Field(min_length=1)


class Outage(settings.Settings):
    """Commands that put the greylist out of everybody's reach, and back."""

    begin: tuple[str, ...] = Field(min_length=1)
    end: tuple[str, ...] = Field(min_length=1)


class Override(settings.Settings):
    """What this server documents instead of the catalogue's outcome, and why."""

    outcome: Expectation
    reason: str = Field(min_length=1)


class Claims(settings.Settings):
    """Which rules the server documents (patterns of ids), and where its outcome differs."""

    claim: tuple[str, ...] = ("*",)
    without: tuple[str, ...] = ()
    expect: dict[str, Override] = Field(default_factory=dict)


class Profile(settings.Settings):
    """Everything that is known of one server under test."""

    name: str = Field(min_length=1)
    server: Server
    clients: Clients = Clients()
    dns: Dns | None = None
    policy: Policy
    domain: tuple[Domain, ...] = Field(min_length=1)
    dnsbl: tuple[DnsList, ...] = ()
    greylist: Greylist | None = None
    tls: Tls | None = None
    auth: Auth | None = None
    clock: Clock | None = None
    mailbox: Mailbox | None = None
    operator: Operator | None = None
    outage: Outage | None = None
    rules: Claims = Claims()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        binding = self.clients.route is RouteName.BIND
        foreign = [net for net in self.clients.networks if binding and not _is_of_this_host(net)]
        if foreign:
            raise ValueError(
                f"clients.networks: {foreign[0]} is not of this host, so route bind cannot use it; "
                f"anywhere only parts of 127.0.0.0/8 can be bound"
            )
        if self.clients.route is not RouteName.DIRECT and not self.clients.networks:
            raise ValueError(
                "clients.networks: the route can choose addresses, so name the networks to choose from"
            )
        if self.clients.route is RouteName.DIRECT and (self.clients.networks or self.clients.trusted):
            raise ValueError(
                "clients: with route direct no address can be chosen; name another route or no networks"
            )
        return self

    def claims(self, rule: Rule) -> bool:
        """Whether the server documents the rule at all."""
        return _matches(rule.id, self.rules.claim) and not _matches(rule.id, self.rules.without)

    def expectation(self, rule: Rule) -> tuple[Expectation, str]:
        """What this server documents for a rule, and the profile's reason (empty: the catalogue's)."""
        override = self.rules.expect.get(rule.id)
        return (override.outcome, override.reason) if override else (rule.expect, "")

    @property
    def _binds_ipv6(self) -> bool:
        address = ipaddress.ip_address(self.server.address)
        return address.version == 6 or address.is_loopback  # there it is reached in either family

    def lacks(self, capability: Capability) -> str:
        """Why this profile does not grant a capability, with the mend; empty when it does."""
        granted, mend = {
            Capability.ADDRESS: (
                self.clients.route is not RouteName.DIRECT,
                "clients.route is direct, so the client address cannot be chosen; name a route",
            ),
            Capability.IPV6: (
                any(network.version == 6 for network in self.clients.networks)
                and (self.clients.route is not RouteName.BIND or self._binds_ipv6),
                "the profile knows of no IPv6 clients; add a part of 2001:db8::/32 to clients.networks"
                " (with route bind, a server that is not on loopback must have an IPv6 address)",
            ),
            Capability.DNS: (
                self.dns is not None,
                "the profile has no [dns], so the server does not resolve through the fake DNS",
            ),
            Capability.REVERSE_LOOKUP: (
                self.clients.route is not RouteName.XCLIENT,
                "by XCLIENT the server is told its client's name and does not look it up; name another route",
            ),
            Capability.TRUSTED_ADDRESS: (
                bool(self.clients.trusted),
                "clients.trusted names no address that the server relays for",
            ),
            Capability.TLS: (self.tls is not None, "the profile has no [tls]"),
            Capability.CREDENTIALS: (self.auth is not None, "the profile has no [auth] account"),
            Capability.CLOCK: (self.clock is not None, "the profile has no [clock], so no time can pass"),
            Capability.GREYLIST_OPERATOR: (
                self.operator is not None,
                "the profile has no [operator] commands to change the greylist with",
            ),
            Capability.GREYLIST_OUTAGE: (
                self.outage is not None,
                "the profile has no [outage] commands to put the greylist out of reach with",
            ),
            Capability.MAILBOX: (self.mailbox is not None, "the profile has no [mailbox] to read mail from"),
            Capability.HEAVY: (True, ""),
        }[capability]
        return "" if granted else mend


def load(path: Path, catalogue: Catalogue) -> Profile:
    """Read a profile and hold its claims against the catalogue; raises `settings.SettingsError`."""
    profile = settings.read(path, Profile)
    problems = contradictions(profile, catalogue)
    if problems:
        raise settings.SettingsError(path, problems)
    return profile


def contradictions(profile: Profile, catalogue: Catalogue) -> list[str]:
    """What the profile claims and cannot mean, as sentences that begin with the key."""
    ids = list(catalogue.rules)
    problems = [
        f"rules.{key}: {pattern!r} matches no rule; {settings.nearest(pattern, ids)}"
        for key, patterns in (("claim", profile.rules.claim), ("without", profile.rules.without))
        for pattern in patterns
        if not any(fnmatch.fnmatchcase(rule_id, pattern) for rule_id in ids)
    ]
    for rule_id in profile.rules.expect:
        if rule_id not in catalogue.rules:
            problems.append(f"rules.expect.{rule_id}: unknown rule; {settings.nearest(rule_id, ids)}")
        elif not profile.claims(catalogue[rule_id]):
            problems.append(f"rules.expect.{rule_id}: the rule is not claimed; claim it or drop the override")
    for rule in catalogue:
        if profile.claims(rule):
            problems.extend(_unfounded(profile, rule))
    return problems


def _unfounded(profile: Profile, rule: Rule) -> list[str]:
    expectation, _ = profile.expectation(rule)
    group = rule.id.partition(".")[0]
    missing = []
    if profile.policy.delay == 0 and all(outcome.late for outcome in expectation):
        missing.append("it promises a delay but policy.delay is 0; set the delay or override its outcome")
    if group == "dnsbl" and len(profile.dnsbl) < 3:
        missing.append("it needs three [[dnsbl]] lists; describe them or put dnsbl.* under rules.without")
    if group == "greylist" and profile.greylist is None:
        missing.append("there is no [greylist]; describe it or put greylist.* under rules.without")
    if rule.id == "greylist.host-whitelist" and profile.greylist and not profile.greylist.whitelist_hosts:
        missing.append(
            "greylist.whitelist_hosts is empty; name a pattern or put the rule under rules.without"
        )
    if group == "bounce" and not any(domain.bounce_recipients for domain in profile.domain):
        missing.append("no [[domain]] has bounce_recipients; add them or put bounce.* under rules.without")
    return [f"rules.claim: {rule.id} is claimed, but {reason}" for reason in missing]


def _matches(rule_id: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(rule_id, pattern) for pattern in patterns)
