"""Delivery status notifications: what a sender is told of his message (RFC 3464), if he wants it (RFC 3461).

From the null sender (RFC 5321 §4.5.5), so that a notification is never answered by another one.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum

from harness.reference_mta.mail.delivery_result import DeliveryResult
from harness.reference_mta.mail.header import parted
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.requests import Occasion, Request, Requests, wanted
from harness.reference_mta.protocol.content import is_binary

MOST_RETURNED = 65536  # bytes of the message that go back, or else of its header section
DONE = "2.0.0"  # RFC 3463 §3.1: nothing is said of what has happened beyond that
INTERNATIONAL = {  # by what they are in ASCII (RFC 6533)
    "text/plain; charset=us-ascii": "text/plain; charset=utf-8",
    "message/delivery-status": "message/global-delivery-status",
    "text/rfc822-headers": "message/global-headers",
    "message/rfc822": "message/global",
}


class Action(StrEnum):
    """What has become of a message for one recipient (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True)
class Wording:
    """How an action is told to people."""

    subject: str
    sentence: str


WORDINGS = {
    Action.FAILED: Wording(
        "Undelivered mail returned to its sender",
        "Your message could not be delivered to one or more recipients. It is not tried any more.",
    ),
    Action.DELAYED: Wording(
        "Mail that is delayed",
        "Your message has not been delivered yet to one or more recipients. It is still tried.",
    ),
    Action.DELIVERED: Wording(
        "Mail that was delivered",
        "Your message is in the mailbox of one or more recipients.",
    ),
    Action.RELAYED: Wording(
        "Mail that was handed on",
        "Your message was handed on to a host that does not tell whether it is delivered.",
    ),
    Action.EXPANDED: Wording(
        "Mail that was delivered",
        "Your message was sent on to all for whom one or more of its recipients stand.",
    ),
}


@dataclass(frozen=True)
class About:
    """The message that a sender is told of; when it came is in seconds of the epoch."""

    sender: str
    content: bytes
    arrived: float
    requests: Requests
    international: bool = False


@dataclass(frozen=True)
class Fate:
    """What has become of it for one recipient; `until` it is tried, in seconds of the epoch."""

    recipient: str
    action: Action
    status: str = DONE
    result: DeliveryResult | None = None  # of an attempt to send it
    until: float | None = None


@dataclass(frozen=True)
class Part:
    """A part of a notification: its type and what it has."""

    kind: str
    content: bytes


def returned(about: About, fates: Sequence[Fate]) -> Part:
    """What goes back of the message: its header, or all of it where that was asked for (RFC 3461 §4.3).

    All of it only with a failure, up to a size, and only where it is lines of text.
    """
    failed = any(fate.action is Action.FAILED for fate in fates)
    fits = len(about.content) <= MOST_RETURNED and not is_binary(about.content)
    if failed and about.requests.full and fits:
        return Part("message/rfc822", about.content)
    return Part("text/rfc822-headers", parted(about.content)[0][:MOST_RETURNED].rstrip(b"\r\n") + b"\r\n")


def status(hostname: str, about: About, fates: Sequence[Fate]) -> str:
    """Fields of the message, then of each recipient (RFC 3464 §2.2, §2.3; RFC 3461 §6.3)."""
    envelope = about.requests.original_envelope_id
    blocks = [
        [
            *([f"Original-Envelope-Id: {envelope}"] if envelope else []),
            f"Reporting-MTA: dns; {hostname}",
            f"Arrival-Date: {formatdate(about.arrived)}",
        ],
        *(_of_recipient(fate, about.requests.of(fate.recipient)) for fate in fates),
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def written(hostname: str, about: About, fates: Sequence[Fate], parts: "ReportParts") -> Message:
    """The notification to the sender of a message, about some of its recipients."""
    text, fields, back = (
        _text(hostname, fates),
        parts.status(hostname, about, fates),
        parts.returned(about, fates),
    )
    plain = all(each.isascii() for each in (about.sender, text, fields, back.content))
    told = [
        Part("text/plain; charset=us-ascii", text.replace("\n", "\r\n").encode()),
        Part("message/delivery-status", fields.replace("\n", "\r\n").encode()),
        back,
    ]
    if about.international and not plain:
        told = [Part(INTERNATIONAL[part.kind], part.content) for part in told]
    boundary = f"=_{secrets.token_hex(16)}"
    header = [
        f"From: Mail Delivery System <MAILER-DAEMON@{hostname}>",
        f"To: <{about.sender}>",
        f"Subject: {WORDINGS[fates[0].action].subject}",
        f"Date: {formatdate()}",
        f"Message-ID: <{secrets.token_hex(12)}@{hostname}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"',
        *([] if plain else ["Content-Transfer-Encoding: 8bit"]),
    ]
    content = b"".join(
        (
            _lines(header),
            *(_lines([f"\r\n--{boundary}", *_header(part)]) + b"\r\n" + part.content for part in told),
            _lines([f"\r\n--{boundary}--"]),
        )
    )
    return Message("", (about.sender,), content, international=about.international)


@dataclass(frozen=True)
class ReportParts:
    """Each as it should be; another one may take its place."""

    wanted: Callable[[Request, Occasion], bool] = wanted
    returned: Callable[[About, Sequence[Fate]], Part] = returned
    status: Callable[[str, About, Sequence[Fate]], str] = status  # its first argument is this host's name
    written: Callable[[str, About, Sequence[Fate], "ReportParts"], Message] = written


def _text(hostname: str, fates: Sequence[Fate]) -> str:
    said = [f"This is the mail system at {hostname}.\n"]
    for action in Action:
        some = [fate for fate in fates if fate.action is action]
        if some:
            said += [f"\n{WORDINGS[action].sentence}\n", *map(_line, some)]
    return "".join(said)


def _line(fate: Fate) -> str:
    if fate.result is None:
        return f"\n  {fate.recipient}\n"
    by = f"{fate.result.host} said: " if fate.result.host else ""
    return f"\n  {fate.recipient}\n    {by}{fate.result.words}\n"


def _of_recipient(fate: Fate, request: Request) -> list[str]:
    original, result = request.original_recipient, fate.result
    lines = [f"Original-Recipient: {original}"] if original else []
    lines += [
        f"Final-Recipient: {'rfc822' if fate.recipient.isascii() else 'utf-8'}; {fate.recipient}",
        f"Action: {fate.action}",
        f"Status: {fate.status}",
    ]
    if result and result.host:
        lines += [f"Remote-MTA: dns; {result.host}"]
    if result:
        kind = "smtp" if result.host else "x-reference-mta"
        lines += [f"Diagnostic-Code: {kind}; {result.words}", f"Last-Attempt-Date: {formatdate(time.time())}"]
    if fate.until is not None:
        lines += [f"Will-Retry-Until: {formatdate(fate.until)}"]
    return lines


def _header(part: Part) -> list[str]:
    encoded = [] if part.content.isascii() else ["Content-Transfer-Encoding: 8bit"]
    return [f"Content-Type: {part.kind}", *encoded]


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()
