"""DKIM at the end of DATA (RFC 6376): off, noted in Authentication-Results, or a false signature refused.

A message is refused when a signature of it is false and none is right; while DNS does not tell the key of
another one, it is put off (§6.1.2, §6.3). As good as none is a signature without a key, or of a domain that
is testing (§3.6.1); with more signatures than are looked at nothing is refused, since one of them may be
right. Mail of relay hosts and accounts is not looked at: nobody has signed it yet.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.reference_mta.earned import Refusal
from harness.reference_mta.mail.authentication_fields import authserv_id, folded, quoted, value
from harness.reference_mta.mail.header import END
from harness.reference_mta.mail.message import Message
from harness.reference_mta.replies import reply
from harness.reference_mta.resolver import Answer, Lookup

if TYPE_CHECKING:
    from harness.reference_mta.mail.signatures import Signature
    from harness.reference_mta.policy.transaction import Transaction

TIME_LIMIT = 20.0  # seconds for all signatures of a message
SHOWN_VALUE = 8  # characters of a signature that tell it from others (RFC 6008)
RESULTS = re.compile(rb"(?im)^Authentication-Results[ \t]*:(.*\n(?:[ \t].*\n)*)")
NO_KEY = "no key for the signature"
REFUSED = "No DKIM signature of this message is right"
PUT_OFF = "No DKIM signature of this message is right, of those whose keys are known now"


def refusal(found: "Sequence[Signature]") -> str:
    """The reply that refuses a message with these signatures; empty where none does."""
    results = {one.result for one in found if not one.testing}
    if "fail" not in results or results & {"pass", "neutral"}:
        return ""
    return reply(451, "7.5", PUT_OFF) if "temperror" in results else reply(550, "7.20", REFUSED)


async def signed(about: "Transaction", message: Message) -> tuple[Refusal, Message]:
    """The refusal of the message, its reply empty where there is none; and the message with our results.

    The refusal's rule is the one that the signatures fall under, refused or not.
    """
    mode = about.config.dkim.mode
    if mode == "off" or about.vouched:
        return Refusal(""), message
    parts = about.policy.dkim
    found = await parts.signatures(about, message.content)
    if mode == "reject" and (told := parts.refusal(found)):
        return Refusal(told, rule=_rule(found)), message
    host = about.config.server.hostname
    results_field = folded("Authentication-Results", host, [_written(one) for one in found] or ["dkim=none"])
    content = without_results_of(host, message.content)
    noted = replace(message, content=content, annotations=(results_field, *message.annotations))
    return Refusal("", rule=_rule(found)), noted


def _rule(found: "Sequence[Signature]") -> str:
    """The rule that says what becomes of a message with these signatures; empty where none does."""
    told = {(one.result, "body hash" in one.reason) for one in found}
    if not found or any(result == "pass" for result, _ in told):
        return "dkim.pass"
    if ("fail", True) in told:
        return "dkim.broken"
    if ("fail", False) in told:
        return "dkim.wrong-key"
    return "dkim.no-key" if any(one.reason == NO_KEY for one in found) else ""


def without_results_of(host: str, content: bytes) -> bytes:
    """The message without results that somebody wrote in the name of `host`, or of nobody (RFC 8601 §5)."""
    if content.startswith(b"\r\n"):
        return content
    end = content.find(END) + 2
    header, rest = (content[:end], content[end:]) if end > 1 else (content, b"")
    removed = ("", host.lower())

    def kept(match: re.Match[bytes]) -> bytes:
        return b"" if authserv_id(match[1].decode("utf-8", "replace")) in removed else match[0]

    return RESULTS.sub(kept, header) + rest


async def signatures_of(about: "Transaction", content: bytes) -> "list[Signature]":
    """Every signature with its result; what is not done in time has none for now."""
    from harness.reference_mta.mail import signatures  # with dkimpy, which those without DKIM do not need

    found = await asyncio.to_thread(signatures.read, content)
    try:
        async with asyncio.timeout(TIME_LIMIT):
            for number, one in enumerate(found):
                if not one.result:
                    answer = await about.resolver.ask(one.key_name, "TXT")
                    found[number] = await _verified(content, one, answer)
    except TimeoutError:
        return [
            one if one.result else replace(one, result="temperror", reason="no time left") for one in found
        ]
    return found


async def _verified(content: bytes, signature: "Signature", answer: Answer) -> "Signature":
    from harness.reference_mta.mail import signatures

    if answer.lookup is Lookup.FAILED:
        return replace(signature, result="temperror", reason="DNS did not answer")
    if answer.lookup is Lookup.NOTHING:
        return replace(signature, result="permerror", reason=NO_KEY)
    return await asyncio.to_thread(signatures.verify, content, signature, answer.values[0])


@dataclass(frozen=True)
class DkimParts:
    """Each as it should be; another one may take its place."""

    signatures: Callable[["Transaction", bytes], "Awaitable[list[Signature]]"] = signatures_of
    refusal: Callable[["Sequence[Signature]"], str] = refusal


def _written(one: "Signature") -> str:
    """One result as RFC 8601 has it."""
    words = [f"dkim={one.result}"]
    if one.reason:
        words.append(f"reason={quoted(one.reason)}")
    properties = {
        "d": one.domain,
        "s": one.selector,
        "a": one.algorithm,
        "b": one.value[:SHOWN_VALUE],
    }
    words += [f"header.{name}={value(text)}" for name, text in properties.items() if text]
    return " ".join(words)
