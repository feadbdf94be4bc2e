"""The tables of the queue's database, what changes them, and how an older file comes to this version."""

import sqlite3

SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id TEXT PRIMARY KEY, arrived REAL NOT NULL, next_try REAL NOT NULL, frozen INTEGER NOT NULL DEFAULT 0,
    sender TEXT NOT NULL, size INTEGER NOT NULL, content BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS recipient (
    message TEXT NOT NULL REFERENCES message ON DELETE CASCADE, address TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting', attempts INTEGER NOT NULL DEFAULT 0,
    reply TEXT NOT NULL DEFAULT '', PRIMARY KEY (message, address)
);
CREATE INDEX IF NOT EXISTS upcoming ON message (frozen, next_try);
"""
# From each version of the file to the next; the first is 0, which is what the schema above makes.
UPGRADES = (
    ("ALTER TABLE message ADD COLUMN international INTEGER NOT NULL DEFAULT 0",),
    (
        "ALTER TABLE message ADD COLUMN ret TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE message ADD COLUMN envelope_id TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE recipient ADD COLUMN notify TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE recipient ADD COLUMN original TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE recipient ADD COLUMN delay_told INTEGER NOT NULL DEFAULT 0",
    ),
)

PUT = (
    "INSERT INTO message (id, arrived, next_try, sender, size, content, international, ret, envelope_id)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
PUT_RECIPIENT = "INSERT INTO recipient (message, address, notify, original) VALUES (?, ?, ?, ?)"
TOLD = "UPDATE recipient SET delay_told = 1 WHERE message = ? AND address = ?"
NOTE = "UPDATE recipient SET state = ?, attempts = attempts + 1, reply = ? WHERE message = ? AND address = ?"
AGAIN = "UPDATE recipient SET state = 'waiting' WHERE message = ? AND state = 'failed'"
# Nobody waits for it any more; what failed without a sender to tell stays, for an operator.
OVER = """id = ? AND NOT EXISTS (
    SELECT 1 FROM recipient WHERE message = message.id
    AND (state = 'waiting' OR state = 'failed' AND message.sender = '')
)"""


def upgrade(database: sqlite3.Connection) -> None:
    """Bring a file to this version, within a transaction. Raises `ValueError` for one of a newer server."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > len(UPGRADES):
        raise ValueError(f"a newer version of this server has made it (version {version})")
    for statement in (each for step in UPGRADES[version:] for each in step):
        database.execute(statement)
    database.execute(f"PRAGMA user_version = {len(UPGRADES)}")
