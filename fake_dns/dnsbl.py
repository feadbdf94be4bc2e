"""How a DNS block list names and describes an address (RFC 5782)."""

from fake_dns.names import RecordError, reverse_name


def listing_name(address: str, zone: str) -> str:
    """The name that a list with that zone has for an IPv4 or IPv6 address (RFC 5782 sections 2.1 and 2.4).

    Raises `RecordError` when `address` is none, or there is no zone.
    """
    apex = zone.rstrip(".")
    if not apex:
        raise RecordError(f"{zone!r} cannot be the zone of a block list; give one such as bl.example")
    reversed_digits = reverse_name(address).removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
    return f"{reversed_digits}.{apex}"
