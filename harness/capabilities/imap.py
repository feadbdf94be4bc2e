"""Mail that is read by IMAP (RFC 3501) under TLS, as a careful client does it."""

import contextlib
import imaplib
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.capabilities.mailbox import INBOX, LARGEST, Delivered, Watch
from harness.profile.mail_tables import Imap
from harness.settings.secret import leaving_no_trace
from harness.smtp.masking import Masker
from harness.smtp.tls import verifying_context
from harness.verdicts import InconclusiveError

PATIENCE = 15.0  # seconds for one answer
MOST_FOLDERS = 200
_FOLDER = re.compile(rb'^\(([^)]*)\) (?:"(?:[^"\\]|\\.)*"|NIL) (?:"((?:[^"\\]|\\.)*)"|(\S+))$')
_NAMESPACES = re.compile(rb'NIL|\((?:\((?:"(?:[^"\\]|\\.)*"|[^()"])*\)\s*)+\)', re.IGNORECASE)
_PREFIX = re.compile(rb'\(\s*"((?:[^"\\]|\\.)*)"')
_NOT_SELECTABLE = {b"\\noselect", b"\\nonexistent"}
_VIRTUAL = {b"\\all", b"\\flagged", b"\\important"}  # they show what lies elsewhere: RFC 6154 §2, RFC 8457


@dataclass(frozen=True)
class ImapStore:
    """An IMAP server; each look goes through all folders of the account."""

    access: Imap

    def watch(self, recipient: str, token: bytes) -> Watch:
        """Log in for a recipient; raises `InconclusiveError` when that cannot be done."""
        with _telling(self.access):
            return _ImapWatch(recipient, token, _log_in(self.access, recipient), self.access)


@dataclass
class _ImapWatch:
    recipient: str
    token: bytes
    connection: imaplib.IMAP4_SSL
    access: Imap
    seen: set[tuple[bytes, bytes]] = field(default_factory=set)

    def look(self) -> list[Delivered]:
        with _telling(self.access):
            return [found for folder in self._folders() for found in self._in(folder)]

    def astray(self) -> str:
        """IMAP has messages only."""
        return ""

    def close(self) -> None:
        """Say goodbye; a server that is gone needs none."""
        with contextlib.suppress(imaplib.IMAP4.error, OSError):
            self.connection.logout()

    def _folders(self) -> list[bytes]:
        known = {*b" ".join(line for line in _done(self.connection.capability()) if line).upper().split()}
        # Some servers say what a folder is for only when they are asked (RFC 6154 §2).
        asks = {b"LIST-EXTENDED", b"SPECIAL-USE"} <= known
        lines = _done(self.connection.list(pattern="* RETURN (SPECIAL-USE)" if asks else "*"))
        of_others = _of_others(_done(self.connection.namespace())) if b"NAMESPACE" in known else ()
        folders: list[bytes] = []
        for line in lines:
            match = _FOLDER.match(line) if isinstance(line, bytes) else None
            if match and not {*match[1].lower().split()} & (_NOT_SELECTABLE | _VIRTUAL):
                name = match[3] if match[2] is None else _unquoted(match[2])
                if not name.startswith(of_others):
                    folders.append(name)
        return folders[:MOST_FOLDERS] or [b"INBOX"]

    def _in(self, folder: bytes) -> Iterator[Delivered]:
        name = folder.decode("ascii", "backslashreplace")
        _done(self.connection.select(_quoted(name), readonly=True))
        token = self.token.decode("ascii")
        numbers = _done(self.connection.uid("SEARCH", "TEXT", _quoted(token)))[0] or b""
        for number in numbers.split():
            if (folder, number) in self.seen:
                continue
            self.seen.add((folder, number))
            for part in _done(self.connection.uid("FETCH", number.decode("ascii"), "(BODY.PEEK[])")):
                if isinstance(part, tuple):
                    where = f"imap://{self.access.name}/{name};UID={number.decode('ascii')}"
                    shown = INBOX if name.upper() == "INBOX" else name
                    yield Delivered(self.recipient, shown, where, part[1])


class _Connection(imaplib.IMAP4_SSL):
    """IMAP under TLS to an address, with the certificate held against a name."""

    def __init__(self, access: Imap) -> None:
        self._name = access.name
        self._context = verifying_context(access.ca_file)
        host, port = access.address
        super().__init__(host, port, ssl_context=self._context, timeout=PATIENCE)

    def _create_socket(self, timeout: float | None) -> ssl.SSLSocket:
        plain = socket.create_connection((self.host, self.port), timeout)
        return self._context.wrap_socket(plain, server_hostname=self._name)

    def read(self, size: int) -> bytes:
        """A literal, which is a message at most."""
        if size > LARGEST:
            raise self.abort(f"the server announces {size} bytes at once")
        return super().read(size)


def _log_in(access: Imap, recipient: str) -> imaplib.IMAP4_SSL:
    user, _, domain = recipient.partition("@")
    connection = _Connection(access)
    try:
        name = access.user.replace("{user}", user).replace("{domain}", domain)
        leaving_no_trace(lambda: connection.login(name, access.secret.reveal()))
    except BaseException:
        connection.shutdown()
        raise
    return connection


@contextlib.contextmanager
def _telling(access: Imap) -> Iterator[None]:
    try:
        yield
    except (
        imaplib.IMAP4.error,
        OSError,
        ValueError,
    ) as error:  # ValueError: what cannot be said in a command
        said = Masker([access.secret]).mask_text(str(error))[:300]
        raise InconclusiveError(f"mailbox.imap: {access.address[0]}:{access.address[1]}: {said}") from None


def _of_others(lines: list[Any]) -> tuple[bytes, ...]:
    """What folders of others, and shared ones, begin with (RFC 2342 §5); those of one's own come first."""
    told = _NAMESPACES.findall(b" ".join(line for line in lines if isinstance(line, bytes)))
    found = (_unquoted(prefix) for group in told[1:] for prefix in _PREFIX.findall(group))
    return tuple(prefix for prefix in found if prefix)


def _unquoted(text: bytes) -> bytes:
    return re.sub(rb"\\(.)", rb"\1", text)


def _done(answer: tuple[str, list[Any]]) -> list[Any]:
    status, lines = answer
    if status != "OK":
        raise imaplib.IMAP4.error(f"the server said {status} {lines!r}"[:200])
    return lines


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
