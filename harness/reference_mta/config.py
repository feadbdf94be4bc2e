"""The configuration of the reference MTA: TOML, checked as a whole before anything listens."""

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness import settings
from harness.reference_mta.addresses import split
from harness.reference_mta.domains import LABEL, Domain, Format, Name
from harness.reference_mta.passwords import is_hash

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
WIDEST = {4: 8, 6: 32}  # shorter prefixes make an open relay
MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # all of IPv4 in an IPv6 network that looks narrow

EXAMPLE = """\
# A configuration of the reference MTA, to be run with: smtp-harness mta THIS_FILE
[server]
hostname = "mail.castle.example"
listen = "127.0.0.1"
port = 2525
delay = 20                       # seconds
state = "mta-state"              # database, certificate, accepted mail, beside this file
# proxy_protocol = true          # for tests: every client then says its address by PROXY, and is believed

[dns]                            # without an answer every client is delayed, so start this one first
server = "127.0.0.1:5353"        # the only name server it asks, such as: smtp-harness dns zone.toml

[relay]
from_hosts = ["127.0.0.1"]

[[domain]]
name = "castle.example"
users = ["alice", "newsletter", "postmaster"]
aliases = { info = ["alice"] }   # "*" would take the rest
bounce_recipients = ["alice", "postmaster"]

[[dnsbl]]
name = "traps"
zones = ["traps.blocklist.example"]

[greylist]
whitelist_hosts = ["*.bulkmail.example"]

[delivery]
format = "maildir"               # or "mbox"
# filters = "filters"            # a folder with a filter for each user, such as alice@castle.example

[spam]
threshold = 5.0
# spamd = "127.0.0.1:783"        # otherwise the few tests that are built in

[outgoing]
route = "none"                   # mail for others: "none" returns it, "mx" asks the name server above,
# smarthost = "127.0.0.1:2626"   # and "smarthost" sends it all to this one
interval = 300                   # seconds between two tries

[srs]
# secret = "..."                 # forwarded mail then has a sender that bounces find back to

[spf]
mode = "off"                     # or "mark", "reject"

[dkim]
mode = "off"                     # or "mark", "reject"

[auth.users]
# alice = "scrypt$..."           # from: smtp-harness mta hash-password
"""


def _address(value: object) -> object:
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError:
        raise ValueError(f"{value!r} is no IP address; write it in numbers, as 127.0.0.1") from None


def _network(value: object) -> object:
    try:
        network = ipaddress.ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"{error}; write an address or a network such as 203.0.113.0/24") from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(MAPPED):
        raise ValueError(f"{value} stands for IPv4 addresses; write them as such, 203.0.113.0/24")
    if network.prefixlen < WIDEST[network.version]:
        raise ValueError(
            f"{value} is so wide that the server would be an open relay; name networks of "
            f"/{WIDEST[4]} (IPv4) or /{WIDEST[6]} (IPv6) at most"
        )
    return network


def _endpoint(value: object) -> object:
    host, separator, port = str(value).rpartition(":")
    try:
        address, number = str(ipaddress.ip_address(host.strip("[]"))), int(port)
    except ValueError:
        raise ValueError(f"{value!r} is no address and port; write 127.0.0.1:53") from None
    if not separator or not 0 < number < 65536:
        raise ValueError(f"{value!r} has no port from 1 to 65535")
    return (address, number)


def _hash(value: object) -> object:
    if not (isinstance(value, str) and is_hash(value)):
        raise ValueError("is no password hash; make one with: smtp-harness mta hash-password")
    return value


Address = Annotated[str, BeforeValidator(_address)]
RelayNetwork = Annotated[Network, BeforeValidator(_network)]
Endpoint = Annotated[tuple[str, int], BeforeValidator(_endpoint)]
PasswordHash = Annotated[str, BeforeValidator(_hash)]
CertificateName = Annotated[str, Field(pattern=rf"^(\*\.)?{LABEL}(\.{LABEL})*$", max_length=253)]
Seconds = Annotated[float, Field(gt=0, le=86400 * 365)]


class Server(settings.Settings):
    """How it listens, and its numbers."""

    hostname: Name
    listen: Address = "127.0.0.1"
    port: int = Field(default=2525, ge=0, le=65535)
    allow_public: bool = False
    proxy_protocol: bool = False
    delay: float = Field(default=20.0, ge=0, le=600)  # seconds
    max_recipients: int = Field(default=20, ge=1, le=10000)
    size_limit: int = Field(default=52428800, ge=65536)  # bytes
    idle_timeout: Seconds = 300.0
    state: settings.File

    @model_validator(mode="after")
    def _loopback_unless_told(self) -> Self:
        if not self.allow_public and not ipaddress.ip_address(self.listen).is_loopback:
            raise ValueError(
                f"listen: {self.listen} is not loopback; set allow_public = true if strangers are to reach it"
            )
        return self


class Dns(settings.Settings):
    """The one name server that it asks."""

    server: Endpoint
    timeout: Seconds = 5.0  # seconds for one question
    attempts: int = Field(default=2, ge=1, le=10)


class Relay(settings.Settings):
    """Whom it relays for without a password."""

    from_hosts: tuple[RelayNetwork, ...] = ()


class DnsList(settings.Settings):
    """A DNS block list; hits in several zones of one list count once."""

    name: str = Field(min_length=1)
    zones: tuple[Name, ...] = Field(min_length=1)


class DnsblPolicy(settings.Settings):
    """How many lists must agree before a client is refused."""

    threshold: int = Field(default=2, ge=1)


class Greylist(settings.Settings):
    """Times in seconds; host patterns are those of fnmatch."""

    delay: Seconds = 60.0
    timeout: Seconds = 28800.0
    lifetime: Seconds = 5184000.0
    whitelist_hosts: tuple[str, ...] = ()
    when_unreachable: str = Field(default="pass", pattern="^(pass|defer)$")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.delay >= self.timeout:
            raise ValueError("timeout: must be longer than delay, or no retry could ever be accepted")
        return self


class Tls(settings.Settings):
    """A certificate of the operator's own; or the names on the one that is made, see `Config.tls_names`."""

    names: tuple[CertificateName, ...] = ()
    certificate: settings.File | None = None  # PEM, the whole chain
    key: settings.File | None = None  # PEM, unencrypted

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key: give both, or neither to have them made")
        return self


class Auth(settings.Settings):
    """Accounts: a name and the hash of its password."""

    users: dict[str, PasswordHash] = Field(default_factory=dict, repr=False)


class Delivery(settings.Settings):
    """How accepted mail is kept for local users."""

    format: Format = "maildir"
    filters: settings.File | None = None  # a folder with a filter for each user, named by the mailbox


class Spam(settings.Settings):
    """Content classification; without `spamd` by the few tests that are built in."""

    spamd: Endpoint | None = None
    threshold: float = Field(default=5.0, gt=0, le=1000)
    timeout: Seconds = 10.0


class Outgoing(settings.Settings):
    """Mail for the domains of others: to the MX that DNS names, to one smarthost, or back to its sender."""

    route: Literal["mx", "smarthost", "none"] = "none"
    smarthost: Endpoint | None = None
    port: int = Field(default=25, ge=1, le=65535)  # of other mail hosts
    interval: Seconds = 300.0  # between two tries
    lifetime: Seconds = 345600.0  # after which a message goes back to its sender
    timeout: Seconds = 60.0  # for a reply of another host; ten times that for the one that takes a message

    @model_validator(mode="after")
    def _has_its_host(self) -> Self:
        if (self.route == "smarthost") != (self.smarthost is not None):
            raise ValueError('smarthost: name it, as 192.0.2.1:25, with route = "smarthost" and only then')
        return self


class Srs(settings.Settings):
    """Sender rewriting for forwarded mail; off without a secret."""

    secret: str = Field(default="", repr=False)
    lifetime: int = Field(default=21, ge=1, le=365)  # days that a rewritten address is good for


class Spf(settings.Settings):
    """SPF at MAIL FROM: not looked at, noted in a header field, or a failure refused."""

    mode: Literal["off", "mark", "reject"] = "off"


class Dkim(settings.Settings):
    """DKIM signatures: not looked at, noted in a header field, or a broken one refused."""

    mode: Literal["off", "mark", "reject"] = "off"


class Mutation(settings.Settings):
    """Deliberate defects, for proving a test suite."""

    names: tuple[str, ...] = Field(min_length=1)


class Config(settings.Settings):
    """The whole configuration."""

    server: Server
    dns: Dns
    relay: Relay = Relay()
    domain: tuple[Domain, ...] = Field(min_length=1)
    dnsbl: tuple[DnsList, ...] = ()
    dnsbl_policy: DnsblPolicy = DnsblPolicy()
    greylist: Greylist = Greylist()
    tls: Tls = Tls()
    auth: Auth = Auth()
    delivery: Delivery = Delivery()
    spam: Spam = Spam()
    outgoing: Outgoing = Outgoing()
    srs: Srs = Srs()
    spf: Spf = Spf()
    dkim: Dkim = Dkim()
    mutation: Mutation | None = None

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for key, entries in (("domain", self.domain), ("dnsbl", self.dnsbl)):
            names = [entry.name.lower() for entry in entries]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice:
                raise ValueError(f"{key}: {twice!r} is there twice; merge the two")
        return self

    @model_validator(mode="after")
    def _aliases_lead_somewhere(self) -> Self:
        for number, domain in enumerate(self.domain):
            for alias, targets in domain.aliases.items():
                for target in targets:
                    mailbox = split(target)
                    there = self.hosted(mailbox.domain) if mailbox.domain else domain
                    if there is not None and not there.takes(mailbox.local_part):
                        raise ValueError(
                            f"domain.{number}.aliases.{alias}: leads to {target!r}, and nobody has that name "
                            f"in {there.name}; add it to its users or aliases"
                        )
        return self

    def hosted(self, name: str) -> Domain | None:
        """The hosted domain of that name, in any letter case; the server's own names count, with no users."""
        wanted = name.lower()
        for domain in self.domain:
            if domain.name.lower() == wanted:
                return domain
        return Domain(name=wanted, users=("postmaster",)) if wanted in self.own_names else None

    @property
    def tls_names(self) -> tuple[str, ...]:
        """The names on a certificate that is made here: the host's, and a wildcard for its domain."""
        hostname = self.server.hostname
        return self.tls.names or (hostname, f"*.{hostname.partition('.')[2] or hostname}")

    @property
    def own_names(self) -> tuple[str, str]:
        """The names of the host itself, which are local domains as well."""
        return (self.server.hostname.lower(), "localhost")
