"""What scenarios can do beyond talking to the server, as the run grants it."""

from dataclasses import dataclass
from typing import Protocol

from harness.client import Clock


class GreylistOperator(Protocol):
    """Changes the greylist as an operator of the server does."""

    def add(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Put a triplet on the `white`, `grey` or `black` list."""

    def remove(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Take a triplet off a list."""

    def listed(self, which: str, client: str, sender: str, recipient: str) -> bool:
        """Whether a list shows the triplet."""


class GreylistOutage(Protocol):
    """Puts the greylist's store out of reach."""

    def cut(self, client: str) -> None:
        """From now on nothing can be looked up about this client."""

    def end(self) -> None:
        """Everything is as before."""

    @property
    def shared(self) -> bool:
        """Whether it is an outage for every client, so that nobody else may be played meanwhile."""


class Mailbox(Protocol):
    """Reads what the server delivered."""

    def find(self, recipient: str, token: str) -> bytes:
        """The message with `token` in it; raises `FailedError` when it does not arrive in time."""


class Callouts(Protocol):
    """The mail host of everybody else: notes who calls while a dialogue runs."""

    @property
    def address(self) -> str:
        """Where to point the MX of a domain whose mail host must not be called."""

    def mentions(self, word: str) -> bool:
        """Whether a caller has said `word`."""


@dataclass(frozen=True)
class Tools:
    """What the run can do beyond talking to the server; absent tools are not granted."""

    clock: Clock | None = None
    operator: GreylistOperator | None = None
    outage: GreylistOutage | None = None
    mailbox: Mailbox | None = None
    callouts: Callouts | None = None
