"""The values that a profile's tables are made of: addresses, networks, times, each checked with its mend."""

import ipaddress
import secrets
import socket
from collections.abc import Iterator
from typing import Annotated

from pydantic import BeforeValidator, Field

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

RESERVED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.2.0/24",  # RFC 5737
        "198.51.100.0/24",
        "203.0.113.0/24",
        "198.18.0.0/15",  # RFC 2544
        "2001:db8::/32",  # RFC 3849
        "127.0.0.0/8",
    )
)


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        network = ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"{error}; write an address or a network such as 198.18.0.0/15") from None
    if not any(network.version == space.version and network.subnet_of(space) for space in RESERVED):  # type: ignore[arg-type]
        raise ValueError(
            f"{value} is not reserved for testing; use a part of "
            + ", ".join(str(space) for space in RESERVED)
        )
    return network


def is_of_this_host(network: Network) -> bool:
    """Whether the addresses of a network can be bound here; its first stands for all."""
    family = socket.AF_INET6 if network.version == 6 else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.bind((str(network.network_address + (network.num_addresses > 1)), 0))
    except OSError:
        return False
    return True


def endpoint(value: str) -> tuple[str, int]:
    """An address and a port, as in `127.0.0.1:5353` or `[::1]:5353`; raises `ValueError` with the mend."""
    host, separator, port = value.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        number = int(port)
    except ValueError:
        raise ValueError(f"{value!r} is no address and port; write 127.0.0.1:5353 or [::1]:5353") from None
    if not separator or not 0 <= number <= 65535:
        raise ValueError(f"{value!r} has no port from 0 to 65535; write 127.0.0.1:5353")
    return (str(address), number)


def _endpoint(value: object) -> object:
    return endpoint(value) if isinstance(value, str) else value


def _address(value: object) -> object:
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError:
        raise ValueError(f"{value!r} is no IP address; write it in numbers, as 127.0.0.1 or ::1") from None


def _answer_network(value: object) -> object:
    try:
        network = ipaddress.IPv4Network(str(value))
    except ValueError as error:
        raise ValueError(f"{error}; write an answer such as 127.0.0.2, or a network of them") from None
    if not network.subnet_of(ipaddress.IPv4Network("127.0.0.0/8")):
        raise ValueError(f"{value} is no answer of a block list; they lie in 127.0.0.0/8 (RFC 5782 2.1)")
    return network


AnswerNetwork = Annotated[ipaddress.IPv4Network, BeforeValidator(_answer_network)]
ReservedNetwork = Annotated[Network, BeforeValidator(_network)]
Endpoint = Annotated[tuple[str, int], BeforeValidator(_endpoint)]
Address = Annotated[str, BeforeValidator(_address)]
Seconds = Annotated[float, Field(gt=0, le=86400 * 365)]


def room_in(network: Network) -> int:
    """How many addresses a network has that a host can have."""
    return max(1, network.num_addresses - 2)


def apart(network: Network) -> Iterator[str]:
    """Every usable address once, so that those that follow each other are far from each other.

    Servers take hosts of one network (IPv4 /24, IPv6 /64) for one another, so the next address is always of
    the next such network. It begins anywhere, so that runs do not meet each other's clients.
    """
    if network.num_addresses == 1:
        yield str(network.network_address)
        return
    size = 8 if network.version == 4 else 64  # bits of a host within its network
    within = min(network.max_prefixlen - network.prefixlen, size)
    networks = min(1 << (network.max_prefixlen - network.prefixlen - within), 1 << 24)
    hosts = min(room_in(network) if networks == 1 else (1 << within) - 2, 1 << 24)
    first_network, first_host = secrets.randbelow(networks), secrets.randbelow(hosts)
    for turn in range(hosts):
        for step in range(networks):
            number = (first_network + step) % networks
            host = 1 + (first_host + turn) % hosts
            yield str(network.network_address + (number << within) + host)
