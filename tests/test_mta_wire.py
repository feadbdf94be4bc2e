"""A connection to another mail host: what it sends is bounded, and what is broken off is never whole."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from harness.reference_mta.mail.wire import Wire, WireError, connect, stuffed

Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PATIENCE = 5.0  # seconds
SMALL = 4096  # bytes that the host takes before it is asked to


@contextlib.asynccontextmanager
async def host(act: Act, patience: float = PATIENCE) -> AsyncIterator[Wire]:
    """A connection to a host that does so."""
    async with await asyncio.start_server(act, "127.0.0.1", 0, limit=SMALL) as server:
        wire = await connect("127.0.0.1", server.sockets[0].getsockname()[1], patience)
        try:
            yield wire
        finally:
            wire.abort()


def saying(*pieces: bytes) -> Act:
    """A host that says this and closes."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.close()

    return act


def heard(content: bytes) -> bytes:
    """What a host gets of a message."""
    got: asyncio.Future[bytes]

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result(await reader.readuntil(b"END"))
        writer.write(b"250 Taken\r\n")

    async def send() -> bytes:
        nonlocal got
        got = asyncio.get_running_loop().create_future()
        async with host(act) as wire:
            await wire.content(stuffed(content))
            await wire.content(b"END")
            return (await got).removesuffix(b"END")

    return asyncio.run(send())


async def first_reply(act: Act) -> tuple[int, str]:
    async with host(act) as wire:
        reply = await wire.reply()
        return reply.code, reply.text


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        ((b"220 Hello\r\n",), 220, "Hello"),
        ((b"220\r\n",), 220, ""),
        ((b"22", b"0-One\r\n220", b" Two\n"), 220, "One\nTwo"),
        ((b"550 \xff\x1b[2J\r\n",), 550, "\xff\x1b[2J"),
    ],
)
def test_replies_are_read_whole(said: tuple[bytes, ...], code: int, text: str) -> None:
    assert asyncio.run(first_reply(saying(*said))) == (code, text)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "was closed"),
        (b"220-Only half\r\n", "was closed"),
        (b"hello\r\n", "is no reply"),
        (b"150 Begin\r\n", "is no reply"),
        (b"220-One\r\n250 Two\r\n", "is no reply"),
        (b"220 " + b"x" * 100_000, "a line of more than"),
        (b"220-x\r\n" * 1000, "more than 256 lines"),
    ],
)
def test_what_is_no_reply_ends_it(said: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        asyncio.run(first_reply(saying(said)))


@pytest.mark.parametrize("line", ["RCPT TO:<a\tb@x.example>", "QUIT\r\nMAIL", "MAIL FROM:<\xe4@x.example>"])
def test_control_characters_are_never_sent(line: str) -> None:
    async def send() -> None:
        async with host(saying(b"220 Hello\r\n")) as wire:
            await wire.command(line)

    with pytest.raises(WireError, match="control characters"):
        asyncio.run(send())


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (b"a\r\n", b"a\r\n"),
        (b"a", b"a\r\n"),
        (b"", b""),
        (b".\r\n..\r\na.\r\n", b"..\r\n...\r\na.\r\n"),
        (b"a\n.\nb\r\n", b"a . b\r\n"),
        (b"a\r.\r\nb\r\r\n", b"a .\r\nb \r\n"),
    ],
)
def test_a_message_cannot_end_before_its_end(content: bytes, sent: bytes) -> None:
    assert heard(content) == sent


def test_a_message_that_is_broken_off_never_ends() -> None:
    async def scene() -> bytes:
        resumed = asyncio.Event()
        got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await resumed.wait()
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(1 << 20):
                    ends.append(piece)
            got.set_result(b"".join(ends))

        ends: list[bytes] = []
        async with host(act, patience=0.2) as wire:
            with pytest.raises(WireError, match="nothing was taken in"):
                await wire.content(b"x" * 20_000_000)
            wire.abort()
            resumed.set()
            return await got

    received = asyncio.run(scene())
    assert received.startswith(b"xxxx")
    assert len(received) < 20_000_000
    assert b"\r\n.\r\n" not in received
