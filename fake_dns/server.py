"""`DnsServer`: one `FakeDns` on real sockets, served from a thread of its own while a context lasts."""

import asyncio
import contextlib
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from fake_dns.dns import FakeDns
from fake_dns.listening import Address, Listener, listen
from fake_dns.service import Service

IDLE = 10.0  # seconds that a TCP client may take to ask, and to read its reply


class DnsServer:
    """Serves a `FakeDns` over UDP and TCP, both on the same port of each address.

        with DnsServer(dns, addresses=[("127.0.0.1", 0), ("::1", 0)]) as server:
            host, port = server.addresses[0]

    It enters once. Several servers may serve the same `FakeDns`.
    """

    def __init__(
        self,
        dns: FakeDns,
        addresses: Iterable[Address] = (("127.0.0.1", 0),),
        *,
        loopback_only: bool = True,
        idle: float = IDLE,
    ) -> None:
        """`addresses` are IP addresses with ports, 0 for a free one; `idle` (seconds) bounds a TCP turn.

        With `loopback_only` other addresses than 127/8 and ::1 are refused.
        """
        self._wanted = list(addresses)
        self._loopback_only = loopback_only
        self._service = Service(dns, idle)
        self._cleanup = contextlib.ExitStack()
        self.addresses: list[Address] = []

    def __enter__(self) -> Self:
        """Listen and serve; from then on `addresses` has the real ports. Raises `DnsServerError`."""
        with contextlib.ExitStack() as cleanup:
            listeners = []
            for address in self._wanted:
                listeners.append(listen(address, loopback_only=self._loopback_only))
                cleanup.callback(listeners[-1].close)
            self._start(listeners, cleanup)
            self.addresses = [listener.address for listener in listeners]
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving and close every socket; replies that are still to come are not sent."""
        self._cleanup.close()

    def _start(self, listeners: list[Listener], cleanup: contextlib.ExitStack) -> None:
        loop = asyncio.new_event_loop()
        stop = asyncio.Event()

        def run() -> None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._service.serve(listeners, stop))

        thread = threading.Thread(target=run, name="fake-dns", daemon=True)
        thread.start()
        cleanup.callback(thread.join)
        cleanup.callback(loop.call_soon_threadsafe, stop.set)
