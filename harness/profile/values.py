"""The values that a profile's tables are made of: addresses, networks, times, each checked with its mend."""

import collections
import ipaddress
import itertools
import re
import secrets
import socket
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from harness.settings.hosts import Network, as_network, shown
from harness.wording import counted

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


def _reserved(value: object) -> Network:
    found = as_network(value, "198.18.0.0/15")
    if not any(found.version == space.version and found.subnet_of(space) for space in RESERVED):  # type: ignore[arg-type]
        raise ValueError(
            f"{value} is not reserved for testing; use a part of "
            + ", ".join(str(space) for space in RESERVED)
        )
    return found


def is_of_this_host(network: Network) -> bool:
    """Whether the addresses of a network can be bound here; its first stands for all."""
    family = socket.AF_INET6 if network.version == 6 else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.bind((str(network.network_address + (network.num_addresses > 1)), 0))
    except OSError:
        return False
    return True


def _marks(value: object) -> object:
    """Before blanks are taken off its ends: one that is meant is told as well."""
    if isinstance(value, str) and (odd := next((one for one in value if one not in string.punctuation), "")):
        raise ValueError(
            f"{odd!r} is no punctuation mark of ASCII, so no address can be made with it that is refused for "
            "it alone; leave it out"
        )
    return value


def _field_name(value: str) -> str:
    if not re.fullmatch("[!-9;-~]+", value):
        raise ValueError(
            f"{shown(value)} is no name of a header field (RFC 5322 §2.2); write it without colon and "
            "blanks, as X-DNSbl-Warning"
        )
    return value


def _line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("has a line end or another character that does not print; leave it out")
    return value


def _ascii_line(value: str) -> str:
    if not value.isascii():
        raise ValueError(f"{shown(value)} is not ASCII; write something that is")
    return _line(value)


def _groups(expression: str) -> int:
    """How many groups a regular expression has; raises `ValueError` where it is none."""
    try:
        return re.compile(expression).groups
    except (re.error, OverflowError) as error:  # the latter for repetitions
        raise ValueError(f"{shown(expression)} is no regular expression: {error}") from None
    except RecursionError:
        raise ValueError(
            f"{shown(expression)} has brackets too deep within each other; write it with fewer"
        ) from None


def _expression(value: str) -> str:
    _groups(value)
    return value


def _around(what: str) -> Callable[[str], str]:
    """The check of a regular expression with one group, around something."""

    def check(value: str) -> str:
        if (groups := _groups(value)) != 1:
            raise ValueError(f"{shown(value)} has {counted(groups, 'group')}; write one, around {what}")
        return value

    return check


PunctuationMarks = Annotated[str, BeforeValidator(_marks)]
FieldName = Annotated[str, AfterValidator(_field_name)]
Line = Annotated[str, AfterValidator(_line)]  # what goes into a command
AsciiLine = Annotated[str, AfterValidator(_ascii_line)]  # what goes into a message
ReservedNetwork = Annotated[Network, PlainValidator(_reserved)]
Seconds = Annotated[float, Field(gt=0, le=86400 * 365)]
Expression = Annotated[str, AfterValidator(_expression)]  # a regular one
AroundSeconds = Annotated[str, AfterValidator(_around("the seconds"))]
AroundId = Annotated[str, AfterValidator(_around("the message's id"))]


def room_in(network: Network) -> int:
    """How many addresses a network has that a host can have."""
    return network.num_addresses - 2 if network.num_addresses > 2 else network.num_addresses


def neighbourhood(address: str) -> Network:
    """The network (IPv4 /24, IPv6 /64) whose hosts servers take for one another."""
    prefix = 64 if ":" in address else 24
    return ipaddress.ip_network(f"{address}/{prefix}", strict=False)


def neighbourhoods_in(networks: Sequence[Network]) -> int:
    """How many networks (IPv4 /24, IPv6 /64) addresses can be had in."""
    whole, parts = _whole_and_parts(networks)
    return sum(1 << (_size(one) - one.prefixlen) for one in whole) + len(parts)


def neighbourhoods(networks: Sequence[Network]) -> Iterator[tuple[Network, Iterator[str]]]:
    """Every network (IPv4 /24, IPv6 /64) in which there are addresses, with these, each once.

    Networks that lie in one such neighbourhood are one. It begins anywhere, so that runs do not meet each
    other's clients.
    """
    whole, parts = _whole_and_parts(networks)
    for network in whole:
        size = _size(network)
        count = 1 << (size - network.prefixlen)
        first, step = secrets.randbelow(count), 1 << (network.max_prefixlen - size)
        for turn in range(count):
            address = network.network_address + (first + turn) % count * step
            block = ipaddress.ip_network(f"{address}/{size}")
            yield block, _hosts(block)
    for key in secrets.SystemRandom().sample(sorted(parts, key=str), len(parts)):
        yield key, itertools.chain.from_iterable(map(_hosts, parts[key]))


def apart(networks: Sequence[Network]) -> Iterator[str]:
    """Every usable address once, so that those that follow each other are far from each other.

    Servers take hosts of one network (IPv4 /24, IPv6 /64) for one another, so the next address is always of
    the next such network.
    """
    opened: collections.deque[Iterator[str]] = collections.deque()
    for _, hosts in neighbourhoods(networks):
        if address := next(hosts, None):
            opened.append(hosts)
            yield address
    while opened:
        hosts = opened.popleft()
        if address := next(hosts, None):
            opened.append(hosts)
            yield address


def _size(network: Network) -> int:
    return 24 if network.version == 4 else 64


def _whole_and_parts(networks: Sequence[Network]) -> tuple[list[Network], dict[Network, list[Network]]]:
    """The networks that consist of whole neighbourhoods, and by neighbourhood those that are parts of one.

    What lies in another one of them is left out.
    """
    outermost: list[Network] = []
    for network in sorted(networks, key=lambda one: one.prefixlen):
        if not any(_lies_in(network, other) for other in outermost):
            outermost.append(network)
    parts: dict[Network, list[Network]] = {}
    for network in outermost:
        if network.prefixlen > _size(network):
            parts.setdefault(neighbourhood(str(network.network_address)), []).append(network)
    return [one for one in outermost if one.prefixlen <= _size(one)], parts


def _lies_in(one: Network, other: Network) -> bool:
    return one.version == other.version and one.network_address in other and one.prefixlen >= other.prefixlen


def _hosts(network: Network) -> Iterator[str]:
    """The addresses of a neighbourhood, or of a part of one, that a host can have."""
    if network.num_addresses <= 2:  # RFC 3021: both of two are hosts
        yield from map(str, network)
        return
    count = min(room_in(network), 1 << 24)
    first = secrets.randbelow(count)
    for turn in range(count):
        yield str(network.network_address + 1 + (first + turn) % count)
