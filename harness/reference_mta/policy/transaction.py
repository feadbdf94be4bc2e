"""What policy may know about a client: the connection, the greeting, the envelope, and how to ask DNS."""

import fnmatch
import ipaddress
from dataclasses import dataclass, field
from enum import Enum

from harness.reference_mta.addresses import Mailbox, split
from harness.reference_mta.config import Config, Domain
from harness.reference_mta.greylist import Greylist
from harness.reference_mta.resolver import Lookup, Resolver


class HostStanding(Enum):
    """What DNS says about a connecting host."""

    CONFIRMED = "its name leads back to its address"
    NAMELESS = "its address has no name"
    UNKNOWN = "its name could not be looked up"
    ADDRESSLESS = "its name has no address"
    CONTRADICTED = "its name has other addresses"


@dataclass(frozen=True)
class Hit:
    """A listing of the client: the list, its first zone that has it, how many of them have it, the text."""

    list: str
    zone: str
    zones: int
    text: str


@dataclass(frozen=True)
class Listings:
    """What the block lists say; `failed` counts the zones that gave no usable answer."""

    hits: tuple[Hit, ...] = ()
    failed: int = 0


@dataclass
class Transaction:
    """One connection of one client, and what it has said so far."""

    config: Config
    resolver: Resolver
    greylist: Greylist
    quirks: frozenset[str] = frozenset()  # deliberate defects
    client: str = ""
    host_names: tuple[str, ...] = ()  # confirmed ones
    standing: HostStanding | None = None
    greeting: str = ""
    greeted_plainly: bool = False  # with a bare address, once on this connection
    earned: float = 0.0  # share of the delay that was earned at connect or HELO
    authenticated: bool = False
    in_message: bool = False  # after an accepted MAIL
    sender: str = ""
    recipient: str = ""
    routed: bool = False  # the recipient came with a source route
    recipients: int = 0  # RCPT commands of this message, refused ones included
    listings: Listings | None = None
    marks: dict[str, None] = field(default_factory=dict)

    def quirk(self, name: str) -> bool:
        """Whether a deliberate defect is switched on."""
        return name in self.quirks

    def begin_message(self) -> None:
        """Forget the envelope of the message before."""
        self.in_message = False
        self.sender = self.recipient = ""
        self.recipients = 0
        self.marks = {}

    @property
    def mailbox(self) -> Mailbox:
        """The recipient of the RCPT command."""
        mailbox = split(self.recipient)
        if not mailbox.domain and mailbox.local_part.lower() == "postmaster":
            return Mailbox(mailbox.local_part, self.config.server.hostname)
        return mailbox

    @property
    def domain(self) -> Domain | None:
        """The hosted domain of the recipient."""
        return self.config.hosted(self.mailbox.domain)

    @property
    def trusted(self) -> bool:
        """Whether the client is one of the relay hosts."""
        address = ipaddress.ip_address(self.client)
        return any(
            address.version == network.version and address in network
            for network in self.config.relay.from_hosts
        )

    @property
    def whitelisted_host(self) -> bool:
        """Whether a confirmed name of the client is on the greylist's host whitelist."""
        patterns = [pattern.lower() for pattern in self.config.greylist.whitelist_hosts]
        names = [name.lower() for name in self.host_names]
        return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)

    @property
    def address_type(self) -> str:
        """The record type of addresses in the client's family."""
        return "AAAA" if ipaddress.ip_address(self.client).version == 6 else "A"

    async def addresses(self, name: str) -> tuple[Lookup, tuple[str, ...]]:
        """The addresses of a name in the client's family."""
        answer = await self.resolver.ask(name, self.address_type)
        return answer.lookup, tuple(str(ipaddress.ip_address(value)) for value in answer.values)

    async def names_of(self, address: str) -> tuple[Lookup, tuple[str, ...]]:
        """The PTR names of an address."""
        answer = await self.resolver.ask(ipaddress.ip_address(address).reverse_pointer, "PTR")
        return answer.lookup, answer.values
