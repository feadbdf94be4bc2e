"""The queue's file: those of older servers are read, those of newer ones refused."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from harness.reference_mta.mail.queue import Queue, QueueError
from harness.reference_mta.mail.requests import Request, Requests

FIRST = """
CREATE TABLE message (
    id TEXT PRIMARY KEY, arrived REAL NOT NULL, next_try REAL NOT NULL, frozen INTEGER NOT NULL DEFAULT 0,
    sender TEXT NOT NULL, size INTEGER NOT NULL, content BLOB NOT NULL
);
CREATE TABLE recipient (
    message TEXT NOT NULL REFERENCES message ON DELETE CASCADE, address TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting', attempts INTEGER NOT NULL DEFAULT 0,
    reply TEXT NOT NULL DEFAULT '', PRIMARY KEY (message, address)
);
INSERT INTO message (id, arrived, next_try, sender, size, content) VALUES ('1', 1.0, 2.0, 'a@b', 3, 'x');
INSERT INTO recipient (message, address) VALUES ('1', 'c@d');
"""
SECOND = """
ALTER TABLE message ADD COLUMN international INTEGER NOT NULL DEFAULT 0;
UPDATE message SET international = 1;
PRAGMA user_version = 1;
"""
ASKED = Requests("FULL", "a+2Bb", {"e@f": Request("SUCCESS", "rfc822;E@f")})


def write(file: Path, script: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.executescript(script)


@pytest.mark.parametrize(("script", "international"), [(FIRST, False), (FIRST + SECOND, True)])
def test_a_queue_of_an_older_server_is_read_and_goes_on(
    tmp_path: Path, script: str, international: bool
) -> None:
    file = tmp_path / "queue.sqlite"
    write(file, script)
    with contextlib.closing(Queue(file)) as queue:
        queue.put("2", "a@b", ["e@f", "g@h"], b"x\r\n", international=True, requests=ASKED)
        queue.commit()
    with contextlib.closing(Queue(file)) as queue:
        old, new = queue.entries()
    assert (old.waiting, old.international) == (("c@d",), international)
    assert old.requests == Requests(of_recipients={"c@d": Request()})
    assert new.international
    assert new.requests == Requests("FULL", "a+2Bb", {**ASKED.of_recipients, "g@h": Request()})


def test_a_queue_of_a_newer_server_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "queue.sqlite"
    Queue(file).close()
    write(file, "PRAGMA user_version = 1000")
    with pytest.raises(QueueError, match=r"newer version.*move it away"):
        Queue(file)
