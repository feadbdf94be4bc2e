"""What both forms of mailboxes need of files."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

LONGEST = 200  # bytes of a folder's name, short enough for every file system
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789@.-_+=")


def folder_name(address: str) -> str:
    """A file name for an address, and for no other, save that letter case does not count.

    What could lead out of the folder or confuse a shell stands as `%` and two hexadecimal digits.
    """
    plain = "".join(char if char in PLAIN else _escaped(char) for char in address.lower()) or "%"
    if plain.startswith("."):  # would be hidden, or a folder of another mailbox
        plain = _escaped(".") + plain[1:]
    if len(plain) <= LONGEST:
        return plain
    return f"{plain[:LONGEST]}-{hashlib.sha256(_as_bytes(address.lower())).hexdigest()[:16]}"


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02x}" for byte in _as_bytes(char))


def _as_bytes(text: str) -> bytes:
    """As the client sent it, whatever that was."""
    return text.encode("utf-8", "surrogateescape")


def write_all(file: int, parts: Iterable[bytes]) -> None:
    """Write everything to an open file. Raises `OSError`."""
    for part in parts:
        rest = memoryview(part)
        while rest:
            rest = rest[os.write(file, rest) :]


def make_folder(folder: Path) -> list[Path]:
    """Make a folder and what is missing above it; the folders that have a new entry. Raises `OSError`."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return [each.parent for each in missing]


def sync_folder(folder: Path) -> None:
    """Wait until the folder's entries are on disk. Raises `OSError`."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
