"""Reading what the server delivered: a Maildir, an mbox file or IMAP, found by a token in the message."""

import contextlib
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import policy
from email.message import Message
from email.parser import BytesParser
from functools import cached_property
from typing import Protocol

from harness.verdicts import BrokenOffError, CameLateError, MisfiledError, UndeliveredError

LOOK = 0.05  # seconds between two looks into a store that another machine may write to
INBOX = ""
LARGEST = 64 << 20  # bytes of a message that are read
_END_OF_HEADER = re.compile(rb"(?:\A|\n)\r?\n")


@dataclass(frozen=True)
class Delivered:
    """One copy of a message as it was found."""

    recipient: str  # whose mailbox it is
    folder: str  # as the mailbox names it; empty for the inbox
    where: str  # the file, or the IMAP folder and number
    content: bytes

    def headers(self, name: str) -> list[str]:
        """The values of all header fields of that name, unfolded, in order."""
        return [" ".join(str(value).split()) for value in self.header.get_all(name, [])]

    @cached_property
    def header(self) -> Message:
        """The header as parsed, its values as they stand there; a body may be long, and is not looked at."""
        end = _END_OF_HEADER.search(self.content)
        return BytesParser(policy=policy.compat32).parsebytes(self.content[: end.end() if end else None])

    @property
    def body(self) -> bytes:
        """Everything after the header, with LF line ends."""
        return self.content.replace(b"\r\n", b"\n").partition(b"\n\n")[2]

    def has(self, part: bytes) -> bool:
        """Whether that is in its body, with LF line ends, as it stands there or as it was encoded since."""
        if part in self.body:
            return True
        payload = BytesParser(policy=policy.compat32).parsebytes(self.content).get_payload(decode=True)
        return isinstance(payload, bytes) and part in payload.replace(b"\r\n", b"\n")


class Watch(Protocol):
    """One recipient's mailbox, remembering what has been looked at."""

    def look(self) -> list[Delivered]:
        """The messages with the token that were not there before."""

    def astray(self) -> str:
        """Where the token stands outside of any message, in words; empty when it does not."""

    def close(self) -> None:
        """No more looks."""


class Store(Protocol):
    """A way to keep mail."""

    def watch(self, recipient: str, token: bytes) -> Watch:
        """Begin to look at the mailbox of a recipient, from its beginning."""


@dataclass(frozen=True)
class PolledMailbox:
    """Looks into the store of a recipient's domain until a message is there."""

    store: Store
    of_domain: Mapping[str, Store] = field(default_factory=dict)  # where mail is kept otherwise
    patience: float = 20.0  # seconds within which an accepted message must have been delivered
    over: threading.Event = field(default_factory=threading.Event, compare=False)  # nobody waits any more

    def find(self, recipient: str, token: str) -> Delivered:
        """The first delivered message with `token` in it.

        Raises `UndeliveredError` when none arrives, `FailedError` when it lies there and is no message,
        `CameLateError` when one arrives, but late: it is waited for twice as long, because a slow
        delivery proves nothing; `BrokenOffError` when the run is over before.
        """
        began = time.monotonic()
        with contextlib.closing(self._watch(recipient, token)) as watch:
            while True:
                waited = time.monotonic() - began
                for found in watch.look():
                    if waited > self.patience + LOOK:
                        raise CameLateError(
                            f"the message to {recipient} took {waited:.0f} s to its mailbox, longer than "
                            f"mailbox.patience = {self.patience:g}"
                        )
                    return found
                if waited > 2 * self.patience:
                    if place := watch.astray():
                        raise MisfiledError(f"the message to {recipient} is {place}")
                    within = f"within {waited:.0f} s"
                    raise UndeliveredError(
                        f"the message to {recipient} was accepted and not delivered {within}", token
                    )
                # All who wait look at the same moments, so that a store is listed once for all of them.
                if self.over.wait(LOOK - time.monotonic() % LOOK):
                    raise BrokenOffError

    def copies(self, recipient: str, token: str) -> list[Delivered]:
        """Every message with `token` in it that is there now, in whatever folder."""
        with contextlib.closing(self._watch(recipient, token)) as watch:
            found = watch.look()
            time.sleep(LOOK)  # an mbox that is being written to is read when it has come to rest
            return found + watch.look()

    def _watch(self, recipient: str, token: str) -> Watch:
        store = self.of_domain.get(recipient.rpartition("@")[2].lower(), self.store)
        return store.watch(recipient, token.encode())
