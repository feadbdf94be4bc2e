"""What policy may know about a client: the connection, the greeting, the envelope, and how to ask DNS."""

import fnmatch
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.reference_mta.addresses import MailAddress, reverse_pointer, split
from harness.reference_mta.config import Config
from harness.reference_mta.domains import Domain
from harness.reference_mta.earned import Earned, Stage
from harness.reference_mta.greylist import Greylist
from harness.reference_mta.resolver import Lookup, Resolver
from harness.settings.hosts import Network

if TYPE_CHECKING:
    from harness.reference_mta.policy import Policy

MOST_REMEMBERED = 16  # names of a connection, whose addresses are not asked for again
NOBODY = MailAddress("", "")
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Hit:
    """A listing of the client: the list, its first zone that has it, how many of them have it, the text.

    The weight is that of the list; a white list's is negative.
    """

    list: str
    zone: str
    zones: int
    text: str
    weight: int = 1


@dataclass(frozen=True)
class Listings:
    """What the block lists say; `failed` counts the zones that gave no usable answer."""

    hits: tuple[Hit, ...] = ()
    failed: int = 0

    @property
    def weight(self) -> int:
        """What all listings weigh together."""
        return sum(hit.weight for hit in self.hits)

    @property
    def against(self) -> tuple[Hit, ...]:
        """The listings that speak against the client."""
        return tuple(hit for hit in self.hits if hit.weight > 0)


@dataclass
class Transaction:
    """One connection of one client, and what it has said so far.

    What the server found out by itself (the address, its DNS, its listings) and what the client has spoilt
    for this connection outlive STARTTLS; what the client told in clear text does not (RFC 3207 §4.2).
    """

    config: Config
    resolver: Resolver
    greylist: Greylist
    policy: "Policy"
    client: str = ""
    covered: bool = False  # TLS is on
    submission: bool = False  # it came where accounts alone may send
    trusted: bool = False  # it is one of the relay hosts
    unwanted: bool = False  # it is one of those that are turned away
    host_name: str = ""  # confirmed by DNS
    unverified: bool = False  # a delay was earned at connect
    greeting: str = ""
    extended: bool = False  # it was EHLO
    suspect: bool = False  # a delay was earned at HELO
    greeted_plainly: bool = False  # with a bare address, once on this connection
    authenticated: bool = False
    account: str = ""  # whose password it had
    known_account: bool = False  # of the credentials that it gave last
    mails: int = 0  # MAIL commands of this connection, this one included
    in_message: bool = False  # after an accepted MAIL
    sender: str = ""
    recipient: str = ""  # of the RCPT command, as are the next two
    mailbox: MailAddress = NOBODY
    domain: Domain | None = None  # the hosted one; None for the domains of others
    routed: bool = False  # the recipient came with a source route
    rewritten: bool = False  # the recipient is a sender that was rewritten, see policy/srs.py
    recipients: int = 0  # RCPT commands of this message, refused ones included
    accepted: tuple[str, ...] = ()  # recipients of the message, once its content is there
    content: bytes = b""
    listings: Listings | None = None
    earned: Earned = field(default_factory=Earned)
    _resolved: dict[str, tuple[Lookup, tuple[str, ...]]] = field(default_factory=dict)

    def meet(self, client: str) -> None:
        """The client's address, in its shortest form; one that only wraps an IPv4 address is that one."""
        address = ipaddress.ip_address(client)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        shortest = mapped or address
        self.client = str(shortest)
        self.trusted = _is_in(shortest, self.config.relay.from_hosts)
        self.unwanted = _is_in(shortest, self.config.refuse.from_hosts)

    def begin_message(self) -> None:
        """Forget the envelope of the message before."""
        self.in_message = False
        self.sender = ""
        self.address_to("")
        self.recipients = 0
        self.accepted, self.content = (), b""
        self.earned.forget(Stage.SENDER)

    def forget_clear_text(self) -> None:
        """STARTTLS: forget what the client has told, and what it earned by that."""
        self.greeting = ""
        self.suspect = False
        self.earned.forget(Stage.GREETING)
        self.begin_message()

    def address_to(self, recipient: str) -> None:
        """RCPT TO: a bare postmaster is the one of this host (RFC 5321 §4.5.1)."""
        self.recipient = recipient
        self.mailbox = split(recipient)
        if not self.mailbox.domain and self.mailbox.local_part.lower() == "postmaster":
            self.mailbox = MailAddress(self.mailbox.local_part, self.config.server.hostname)
        self.domain = self.config.hosted(self.mailbox.domain)

    @property
    def vouched(self) -> bool:
        """Whether somebody answers for the client: it is a relay host, or has an account."""
        return self.authenticated or self.trusted

    @property
    def whitelisted_host(self) -> bool:
        """Whether the client's confirmed name is on the greylist's host whitelist."""
        return self.whitelists(self.host_name)

    def whitelists(self, name: str) -> bool:
        """Whether a host of that name is on the greylist's host whitelist; never one without a name."""
        patterns = self.config.greylist.whitelist_hosts
        return bool(name) and any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)

    @property
    def address_type(self) -> str:
        """The record type of addresses in the client's family."""
        return "AAAA" if ":" in self.client else "A"

    async def addresses(self, name: str) -> tuple[Lookup, tuple[str, ...]]:
        """The addresses of a name in the client's family; asked for once a connection."""
        found = self._resolved.get(name.lower())
        if found is None:
            answer = await self.resolver.ask(name, self.address_type)
            found = answer.lookup, tuple(str(ipaddress.ip_address(value)) for value in answer.values)
            if len(self._resolved) < MOST_REMEMBERED and answer.lookup is not Lookup.FAILED:
                self._resolved[name.lower()] = found
        return found

    async def names_of(self, address: str) -> tuple[Lookup, tuple[str, ...]]:
        """The PTR names of an address."""
        answer = await self.resolver.ask(reverse_pointer(address), "PTR")
        return answer.lookup, answer.values


def _is_in(address: IpAddress, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
