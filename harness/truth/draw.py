"""A server that might be: one plain value, which says everything in which servers differ.

Nothing here knows how a server is configured or how a profile is written. Two writers read a draw, each for
itself: `server` makes the configuration of a reference MTA of it, `profile` a profile.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What an offence earns."""

    does: str  # accept, defer, refuse, or close: refuse, and end the connection
    held: bool = False  # after the delay
    marked: bool = False  # accepted, and a field of the message's header tells

    @property
    def refuses(self) -> bool:
        """Whether the client is told no, for now or for good."""
        return self.does != "accept"


@dataclass(frozen=True)
class Told:
    """The codes of a refusal, the reply code alone or with the enhanced one."""

    code: int
    status: str = ""


@dataclass(frozen=True)
class HostedDomain:
    """A domain of the server; `senders` are those who may get bounces, None where it keeps no such list."""

    name: str
    users: tuple[str, ...]
    aliases: tuple[tuple[str, tuple[str, ...]], ...] = ()
    takes_all: bool = False
    senders: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Blacklist:
    """A block list; a white list has a negative weight. Without `answers` all the usual ones count."""

    name: str
    zones: tuple[str, ...]
    weight: int = 1
    answers: tuple[str, ...] = ()


ACCEPTED = (Answer("accept"), Answer("accept", held=True))
MARKED = (Answer("accept", marked=True), Answer("accept", held=True, marked=True))
REFUSED = (
    Answer("refuse"),
    Answer("refuse", held=True),
    Answer("defer"),
    Answer("defer", held=True),
    Answer("close"),
    Answer("close", held=True),
)
ANY = (None, *ACCEPTED, *MARKED, *REFUSED)  # None: as the document has it

OFFENCES: Mapping[str, tuple[Answer | None, ...]] = {
    "unverified_host": ANY,
    "failed_lookup": ANY,
    "unqualified_greeting": ANY,
    "bare_address_greeting": ANY,
    "address_literal_greeting": ANY,
    "own_name_greeting": ANY,
    "own_host_greeting": ANY,
    "unconfirmed_greeting": ANY,
    "borrowed_greeting": ANY,
    "no_greeting": (None, *ACCEPTED, *REFUSED),
    "relaying": (None, *REFUSED),
    "illegal_recipient": (None, *REFUSED),
    "unknown_user": (None, *REFUSED),
    "too_many_recipients": (None, *REFUSED),
    "bounce": (None, *ACCEPTED, *REFUSED),
    "bounce_without_list": (None, *ACCEPTED, *REFUSED),
    "listed": (None, *MARKED, *REFUSED),
    "listed_enough": (None, *MARKED, *REFUSED),
    "blacklisted_triplet": (None, *REFUSED),
    "broken_header": (None, *ACCEPTED, *REFUSED),
    "wrong_password": (None, *REFUSED),
}
HELD_BY_DOCUMENT = (
    "unverified_host",
    "failed_lookup",
    "unqualified_greeting",
    "bare_address_greeting",
    "address_literal_greeting",
    "own_name_greeting",
    "own_host_greeting",
    "unconfirmed_greeting",
    "no_greeting",
    "relaying",
    "listed",
    "listed_enough",
)
FOR_GOOD = (550, 554, 553, 551, 501, 504)
FOR_NOW = (450, 451, 454)
STATUSES = ("7.1", "1.8", "5.4", "7.0")

DOMAINS = ("castle.example", "garden.example", "orchard.example", "valley.example")
USERS = ("alice", "bruno", "carla", "dora")
LISTS = ("traps", "relays", "reports", "dialup")
ACCOUNT = "alice"


@dataclass(frozen=True)
class Draw:
    """One server. The first of each dimension's values, see `dimensions`, is its default."""

    told: str = "at once"  # or at "mail", "rcpt", "data": where refusals are told that were earned before
    pause: float = 0.0  # seconds that everybody waits for the greeting
    refusals_take: float = 0.0  # seconds that each refusal is held back, whatever it is for
    delay: float = 0.6  # seconds by which replies are held back; 0: never
    repeated: str = "both"  # at which of mail and rcpt a delay comes again that was earned before
    most_errors: int = 0  # refused commands that end a connection; 0: any number may
    codes: str = "unsaid"  # how precisely answers are documented: unsaid, code, status, several
    mark: str = "X-DNSbl-Warning"
    hostname: str = "mail.castle.example"

    unverified_host: Answer | None = None
    failed_lookup: Answer | None = None
    unqualified_greeting: Answer | None = None
    bare_address_greeting: Answer | None = None
    address_literal_greeting: Answer | None = None
    own_name_greeting: Answer | None = None
    own_host_greeting: Answer | None = None
    unconfirmed_greeting: Answer | None = None
    borrowed_greeting: Answer | None = None
    no_greeting: Answer | None = None
    relaying: Answer | None = None
    illegal_recipient: Answer | None = None
    unknown_user: Answer | None = None
    too_many_recipients: Answer | None = None
    bounce: Answer | None = None
    bounce_without_list: Answer | None = None
    listed: Answer | None = None
    listed_enough: Answer | None = None
    blacklisted_triplet: Answer | None = None
    broken_header: Answer | None = None
    wrong_password: Answer | None = None

    greylist: str = "rcpt"  # or at the end of "data", or "none"
    greylist_code: int = 451
    greylist_unit: str = "address"  # or "network", "host"
    greylist_parts: tuple[str, ...] = ("client", "sender", "recipient")  # by which a client is known
    greylist_exempt: tuple[str, ...] = ()
    greylist_first: bool = False  # asked before it is known whether there is such a recipient
    greylist_hosts: bool = True  # whether it knows hosts by name that are never put off
    greylist_lost: str = "pass"  # what is done while it cannot be reached; or "defer"

    lists: int = 3
    zones: str = "the second has four"
    weights: str = "ones"
    white: str = "none"
    answers: str = "any"
    threshold: int = 2
    asks: str = "in order"

    domains: int = 3
    users: int = 3
    postmaster: bool = True  # whether it is named among the users
    rest: str = "the last has a *"  # who takes what nobody has
    aliases: str = "one"
    senders: str = "the first two"  # which domains keep a list of them
    sending: str = "first"  # who stands on it

    trusted: bool = True
    account: str = "free"  # or "bound" to its own address, or "none"
    most_recipients: int = 10
    illegal: str = "@%!/|"
    tls: bool = True  # whether it is described
    mailbox: str = "maildir"
    ipv6: bool = True

    def answer(self, offence: str) -> Answer | None:
        """What an offence earns; None: what the document says."""
        found: Answer | None = getattr(self, offence)
        return found

    def refusal(self, offence: str) -> Told | None:
        """With which codes the offence is refused; None where nothing is said about them."""
        answer = self.answer(offence)
        if answer is None or not answer.refuses or self.codes == "unsaid":
            return None
        place = list(OFFENCES).index(offence)
        codes = FOR_NOW if answer.does == "defer" else FOR_GOOD
        code = codes[place % len(codes)]
        if self.codes == "code":
            return Told(code)
        return Told(code, f"{code // 100}.{STATUSES[place % len(STATUSES)]}")

    @property
    def hosted(self) -> tuple[HostedDomain, ...]:
        """Its domains, the first is the one that accounts belong to."""
        return tuple(self._domain(number) for number in range(self.domains))

    def _domain(self, number: int) -> HostedDomain:
        people = USERS[: self.users]
        users = (*people, "postmaster") if self.postmaster else people
        aliases: dict[str, tuple[str, ...]] = {}
        if self.aliases == "one":
            aliases = {"info": (people[number % self.users],)}
        elif self.aliases == "of many":
            aliases = {"info": people[:1], "team": people}
        last = number == self.domains - 1
        if self.rest == "all have a *" or (self.rest == "the last has a *" and last):
            aliases = {**aliases, "*": people[:1]}
        takes_all = self.rest == "all take all" or (self.rest == "the last takes all" and last)
        keeps = {
            "none": False,
            "the first": number == 0,
            "the first two": number < 2,
            "the last": last,
            "all": True,
        }[self.senders]
        senders = {
            "first": (*people[:1], "postmaster"),
            "each another": (people[number % self.users],),
            "all": people,
            "postmaster": ("postmaster",),
        }[self.sending]
        return HostedDomain(
            DOMAINS[number], users, tuple(aliases.items()), takes_all, senders if keeps else None
        )

    @property
    def asked(self) -> tuple[Blacklist, ...]:
        """Its block lists, and the white one if there is one, in the order in which it asks them."""
        black = tuple(self._list(number) for number in range(self.lists))
        white = Blacklist("white", ("white.lists.example",), -2)
        first = (white,) if self.white == "first" else ()
        return (*first, *black, *((white,) if self.white == "last" else ()))

    def _list(self, number: int) -> Blacklist:
        zones = {
            "one each": 1,
            "the first two share one": 1,
            "the second has four": 4 if number == 1 else 1,
            "two each": 2,
        }[self.zones]
        weight = {
            "ones": 1,
            "the first two": 2 if number == 0 else 1,
            "the last three": 3 if number == self.lists - 1 else 1,
            "twos": 2,
        }[self.weights]
        answers = {"any": (), "one": ("127.0.0.2",), "a network": ("127.0.0.2", "127.0.0.4/30")}[self.answers]
        name = LISTS[number]
        if self.zones == "the first two share one" and number < 2:  # and each reads answers of its own
            apart = (answers or ("127.0.0.2",), ("127.0.0.10", "127.0.0.12/30"))[number]
            return Blacklist(name, ("shared.lists.example",), weight, apart)
        if zones == 1:
            return Blacklist(name, (f"{name}.lists.example",), weight, answers)
        return Blacklist(
            name, tuple(f"{letter}.{name}.lists.example" for letter in "abcd"[:zones]), weight, answers
        )

    @property
    def bound_to(self) -> str:
        """The only sender that the account may use; empty when it may use any."""
        return f"{ACCOUNT}@{DOMAINS[0]}" if self.account == "bound" else ""
