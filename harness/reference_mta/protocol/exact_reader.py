"""Reads so many octets from a transport and none beyond: those are for the handshake of TLS.

What a transport has read by itself can no longer be given to `start_tls`.
"""

import asyncio
from collections.abc import Callable


class ExactReader(asyncio.BufferedProtocol):
    """The protocol of a transport until another takes its place; what nobody waits for is not read."""

    def __init__(self, transport: asyncio.Transport, lost: Callable[[Exception | None], None]) -> None:
        """`lost` is told when the connection is."""
        self._transport = transport
        self._lost = lost
        self._buffer = bytearray(1)
        self._arrival: asyncio.Future[int] | None = None
        transport.pause_reading()
        transport.set_protocol(self)

    async def read(self, size: int) -> bytes:
        """The next octets; when the client ends before they are there, the connection is lost."""
        taken = b""
        while len(taken) < size:
            self._buffer = bytearray(size - len(taken))
            self._arrival = asyncio.get_running_loop().create_future()
            self._transport.resume_reading()
            try:
                count = await self._arrival
            finally:
                self._transport.pause_reading()
            taken += self._buffer[:count]
        return taken

    def get_buffer(self, sizehint: int) -> bytearray:
        """Room for what is waited for."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So much has come."""
        self._transport.pause_reading()
        if self._arrival and not self._arrival.done():
            self._arrival.set_result(nbytes)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._lost(exc)
