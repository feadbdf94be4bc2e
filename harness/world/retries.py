"""Hosts that wait and come again: a greylist that goes by networks knows their neighbours from then on."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.profile.values import neighbourhood
from harness.settings.hosts import Network


@dataclass
class Retries:
    """Those of a run, by network (IPv4 /24, IPv6 /64); thread-safe."""

    _begun: Counter[Network] = field(default_factory=Counter)
    _ended: Counter[Network] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

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

    def near(self, address: str) -> tuple[int, int]:
        """How many hosts of its network have begun to come again so far, and how many are through."""
        network = neighbourhood(address)
        with self._lock:
            return self._begun[network], self._ended[network]
