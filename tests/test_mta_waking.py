"""The named pipe by which another process wakes the sender."""

import asyncio
from pathlib import Path

import pytest

from harness.reference_mta.mail.waking import Waker, wake

PATIENCE = 10.0


def test_a_bell_is_heard_and_stilled(tmp_path: Path) -> None:
    async def listen() -> None:
        waker = Waker(tmp_path / "waker")
        for _ in range(70_000):  # more than a pipe holds
            assert wake(tmp_path / "waker")
        await asyncio.wait_for(waker.wait(None), PATIENCE)
        for _ in range(20):  # the pipe is emptied bit by bit
            waker.reset()
            await waker.wait(0.05)
        waker.reset()
        await waker.wait(0.05)
        assert not waker.woken
        waker.wake()
        await asyncio.wait_for(waker.wait(None), PATIENCE)
        waker.close()

    asyncio.run(listen())
    assert not wake(tmp_path / "waker"), "nobody listens any more"
    asyncio.run(listen())


def test_a_bell_that_nobody_has_hung_up_is_not_heard(tmp_path: Path) -> None:
    assert not wake(tmp_path / "waker")


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "waker").write_text("not a pipe", "utf-8")

    async def hang_up() -> None:
        Waker(tmp_path / "waker")

    with pytest.raises(OSError, match="is no named pipe; move it away"):
        asyncio.run(hang_up())
