"""Addresses for the hosts that are played: each given out once, those that follow each other far apart."""

import collections
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harness.profile.values import neighbourhood, neighbourhoods, neighbourhoods_in
from harness.settings.hosts import Network

TEST_ENTRIES = ("127.0.0.2", "::ffff:127.0.0.2")  # of every block list (RFC 5782 §5), so nobody's address
SHARED = 4  # where some must live alone, one of so many neighbourhoods is for all others together


@dataclass
class Inhabitants:
    """Who lives where. A neighbourhood is an IPv4 /24 or an IPv6 /64, whichever networks it lies in."""

    addresses: set[str] = field(default_factory=lambda: {*TEST_ENTRIES})
    neighbourhoods: set[Network] = field(default_factory=set)
    alone: set[Network] = field(default_factory=set)  # where nobody else may live

    def add(self, address: str) -> None:
        """Somebody lives there."""
        self.addresses.add(address)
        self.neighbourhoods.add(neighbourhood(address))


class Addresses:
    """The addresses of some networks, of which one is given out after the other."""

    def __init__(self, networks: Sequence[Network], inhabitants: Inhabitants) -> None:
        """What others give out of the same networks is among the `inhabitants`."""
        self._fresh = neighbourhoods(networks)
        self._shared = max(1, neighbourhoods_in(networks) // SHARED)
        self._inhabitants = inhabitants
        self._opened: collections.deque[tuple[Network, Iterator[str]]] = collections.deque()

    def among_others(self, *, sparing: bool) -> str | None:
        """The next one, in a neighbourhood where nobody lives while there is any; None without one.

        `sparing`: most of those are kept for hosts that must live alone.
        """
        spared = sparing and len(self._opened) >= self._shared
        return (None if spared else self._moving_in()) or self._beside_others() or self._moving_in()

    def alone(self) -> str | None:
        """One in a neighbourhood where nobody lives, and nobody will; None when there is none."""
        for network, hosts in self._fresh:
            if network in self._inhabitants.neighbourhoods:
                self._opened.append((network, hosts))
            elif address := self._next(hosts):
                self._inhabitants.alone.add(network)
                return address
        return None

    def _moving_in(self) -> str | None:
        for network, hosts in self._fresh:
            if network not in self._inhabitants.alone and (address := self._next(hosts)):
                self._opened.append((network, hosts))
                return address
        return None

    def _beside_others(self) -> str | None:
        while self._opened:
            network, hosts = self._opened.popleft()
            if network not in self._inhabitants.alone and (address := self._next(hosts)):
                self._opened.append((network, hosts))
                return address
        return None

    def _next(self, hosts: Iterator[str]) -> str | None:
        address = next((one for one in hosts if one not in self._inhabitants.addresses), None)
        if address:
            self._inhabitants.add(address)
        return address
