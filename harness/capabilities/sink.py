"""Everybody else's mail hosts: each with an address of its own, named in DNS, reached on one port."""

import asyncio
import collections
import ipaddress
import logging
import threading
from collections.abc import Collection, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from fake_dns import FakeDns, reverse_name
from harness.capabilities.mail_host import PATIENCE, MailHost
from harness.capabilities.mail_listener import Listener
from harness.profile.values import apart, room_in
from harness.settings.hosts import Network
from harness.settings.secret import Secret
from harness.verdicts import BrokenOffError, InconclusiveError, NotTestableError

T = TypeVar("T")
STOP_WITHIN = 5.0  # seconds
ROOM_WITHIN = 300.0  # seconds in which others give an address back


class Sink:
    """Plays mail hosts on a loop and thread of its own; thread-safe.

    An address is not used a second time before all others have been: mail may still be on its way to it.
    """

    def __init__(
        self,
        dns: FakeDns,
        networks: Sequence[Network],
        port: int,
        *,
        kept: Collection[str] = (),
        secrets: Sequence[Secret | str] = (),
        patience: float = PATIENCE,
    ) -> None:
        """`kept` are addresses for hosts that all share; `secrets` are masked in what is recorded.

        `patience` is how many seconds mail may be on its way.
        """
        self.port = port
        self._dns = dns
        self._size = sum(room_in(network) for network in networks)
        self._fresh = apart([ipaddress.ip_network(network) for network in networks])
        self._spare: collections.deque[str] = collections.deque()
        self._kept = frozenset(kept)
        self._secrets = tuple(map(Secret.of, secrets))
        self._patience = patience
        self._servers: dict[str, asyncio.Server] = {}  # by address
        self._shared: dict[str, MailHost] = {}  # by domain or address
        self._hosts: set[MailHost] = set()  # that somebody may be waiting at
        self._over = False
        self._sharing = threading.Lock()
        self._room = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sink", daemon=True)
        logging.getLogger("mail.log").setLevel(logging.ERROR)  # the engine's own chatter

    def __enter__(self) -> Self:
        """Ready to play."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """All hosts are gone."""
        self._on_loop(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_WITHIN)
        self._loop.close()

    def open(self, domain: str, held: int = 0) -> MailHost:
        """A new mail host that DNS names as the MX of `domain`; `held` are those that the caller has already.

        Raises `NotTestableError` when there is no address for it, `InconclusiveError` when others keep all or
        the run is over.
        """
        if held >= self._size:
            raise NotTestableError(
                f"{held + 1} mail hosts are needed, and sink.networks has {self._size} addresses; name more"
            )
        return self._at(self._address(), domain)

    def shared(self, domain: str, address: str = "") -> MailHost:
        """The mail host of a domain, or at an address, that all scenarios of the run share.

        Raises `NotTestableError` when there is no address for it.
        """
        if self._size == 1 and not address:
            raise NotTestableError(
                "sink.networks has one address, and this host keeps one for itself; name more"
            )
        with self._sharing:
            host = self._shared.get(address or domain)
            if host is None:
                host = self._shared[address or domain] = self._at(address or self._address(), domain)
                host.shared = True
            return host

    def stop(self) -> None:
        """The run is over: nobody waits any more, for an address or at a mail host."""
        with self._room:
            self._over = True
            self._room.notify_all()
            hosts = [*self._hosts]
        for host in hosts:
            host.stop()

    def close(self, host: MailHost) -> None:
        """Nobody is there any more, and DNS knows nothing of it."""
        self._dns.withdraw(host.domain, "MX")
        self._dns.withdraw(host.name, "A")
        self._dns.withdraw(reverse_name(host.address), "PTR")
        self._on_loop(self._silence(host.address))
        with self._room:
            self._hosts.discard(host)
            self._spare.append(host.address)
            self._room.notify()

    def _at(self, address: str, domain: str) -> MailHost:
        host = MailHost(domain, f"mail.{domain}", address, self._secrets, patience=self._patience)
        with self._room:
            self._hosts.add(host)
            if self._over:
                host.stop()
        try:
            self._on_loop(self._listen(host))
        except OSError as error:
            raise NotTestableError(
                f"{address}:{self.port} cannot be had for a mail host: {error.strerror or error}"
            ) from error
        self._dns.zone(domain)
        self._dns.withdraw(domain, "MX")
        self._dns.publish(domain, "MX", f"10 {host.name}.")
        self._dns.publish(host.name, "A", address)
        self._dns.withdraw(reverse_name(address), "PTR")
        self._dns.publish_ptr(address, host.name)
        return host

    def _address(self) -> str:
        with self._room:
            for fresh in self._fresh:
                if fresh not in self._kept:
                    return fresh
            came = self._room.wait_for(lambda: self._over or self._spare, ROOM_WITHIN)
            if self._over:
                raise BrokenOffError
            if not came:
                raise InconclusiveError("all addresses of sink.networks are in use; name a larger network")
            return self._spare.popleft()

    async def _listen(self, host: MailHost) -> None:
        loop = self._loop
        server = await loop.create_server(lambda: Listener(host, loop), host.address, self.port)
        self._servers[host.address] = server

    async def _silence(self, address: str) -> None:
        server = self._servers.pop(address, None)
        if server:
            server.close()

    async def _stop(self) -> None:
        for address in list(self._servers):
            await self._silence(address)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _on_loop(self, act: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(act, self._loop).result(STOP_WITHIN)
