"""Where zone data comes from: the octets of a file as text, and which files another one may include."""

import codecs
from dataclasses import dataclass, field
from pathlib import Path

from fake_dns.masterfile import LineError
from fake_dns.names import RecordError

MAX_FILE = 64 << 20  # octets of one file
MAX_DEPTH = 10  # files that include one another
MAX_INCLUDES = 1000  # files that one zone file includes, all in all

_OTHER_ENCODINGS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, without a byte order mark; raises `RecordError`.

    An octet that is no UTF-8 becomes a surrogate (Python's "surrogateescape"): master files and block lists
    are octets, and those in a comment or a string do no harm.
    """
    try:
        if not path.is_file():
            there = "is not a file" if path.exists() else "there is no such file"
            raise RecordError(f"{there}; check the path")
        with path.open("rb") as file:
            octets = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL, or a record error of ours
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"cannot be read: {error}") from error
    if len(octets) > MAX_FILE:
        raise RecordError(f"has more than {MAX_FILE >> 20} MiB; split it")
    if octets.startswith(_OTHER_ENCODINGS):
        raise RecordError("is in UTF-16; save it in UTF-8")
    return octets.decode("utf-8-sig", "surrogateescape")


def check_utf8(text: str) -> None:
    """Raises `LineError` where the text of a file was not UTF-8."""
    for number, line in enumerate(text.split("\n"), 1):
        for character in line:
            if "\udc80" <= character <= "\udcff":
                octet = ord(character) - 0xDC00
                raise LineError(number, f"the octet 0x{octet:02x} is not UTF-8; save the file in UTF-8")


@dataclass
class Includes:
    """Which files a zone file may include: those in its folder and below, a bounded number of them."""

    top: Path
    _stack: list[Path] = field(default_factory=list)
    _included: int = 0

    def __post_init__(self) -> None:
        """The zone file itself is the first."""
        self._stack.append(self.top.resolve())

    def enter(self, name: str) -> tuple[Path, str]:
        """The path and the text of a file to be included, relative to the zone file's folder.

        Raises `RecordError` for a file elsewhere, for one that includes itself, and for too many. `leave`
        tells that it was read to its end.
        """
        folder = self.top.parent
        try:
            path = (folder / name).resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise RecordError(f"{name[:80]!r} is no path of a file: {error}") from None
        if not path.is_relative_to(folder.resolve()):
            raise RecordError(f"{name[:80]!r} is not in the folder of the zone file; move it to {folder}")
        if path in self._stack:
            raise RecordError(f"{name[:80]!r} includes itself; take one of the inclusions out")
        self._included += 1
        if len(self._stack) >= MAX_DEPTH or self._included > MAX_INCLUDES:
            raise RecordError(
                f"{name[:80]!r} is one file too many; at most {MAX_INCLUDES} are included, "
                f"{MAX_DEPTH} within one another"
            )
        try:
            text = read_text(path)
        except RecordError as error:
            raise RecordError(f"{name[:80]!r}: {error}") from None
        self._stack.append(path)
        return folder / name, text

    def leave(self) -> None:
        """The file that was entered last has been read."""
        self._stack.pop()
