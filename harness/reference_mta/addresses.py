"""Mailboxes of MAIL FROM and RCPT TO (RFC 5321 §4.1.2), read and never rewritten; addresses of hosts."""

import functools
import ipaddress
from dataclasses import dataclass

LONGEST = 320  # bytes of a mailbox


@dataclass(frozen=True)
class MailAddress:
    """A mailbox as the client wrote it; both parts are empty for the null sender."""

    local_part: str
    domain: str

    def __str__(self) -> str:
        """The address as in an envelope."""
        return f"{self.local_part}@{self.domain}" if self.domain else self.local_part


def read_path(argument: str) -> tuple[str, str] | None:
    """Address and parameters of `<address> parameters`; None when that is no path.

    A source route is left out, as RFC 5321 appendix C asks; the address behind it stands as it is.
    """
    argument = argument.strip()
    if not argument.startswith("<"):
        return None
    end = _closing(argument)
    if end < 0:
        return None
    address, rest = argument[1:end], argument[end + 1 :]
    if rest and not rest.startswith(" "):
        return None
    if address.startswith("@"):
        _, colon, address = address.partition(":")
        if not colon:
            return None
    sane = len(address) <= LONGEST and address.isprintable() and "<" not in address
    return (address, rest.strip()) if sane else None


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


def _closing(argument: str) -> int:
    quoted = escaped = False
    for position, char in enumerate(argument):
        if escaped:
            escaped = False
        elif char == "\\" and quoted:
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == ">" and not quoted:
            return position
    return -1
