"""`FakeDns`: what the world's DNS says, what it does wrong, and who asked; without a socket."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fake_dns.answer import Response, Transport, reply_to
from fake_dns.behaviour import Behaviour
from fake_dns.dnsbl import listing_name
from fake_dns.listings import Entry, Listed, Network, parse_code
from fake_dns.log import Arrival, QueryEntry, QueryLog
from fake_dns.names import Name, name_key, name_text, reverse_name
from fake_dns.rdata import quote
from fake_dns.records import Record, make_record, name_server, start_of_authority
from fake_dns.rrtypes import ANY, NS, SOA, TXT, A, type_number
from fake_dns.scripts import Scripts
from fake_dns.tree import Records

DEFAULT_TTL = 60  # seconds
LOG_OCTETS = 128 << 20  # of memory for the log
MAX_PREPARED = 10_000  # replies kept ready
PREPARED_OCTETS = 16 << 20  # of memory for them


class FakeDns:
    """The published records, the scripts and the log of queries.

    All methods may be called from any thread while servers run; a change holds from the moment its method
    returns. Names are text, absolute with or without the final dot. Every method raises `RecordError` for a
    name, type or data that DNS cannot carry. What a sane zone would not have, such as a CNAME beside other
    records, is accepted: broken DNS is what this is for.
    """

    def __init__(self, log_limit: int = 250_000, log_octets: int = LOG_OCTETS) -> None:
        """How many queries the log keeps at least, unless they need more than `log_octets` of memory.

        `dropped` counts those that it let go.
        """
        self._records = Records()
        self._scripts = Scripts()
        self._log = QueryLog(log_limit, log_octets)
        self._prepared: dict[bytes, Response] = {}
        self._prepared_octets = 0
        self._lock = threading.Lock()

    # What is published

    @property
    def empty(self) -> bool:
        """Whether nothing is published and nothing scripted."""
        with self._lock:
            return not (self._records or self._scripts)

    def publish(self, name: str, type: str, data: str, *, ttl: int = DEFAULT_TTL) -> None:  # noqa: A002
        """Add a record; `data` in master-file text, names in it absolute, `ttl` in seconds.

        "*.k3.example" is a wildcard (RFC 4592). A TXT that does not begin with a quote is one string as it
        stands, however long; unusual types are written as TYPE65280, their data as `\\# 2 0a0b` (RFC 3597).
        """
        self.publish_record(name_key(name), make_record(type, data, ttl))

    def publish_record(self, owner: Name, record: Record) -> None:
        """Add a record that is made already."""
        with self._change():
            self._records.publish(owner, record)

    def publish_ptr(self, address: str, host: str, *, ttl: int = DEFAULT_TTL) -> None:
        """Let the reverse name of an IPv4 or IPv6 address point to a host."""
        self.publish(reverse_name(address), "PTR", host, ttl=ttl)

    def zone(self, apex: str, *, ttl: int = DEFAULT_TTL) -> None:
        """Declare a zone: SOA and NS records, unless it has them; "no" has the same `ttl` (seconds)."""
        owner = name_key(apex)
        with self._change():
            if not self._records.has(owner, SOA):
                self._records.publish(owner, start_of_authority(ttl))
            if not self._records.has(owner, NS):
                self._records.publish(owner, name_server(ttl))

    def withdraw(self, name: str, type: str | None = None) -> int:  # noqa: A002
        """Remove the records and the script of a name, of a type or of all; returns how many records went."""
        owner, number = name_key(name), _type_or_all(type)
        with self._change():
            self._scripts.forget(owner, number)
            return self._records.withdraw(owner, number)

    def list_address(
        self,
        zone: str,
        address: str,
        code: str = "127.0.0.2",
        text: str | None = "spam source",
        *,
        beside: bool = False,
        ttl: int = DEFAULT_TTL,
    ) -> None:
        """Put an address on a block list: an A record with the code and, unless `text` is `None`, a TXT.

        It replaces what the list said of that address, or stands `beside` it, as where one zone is several
        lists with a code each; `ttl` in seconds.
        """
        owner = name_key(listing_name(address, zone))
        records = [make_record("A", code, ttl)]
        if text is not None:
            records.append(make_record("TXT", quote(text), ttl))
        with self._change():
            if not beside:
                self._withdraw_listing(owner)
            for record in records:
                self._records.publish(owner, record)

    def unlist_address(self, zone: str, address: str) -> None:
        """Take an address off a block list; scripts stay."""
        owner = name_key(listing_name(address, zone))
        with self._change():
            self._withdraw_listing(owner)

    def list_network(
        self, zone: str, network: Network, code: str = "127.0.0.2", text: str | None = "spam source"
    ) -> None:
        """Put all addresses of a network on a block list, with the same answers as `list_address` gives.

        Where networks overlap, the smallest decides; what `list_address` says of one address goes before.
        Raises `RecordError` for a text of more than 255 octets.
        """
        literal = None if text is None else text.replace("$", "$$")
        self.list_range(name_key(zone), network, Listed(parse_code(code), literal, DEFAULT_TTL))

    def list_range(self, apex: Name, listed: Network | Name, entry: Entry, *, below: bool = False) -> None:
        """List a network or a domain, or exclude it with the entry `None`; `below`: all below the domain."""
        with self._change():
            if isinstance(listed, bytes):
                self._records.listings.add_domain(apex, listed, entry, below=below)
            else:
                self._records.listings.add_network(apex, listed, entry)

    # What goes wrong

    def script(self, name: str, type: str | None, behaviour: Behaviour) -> None:  # noqa: A002
        """Answer that name and type so, whatever is published; `None` or "ANY" is every type.

        "*.k3.example" speaks for all names below k3.example that have no script of their own. A script also
        holds for whoever comes to the name over a CNAME record. `Published()` or `withdraw` ends it.
        """
        owner, number = name_key(name), _type_or_all(type)
        with self._change():
            self._scripts.script(owner, number, behaviour)

    # Who asked

    def queries(
        self,
        under: str | None = None,
        type: str | None = None,  # noqa: A002
        since: float | None = None,
    ) -> list[QueryEntry]:
        """The queries for a name and all below, of a type, since a `time.monotonic()`, oldest first."""
        name = None if under is None else name_key(under)
        number = None if type is None else type_number(type)
        return [arrival.entry() for arrival in self._log.arrivals(name, number, since)]

    def wait_for_query(
        self,
        name: str,
        type: str | None,  # noqa: A002
        timeout: float,
        since: float | None = None,
    ) -> QueryEntry | None:
        """The first query for that very name and type (`None`: any), also one that came before the call.

        Waits at most `timeout` seconds and returns `None` when no such query came. `since`, a
        `time.monotonic()`, leaves older ones out.
        """
        number = None if type is None else type_number(type)
        arrival = self._log.wait(name_key(name), number, since, timeout)
        return arrival.entry() if arrival else None

    def unpublished(self, under: str | None = None) -> list[str]:
        """The names asked for, or come to over a CNAME, that nobody had published: each once, in order.

        They were answered with NXDOMAIN; a scripted NXDOMAIN is not among them.
        """
        name = None if under is None else name_key(under)
        missing = (arrival.noted.missing for arrival in self._log.arrivals(name, None, None))
        return [name_text(found) for found in dict.fromkeys(missing) if found]

    @property
    def dropped(self) -> int:
        """How many of the oldest queries the log has let go."""
        return self._log.dropped

    # For the servers

    def respond(self, packet: bytes, client: str, transport: Transport) -> Response:
        """What to reply to a packet from an address; noted in the log before it is returned. Never raises."""
        at = time.monotonic()
        reply = self._prepared.get(packet[2:]) if transport is Transport.UDP else None
        if reply is None:
            reply = self._prepare(packet, transport)
        self._log.append(Arrival(at, client, transport, reply.noted))
        return reply

    def _prepare(self, packet: bytes, transport: Transport) -> Response:
        with self._lock:
            reply = reply_to(packet, transport, self._records, self._scripts)
            if transport is Transport.UDP and reply.lasting:
                self._prepared_octets += len(packet) + len(reply.wire or b"") + reply.noted.octets
                if len(self._prepared) >= MAX_PREPARED or self._prepared_octets > PREPARED_OCTETS:
                    self._forget_prepared()
                self._prepared[packet[2:]] = reply
        return reply

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Change records or scripts: no reply that was prepared before is given afterwards."""
        with self._lock:
            try:
                yield
            finally:
                self._forget_prepared()

    def _forget_prepared(self) -> None:
        self._prepared.clear()
        self._prepared_octets = 0

    def _withdraw_listing(self, owner: bytes) -> None:
        self._records.withdraw(owner, A)
        self._records.withdraw(owner, TXT)


def _type_or_all(text: str | None) -> int | None:
    number = None if text is None else type_number(text)
    return None if number == ANY else number
