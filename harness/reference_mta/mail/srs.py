"""The Sender Rewriting Scheme: whoever forwards puts itself into the envelope sender (wiki 1231–1244).

    SRS0=HHHHHHHH=TT=source.example=user@ours      the first forwarder's
    SRS1=HHHHHHHH=first.example==HHH=TT=…=…@ours   the next one's: a bounce leads to the first forwarder

H is an HMAC of what follows, 40 bits of it in base32. T is the day in base32, modulo 1024. Letter case does
not count: addresses may come back in another one. There is no standard: the form is that of the scheme's
guide, and the hash is nobody's business but the forwarder's.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from harness.reference_mta.addresses import LONGEST, MailAddress, split
from harness.reference_mta.config import Config

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # RFC 4648 §6
DAY = 86400  # seconds
DAYS = 1024  # after so many, a timestamp comes again
HASHED = 8  # characters
OURS0 = re.compile(r"(?i)SRS0[=+-]([^=]+)=([a-z2-7]{2})=([^=]+)=(.*)")
THEIRS = re.compile(r"(?i)SRS0([=+-].+)")
OURS1 = re.compile(r"(?i)SRS1[=+-]([^=]+)=([^=]+)=([=+-].+)")
Flaw = Literal["", "srs.bad-hash", "srs.expired"]


@dataclass(frozen=True)
class Origin:
    """Where a rewritten address leads back to; with a flaw, the rule that forbids to go there."""

    address: str
    flaw: Flaw = ""


@dataclass(frozen=True)
class Srs:
    """Rewrites senders and finds them again; does neither without a secret."""

    config: Config
    parts: "SrsParts" = field(default_factory=lambda: SrsParts())
    clock: Callable[[], float] = time.time

    def forwarded(self, sender: str, domain: str, days: int = 0) -> str:
        """The envelope sender under which `domain` forwards, as it would have been so many days ago.

        Senders without a domain, senders of hosted ones, and what would become too long stay as they are.
        """
        return self.parts.forwarded(self, sender, domain, days)

    def origin(self, address: str) -> Origin | None:
        """Where an address of a hosted domain leads back to; None when it is not a rewritten one."""
        return self.parts.origin(self, address)

    def first(self, mailbox: MailAddress, days: int) -> str:
        """The local part that the first forwarder gives to an address."""
        day, name = _stamp(int(self.clock()) // DAY - days), unquoted(mailbox.local_part)
        return f"SRS0={self._hash(day, mailbox.domain, name)}={day}={mailbox.domain}={name}"

    def later(self, domain: str, rest: str) -> str:
        """The local part that later ones give, which leads to the first."""
        return f"SRS1={self._hash(domain, rest)}={domain}={rest}"

    def flaw(self, given: str, parts: tuple[str, ...], day: str = "") -> Flaw:
        """What is wrong with a hash of these parts, or with the day."""
        if not self.parts.is_same(given, self._hash(*parts)):
            return "srs.bad-hash"
        expired = day and self.parts.is_expired(day, self.clock(), self.config.srs.lifetime)
        return "srs.expired" if expired else ""

    def _hash(self, *parts: str) -> str:
        """The beginning of an HMAC; each part is told apart from the next."""
        text = "\0".join(parts).lower().encode("utf-8", "surrogateescape")
        digest = hmac.new(self.config.srs.secret.reveal().encode(), text, hashlib.sha256).digest()
        return base64.b32encode(digest)[:HASHED].decode()


def forwarded(srs: Srs, sender: str, domain: str, days: int) -> str:
    """See `Srs.forwarded`."""
    mailbox = split(sender)
    if not srs.config.srs.secret or srs.config.hosted(mailbox.domain):
        return sender
    if not mailbox.domain or "=" in mailbox.domain:
        return sender
    address = srs.parts.rewritten(srs, mailbox, domain, days)
    return address if len(address) <= LONGEST else sender


def rewritten(srs: Srs, mailbox: MailAddress, domain: str, days: int) -> str:
    """An address of `domain` that leads back to the mailbox, or to the forwarder that came before it."""
    name = unquoted(mailbox.local_part)
    if later := OURS1.fullmatch(name):
        found = srs.later(later[2], later[3])
    elif first := THEIRS.fullmatch(name):
        found = srs.later(mailbox.domain, first[1])
    else:
        found = srs.first(mailbox, days)
    return f"{quoted(found, like=mailbox.local_part)}@{domain}"


def origin(srs: Srs, address: str) -> Origin | None:
    """See `Srs.origin`."""
    mailbox = split(address)
    name = unquoted(mailbox.local_part)
    if not srs.config.srs.secret or not re.match(r"(?i)SRS[01][=+-]", name):
        return None
    if found := OURS0.fullmatch(name):
        given, day, domain, user = found.groups()
        source = f"{quoted(user, like=mailbox.local_part)}@{domain}"
        return Origin(source, srs.flaw(given, (day, domain, user), day))
    if found := OURS1.fullmatch(name):
        given, domain, rest = found.groups()
        source = f"{quoted(f'SRS0{rest}', like=mailbox.local_part)}@{domain}"
        return Origin(source, srs.flaw(given, (domain, rest)))
    return Origin("", "srs.bad-hash")


def is_same(given: str, expected: str) -> bool:
    """Whether a hash is the expected one, in any letter case."""
    return hmac.compare_digest(given.upper().encode(), expected.encode())


def is_expired(day: str, now: float, lifetime: int) -> bool:
    """Whether an address of that day (a timestamp) is too old now; the lifetime is in days."""
    return _age(day, now) > lifetime


@dataclass(frozen=True)
class SrsParts:
    """Each as it should be; another one may take its place."""

    forwarded: Callable[[Srs, str, str, int], str] = forwarded
    rewritten: Callable[[Srs, MailAddress, str, int], str] = rewritten
    origin: Callable[[Srs, str], Origin | None] = origin
    is_same: Callable[[str, str], bool] = is_same
    is_expired: Callable[[str, float, int], bool] = is_expired


def _stamp(day: int) -> str:
    high, low = divmod(day % DAYS, len(ALPHABET))
    return ALPHABET[high] + ALPHABET[low]


def _age(stamp: str, now: float) -> int:
    """Days since a timestamp; one of the future counts as very old."""
    high, low = (ALPHABET.index(char) for char in stamp.upper())
    return (int(now) // DAY - (high * len(ALPHABET) + low)) % DAYS


def unquoted(local_part: str) -> str:
    """What stands between the quotes, its backslashes as they are."""
    return local_part[1:-1] if len(local_part) > 1 and local_part[0] == local_part[-1] == '"' else local_part


def quoted(text: str, *, like: str) -> str:
    """In quotes where the other local part is."""
    return f'"{text}"' if like.startswith('"') else text
