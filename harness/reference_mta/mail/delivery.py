"""Where accepted mail is kept, and the header fields that it gets.

Mail to other domains is kept in one Maildir, `outbound`, and sent nowhere: nothing leaves the machine.
"""

from collections.abc import Iterable
from email.utils import formatdate
from pathlib import Path

from harness.reference_mta.addresses import split
from harness.reference_mta.config import Config
from harness.reference_mta.mail.maildir import folder_name
from harness.reference_mta.policy.transaction import Transaction
from harness.reference_mta.replies import word


def folders(config: Config, recipients: Iterable[str]) -> list[Path]:
    """Where a message for these recipients is kept; each folder once."""
    state = config.server.state
    found = {
        state / "mail" / folder_name(address) if config.hosted(split(address).domain) else state / "outbound"
        for address in recipients
    }
    return sorted(found)


def trace(about: Transaction, sender: str, name: str, protocol: str) -> tuple[str, ...]:
    """The header lines on top of an accepted message (RFC 5321 §4.4), a block list's warning among them."""
    literal = f"IPv6:{about.client}" if ":" in about.client else about.client
    return (
        f"Return-Path: <{sender}>",
        *about.marks,
        f"Received: from {word(name)} ([{literal}])",
        f"\tby {about.config.server.hostname} with {protocol}; {formatdate()}",
    )
