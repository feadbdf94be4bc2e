"""Every query that came, in order, bounded in number and octets; found again by name without a search.

The servers only append; texts are made and the index is built when somebody reads. What was answered is kept
as one short line, never as the reply itself.
"""

import math
import threading
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import NamedTuple

from fake_dns.answer import Noted, Transport
from fake_dns.names import Name, backwards, name_text
from fake_dns.rrtypes import type_text

SEGMENT = 1 << 12  # queries that are dropped together
FEW = 64  # fresh queries that are put in their places one by one, which is quicker than to sort all again
ARRIVAL_OCTETS = 400  # of memory that a query takes beside its texts, once it is in the index


@dataclass(frozen=True, slots=True)
class QueryEntry:
    """One query: `at` in seconds of `time.monotonic()`, `client` the address that asked, by "udp" or "tcp".

    `name` is in lower case without the final dot, `type` such as "A"; both are empty for a packet that could
    not be read. `answer` is short: "NOERROR 198.18.0.7", "NODATA", "NXDOMAIN", "no answer (scripted)".
    """

    at: float
    client: str
    transport: str
    name: str
    type: str
    answer: str


class Arrival(NamedTuple):
    """A query as the servers note it."""

    at: float
    client: str
    transport: Transport
    noted: Noted

    def entry(self) -> QueryEntry:
        """The same, to be read by people."""
        noted = self.noted
        name, kind = (name_text(noted.name), type_text(noted.type)) if noted.name else ("", "")
        return QueryEntry(self.at, self.client, self.transport.value, name, kind, noted.text)


@dataclass(slots=True)
class _Segment:
    """A run of arrivals, and their positions sorted by name from the root down.

    In that order all that is below a name stands together, and many labels in a name cost no more memory.
    """

    arrivals: list[Arrival] = field(default_factory=list)
    _sorted: list[tuple[bytes, int]] = field(default_factory=list)
    _indexed: int = 0
    octets: int = 0  # of memory, about; known once the segment is full
    latest: float = math.inf  # seconds of time.monotonic() of its last query; known once it is full

    def close(self) -> None:
        """No more will come."""
        self.octets = sum(ARRIVAL_OCTETS + arrival.noted.octets for arrival in self.arrivals)
        self.latest = max(arrival.at for arrival in self.arrivals)

    def under(self, name: Name) -> list[Arrival]:
        """The arrivals for a name and all below it, oldest first."""
        end = len(self.arrivals)
        if self._indexed < end:
            named = ((self.arrivals[at].noted.name, at) for at in range(self._indexed, end))
            fresh = [(backwards(asked), at) for asked, at in named if asked]
            if len(fresh) > FEW:
                self._sorted.extend(fresh)
                self._sorted.sort()
            else:
                for one in fresh:
                    insort(self._sorted, one)
            self._indexed = end
        prefix = backwards(name)
        start = bisect_left(self._sorted, (prefix,))
        below = takewhile(lambda item: item[0].startswith(prefix), islice(self._sorted, start, None))
        return [self.arrivals[at] for at in sorted(at for _, at in below)]


@dataclass(slots=True, eq=False)
class _Waiter:
    name: Name
    type: int | None
    arrived: threading.Event = field(default_factory=threading.Event)
    arrival: Arrival | None = None

    def wants(self, arrival: Arrival) -> bool:
        return arrival.noted.name == self.name and self.type in (None, arrival.noted.type)


class QueryLog:
    """Thread-safe. Holds at least the newest `limit` queries, but no more than `octets` of memory.

    Older ones are dropped, a segment at a time, and counted.
    """

    def __init__(self, limit: int, octets: int) -> None:
        """`limit` is a number of queries, `octets` what they may take, about; the last full segment stays."""
        self._octets = octets
        self._segments: deque[_Segment] = deque([_Segment()])
        self._kept_segments = max(2, 1 + -(-limit // SEGMENT))
        self._waiters: list[_Waiter] = []
        self._lock = threading.Lock()
        self.dropped = 0

    def append(self, arrival: Arrival) -> None:
        """Note a query; before its reply is sent, so that whoever has the reply finds the query here."""
        segment = self._segments[-1]
        segment.arrivals.append(arrival)
        if len(segment.arrivals) >= SEGMENT:
            self._roll()
        if self._waiters:
            self._tell(arrival)

    def arrivals(self, under: Name | None, record_type: int | None, since: float | None) -> Iterator[Arrival]:
        """The queries for a name and all below, of a type, not before `since`; `None` does not restrict."""
        with self._lock:
            chosen = [
                arrival
                for segment in self._segments
                if since is None or segment.latest >= since
                for arrival in (segment.arrivals[:] if under is None else segment.under(under))
            ]
        for arrival in chosen:
            if (since is None or arrival.at >= since) and record_type in (None, arrival.noted.type):
                yield arrival

    def wait(
        self, name: Name, record_type: int | None, since: float | None, timeout: float
    ) -> Arrival | None:
        """The first query for that very name, past or within `timeout` seconds; `None` when none came."""
        waiter = _Waiter(name, record_type)
        with self._lock:
            self._waiters.append(waiter)
        try:
            for arrival in self.arrivals(name, record_type, since):
                if arrival.noted.name == name:
                    return arrival
            waiter.arrived.wait(timeout)
            return waiter.arrival
        finally:
            with self._lock:
                self._waiters.remove(waiter)

    def _roll(self) -> None:
        with self._lock:
            if len(self._segments[-1].arrivals) >= SEGMENT:
                self._segments[-1].close()
                self._segments.append(_Segment())
            while len(self._segments) > 2 and (
                len(self._segments) > self._kept_segments
                or sum(segment.octets for segment in self._segments) > self._octets
            ):
                self.dropped += len(self._segments.popleft().arrivals)

    def _tell(self, arrival: Arrival) -> None:
        with self._lock:
            waiters = [waiter for waiter in self._waiters if waiter.wants(arrival)]
        for waiter in waiters:
            waiter.arrival = waiter.arrival or arrival
            waiter.arrived.set()
