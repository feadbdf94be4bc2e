"""Networks as block lists write them: shortened addresses, prefixes, and ranges with a dash."""

import contextlib
import ipaddress
import re
from collections.abc import Iterator

from fake_dns.names import RecordError, check_no_interface

_OCTETS = r"\d{1,3}(?:\.\d{1,3}){0,3}"
_IP4 = re.compile(rf"(?P<first>{_OCTETS})(?:/(?P<bits>\d{{1,2}})|-(?P<last>{_OCTETS}))?")


def ip4_networks(text: str) -> Iterator[ipaddress.IPv4Network]:
    """`192.0.2.7`, `192.0.2`, `192.0.2/24`, `192.0.2.7-9`, `192.0-192.3`; raises `RecordError`.

    What is left out at the end is 0, and 255 in the upper end of a range; an upper end of one number stands
    for the last number of the lower end.
    """
    found = _IP4.fullmatch(text)
    first = _octets(found["first"]) if found else []
    if not found or not first:
        raise RecordError(f"{text[:60]!r} is no IPv4 address, network or range")
    low = int.from_bytes(bytes(first).ljust(4, b"\0"), "big")
    if found["last"] is None:
        bits = int(found["bits"]) if found["bits"] else 8 * len(first)
        if bits > 32:
            raise RecordError(f"{text[:60]!r} has a prefix of more than 32 bits")
        yield ipaddress.IPv4Network((low, bits), strict=False)
        return
    last = _octets(found["last"])
    if len(last) == 1 and len(first) > 1:
        last = [*first[:-1], *last]
    high = int.from_bytes(bytes(last).ljust(4, b"\xff"), "big")
    if not last or high < low:
        raise RecordError(f"the range {text[:60]} ends before it begins, or with what is no address")
    yield from ipaddress.summarize_address_range(ipaddress.IPv4Address(low), ipaddress.IPv4Address(high))


def ip6_network(text: str, bits: int) -> ipaddress.IPv6Network:
    """`2001:db8::/32`, `2001:db8::7`, or the first groups of an address; raises `RecordError`.

    `bits` is the length of the prefix of a whole address.
    """
    address, slash, length = text.partition("/")
    groups = address.count(":") + 1
    if "::" not in address and groups < 8:
        address, bits = f"{address}::", 16 * groups
    try:
        network = ipaddress.IPv6Network(f"{address}/{length if slash else bits}", strict=False)
    except ValueError as error:
        raise RecordError(f"{text[:60]!r} is no IPv6 address or network: {error}") from None
    check_no_interface(address)
    return network


def listed_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network with its prefix length, as in `192.0.2.0/24`; raises `RecordError`."""
    check_no_interface(text.partition("/")[0])
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        mend = ""
        with contextlib.suppress(ValueError):
            mend = f"; write {ipaddress.ip_network(text, strict=False)}"
        raise RecordError(f"{text[:60]!r} is no network: {error}{mend}") from None


def _octets(text: str) -> list[int]:
    """The numbers of an address or of its beginning; none when one of them is no octet."""
    numbers = [int(number) for number in text.split(".")]
    return numbers if max(numbers) <= 255 else []
