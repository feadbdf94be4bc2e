"""The queue: messages for other hosts, in SQLite, on disk before the client hears of them.

Messages that arrive together share one transaction, see `Storage`. Other processes may work on the queue
while the server runs: they change rows and then wake it, see `waking.py`.
"""

import contextlib
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.reference_mta.mail.delivery_result import DeliveryResult, State
from harness.reference_mta.mail.queue_schema import (
    AGAIN,
    NOTE,
    OVER,
    PUT,
    PUT_RECIPIENT,
    SCHEMA,
    TOLD,
    upgrade,
)
from harness.reference_mta.mail.requests import NONE, NOTHING, Request, Requests

QUEUE = "queue.sqlite"  # in the state directory
PATIENCE = 2.0  # seconds to wait for another process that is writing
PASSING = ("SQLITE_BUSY", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")


class QueueError(OSError):
    """The queue's database cannot be used."""


@dataclass(frozen=True)
class Recipient:
    """One recipient; `reply` is the last word on it: another host's reply, or this server's reason."""

    address: str
    state: State
    attempts: int
    reply: str
    request: Request = NOTHING  # what the sender wants to be told of it
    delay_told: bool = False  # and that it is delayed he has been told


@dataclass(frozen=True)
class QueueEntry:
    """A message in the queue. Times are seconds of the epoch, the size is in bytes."""

    id: str
    arrived: float
    next_try: float
    frozen: bool
    sender: str
    size: int
    recipients: tuple[Recipient, ...]
    international: bool = False  # it came with SMTPUTF8 (RFC 6531)
    ret: str = ""  # what came with it as RET and ENVID (RFC 3461)
    envelope_id: str = ""

    @property
    def requests(self) -> Requests:
        """What its sender wants to be told of it."""
        return Requests(self.ret, self.envelope_id, {each.address: each.request for each in self.recipients})

    @property
    def waiting(self) -> tuple[str, ...]:
        """The addresses that it is still to be sent to."""
        return tuple(each.address for each in self.recipients if each.state is State.WAITING)


class QueueCopy:
    """A message on its way into the queue; see `Copy` in storage.py."""

    def __init__(self, queue: "Queue", put: Callable[[str], None]) -> None:
        """`put` puts the message in under an id."""
        self._queue = queue
        self._put = put
        self.id = f"{time.time_ns() // 1000:x}-{secrets.token_hex(4)}"
        self._written = False

    def write(self) -> None:
        """As part of the transaction of all messages that are written now. Raises `QueueError`."""
        self._put(self.id)
        self._written = True

    def sync(self) -> None:
        """The first of them ends the transaction for all. Raises `QueueError`."""
        self._queue.commit()

    def show(self) -> None:
        """It is to be seen since the transaction ended."""

    def changed(self) -> Iterable[Path]:
        """None: the database looks after its own."""
        return ()

    def undo(self) -> None:
        """The transaction did not happen; if it did, the message leaves the queue again."""
        with contextlib.suppress(QueueError):  # the disk is in trouble, and that has been said
            self._queue.roll_back()
            if self._written:
                self._queue.remove(self.id)
        self._written = False

    def close(self) -> None:
        """There is nothing to give back."""


class Queue:
    """The database. Every method raises `QueueError`; the server calls them all on its storage's thread."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.time) -> None:
        """Opens or creates the database `file`; `clock` gives seconds of the epoch."""
        self.clock = clock
        self._file = file
        file.touch(mode=0o600)  # whole messages are in it
        with _told(file):
            self._database = sqlite3.connect(
                file, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns
            self._database.execute("PRAGMA foreign_keys = ON")
            self._database.executescript(SCHEMA)
            with self._transaction():
                upgrade(self._database)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def copy(
        self,
        sender: str,
        recipients: Sequence[str],
        text: bytes,
        *,
        international: bool = False,
        requests: Requests = NONE,
    ) -> QueueCopy:
        """A message to be put in, see `put`."""

        def put(number: str) -> None:
            self.put(number, sender, recipients, text, international=international, requests=requests)

        return QueueCopy(self, put)

    def put(
        self,
        number: str,
        sender: str,
        recipients: Sequence[str],
        text: bytes,
        *,
        international: bool = False,
        requests: Requests = NONE,
    ) -> None:
        """Put a message in, to be tried at once, in the transaction that this begins or joins, see `commit`.

        `text` is the whole message; `international`: it came with SMTPUTF8; each recipient is there once.
        """
        now = self.clock()
        with _told(self._file):
            if not self._database.in_transaction:
                self._database.execute("BEGIN IMMEDIATE")
            row = (number, now, now, sender, len(text), text, international)
            self._database.execute(PUT, (*row, requests.ret, requests.envelope_id))
            asked = ((address, requests.of(address)) for address in recipients)
            rows = [(number, address, request.notify, request.original) for address, request in asked]
            self._database.executemany(PUT_RECIPIENT, rows)

    def commit(self) -> None:
        """End the transaction, if there is one; what it put in is on disk then."""
        with _told(self._file):
            self._database.commit()

    def roll_back(self) -> None:
        """End the transaction, if there is one, as if it had not been."""
        with _told(self._file):
            self._database.rollback()

    def upcoming(self, most: int) -> list[tuple[str, float]]:
        """The messages that are to be tried next, and when, soonest first; the frozen ones are not."""
        with _told(self._file):
            return self._database.execute(
                "SELECT id, next_try FROM message WHERE frozen = 0 ORDER BY next_try, id LIMIT ?", (most,)
            ).fetchall()

    def entries(self, number: str | None = None) -> list[QueueEntry]:
        """All messages, or the one of that id, oldest first."""
        with _told(self._file), self._transaction("BEGIN"):
            return self._entries(number)

    def message(self, number: str) -> tuple[QueueEntry, bytes] | None:
        """The message of that id and its content, as of one moment; None when it is gone."""
        with _told(self._file), self._transaction("BEGIN"):
            entries = self._entries(number)
            row = self._database.execute("SELECT content FROM message WHERE id = ?", (number,)).fetchone()
        return (entries[0], row[0]) if entries else None

    def settle(self, number: str, outcomes: Mapping[str, DeliveryResult]) -> None:
        """Keep what recipients came to, by address; a message that nobody waits for any more is gone."""
        with _told(self._file), self._transaction():
            self._settle(number, outcomes)

    def note(
        self,
        number: str,
        outcomes: Mapping[str, DeliveryResult],
        next_try: float,
        *,
        frozen: bool = False,
        delay_told: Iterable[str] = (),
    ) -> None:
        """The same at the end of an attempt, with what is to become of the rest.

        Of the recipients `delay_told` the sender has been told that they wait.
        """
        with _told(self._file), self._transaction():
            self._settle(number, outcomes)
            self._database.executemany(TOLD, [(number, address) for address in delay_told])
            self._database.execute(
                "UPDATE message SET next_try = ?, frozen = ? WHERE id = ?", (next_try, frozen, number)
            )

    # What an operator does

    def remove(self, number: str) -> bool:
        """Forget a message, and tell nobody; whether there was one of that id."""
        with _told(self._file):
            return self._database.execute("DELETE FROM message WHERE id = ?", (number,)).rowcount > 0

    def thaw(self, number: str) -> bool:
        """Let a frozen message be tried at once for those it failed for; whether there was one of that id."""
        with _told(self._file), self._transaction():
            thawed = self._database.execute(
                "UPDATE message SET frozen = 0, next_try = ? WHERE id = ? AND frozen = 1",
                (self.clock(), number),
            )
            if thawed.rowcount > 0:
                self._database.execute(AGAIN, (number,))
        return thawed.rowcount > 0

    def run(self) -> int:
        """Let every message that is not frozen be tried at once; how many those are."""
        with _told(self._file):
            return self._database.execute(
                "UPDATE message SET next_try = ? WHERE frozen = 0", (self.clock(),)
            ).rowcount

    def _settle(self, number: str, outcomes: Mapping[str, DeliveryResult]) -> None:
        for address, outcome in outcomes.items():
            self._database.execute(NOTE, (outcome.state, outcome.words, number, address))
        self._database.execute(f"DELETE FROM message WHERE {OVER}", (number,))  # noqa: S608

    def _entries(self, number: str | None) -> list[QueueEntry]:
        rows = self._database.execute(
            "SELECT id, arrived, next_try, frozen, sender, size, international, ret, envelope_id FROM message"
            " WHERE ? IS NULL OR id = ? ORDER BY arrived, id",
            (number, number),
        ).fetchall()
        return [
            QueueEntry(
                number,
                arrived,
                next_try,
                bool(frozen),
                sender,
                size,
                self._recipients(number),
                bool(utf8),
                *asked,
            )
            for number, arrived, next_try, frozen, sender, size, utf8, *asked in rows
        ]

    def _recipients(self, number: str) -> tuple[Recipient, ...]:
        rows = self._database.execute(
            "SELECT address, state, attempts, reply, notify, original, delay_told FROM recipient"
            " WHERE message = ? ORDER BY rowid",
            (number,),
        )
        return tuple(
            Recipient(address, State(state), attempts, reply, Request(notify, original), bool(told))
            for address, state, attempts, reply, notify, original, told in rows
        )

    @contextlib.contextmanager
    def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
        self._database.execute(begin)
        try:
            yield
        except BaseException:
            self._database.rollback()
            raise
        self._database.commit()


@contextlib.contextmanager
def _told(file: Path) -> Iterator[None]:
    """What the database says, as a `QueueError` that names the file and a mend."""
    try:
        yield
    except (sqlite3.Error, ValueError) as error:
        passing = getattr(error, "sqlite_errorname", "").startswith(PASSING)
        mend = "" if passing else "; if it is not this server's queue, move it away and a new one is made"
        raise QueueError(f"{file}: {error}{mend}") from error
