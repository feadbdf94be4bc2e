"""A TCP proxy before a mail server on loopback that troubles a share of the connections; see `chaos_trouble`.

All other connections go through byte for byte: a FIN is passed on as a FIN, in each direction for itself, and
a reset as a reset. Once the server has agreed to STARTTLS only such trouble comes as needs no reply that can
be read; so it is from the beginning where the server speaks no SMTP.
"""

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.chaos_trouble import CLOSING, FOR_ANY_BYTES, Chaos, Kind, Trouble, has_class, reply_end

CHUNK = 65536  # bytes read at once
BACKLOG = 1024  # clients that may wait to be received
STARTTLS = re.compile(rb"^STARTTLS[ \t]*\r?\n", re.IGNORECASE | re.MULTILINE)
LONGEST_STARTTLS = 16  # bytes of it that may have come before the rest

Address = tuple[str, int]


@dataclass
class ChaosProxy:
    """Listens on 127.0.0.1 for as long as the context lasts; leaving it cuts off whoever is still there.

    Leaving raises what went wrong in the proxy itself, if anything did.
    """

    server: Address
    chaos: Chaos
    connections: int = 0
    drawn: Counter[Kind] = field(default_factory=Counter)  # connections that were to be troubled
    done: Counter[Kind] = field(default_factory=Counter)  # those whose dialogue came so far

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self._listening.setblocking(False)
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="chaos proxy")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._loop.close()
        self._listening.close()
        if self._failure:
            raise self._failure

    @property
    def address(self) -> Address:
        host, port = self._listening.getsockname()
        return host, port

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - told by the thread that leaves the context
            self._failure = error

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            receiving = tasks.create_task(self._receive())
            await self._over.wait()
            receiving.cancel()

    async def _receive(self) -> None:
        async with asyncio.TaskGroup() as carried:
            while True:
                client, _ = await self._loop.sock_accept(self._listening)
                carrying = carried.create_task(self._carry(client))
                carrying.add_done_callback(lambda _, client=client: client.close())  # type: ignore[misc]

    def _trouble(self) -> Trouble | None:
        self.connections += 1
        trouble = self.chaos.trouble_of(self.connections)
        if trouble:
            self.drawn[trouble.kind] += 1
        return trouble

    async def _carry(self, client: socket.socket) -> None:
        """One connection from its beginning to its end."""
        trouble = self._trouble()
        with _socket_for(self.server) as server:
            try:
                await self._loop.sock_connect(server, self.server)
            except OSError:
                _reset_on_close(client)  # the nearest to a refusal that is left
                return
            link = _Link(client, server, trouble, self._count)
            try:
                await link.carry()
            except OSError:  # the other side learns so
                _reset_on_close(client)
                _reset_on_close(server)

    def _count(self, kind: Kind) -> None:
        self.done[kind] += 1


class _DialogueEnds(Exception):
    """Trouble has come that ends the dialogue."""


@dataclass
class _Link:
    """A client's connection and the one to the server that belongs to it."""

    client: socket.socket
    server: socket.socket
    trouble: Trouble | None
    count: Callable[[Kind], None]
    _unread: bytes = b""  # what has come from the server beyond the last reply
    _said: bytes = b""  # the last that the client has said
    _tls_wanted: bool = False
    _tls: bool = False

    def __post_init__(self) -> None:
        """Every byte goes at once, as the one who sent it meant it to."""
        for one in (self.client, self.server):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def carry(self) -> None:
        """Carry bytes until both sides have ended, or trouble has; raises `OSError` when one breaks off."""
        # No TaskGroup: it forgets that it is cancelled while one of its own tasks fails (before Python 3.13).
        both = [asyncio.create_task(self._to_server()), asyncio.create_task(self._to_client())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for one in both:
                one.cancel()
            outcomes = await asyncio.gather(*both, return_exceptions=True)
        errors = [one for one in outcomes if one and not isinstance(one, asyncio.CancelledError)]
        if any(isinstance(error, _DialogueEnds) for error in errors):
            await self._end_dialogue()
        elif errors:
            raise errors[0]

    async def _to_server(self) -> None:
        while data := await _receive(self.client):
            self._listen(data)
            await _send(self.server, data)
        _send_fin(self.server)

    def _listen(self, data: bytes) -> None:
        said = self._said + data
        self._tls_wanted = self._tls_wanted or bool(STARTTLS.search(said))
        self._said = said[-LONGEST_STARTTLS:]

    async def _to_client(self) -> None:
        if self.trouble:
            await self._make_trouble(self.trouble)
        await _send(self.client, self._unread)
        while data := await _receive(self.server):
            await _send(self.client, data)
        _send_fin(self.client)

    async def _make_trouble(self, trouble: Trouble) -> None:
        """Let the dialogue go on to the drawn reply, and trouble that; raises `_DialogueEnds`."""
        for _ in range(trouble.reply):
            await self._next_reply(passed_on=True)
        reply = await self._next_reply()
        while (
            reply and trouble.kind is Kind.CHANGED_CODE and not self._opaque(reply) and not has_class(reply)
        ):
            await _send(self.client, reply)
            reply = await self._next_reply()
        if not reply or (self._opaque(reply) and trouble.kind not in FOR_ANY_BYTES):
            await _send(self.client, reply)
            return
        self.count(trouble.kind)
        match trouble.kind:
            case Kind.CLOSE | Kind.RESET | Kind.HANG:
                await _send(self.client, trouble.beginning(reply))
                raise _DialogueEnds
            case Kind.CLOSING:
                await _send(self.client, CLOSING)
                raise _DialogueEnds
            case Kind.FLOOD | Kind.ENDLESS_LINE:
                raise _DialogueEnds
            case Kind.DRIP:
                pause = trouble.pause()
                for byte in reply:
                    await asyncio.sleep(pause)
                    await _send(self.client, bytes([byte]))
            case _:
                await _send(self.client, trouble.instead(reply))

    async def _next_reply(self, *, passed_on: bool = False) -> bytes:
        """The next whole reply; less where the server closes, and whatever comes where there are no replies.

        With `passed_on` the client gets every byte of it as soon as it is there.
        """
        reply = b""
        while data := self._unread or await _receive(self.server):
            self._unread = b""
            whole = reply + data
            end = len(whole) if self._opaque(whole) else reply_end(whole)
            if end is not None:
                self._unread = whole[end:]
                data = data[: len(data) - len(self._unread)]
            reply += data
            if passed_on:
                await _send(self.client, data)
            if end is not None:
                self._tls = self._tls or (self._tls_wanted and reply.startswith(b"220"))
                break
        return reply

    def _opaque(self, data: bytes) -> bool:
        """Whether what the server sends is nothing that can be read as replies."""
        return self._tls or not data[:1].isdigit()

    async def _end_dialogue(self) -> None:
        """What the client meets from now on, until it goes; a reset is the last that it meets."""
        kind = self.trouble.kind if self.trouble else Kind.CLOSE
        if kind is Kind.RESET:
            _reset_on_close(self.client)
            return
        if kind is not Kind.HANG:
            self.server.close()
        with contextlib.suppress(OSError):  # the client goes as it pleases
            if kind in (Kind.FLOOD, Kind.ENDLESS_LINE) and self.trouble:
                for block in self.trouble.endless():
                    await _send(self.client, block)
            if kind in (Kind.CLOSE, Kind.CLOSING):
                _send_fin(self.client)
            while await _receive(self.client):
                pass  # what it still says comes nowhere


def _socket_for(server: Address) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET)
    made.setblocking(False)
    return made


async def _receive(source: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(source, CHUNK)


async def _send(sink: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sink, data)


def _send_fin(sink: socket.socket) -> None:
    sink.shutdown(socket.SHUT_WR)


def _reset_on_close(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
