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
from dataclasses import dataclass
from typing import Literal

from harness.reference_mta.addresses import LONGEST, MailAddress, split
from harness.reference_mta.config import Config
from harness.reference_mta.reached import SOUND, Quirks

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # RFC 4648 §6
DAY = 86400  # seconds
DAYS = 1024  # after so many, a timestamp comes again
HASHED = 8  # characters
OURS0 = re.compile(r"(?i)SRS0[=+-]([^=]+)=([a-z2-7]{2})=([^=]+)=(.*)")
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
    quirks: Quirks = SOUND
    clock: Callable[[], float] = time.time

    def forwarded(self, sender: str, domain: str, days: int = 0) -> str:
        """The envelope sender under which `domain` forwards, as it would have been so many days ago.

        Senders without a domain, senders of hosted ones, and what would become too long stay as they are.
        """
        mailbox = split(sender)
        if not self.config.srs.secret or self.config.hosted(mailbox.domain) or self._has("srs.forward:off"):
            return sender
        if self._has("srs.forward:weak-null"):
            return ""
        if not sender and self._has("srs.forward:strict-null"):
            mailbox = MailAddress("MAILER-DAEMON", domain)
        if not mailbox.domain or "=" in mailbox.domain:
            return sender
        name = _unquoted(mailbox.local_part)
        first = re.fullmatch(r"(?i)SRS0([=+-].+)", name)
        later = OURS1.fullmatch(name)
        if (first or later) and self._has("srs.second-hop:weak-kept"):
            return sender
        if self._has("srs.second-hop:off"):
            first = later = None
        if later:
            rewritten = self._srs1(later[2], later[3])
        elif first:
            rewritten = self._srs1(mailbox.domain, first[1])
        else:
            day = _stamp(int(self.clock()) // DAY - days)
            digest = self._hash(day, mailbox.domain, name)
            rewritten = f"SRS0={digest}={day}={mailbox.domain}={name}"
        address = f"{_quoted(rewritten, like=mailbox.local_part)}@{domain}"
        return address if len(address) <= LONGEST else sender

    def origin(self, address: str) -> Origin | None:
        """Where an address of a hosted domain leads back to; None when it is not a rewritten one."""
        mailbox = split(address)
        name = _unquoted(mailbox.local_part)
        if not self.config.srs.secret or not re.match(r"(?i)SRS[01][=+-]", name):
            return None
        if self._has("srs.bounce-back:off") and not OURS1.fullmatch(name):
            return None
        if found := OURS0.fullmatch(name):
            given, day, domain, user = found.groups()
            source = f"{_quoted(user, like=mailbox.local_part)}@{domain}"
            return Origin(source, self._flaw(given, (day, domain, user), day))
        if (found := OURS1.fullmatch(name)) and not self._has("srs.second-hop:weak-one-way"):
            given, domain, rest = found.groups()
            source = f"{_quoted(f'SRS0{rest}', like=mailbox.local_part)}@{domain}"
            return Origin(source, self._flaw(given, (domain, rest)))
        return Origin("", "srs.bad-hash")

    def _srs1(self, domain: str, rest: str) -> str:
        return f"SRS1={self._hash(domain, rest)}={domain}={rest}"

    def _flaw(self, given: str, parts: tuple[str, ...], day: str = "") -> Flaw:
        expected = self._hash(*parts)
        shown = given if self._has("srs.bad-hash:strict-case") else given.upper()
        if self._has("srs.bad-hash:weak-beginning"):
            shown, expected = shown[:1], expected[:1]
        sound = hmac.compare_digest(shown.encode(), expected.encode())
        if not sound and not self._has("srs.bad-hash:off"):
            return "srs.bad-hash"
        lifetime = 0 if self._has("srs.expired:strict-short") else self.config.srs.lifetime
        expired = day and _age(day, self.clock()) > lifetime
        return "srs.expired" if expired and not self._has("srs.expired:off") else ""

    def _has(self, defect: str) -> bool:
        return defect in self.quirks

    def _hash(self, *parts: str) -> str:
        """The beginning of an HMAC; each part is told apart from the next."""
        text = "\0".join(parts).lower().encode("utf-8", "surrogateescape")
        digest = hmac.new(self.config.srs.secret.reveal().encode(), text, hashlib.sha256).digest()
        return base64.b32encode(digest)[:HASHED].decode()


def _stamp(day: int) -> str:
    high, low = divmod(day % DAYS, len(ALPHABET))
    return ALPHABET[high] + ALPHABET[low]


def _age(stamp: str, now: float) -> int:
    """Days since a timestamp; one of the future counts as very old."""
    high, low = (ALPHABET.index(char) for char in stamp.upper())
    return (int(now) // DAY - (high * len(ALPHABET) + low)) % DAYS


def _unquoted(local_part: str) -> str:
    """What stands between the quotes, its backslashes as they are."""
    return local_part[1:-1] if len(local_part) > 1 and local_part[0] == local_part[-1] == '"' else local_part


def _quoted(text: str, *, like: str) -> str:
    """In quotes where the other local part is."""
    return f'"{text}"' if like.startswith('"') else text
