"""Keeping accepted mail: a Maildir for each recipient, on disk before the client hears of it."""

import hashlib
import os
import secrets
import time
from pathlib import Path

LONGEST = 200  # bytes of a folder's name, short enough for every file system
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789@.-_+=")


def deliver(folder: Path, content: bytes) -> Path:
    """Write a message into the Maildir `folder`; it is on disk when this returns. Raises `OSError`."""
    if not (folder / "new").is_dir():
        for part in ("tmp", "cur", "new"):
            (folder / part).mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{time.time_ns()}.{secrets.token_hex(8)}.reference-mta"
    with (folder / "tmp" / name).open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return (folder / "tmp" / name).rename(folder / "new" / name)


def folder_name(address: str) -> str:
    """A file name for an address: what could lead out of the folder or confuse a shell is replaced."""
    plain = "".join(char if char in PLAIN else "_" for char in address.lower()).lstrip(".") or "_"
    if len(plain) <= LONGEST:
        return plain
    return f"{plain[:LONGEST]}-{hashlib.sha256(address.lower().encode()).hexdigest()[:16]}"
