"""SPF at MAIL FROM (RFC 7208): off, noted in a Received-SPF field, or a failure refused (wiki 734).

Relay hosts and accounts are not checked: the domain's policy is about hosts that bring mail to us (§2.3).
"""

import ipaddress
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.reference_mta.addresses import split
from harness.reference_mta.earned import Refusal, Stage
from harness.reference_mta.mail.authentication_fields import folded, value
from harness.reference_mta.replies import printable, reply, word
from harness.reference_mta.spf.check import Finding, Inquiry, Names, RecordParts, Result, check_host

if TYPE_CHECKING:
    from harness.reference_mta.policy.transaction import Transaction

QUOTED_PAIR = re.compile(r"\\(.)")
WORDS = {
    Result.NONE: "the domain says nothing",
    Result.NEUTRAL: "the domain does not say",
    Result.PASS: "the domain permits the client",
    Result.FAIL: "the domain does not permit the client",
    Result.SOFTFAIL: "the domain does probably not permit the client",
    Result.TEMPERROR: "DNS did not answer",
    Result.PERMERROR: "the domain's record cannot be read",
}


def refusal(mode: str, inquiry: Inquiry, found: Finding) -> str:
    """The reply that refuses the sender; empty where none does."""
    if mode == "reject" and found.result is Result.TEMPERROR:
        return reply(451, "4.3", f"DNS has no answer about {word(inquiry.domain)} now")
    return not_permitted(inquiry, found) if mode == "reject" and found.result is Result.FAIL else ""


@dataclass(frozen=True)
class SpfParts:
    """Each as it should be; another one may take its place."""

    check_host: Callable[[Names, Inquiry, RecordParts], Awaitable[Finding]] = check_host
    refusal: Callable[[str, Inquiry, Finding], str] = refusal  # `spf.mode`


async def authorize(about: "Transaction") -> Refusal:
    """The refusal of a sender, its reply empty where there is none; the result goes on top of the message.

    Its rule is the one that the result falls under, refused or not.
    """
    mode, policy = about.config.spf.mode, about.policy
    if mode == "off" or about.vouched:
        return Refusal("")
    inquiry = inquiry_of(about)
    found = await policy.spf.check_host(about.resolver, inquiry, policy.spf_records)
    told = policy.spf.refusal(mode, inquiry, found)
    if not told:
        about.earned.note(Stage.SENDER, received_spf(inquiry, found, null=not about.sender))
    return Refusal(told, rule=f"spf.{found.result}")


def inquiry_of(about: "Transaction") -> Inquiry:
    """Whom to ask about: the sender's domain, or for the null sender the name in the greeting (§2.4)."""
    sender = split(about.sender) if about.sender else None
    return Inquiry(
        ipaddress.ip_address(about.client),
        (_unquoted(sender.local_part) if sender else "") or "postmaster",
        sender.domain if sender else about.greeting,
        about.greeting,
        about.config.server.hostname,
    )


def received_spf(inquiry: Inquiry, found: Finding, *, null: bool) -> str:
    """The Received-SPF field (§9.1); `explanation` in it is a name of our own."""
    sender = "" if null else f"{inquiry.local_part}@{inquiry.domain}"
    pairs = {
        "receiver": inquiry.receiver,
        "identity": "helo" if null else "mailfrom",
        "client-ip": str(inquiry.client),
        "envelope-from": f"<{sender}>",
        "helo": inquiry.helo,
        "mechanism": found.mechanism,
        "problem": found.problem,
        "explanation": found.explanation,
    }
    told = [f"{name}={value(text)}" for name, text in pairs.items() if text]
    return folded("Received-SPF", f"{found.result} ({WORDS[found.result]}) {told[0]}", told[1:])


def not_permitted(inquiry: Inquiry, found: Finding) -> str:
    """The reply to a failure, with the domain's own words, named as such (§6.2, §8.4)."""
    domain = word(inquiry.domain)
    said = f"; {domain} says: {printable(found.explanation)}" if found.explanation else ""
    return reply(550, "7.23", f"{domain} does not permit {inquiry.client} to send for it{said}")


def _unquoted(local_part: str) -> str:
    """The local part that a quoted string stands for (RFC 5321 §4.1.2)."""
    if len(local_part) >= 2 and local_part.startswith('"') and local_part.endswith('"'):
        return QUOTED_PAIR.sub(r"\1", local_part[1:-1])
    return local_part
