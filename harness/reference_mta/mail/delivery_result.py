"""What an attempt to send a message came to, for one recipient."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.reference_mta.replies import printable

STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?: |$)")  # at the beginning of a reply's text (RFC 2034)


class State(StrEnum):
    """Where a recipient of a queued message stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True)
class DeliveryResult:
    """What one attempt came to; `words` are the other host's reply, or this server's reason."""

    state: State
    words: str  # one line, printable and bounded
    status: str  # RFC 3463, as 5.1.1
    host: str = ""  # the name of the host that said it; empty when this server did
    elsewhere: bool = False  # the host as a whole did not serve: the next one may
    in_doubt: bool = False  # the host may have taken it without saying so: no other one gets it for now
    informed: bool = False  # the host has been told what its sender wants to be told of it (RFC 3461)

    @property
    def settled(self) -> bool:
        """Whether no other host needs to be asked."""
        if self.state is State.WAITING:
            return self.in_doubt
        return self.state is State.DELIVERED or not self.elsewhere

    @classmethod
    def of_reply(
        cls, code: int, text: str, host: str, *, elsewhere: bool = False, passing: bool = False
    ) -> "DeliveryResult":
        """By another host's reply: 2xx delivers, 5xx fails, all else is for now only (RFC 5321 §4.2.1).

        With `passing` it is for now only in any case.
        """
        line = " ".join(text.split("\n"))
        state = (
            State.WAITING
            if passing
            else {2: State.DELIVERED, 5: State.FAILED}.get(code // 100, State.WAITING)
        )
        digit = {State.DELIVERED: "2", State.FAILED: "5", State.WAITING: "4"}[state]
        found = STATUS.match(line)
        status = found[1] if found and found[1][0] == digit else f"{digit}.0.0"
        return cls(state, printable(f"{code} {line}"), status, host, elsewhere)


# What hears at once of the recipients for whom a host has taken a message.
Delivered = Callable[[Mapping[str, DeliveryResult]], Awaitable[None]]


def failed(words: str, status: str, *, elsewhere: bool = False) -> DeliveryResult:
    """This server's own reason why a message cannot be sent at all."""
    return DeliveryResult(State.FAILED, printable(words), status, elsewhere=elsewhere)


def later(words: str, status: str, *, in_doubt: bool = False) -> DeliveryResult:
    """This server's own reason why a message cannot be sent yet, or why it is not known to be."""
    return DeliveryResult(State.WAITING, printable(words), status, elsewhere=True, in_doubt=in_doubt)
