"""What a session keeps, and what is taken in it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.reference_mta.config import Config

if TYPE_CHECKING:
    from harness.reference_mta.earned import Earned
    from harness.reference_mta.policy.transaction import Transaction
    from harness.reference_mta.telling import ReplyWriter


def forget_clear_text(about: "Transaction") -> bool:
    """TLS has begun; whether what the client told before it is forgotten, as it has to be."""
    about.forget_clear_text()
    return True


def take_greeting_back(about: "Transaction", before: "tuple[str, bool, Earned]") -> None:
    """A greeting is refused: all is as it was before, the name, whether it was EHLO, and what was earned."""
    about.greeting, about.extended, about.earned = before


def recipient_noted(about: "Transaction", line: "ReplyWriter") -> str:
    """The reply to a recipient that is taken."""
    return "250 2.1.5 Recipient noted"


def may_be_stranger(about: "Transaction") -> bool:
    """Whether a client that never logs in may send here: then host and greeting are asked about."""
    return not about.submission


def largest(config: Config) -> int:
    """The size limit of a message, in bytes."""
    return config.server.size_limit


@dataclass(frozen=True)
class SessionParts:
    """Each as it should be; another one may take its place."""

    forget_clear_text: Callable[["Transaction"], bool] = forget_clear_text
    take_greeting_back: Callable[["Transaction", "tuple[str, bool, Earned]"], None] = take_greeting_back
    recipient_noted: Callable[["Transaction", "ReplyWriter"], str] = recipient_noted
    may_be_stranger: Callable[["Transaction"], bool] = may_be_stranger
    largest: Callable[[Config], int] = largest
