"""The greylist: triplets and their standing, in SQLite, so that a killed process forgets nothing.

The wiki does not say from when the time-out counts; here it is the first attempt, as the delay is.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

LISTS = ("white", "grey", "black")
SCHEMA = """
CREATE TABLE IF NOT EXISTS triplet (
    client TEXT NOT NULL, sender TEXT NOT NULL, recipient TEXT NOT NULL,
    list TEXT NOT NULL, first REAL NOT NULL, last REAL NOT NULL,
    PRIMARY KEY (client, sender, recipient)
) WITHOUT ROWID
"""


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
    """Client address, envelope sender (empty: the null sender) and recipient, all in lower case."""

    client: str
    sender: str
    recipient: str

    @classmethod
    def of(cls, client: str, sender: str, recipient: str) -> "Triplet":
        """The triplet in the form in which it is kept."""
        return cls(client.lower(), sender.lower(), recipient.lower())


@dataclass(frozen=True)
class Times:
    """All in seconds."""

    delay: float
    timeout: float
    lifetime: float


@dataclass(frozen=True)
class Entry:
    """A triplet on a list, since when and when last used (seconds of the epoch)."""

    triplet: Triplet
    list: str
    first: float
    last: float


class Greylist:
    """The store. Every method raises `UnreachableError` when it cannot be asked."""

    def __init__(self, file: Path, times: Times, clock: Callable[[], float] = time.time) -> None:
        """Opens or creates the database `file`."""
        self._times = times
        self._clock = clock
        self._ahead: dict[str, float] = {}
        self._cut: set[str] = set()
        try:
            self._database = sqlite3.connect(file, isolation_level=None, timeout=1.0)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(SCHEMA)
        except sqlite3.Error as error:
            raise UnreachableError(f"{file}: {error}") from error

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def now(self, client: str) -> float:
        """The time as that client's triplets see it."""
        return self._clock() + self._ahead.get(client.lower(), 0.0)

    def advance(self, client: str, seconds: float) -> None:
        """Let time pass for the triplets of one client; for demonstrations and tests."""
        self._ahead[client.lower()] = self._ahead.get(client.lower(), 0.0) + seconds

    def cut(self, client: str, *, off: bool) -> None:
        """Put the store out of reach for questions about one client, or within reach again."""
        (self._cut.add if off else self._cut.discard)(client.lower())

    def look(self, triplet: Triplet) -> Standing:
        """The standing of a triplet; changes nothing."""
        entry = self._find(triplet)
        return judge(entry, self.now(triplet.client), self._times)

    def note(self, triplet: Triplet, standing: Standing, *, extend: bool = True) -> None:
        """Keep what an attempt of that standing leads to."""
        now = self.now(triplet.client)
        if standing in (Standing.NEW, Standing.EXPIRED, Standing.LAPSED):
            self._put(Entry(triplet, "grey", now, now))
        elif standing is Standing.RIPE or (standing is Standing.KNOWN and extend):
            self._put(Entry(triplet, "white", now, now))

    def add(self, which: str, triplet: Triplet) -> None:
        """Put a triplet on a list, as an operator does; it leaves the list that it was on."""
        now = self.now(triplet.client)
        self._put(Entry(triplet, which, now, now))

    def remove(self, which: str, triplet: Triplet) -> bool:
        """Take a triplet off a list; whether it was there."""
        with self._reach(triplet.client):
            gone = self._database.execute(
                "DELETE FROM triplet WHERE list = ? AND client = ? AND sender = ? AND recipient = ?",
                (which, triplet.client, triplet.sender, triplet.recipient),
            )
        return gone.rowcount > 0

    def entries(self, which: str, client: str = "") -> list[Entry]:
        """What is on a list, of one client or of all."""
        with self._reach(client):
            rows = self._database.execute(
                "SELECT client, sender, recipient, list, first, last FROM triplet"
                " WHERE list = ? AND (? = '' OR client = ?) ORDER BY client, sender, recipient",
                (which, client.lower(), client.lower()),
            ).fetchall()
        return [Entry(Triplet(*row[:3]), *row[3:]) for row in rows]

    def _find(self, triplet: Triplet) -> Entry | None:
        with self._reach(triplet.client):
            row = self._database.execute(
                "SELECT list, first, last FROM triplet WHERE client = ? AND sender = ? AND recipient = ?",
                (triplet.client, triplet.sender, triplet.recipient),
            ).fetchone()
        return Entry(triplet, *row) if row else None

    def _put(self, entry: Entry) -> None:
        triplet = entry.triplet
        with self._reach(triplet.client):
            self._database.execute(
                "INSERT OR REPLACE INTO triplet VALUES (?, ?, ?, ?, ?, ?)",
                (triplet.client, triplet.sender, triplet.recipient, entry.list, entry.first, entry.last),
            )

    @contextmanager
    def _reach(self, client: str) -> Iterator[None]:
        if client.lower() in self._cut:
            raise UnreachableError("the greylist's store was put out of reach")
        try:
            yield
        except sqlite3.Error as error:
            raise UnreachableError(str(error)) from error


def judge(entry: Entry | None, now: float, times: Times) -> Standing:
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
