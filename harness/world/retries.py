"""Hosts that wait and come again: a greylist that goes by networks knows their neighbours from then on."""

import contextlib
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.profile.values import neighbourhood
from harness.settings.hosts import Network


@dataclass
class Retries:
    """Those of a run, by network (IPv4 /24, IPv6 /64); thread-safe."""

    _came: dict[Network, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _begun: Counter[Network] = field(default_factory=Counter)
    _ended: Counter[Network] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def comes(self, address: str) -> None:
        """A host has a dialogue, or has had it."""
        with self._lock:
            self._came[neighbourhood(address)][address] += 1

    @contextlib.contextmanager
    def coming_again(self, address: str) -> Iterator[None]:
        """A host waits and comes again in this context."""
        network = neighbourhood(address)
        with self._lock:
            self._begun[network] += 1
        try:
            yield
        finally:
            with self._lock:
                self._ended[network] += 1

    def near(self, address: str) -> "Near":
        """What other hosts of its network have done until now."""
        network = neighbourhood(address)
        with self._lock:
            begun, came = self._begun[network], self._came[network]
            return Near(begun, self._ended[network], came.total() - came[address] if begun else 0)


@dataclass(frozen=True)
class Near:
    """How many hosts have begun to wait and come again, how many are through, and how often others came.

    Those who merely come keep a greylist from forgetting its network; where none has come again in this run,
    nothing is to be forgotten.
    """

    begun: int
    ended: int
    came: int
