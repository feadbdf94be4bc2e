"""The configuration of the reference MTA: TOML, checked as a whole before anything listens."""

from typing import Self

from pydantic import Field, model_validator

from harness import settings
from harness.reference_mta.addresses import split
from harness.reference_mta.domains import Domain
from harness.reference_mta.tables.answers import Answers
from harness.reference_mta.tables.extensions import Extension, Extensions
from harness.reference_mta.tables.listener import Listening
from harness.reference_mta.tables.mail import Delivery, Dkim, Outgoing, Spam, Spf, Srs
from harness.reference_mta.tables.policy import DnsblPolicy, DnsList, Greylist, Speech
from harness.reference_mta.tables.server import (
    NOT_LOOPBACK,
    Auth,
    Dns,
    Limits,
    Mutation,
    Refuse,
    Relay,
    Server,
    Tls,
    is_loopback,
)

EXAMPLE = """\
# A configuration of the reference MTA, to be run with: smtp-harness mta THIS_FILE

# Further ports; TLS may begin with the first octet, and a port may be for accounts alone.
# listener = [{ port = 5870, submission = true }, { port = 4650, tls = "implicit", submission = true }]

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

[refuse]                         # hosts that hear 554 in place of the greeting, and nothing but a farewell
# from_hosts = ["203.0.113.66"]

[[domain]]
name = "castle.example"
users = ["alice", "newsletter", "postmaster"]
aliases = { info = ["alice"] }   # "*" would take the rest
bounce_recipients = ["alice", "postmaster"]

[[dnsbl]]
name = "traps"
zones = ["traps.blocklist.example"]

# weight = 1                     # negative: a white list; answers = ["127.0.0.2"] if not every answer counts

[dnsbl_policy]
threshold = 2                    # of the weights
# order = "parallel"             # all lists at once, otherwise one after the other until that is reached

[greylist]
whitelist_hosts = ["*.bulkmail.example"]
# unit = "network"               # or "host": who counts as the same client
# parts = ["client", "recipient"]  # that count of a known triplet; also "sender", or "sender domain"
# stage = "data"                 # when it is asked
# exempt = ["postmaster"]

[speech]
# told = "rcpt"                  # when refusals are told: "now", or later at "mail", "rcpt", "message"
# banner_pause = 5               # seconds that everybody waits for the greeting
# refusal_pause = 5              # seconds that each refusal is held back, whatever it is for
# error_limit = 20               # refused commands after which the connection ends; otherwise 100

[limits]
# connections_of_client = 1000   # at once, of one address
# content_in_flight = 268435456  # bytes of all messages that are under way

[extensions]                     # of SMTP: all are offered but those that stand here
# without = ["CHUNKING", "BINARYMIME"]

[answers."helo.not-fqdn"]        # one rule's answer in place of the documented one, which is to hold back
action = "accept"
held = true
# mark = true                    # a refusal: action = "refuse", code = 504, status = "5.5.2", close = true

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
# delay_report = 14400           # seconds after which a sender hears that his message waits

[srs]
# secret = "..."                 # forwarded mail then has a sender that bounces find back to

[spf]
mode = "off"                     # or "mark", "reject"

[dkim]
mode = "off"                     # or "mark", "reject"

[auth]
# mechanisms = ["PLAIN"]         # those that EHLO lists, in this order; also LOGIN, CRAM-MD5, SCRAM-SHA-256

[auth.senders]
# alice = ["alice@castle.example"]   # the only envelope senders of that account; without it any

[auth.users]
# alice = "scrypt$..."           # from: smtp-harness mta hash-password; several in a list
"""


class Config(settings.Settings):
    """The whole configuration."""

    server: Server
    listener: tuple[Listening, ...] = ()
    dns: Dns
    relay: Relay = Relay()
    refuse: Refuse = Refuse()
    domain: tuple[Domain, ...] = Field(min_length=1)
    speech: Speech = Speech()
    limits: Limits = Limits()
    extensions: Extensions = Extensions()
    answers: Answers = Field(default_factory=dict)
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
    def _listeners_are_to_be_had(self) -> Self:
        ports = {(self.server.listen, self.server.port)}
        for number, each in enumerate(self.listener):
            where = each.address or self.server.listen, each.port
            if not (self.server.allow_public or is_loopback(where[0])):
                raise ValueError(f"listener.{number}.address: {NOT_LOOPBACK.format(where[0])}")
            if each.port and where in ports:
                raise ValueError(f"listener.{number}.port: {each.port} is there twice; choose another port")
            ports.add(where)
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
        """The hosted domain of that name, in any letter case; the host's own names have a postmaster."""
        wanted = name.lower()
        for domain in self.domain:
            if domain.name.lower() == wanted:
                return domain
        return _of_the_host(wanted) if wanted in self.own_names else None

    @property
    def offered(self) -> frozenset[Extension]:
        """The extensions that this server is up to: an mbox keeps lines of text, and nothing binary."""
        formats = {domain.format or self.delivery.format for domain in self.domain} | {self.delivery.format}
        keeps_all = formats == {"maildir"}
        return self.extensions.offered - (frozenset() if keeps_all else {Extension.BINARY})

    @property
    def tls_names(self) -> tuple[str, ...]:
        """The names on a certificate that is made here: the host's, and a wildcard for its domain."""
        hostname = self.server.hostname
        return self.tls.names or (hostname, f"*.{hostname.partition('.')[2] or hostname}")

    @property
    def own_names(self) -> tuple[str, str]:
        """The names of the host itself, which are local domains as well."""
        return (self.server.hostname.lower(), "localhost")


def _of_the_host(name: str) -> Domain:
    """A name of the host itself: its postmaster gets all mail, bounces too (RFC 5321 §4.5.1)."""
    return Domain(name=name, users=("postmaster",), bounce_recipients=())
