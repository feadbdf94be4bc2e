"""The protocol's core on asyncio: bytes from and to a transport, and an end to every connection.

Each wait for the client has its limit: for a command as a whole, however it drips (RFC 5321 §4.5.3.2.7), for
each piece of a message and for all of it, for room to write, for TLS to begin, and for the client's end of a
connection that this side has ended.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from harness.reference_mta.protocol.events import Event, TlsAsked
from harness.reference_mta.protocol.exact_reader import ExactReader
from harness.reference_mta.protocol.machine import Machine

MOST_PENDING = 65536  # bytes of commands that wait for their turn; then nothing more is read
LINGER = 2.0  # seconds in which a client that was hung up on may see the last reply
IDLE = "421 4.4.2 You have been silent for too long"
SLOW = "421 4.4.2 Your message takes too long"
Result = TypeVar("Result")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long a client is waited for, in seconds."""

    idle: float  # for a command, a piece of a message, room to write, a handshake
    message: float  # for all of a message


class Responder(Protocol):
    """Who knows what to say."""

    async def begin(self, driver: "Driver") -> bool:
        """The connection stands; False where it is to end without a word."""

    async def answer(self, event: Event) -> str:
        """The reply to an event, its lines divided by CR LF, without the last line end."""

    def told(self, reply: str) -> None:
        """The client is told so."""

    def covered(self) -> None:
        """TLS has begun."""

    def gone(self) -> None:
        """The connection has ended."""


class Driver(asyncio.Protocol):
    """One connection on its transport."""

    def __init__(
        self,
        machine: Machine,
        responder: Responder,
        patience: Patience,
        context: ssl.SSLContext | None,
    ) -> None:
        """`context` is that of STARTTLS; of TLS before the greeting, where the machine begins `covered`."""
        self.machine = machine
        self.early = bytearray()  # what came before the core was told of it, see `take_early`
        self._responder = responder
        self._patience = patience
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._arrival: asyncio.Future[None] | None = None  # somebody waits for bytes, or for room
        self._room: asyncio.Future[None] | None = None
        self._before_tls: ExactReader | None = None  # what comes before TLS, where that begins at once
        self._begun = False  # the core reads
        self._at_end = False  # the client sends nothing more
        self._reading = True
        self._hanging_up = False
        self._parting = False
        self._deadline: float | None = None
        self._message_end = 0.0
        self._in_message = False
        self._timer: asyncio.TimerHandle | None = None

    # What the responder may do

    @property
    def peer(self) -> str:
        """The client's address as the system knows it, without a zone."""
        peer = self._open().get_extra_info("peername")
        return str((peer or ("",))[0]).partition("%")[0]

    def hang_up(self) -> None:
        """End the connection behind the reply that is about to be sent; what comes after is not read."""
        self._hanging_up = True

    async def take_early(self, size: int) -> bytes:
        """So many of the bytes that come before SMTP begins; raises `EOFError` when there are no more."""
        if self._before_tls:
            return await self._before_tls.read(size)
        while len(self.early) < size:
            if self._at_end:
                raise EOFError
            await self._more()
        taken = bytes(self.early[:size])
        del self.early[:size]
        return taken

    # What the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - that of a stream
        self._transport = transport
        if self.machine.covered:
            self._before_tls = ExactReader(transport, self.connection_lost)
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(self._ended)

    def data_received(self, data: bytes) -> None:
        """Keep it until it is its turn."""
        if self._parting:
            return
        if not self._begun:
            self.early += data
            pending = len(self.early)
        else:
            self.machine.receive(data)
            pending = self.machine.pending
        starts_tls = self._before_tls and not self._begun  # then there is no transport yet to be paused
        if pending > MOST_PENDING and self._reading and not (starts_tls or self.machine.reads_content):
            self._reading = False
            self._open().pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The client has ended its side: what it has said is still answered, in clear text at least."""
        self._at_end = True
        self._wake()
        self._expire_in(self._patience.idle)  # for what is still to be answered
        return not (self.machine.covered or self._parting)

    def pause_writing(self) -> None:
        """The client reads more slowly than it asks."""
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """It has read."""
        if self._room and not self._room.done():
            self._room.set_result(None)
        self._room = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._at_end = True
        if self._timer:
            self._timer.cancel()
        if self._task:
            self._task.cancel()

    # The dialogue

    async def _run(self) -> None:
        try:
            with contextlib.suppress(ConnectionError, EOFError, ssl.SSLError):
                if await self._responder.begin(self):
                    if self._before_tls:
                        await self._shake_hands()
                    self._begun = True
                    self.machine.receive(bytes(self.early))
                    self.early.clear()
                    await self._converse()
        finally:
            self._close()

    def _close(self) -> None:
        """Close when the last reply is sent, and without it when nobody takes it."""
        transport = self._open()
        if self._timer:
            self._timer.cancel()
        transport.close()
        if transport.get_write_buffer_size():
            self._timer = self._loop.call_later(LINGER, transport.abort)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.machine.end()
        self._responder.gone()
        if not task.cancelled() and (error := task.exception()):
            log.error("a connection has ended by a defect: %s", error, exc_info=error)

    async def _converse(self) -> None:
        while (event := await self._next()) is not None:
            reply = await self._responder.answer(event)
            farewell = self.machine.answered(reply)
            self._say(reply)
            if isinstance(event, TlsAsked) and reply.startswith("220"):
                await self._begin_tls()  # at once, or clear text in between would pass for covered
                continue
            if farewell and not self._hanging_up:
                self._say(farewell)
            if self._room:
                await self._within(self._patience.idle, self._room)
            if self._hanging_up or self.machine.ended:
                await self._part()
                return

    async def _next(self) -> Event | None:
        """The next event; None when the client has said all that it will ever say, or says it too slowly."""
        self._time_message()
        event = self.machine.next_event()
        if event is not None:
            return event
        self._expire()
        while not self._at_end:
            self._read_on()
            await self._more()
            event = self.machine.next_event()
            if event is not None:
                if not self._at_end:
                    self._deadline = None
                return event
            self._time_message()
            if self.machine.reads_content:
                self._expire()
        return None

    def _expire(self) -> None:
        """Wait for the next that comes, and no longer than the message has time."""
        left = self._message_end - self._loop.time() if self._in_message else self._patience.idle
        self._expire_in(min(self._patience.idle, left))

    def _time_message(self) -> None:
        """A message has its time from its beginning on, be it in one piece or in chunks."""
        if not (self.machine.holds_content and self._in_message):
            self._message_end = self._loop.time() + self._patience.message
        self._in_message = self.machine.holds_content

    def _say(self, reply: str) -> None:
        self._responder.told(reply)
        self._open().write(self.machine.encoded(reply))

    async def _begin_tls(self) -> None:
        await self._shake_hands()
        self.machine.begin_tls()
        self._responder.covered()

    async def _shake_hands(self) -> None:
        if self._context is None:
            raise RuntimeError("TLS is to begin and there is no certificate")
        with _of_the_client():
            transport = await self._loop.start_tls(
                self._open(),
                self,
                self._context,
                server_side=True,
                ssl_handshake_timeout=self._patience.idle,
            )
        if transport is None:
            raise ConnectionResetError("the client has gone while TLS began")
        self._transport = transport

    async def _part(self) -> None:
        """End so that the last reply arrives: with input unread, the system would reset the connection."""
        transport = self._open()
        self._parting = True
        if self._at_end or not transport.can_write_eof():
            return
        self._read_on()
        with _of_the_client():
            transport.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while not self._at_end:
                    await self._more()

    # Waiting

    async def _more(self) -> None:
        """Wait for something to come, or for the client's end."""
        self._arrival = self._loop.create_future()
        try:
            await self._arrival
        finally:
            self._arrival = None

    def _wake(self) -> None:
        if self._arrival and not self._arrival.done():
            self._arrival.set_result(None)

    async def _within(self, seconds: float, awaited: Awaitable[Result]) -> Result:
        """What is awaited; whoever lets it wait for too long is dropped."""
        try:
            async with asyncio.timeout(seconds):
                return await awaited
        except TimeoutError:
            self._open().abort()
            raise ConnectionAbortedError("the client does not read") from None

    def _expire_in(self, seconds: float) -> None:
        """Wait for the client no longer than that from now on."""
        self._deadline = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._deadline:
            if self._timer:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        """The time may be over; it is told why (RFC 5321 §3.8), unless nobody listens."""
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
            return
        transport = self._open()
        if self._at_end or self._arrival is None:
            transport.abort()
            return
        slow = self._in_message and self._loop.time() >= self._message_end
        self.machine.end()
        self._say(SLOW if slow else IDLE)
        self._at_end = True
        self._wake()

    def _read_on(self) -> None:
        if not self._reading:
            self._reading = True
            self._open().resume_reading()

    def _open(self) -> asyncio.Transport:
        if self._transport is None:
            raise RuntimeError("there is no connection yet")
        return self._transport


@contextlib.contextmanager
def _of_the_client() -> Iterator[None]:
    """What the system refuses on a connection (ENOTCONN, EHOSTUNREACH) means that its client has gone."""
    try:
        yield
    except OSError as error:
        raise ConnectionResetError(f"the client has gone: {error}") from error
