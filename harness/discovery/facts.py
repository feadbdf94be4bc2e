"""What was seen of a server, as plain facts for the draft; each says what the server's own words were."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.offence import Offence
from harness.outcome import Answer, Outcome
from harness.profile.dialect import Asks, Told
from harness.profile.tables import RouteName

NOBODY_ASKS = "nobody could ask our DNS"
ASKED_NOTHING = "it asked our DNS nothing"


@dataclass(frozen=True)
class Way:
    """How clients get to the server, and from which addresses."""

    route: RouteName
    networks: tuple[str, ...]
    relayed: tuple[str, ...] = ()  # networks that it relays for; what their clients meet, strangers may not
    trusted: bool = False  # whether all that we can come from is among them
    unheard: str = ""  # why nobody knows whether it relays for whom we can come from
    extended: bool = True  # whether it knows EHLO
    ungreeted: Mapping[str, str] = field(default_factory=dict)  # networks, and what one from there met


@dataclass(frozen=True)
class Face:
    """What it says of itself."""

    hostname: str = ""
    keywords: Mapping[str, str] = field(default_factory=dict)
    keywords_tls: Mapping[str, str] = field(default_factory=dict)
    closed: str = ""  # the stage and the reply by which it wants TLS or an account, whoever is written to
    distrusted: str = ""  # why its certificate is not accepted under its name on this machine
    trusting: str = ""  # the key of [tls] that may mend that
    unseen: str = ""  # why it may offer more than was seen

    @property
    def offers_auth(self) -> bool:
        """Whether AUTH is listed, in clear text or under TLS."""
        return "AUTH" in self.keywords or "AUTH" in self.keywords_tls


@dataclass(frozen=True)
class HostedDomain:
    """A domain that it takes mail for; `users` were taken, the named ones first."""

    name: str
    users: tuple[str, ...]
    catch_all: bool | None = None  # None: nobody knows
    invented: str = ""  # what it said of a user that was made up
    bounces: str = ""  # what it said to mail without a sender, where it refused that

    @property
    def ordinary(self) -> tuple[str, ...]:
        """Users of whom it is no courtesy to take their mail."""
        return tuple(user for user in self.users if user.lower() != "postmaster")


@dataclass(frozen=True)
class Deferral:
    """It put an innocent client off."""

    recipient: str
    said: str
    greylist: "GreylistSeen | None" = None  # where that is shown


@dataclass(frozen=True)
class GreylistSeen:
    """A greylist: a retry was taken after a time, or the server calls it so (then there is no `delay`)."""

    code: int
    said: str
    at: str = "rcpt"
    delay: float = 0.0  # seconds
    key: str = ""  # empty: nobody knows
    exempt: tuple[str, ...] = ()
    before_verification: bool = False


@dataclass(frozen=True)
class Sighting:
    """What became of a client that did one odd thing, on as many clients as make it certain."""

    offence: Offence
    did: str
    outcome: Outcome | None  # None: it was not the same each time, or there was no reply
    said: str
    waited: float = 0.0  # seconds, longer than innocent clients


@dataclass(frozen=True)
class ListSeen:
    """A DNS list that it asks about its clients; without a weight nothing came of being on it."""

    zones: tuple[str, ...]
    weight: float = 0.0
    question: str = ""  # what is not certain
    answers: tuple[str, ...] = ()  # that count, where the usual one does not

    @property
    def name(self) -> str:
        """The first label that tells it from others."""
        return self.zones[0]


@dataclass(frozen=True)
class ListsSeen:
    """The lists, and how they count together."""

    lists: tuple[ListSeen, ...] = ()
    threshold: float = 2.0
    asks: Asks = Asks.IN_ORDER
    names_lists: bool = True
    question: str = ""
    sightings: tuple[Sighting, ...] = ()

    @property
    def weighed(self) -> bool:
        """Whether clients were seen to fare worse for being on lists, and it is known how these count."""
        return not self.question and any(one.weight for one in self.lists)


@dataclass(frozen=True)
class RecipientLimit:
    """How many recipients of one message it takes, and what became of the next (None: that was taken)."""

    taken: int
    outcome: Outcome | None
    said: str


@dataclass(frozen=True)
class Speech:
    """The dialect that follows from the sightings."""

    told: Told = Told.AT_ONCE
    pause: float = 0.0  # seconds
    refusals_take: float = 0.0  # seconds
    delay: float = 0.0  # seconds
    answers: Mapping[Offence, Answer] = field(default_factory=dict)
    overrides: Mapping[str, Outcome] = field(default_factory=dict)  # by rule id


@dataclass(frozen=True)
class Seen:
    """Everything together."""

    way: Way
    face: Face = Face()
    resolves: bool = False
    deaf: str = ""  # why nobody could ask our DNS, where that is so
    domains: tuple[HostedDomain, ...] = ()
    recipient: str = ""  # an ordinary user to whom an innocent message got through
    deferral: Deferral | None = None
    sightings: tuple[Sighting, ...] = ()
    speech: Speech = Speech()
    lists: ListsSeen = ListsSeen()
    limit: RecipientLimit | None = None
    reading: float = 0.0  # seconds that the end of DATA took an innocent client at most
    notes: tuple[str, ...] = ()
    stopped: str = ""  # what innocent clients met beside the odd ones instead of getting through

    @property
    def heard_out(self) -> bool:
        """Whether innocent strangers got as far as the end of DATA, so that it shows whom it lets through."""
        return bool(self.recipient) and not self.way.trusted and not self.stopped

    @property
    def unasked(self) -> str:
        """Why nothing is known of what it does with names, where it asked nothing."""
        return f"{NOBODY_ASKS}: {self.deaf}; name another with --dns" if self.deaf else ASKED_NOTHING

    @property
    def compared(self) -> bool:
        """Whether something followed from what an odd client met beside innocent ones."""
        return any(one.outcome for one in self.sightings)
