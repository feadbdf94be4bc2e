"""The greylist: triplets and their standing, in SQLite, so that a killed process forgets nothing.

The wiki does not say from when the time-out counts; here it is the first attempt, as the delay is.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from harness.reference_mta.tables.policy import Part, Unit

LISTS = ("white", "grey", "black")
PARTS = ("client", "sender", "recipient")
PURGE_EVERY = 4096  # new triplets
PATIENCE = 1.0  # seconds to wait for another process that is writing
SCHEMA = """
CREATE TABLE IF NOT EXISTS triplet (
    client TEXT NOT NULL, sender TEXT NOT NULL, recipient TEXT NOT NULL,
    list TEXT NOT NULL, first REAL NOT NULL, last REAL NOT NULL,
    PRIMARY KEY (client, sender, recipient)
) WITHOUT ROWID
"""
KEEP_UNIT = "CREATE TABLE IF NOT EXISTS unit (one INTEGER PRIMARY KEY CHECK (one = 1), unit TEXT NOT NULL)"
FIND = "SELECT list, first, last FROM triplet WHERE client = ? AND sender = ? AND recipient = ?"
WHITE_BUT_FOR = {  # triplets on the white list that agree in the two other parts
    "client": "SELECT 1 FROM triplet WHERE list = 'white' AND sender = :sender AND recipient = :recipient",
    "sender": "SELECT 1 FROM triplet WHERE list = 'white' AND client = :client AND recipient = :recipient",
    "recipient": "SELECT 1 FROM triplet WHERE list = 'white' AND client = :client AND sender = :sender",
}
LAST_USE_OF_ANOTHER = (
    "SELECT max(last) FROM triplet WHERE list = 'white' "
    "AND (client, sender, recipient) IS NOT (:client, :sender, :recipient)"
)
AGREES = {
    "client": "client = :client",
    "sender": "sender = :sender",
    "sender domain": "substr(sender, -length(:domain)) = :domain",
    "recipient": "recipient = :recipient",
}
KNOW = "UPDATE triplet SET list = 'white', last = ? WHERE client = ? AND sender = ? AND recipient = ?"
PUT = "INSERT OR REPLACE INTO triplet VALUES (?, ?, ?, ?, ?, ?)"
REMOVE = "DELETE FROM triplet WHERE client = ? AND sender = ? AND recipient = ? AND list = ?"
LIST = (
    "SELECT client, sender, recipient, list, first, last FROM triplet"
    " WHERE list = ? AND ? IN ('', client) ORDER BY client, sender, recipient"
)
PURGE = "DELETE FROM triplet WHERE (list = 'grey' AND first < ?) OR (list = 'white' AND last < ?)"


class Standing(Enum):
    """What the greylist makes of an attempt."""

    NEW = "never seen"
    EARLY = "on the grey list, its delay is not over"
    RIPE = "on the grey list, its delay is over"
    EXPIRED = "on the grey list, past its time-out"
    KNOWN = "on the white list"
    LAPSED = "on the white list, past its lifetime"
    BLACK = "on the black list"


class UnreachableError(Exception):
    """The store cannot be asked."""


@dataclass(frozen=True)
class Triplet:
    """Client, envelope sender (empty: the null sender) and recipient, all in lower case.

    The client is known by its address, or by what the server's configuration has in its place.
    """

    client: str
    sender: str
    recipient: str

    @classmethod
    def of(cls, client: str, sender: str, recipient: str) -> "Triplet":
        """The triplet in the form in which it is kept."""
        return cls(client.lower(), sender.lower(), recipient.lower())

    @property
    def parts(self) -> tuple[str, str, str]:
        """As the database has them."""
        return self.client, self.sender, self.recipient


@dataclass(frozen=True)
class Times:
    """All in seconds."""

    delay: float
    timeout: float
    lifetime: float


@dataclass(frozen=True)
class GreylistEntry:
    """A triplet on a list, since when and when last used (seconds of the epoch)."""

    triplet: Triplet
    list: str
    first: float
    last: float


class Greylist:
    """The store. Every method that reads or writes raises `UnreachableError` when it cannot be asked."""

    def __init__(
        self, file: Path, times: Times, clock: Callable[[], float] = time.time, unit: Unit | None = None
    ) -> None:
        """Opens or creates the database `file`; `clock` gives seconds of the epoch.

        `unit` is what stands for clients in its triplets; None for what the server had that used it last.
        """
        self.times = times
        self._clock = clock
        self._ahead: dict[str, float] = {}
        self._cut: set[str] = set()
        self._since_purge = 0
        try:
            self._database = sqlite3.connect(file, isolation_level=None, timeout=PATIENCE)
            self._database.execute("PRAGMA journal_mode = WAL")
            # With the write-ahead log this loses nothing when the process dies, only when the machine does.
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(SCHEMA)
            self._database.execute(KEEP_UNIT)
            self.unit: Unit = self._kept_unit(unit)
        except sqlite3.Error as error:
            raise UnreachableError(f"{file}: {error}") from error

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _kept_unit(self, unit: Unit | None) -> Unit:
        kept = self._database.execute("SELECT unit FROM unit").fetchone()
        known: Unit = kept[0] if kept else "address"
        if unit is None or unit == known:
            return known
        self._database.execute("INSERT OR REPLACE INTO unit VALUES (1, ?)", (unit,))
        return unit

    def now(self, client: str) -> float:
        """The time as that client's triplets see it."""
        return self._clock() + self._ahead.get(client.lower(), 0.0)

    def advance(self, client: str, seconds: float) -> None:
        """Let time pass for the triplets of one client; for demonstrations and tests."""
        self._ahead[client.lower()] = self._ahead.get(client.lower(), 0.0) + seconds

    def cut(self, client: str, *, off: bool) -> None:
        """Put the store out of reach for questions about one client, or within reach again."""
        (self._cut.add if off else self._cut.discard)(client.lower())

    def look(self, triplet: Triplet, times: Times | None = None) -> Standing:
        """The standing of a triplet, by the store's times or others; changes nothing."""
        return judge(self._find(triplet), self.now(triplet.client), times or self.times)

    def note(self, triplet: Triplet, standing: Standing) -> None:
        """Keep what an attempt of that standing leads to."""
        now = self.now(triplet.client)
        if standing in (Standing.NEW, Standing.EXPIRED, Standing.LAPSED):
            self._put(GreylistEntry(triplet, "grey", now, now))
            self._since_purge += 1
            if self._since_purge >= PURGE_EVERY:
                self.purge()
        elif standing in (Standing.RIPE, Standing.KNOWN):
            with self._reach(triplet.client):
                self._database.execute(KNOW, (now, *triplet.parts))

    def known_but_for(self, part: str, triplet: Triplet) -> bool:
        """Whether a triplet that differs in that part alone, or in none, is on the white list."""
        with self._reach(triplet.client):
            found = self._database.execute(f"{WHITE_BUT_FOR[part]} LIMIT 1", vars(triplet)).fetchone()
        return found is not None

    def known_by(self, parts: Sequence[Part], triplet: Triplet) -> bool:
        """Whether another triplet that agrees in these parts is on the white list, within its lifetime."""
        domain = triplet.sender[triplet.sender.rfind("@") :]
        agrees = [AGREES["sender" if part == "sender domain" and not domain else part] for part in parts]
        with self._reach(triplet.client):
            query = " AND ".join((LAST_USE_OF_ANOTHER, *agrees))
            (last,) = self._database.execute(query, vars(triplet) | {"domain": domain}).fetchone()
        return last is not None and self.now(triplet.client) - last <= self.times.lifetime

    def add(self, which: str, triplet: Triplet) -> None:
        """Put a triplet on a list, as an operator does; it leaves the list that it was on."""
        now = self.now(triplet.client)
        self._put(GreylistEntry(triplet, which, now, now))

    def remove(self, which: str, triplet: Triplet) -> bool:
        """Take a triplet off a list; whether it was there."""
        with self._reach(triplet.client):
            gone = self._database.execute(REMOVE, (*triplet.parts, which))
        return gone.rowcount > 0

    def entries(self, which: str, client: str = "") -> list[GreylistEntry]:
        """What is on a list, of one client or of all."""
        with self._reach(client):
            rows = self._database.execute(LIST, (which, client.lower())).fetchall()
        return [GreylistEntry(Triplet(*row[:3]), *row[3:]) for row in rows]

    def purge(self) -> int:
        """Forget what has expired and was not asked for again; how many those were."""
        now = self._clock()
        with self._reach(""):
            gone = self._database.execute(PURGE, (now - self.times.timeout, now - self.times.lifetime))
        self._since_purge = 0
        return gone.rowcount

    def _find(self, triplet: Triplet) -> GreylistEntry | None:
        with self._reach(triplet.client):
            row = self._database.execute(FIND, triplet.parts).fetchone()
        return GreylistEntry(triplet, *row) if row else None

    def _put(self, entry: GreylistEntry) -> None:
        with self._reach(entry.triplet.client):
            self._database.execute(PUT, (*entry.triplet.parts, entry.list, entry.first, entry.last))

    @contextmanager
    def _reach(self, client: str) -> Iterator[None]:
        if client.lower() in self._cut:
            raise UnreachableError("the greylist's store was put out of reach")
        try:
            yield
        except sqlite3.Error as error:
            raise UnreachableError(str(error)) from error


def judge(entry: GreylistEntry | None, now: float, times: Times) -> Standing:
    """The standing of an entry at a moment: strictly after the delay, up to the time-out (wiki 963–972)."""
    if entry is None:
        return Standing.NEW
    if entry.list == "black":
        return Standing.BLACK
    if entry.list == "white":
        return Standing.KNOWN if now - entry.last <= times.lifetime else Standing.LAPSED
    waited = now - entry.first
    if waited > times.timeout:
        return Standing.EXPIRED
    return Standing.RIPE if waited > times.delay else Standing.EARLY
