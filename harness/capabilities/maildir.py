"""Mail kept as files: a Maildir with its folders, or an mbox file."""

import re
import threading
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
    _read: "_Read" = field(default_factory=lambda: _Read(), compare=False, repr=False)

    def watch(self, recipient: str, token: bytes) -> Watch:
        """Begin to look at a recipient's Maildir."""
        return _MaildirWatch(recipient, token, filled(self.template, recipient), self._read)


class _Read:
    """Messages that somebody has read: hundreds are looked for in one mailbox, each among all others."""

    def __init__(self) -> None:
        self._contents: dict[Path, bytes] = {}
        self._room = KEPT
        self._lock = threading.Lock()

    def content(self, file: Path, size: int) -> bytes:
        """The content of a file of that size, which changes only as it grows; raises `OSError`."""
        key = file.parent.parent / file.name.partition(":")[0]  # as in `new`, so in `cur`
        known = self._contents.get(key)
        if known is not None and len(known) == size:
            return known
        with file.open("rb") as opened:
            content = opened.read(LARGEST)
        with self._lock:
            room = self._room + len(self._contents.get(key, b""))
            if len(content) <= room:
                self._contents[key] = content
                self._room = room - len(content)
        return content


@dataclass
class _MaildirWatch:
    """Messages are known by the unique part of their file's name, which outlives the move to `cur`.

    Who does not write to `tmp` first lets others see a part: a message that grows is looked at again.
    """

    recipient: str
    token: bytes
    root: Path
    all_read: _Read
    told: set[str] = field(default_factory=set)
    read: dict[str, int] = field(default_factory=dict)  # bytes of those without the token

    def look(self) -> list[Delivered]:
        found = []
        for folder, file in self._files():
            name = file.name.partition(":")[0]
            try:
                if name in self.told:
                    continue
                size = min(file.stat().st_size, LARGEST)
                if self.read.get(name) == size:
                    continue
                content = self.all_read.content(file, size)
            except FileNotFoundError:  # it moves to `cur` while we look; the next look finds it there
                continue
            except PermissionError as error:
                raise _unreadable(file) from error
            if content.find(self.token, 0, SEARCHED) >= 0:
                self.told.add(name)
                found.append(Delivered(self.recipient, folder, str(file), content))
            else:
                self.read[name] = len(content)
        return found

    def astray(self) -> str:
        """A file is a message."""
        return ""

    def close(self) -> None:
        """Nothing is held open."""

    def _files(self) -> Iterator[tuple[str, Path]]:
        folders = [path for path in _listed(self.root) if path.name.startswith(".") and path.is_dir()]
        for folder, path in ((INBOX, self.root), *((path.name, path) for path in folders)):
            for part in ("new", "cur"):
                for file in _listed(path / part):
                    yield folder, file


def _listed(folder: Path) -> list[Path]:
    """What is in a folder, none if it is not there; raises `InconclusiveError` when it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as error:
        raise _unreadable(folder) from error


def _unreadable(path: Path) -> InconclusiveError:
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
            raise _unreadable(self.file) from error
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
            raise _unreadable(self.file) from error
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
