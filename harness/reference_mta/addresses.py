"""Mailboxes as they stand in an envelope, divided and never rewritten; addresses of hosts."""

import functools
import ipaddress
from dataclasses import dataclass

LONGEST = 320  # bytes of a mailbox


@dataclass(frozen=True)
class MailAddress:
    """A mailbox; both parts are empty for the null sender."""

    local_part: str
    domain: str

    def __str__(self) -> str:
        """The address as in an envelope."""
        return f"{self.local_part}@{self.domain}" if self.domain else self.local_part


def split(address: str) -> MailAddress:
    """The mailbox of an address: the last at sign outside quotes divides it."""
    quoted_end = address.rfind('"@') + 1 if address.startswith('"') else 0
    at = address.rfind("@", quoted_end)
    if at < 0 or (address.startswith('"') and not quoted_end):
        return MailAddress(address, "")
    return MailAddress(address[:at], address[at + 1 :])


@functools.lru_cache(maxsize=4096)
def reverse_pointer(address: str) -> str:
    """The name under which DNS keeps what is known of an IP address; raises `ValueError` when it is none."""
    return ipaddress.ip_address(address).reverse_pointer
