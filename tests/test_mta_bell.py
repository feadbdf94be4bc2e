"""The named pipe by which another process wakes the sender."""

import asyncio
from pathlib import Path

import pytest

from harness.reference_mta.mail.bell import Bell, ring

PATIENCE = 10.0


def test_a_bell_is_heard_and_stilled(tmp_path: Path) -> None:
    async def listen() -> None:
        bell = Bell(tmp_path / "bell")
        for _ in range(70_000):  # more than a pipe holds
            assert ring(tmp_path / "bell")
        await asyncio.wait_for(bell.wait(None), PATIENCE)
        for _ in range(20):  # the pipe is emptied bit by bit
            bell.still()
            await bell.wait(0.05)
        bell.still()
        await bell.wait(0.05)
        assert not bell.rung
        bell.ring()
        await asyncio.wait_for(bell.wait(None), PATIENCE)
        bell.close()

    asyncio.run(listen())
    assert not ring(tmp_path / "bell"), "nobody listens any more"
    asyncio.run(listen())


def test_a_bell_that_nobody_has_hung_up_is_not_heard(tmp_path: Path) -> None:
    assert not ring(tmp_path / "bell")


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "bell").write_text("not a pipe", "utf-8")

    async def hang_up() -> None:
        Bell(tmp_path / "bell")

    with pytest.raises(OSError, match="is no named pipe; move it away"):
        asyncio.run(hang_up())
