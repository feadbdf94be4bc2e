"""Mail kept as files: a Maildir with its folders, or an mbox file."""

import math
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.capabilities.mailbox import INBOX, LARGEST, Delivered, Watch
from harness.verdicts import InconclusiveError

BORDER = 16  # bytes that may be of the border to the next message
SEARCHED = 1 << 20  # bytes of a message, from its beginning, in which its token stands
KEPT = 32 << 20  # bytes of messages that are remembered for whoever looks for another one
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_BORDER = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\r\n\r\n))From [^\n]*\n")


def filled(template: str, recipient: str) -> Path:
    """A path of the profile for a recipient; nothing in the address leads out of it."""
    user, _, domain = recipient.partition("@")
    for part in (user, domain):
        if "/" in part or part in ("", ".", ".."):
            raise ValueError(f"{recipient!r} cannot be part of a path")
    return Path(template.replace("{user}", user).replace("{domain}", domain))


@dataclass(frozen=True)
class MaildirStore:
    """A Maildir for each recipient; its folders lie in it as `.Name`, as Courier and Dovecot keep them."""

    template: str
    _maildirs: dict[Path, "_Maildir"] = field(default_factory=dict, compare=False, repr=False)

    def watch(self, recipient: str, token: bytes) -> Watch:
        """Begin to look at a recipient's Maildir."""
        root = filled(self.template, recipient)
        return _MaildirWatch(recipient, token, self._maildirs.setdefault(root, _Maildir(str(root))))


@dataclass(frozen=True)
class _Message:
    """A message as it was listed, whole or in part; `name` is what it keeps when it moves to `cur`."""

    folder: str
    name: str
    file: str
    size: int


class _Maildir:
    """All messages in one Maildir, for everybody who looks for one in it; thread-safe.

    Dozens look at a time, each for another message among thousands. It is listed once for all who wait for
    that, and each reads what is new since the last look.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._told: list[_Message] = []  # in the order in which they came, grew or moved
        self._there: dict[tuple[str, str], _Message] = {}  # by folder and name, as they were listed last
        self._contents: dict[tuple[str, str], bytes] = {}
        self._room = KEPT
        self._listed = -math.inf  # time.monotonic() when it was begun to be listed last
        self._lock = threading.Lock()

    def since(self, number: int) -> tuple[list[_Message], int]:
        """The messages that are there now, without so many that were told before, and how many are told now.

        Who does not write to `tmp` first lets others see a part: a message that grows is told again, and so
        is one that moves. Raises `InconclusiveError` when a folder cannot be read.
        """
        asked = time.monotonic()
        with self._lock:
            if self._listed < asked:
                began = time.monotonic()
                self._list()
                self._listed = began
            told = [one for one in self._told[number:] if self._there.get((one.folder, one.name)) is one]
            return told, len(self._told)

    def content(self, message: _Message) -> bytes:
        """What is in it; nothing when it has moved since, and is told again.

        Raises `InconclusiveError` when it cannot be read.
        """
        key = message.folder, message.name
        known = self._contents.get(key)
        if known is not None and len(known) == message.size:
            return known
        try:
            with Path(message.file).open("rb") as opened:
                content = opened.read(LARGEST)
        except FileNotFoundError:
            return b""
        except PermissionError as error:
            raise _unreadable(message.file) from error
        with self._lock:
            room = self._room + len(self._contents.get(key, b""))
            if len(content) <= room:
                self._contents[key] = content
                self._room = room - len(content)
        return content

    def _list(self) -> None:
        there: dict[tuple[str, str], _Message] = {}
        for folder, place in self._folders():
            for part in ("new", "cur"):
                for file in _entries(f"{place}/{part}"):
                    key = folder, file.name.partition(":")[0]
                    try:
                        size = min(file.stat().st_size, LARGEST)
                    except FileNotFoundError:  # it moves to `cur` while we look; the next look finds it there
                        continue
                    known = self._there.get(key)
                    if known is None or (known.file, known.size) != (file.path, size):
                        known = _Message(*key, file.path, size)
                        self._told.append(known)
                    there[key] = known
        self._there = there

    def _folders(self) -> Iterator[tuple[str, str]]:
        """The inbox and all others: what the mailbox calls them, and where they lie."""
        yield INBOX, self._root
        for entry in _entries(self._root):
            if entry.name.startswith(".") and entry.is_dir():
                yield entry.name, entry.path


@dataclass
class _MaildirWatch:
    """Looks for the messages with a token in one Maildir."""

    recipient: str
    token: bytes
    maildir: _Maildir
    seen: int = 0  # messages that were told
    told: set[str] = field(default_factory=set)  # their names: one that moves is still the same

    def look(self) -> list[Delivered]:
        found = []
        messages, told = self.maildir.since(self.seen)
        for message in messages:
            if message.name not in self.told:
                content = self.maildir.content(message)
                if content.find(self.token, 0, SEARCHED) >= 0:
                    self.told.add(message.name)
                    found.append(Delivered(self.recipient, message.folder, message.file, content))
        self.seen = told
        return found

    def astray(self) -> str:
        """A file is a message."""
        return ""

    def close(self) -> None:
        """Nothing is held open."""


def _entries(folder: str) -> "list[os.DirEntry[str]]":
    """What is in a folder, none if it is not there; raises `InconclusiveError` when it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as error:
        raise _unreadable(folder) from error


def _unreadable(path: str) -> InconclusiveError:
    return InconclusiveError(f"mailbox: {path} cannot be read; let this user read it")


@dataclass(frozen=True)
class MboxStore:
    """An mbox file for each recipient (RFC 4155), From_ lines quoted as mboxrd does it."""

    template: str

    def watch(self, recipient: str, token: bytes) -> Watch:
        """Begin to look at a recipient's mbox."""
        return _MboxWatch(recipient, token, filled(self.template, recipient))


@dataclass
class _MboxWatch:
    """Reads on where the last message begins: that one counts when it has not grown between two looks."""

    recipient: str
    token: bytes
    file: Path
    start: int = 0  # where the last message begins that has not been told
    size: int = -1  # of the file at the last look

    def look(self) -> list[Delivered]:
        try:
            opened = self.file.open("rb")
        except (FileNotFoundError, NotADirectoryError):
            return []
        except PermissionError as error:
            raise _unreadable(str(self.file)) from error
        found: list[Delivered] = []
        with opened:
            while True:
                opened.seek(self.start)
                added = opened.read(LARGEST)
                found += self._taken(added)
                if len(added) < LARGEST:
                    return found

    def _taken(self, added: bytes) -> list[Delivered]:
        """The messages in what follows `start`, which moves on to behind them."""
        at_rest, self.size = self.start + len(added) == self.size, self.start + len(added)
        messages, rest = split(added)
        if messages and not rest and not at_rest:
            messages.pop()
            rest = added[_last_border(added) :]
        if not messages and len(added) == LARGEST:
            rest = added[-BORDER:]  # a message of that size is none of ours
        self.start = self.size - len(rest)
        return [
            Delivered(self.recipient, INBOX, str(self.file), content)
            for content in messages
            if self.token in content
        ]

    def astray(self) -> str:
        """What stands before the first From_ line, or is not ended by an empty line, is no message."""
        try:
            with self.file.open("rb") as opened:
                lies_there = any(self.token in line for line in opened)
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except PermissionError as error:
            raise _unreadable(str(self.file)) from error
        return f"in {self.file}, but not between a From_ line and an empty line" if lies_there else ""

    def close(self) -> None:
        """Nothing is held open."""


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole messages in the text of an mbox, unquoted and without their From_ lines, and the rest.

    The last message is whole when an empty line ends it, which every writer of an mbox puts there.
    """
    borders = list(_BORDER.finditer(data))
    messages: list[bytes] = []
    for border, after in zip(borders, [*borders[1:], None], strict=False):  # without any, none
        text = data[border.end() : after.start() if after else len(data)]
        if after is None and not text.endswith((b"\n\n", b"\r\n\r\n")):
            return messages, data[border.start() :]
        messages.append(_QUOTED.sub(rb"\1", _without_last_line(text)))
    return messages, b""


def _last_border(data: bytes) -> int:
    return [border.start() for border in _BORDER.finditer(data)][-1]


def _without_last_line(text: bytes) -> bytes:
    return text[:-2] if text.endswith(b"\r\n\r\n") else text[:-1]
