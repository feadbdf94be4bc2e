"""What both forms of mailboxes need of files."""

import hashlib
import os
from collections.abc import Iterable

LONGEST = 200  # bytes of a folder's name, short enough for every file system
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789@.-_+=")


def folder_name(address: str) -> str:
    """A file name for an address: what could lead out of the folder or confuse a shell is replaced."""
    plain = "".join(char if char in PLAIN else "_" for char in address.lower()).lstrip(".") or "_"
    if len(plain) <= LONGEST:
        return plain
    return f"{plain[:LONGEST]}-{hashlib.sha256(address.lower().encode()).hexdigest()[:16]}"


def write_all(file: int, parts: Iterable[bytes]) -> None:
    """Write everything to an open file. Raises `OSError`."""
    for part in parts:
        rest = memoryview(part)
        while rest:
            rest = rest[os.write(file, rest) :]
