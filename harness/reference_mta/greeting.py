"""What the server says of itself: the banner, and the reply to HELO and EHLO (RFC 5321 §4.3.1, §4.1.1.1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.reference_mta.earned import Refusal
from harness.reference_mta.replies import word
from harness.reference_mta.tables.extensions import Extension

BANNER = "banner"  # the parts, as they are called when they are noted: the first line of all,
TURNED_AWAY = "turned away"  # the refusal that stands in its place,
KEYWORDS = "keywords"  # and what lists the keywords, with the lines that they stand in
IDENT = "ESMTP smtp-harness reference MTA"


@dataclass(frozen=True)
class Offer:
    """What the list of keywords depends on."""

    largest: int  # bytes of a message
    covered: bool  # TLS is on
    trusted: bool  # the client may relay
    extensions: frozenset[Extension] = frozenset(Extension)
    mechanisms: tuple[str, ...] = ("PLAIN",)  # of AUTH
    most_recipients: int = 0  # of a message, refused ones included; 0: it is not told


def banner(hostname: str) -> str:
    """The first line of all."""
    return f"220 {hostname} {IDENT}"


def turned_away(hostname: str) -> Refusal:
    """What stands in its place for a client that is served nothing but QUIT (RFC 5321 §3.1)."""
    return Refusal(f"554 5.7.1 {hostname} takes no mail from your address")


def keywords(offer: Offer) -> list[str]:
    """What EHLO lists."""
    login = [" ".join(("AUTH", *offer.mechanisms))] if offer.mechanisms else []
    tls = login if offer.covered else ["STARTTLS"]
    listed = [one for one in Extension if one in offer.extensions and one is not Extension.LIMITS]
    limits = [f"LIMITS RCPTMAX={offer.most_recipients}"] if _tells_limits(offer) else []
    return [f"SIZE {offer.largest}", *listed, *limits, *tls]


def _tells_limits(offer: Offer) -> bool:
    """Whether there is a limit to tell (RFC 9422); of messages and of domains a connection has any number."""
    return Extension.LIMITS in offer.extensions and offer.most_recipients > 0


def welcome(hostname: str, name: str, listed: Sequence[str]) -> str:
    """The reply to a greeting that is taken; after HELO nothing is listed."""
    *lines, last = [f"{hostname} greets {word(name)}", *listed]
    return "\r\n".join([*(f"250-{line}" for line in lines), f"250 {last}"])


@dataclass(frozen=True)
class GreetingParts:
    """Each as it should be; another one may take its place."""

    banner: Callable[[str], str] = banner
    turned_away: Callable[[str], Refusal] = turned_away
    keywords: Callable[[Offer], list[str]] = keywords
    welcome: Callable[[str, str, Sequence[str]], str] = welcome  # the server's name, the client's, keywords
