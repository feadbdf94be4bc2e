"""Delivery status notifications: what the sender is told when a message could not be sent (RFC 3464).

From the null sender (RFC 5321 §4.5.5), so that a notification is never answered by another one.
"""

import secrets
import time
from collections.abc import Mapping
from email.utils import formatdate

from harness.reference_mta.mail.delivery_result import DeliveryResult
from harness.reference_mta.mail.header import parted
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.queue import QueueEntry

MOST_RETURNED = 65536  # bytes of the header section that go back
ASCII = ("us-ascii", "message/delivery-status", "text/rfc822-headers")
INTERNATIONAL = ("utf-8", "message/global-delivery-status", "message/global-headers")  # RFC 6533
PREFACE = """\
This is the mail system at {hostname}.

Your message could not be delivered to one or more recipients. It is not tried any more.
"""


def bounce(hostname: str, entry: QueueEntry, content: bytes, lost: Mapping[str, DeliveryResult]) -> Message:
    """The notification to the sender of a message, about the recipients that failed."""
    boundary = f"=_{secrets.token_hex(16)}"
    header = parted(content)[0][:MOST_RETURNED].rstrip(b"\r\n").decode("utf-8", "surrogateescape")
    text, status = _text(hostname, lost), _status(hostname, entry, lost)
    plain = all(each.isascii() for each in (entry.sender, header, text, status))
    charset, *kinds = INTERNATIONAL if entry.international and not plain else ASCII
    kinds = [f"text/plain; charset={charset}", *kinds]
    parts = tuple(zip(kinds, (text, status, header + "\r\n"), strict=True))
    lines = [
        f"From: Mail Delivery System <MAILER-DAEMON@{hostname}>",
        f"To: <{entry.sender}>",
        "Subject: Undelivered mail returned to its sender",
        f"Date: {formatdate()}",
        f"Message-ID: <{secrets.token_hex(12)}@{hostname}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"',
        *([] if plain else ["Content-Transfer-Encoding: 8bit"]),
        "",
    ]
    for kind, text in parts:
        encoded = [] if text.isascii() else ["Content-Transfer-Encoding: 8bit"]
        lines += [
            f"--{boundary}",
            f"Content-Type: {kind}",
            *encoded,
            "",
            *text.replace("\r\n", "\n").split("\n"),
        ]
    lines += [f"--{boundary}--", ""]
    told = "\r\n".join(lines).encode("utf-8", "surrogateescape")
    return Message("", (entry.sender,), told, international=entry.international)


def _text(hostname: str, lost: Mapping[str, DeliveryResult]) -> str:
    said = (f"\n  {address}\n    {_by(outcome)}{outcome.words}\n" for address, outcome in lost.items())
    return PREFACE.format(hostname=hostname) + "".join(said)


def _by(outcome: DeliveryResult) -> str:
    return f"{outcome.host} said: " if outcome.host else ""


def _status(hostname: str, entry: QueueEntry, lost: Mapping[str, DeliveryResult]) -> str:
    """Fields of the message, then of each recipient (RFC 3464 §2.2, §2.3)."""
    blocks = [[f"Reporting-MTA: dns; {hostname}", f"Arrival-Date: {formatdate(entry.arrived)}"]]
    for address, outcome in lost.items():
        kind = "smtp" if outcome.host else "x-reference-mta"
        remote = [f"Remote-MTA: dns; {outcome.host}"] if outcome.host else []
        blocks.append(
            [
                f"Final-Recipient: {'rfc822' if address.isascii() else 'utf-8'}; {address}",
                "Action: failed",
                f"Status: {outcome.status}",
                *remote,
                f"Diagnostic-Code: {kind}; {outcome.words}",
                f"Last-Attempt-Date: {formatdate(time.time())}",
            ]
        )
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"
