"""The protocol's core on asyncio: every connection has an end, whatever its client does."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.reference_mta.protocol.driver import Driver, Patience
from harness.reference_mta.protocol.events import Event, Greeted
from harness.reference_mta.protocol.limits import InFlight, Limits
from harness.reference_mta.protocol.machine import Machine

FOREVER = 600.0  # seconds: never waited for
SOON = 60.0  # seconds: an upper bound for what happens at once
BRIEF = 0.2  # seconds: waited out


@dataclass
class Yes:
    """Says yes to everything; what a greeting waits for is up to the test."""

    held: asyncio.Event | None = None
    told_all: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def begin(self, driver: Driver) -> bool:
        return True

    async def answer(self, event: Event) -> str:
        if isinstance(event, Greeted) and self.held:
            await self.held.wait()
        return event.answer or "250 2.0.0 Yes"

    def told(self, reply: str) -> None:
        self.told_all.append(reply[:9])

    def covered(self) -> None:
        raise AssertionError("there is no TLS here")

    def gone(self) -> None:
        self.ended.set()


@contextlib.asynccontextmanager
async def connected(
    yes: Yes, idle: float = FOREVER, message: float = FOREVER
) -> AsyncIterator[socket.socket]:
    """The client's end of a connection that begins with its greeting."""
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    limits = Limits(idle_commands=1_000_000)
    machine = Machine(limits, InFlight(1_000_000))
    loop = asyncio.get_running_loop()
    await loop.connect_accepted_socket(lambda: Driver(machine, yes, Patience(idle, message), None), theirs)
    ours.setblocking(False)
    try:
        yield ours
    finally:
        ours.close()
        await asyncio.wait_for(yes.ended.wait(), SOON)


async def read_all(client: socket.socket) -> list[bytes]:
    """The first bytes of each line until the server's end."""
    loop, read = asyncio.get_running_loop(), b""
    async with asyncio.timeout(SOON):
        while piece := await loop.sock_recv(client, 65536):
            read += piece
    return [line[:9] for line in read.splitlines()]


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def test_who_has_said_all_is_still_answered() -> None:
    async def test() -> None:
        async with connected(Yes()) as client:
            client.send(b"EHLO x\r\nNOOP\r\nNO")
            client.shutdown(socket.SHUT_WR)
            assert await read_all(client) == [b"250 2.0.0"] * 3

    run(test())


def test_who_ends_while_a_reply_is_held_back_is_not_kept() -> None:
    async def test() -> None:
        yes = Yes(held=asyncio.Event())
        async with connected(yes, idle=BRIEF) as client:
            client.send(b"EHLO x\r\n")
            client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                assert await read_all(client) == [b"250 2.0.0"]
            await asyncio.wait_for(yes.ended.wait(), SOON)

    run(test())


def test_who_is_gone_while_a_reply_is_held_back_is_not_kept() -> None:
    async def test() -> None:
        yes = Yes(held=asyncio.Event())
        async with connected(yes, idle=BRIEF) as client:
            client.send(b"EHLO x\r\n")

    run(test())


@pytest.mark.parametrize("drip", [b"N", b""], ids=["drips", "is silent"])
def test_a_command_has_its_time_however_it_comes(drip: bytes) -> None:
    async def test() -> None:
        yes = Yes()
        async with connected(yes, idle=BRIEF) as client:
            while not yes.ended.is_set():
                with contextlib.suppress(ConnectionError):
                    client.send(drip)
                await asyncio.sleep(BRIEF / 10)
            assert yes.told_all[-1] == "421 4.4.2"

    run(test())


def test_a_message_has_its_time_too() -> None:
    async def test() -> None:
        yes = Yes()
        async with connected(yes, message=BRIEF) as client:
            client.send(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n")
            while not yes.ended.is_set():
                with contextlib.suppress(ConnectionError):
                    client.send(b"x\r\n")
                await asyncio.sleep(BRIEF / 10)
            assert yes.told_all[-2:] == ["354 End d", "421 4.4.2"]

    run(test())


def test_who_never_reads_is_dropped() -> None:
    async def test() -> None:
        yes = Yes()
        async with connected(yes, idle=BRIEF) as client:
            loop = asyncio.get_running_loop()
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(SOON):
                    while not yes.ended.is_set():
                        await loop.sock_sendall(client, b"HELP\r\n" * 100)
            await asyncio.wait_for(yes.ended.wait(), SOON)

    run(test())


@pytest.mark.parametrize("number", [errno.ENOTCONN, errno.EHOSTUNREACH])
def test_who_is_gone_as_the_server_parts_is_no_defect(
    number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(transport: asyncio.Transport) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(asyncio.selector_events._SelectorSocketTransport, "write_eof", gone)  # type: ignore[attr-defined]

    async def test() -> None:
        yes = Yes()
        async with connected(yes) as client:
            client.send(b"QUIT\r\n")
            await asyncio.wait_for(yes.ended.wait(), SOON)
            assert yes.told_all[-1] == "221 2.0.0"

    run(test())
    assert caplog.records == []


def test_the_last_reply_arrives_though_more_was_said() -> None:
    async def test() -> None:
        async with connected(Yes()) as client:
            client.send(b"QUIT\r\n" + b"NOOP\r\n" * 2000)
            assert await read_all(client) == [b"250 2.0.0", b"221 2.0.0"]

    run(test())
