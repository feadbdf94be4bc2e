"""How much of a machine is free."""

from pathlib import Path

import pytest

from harness.pytest_runs.cores import Cores

FIRST = "cpu  100 20 30 400 50 1 2 3 70 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n"


@pytest.mark.parametrize(
    ("later", "free"),
    [
        ("cpu  200 20 30 400 50 1 2 3 170 0\n", 0.0),
        ("cpu  110 30 40 460 60 1 2 3 70 0\n", 0.7),
        ("cpu  100 20 30 500 50 1 2 3 70 0\n", 1.0),
        (FIRST, 1.0),
    ],
    ids=["busy", "in part", "idle", "asked at once"],
)
def test_what_was_free_since_it_was_asked_last(tmp_path: Path, later: str, free: float) -> None:
    stat = tmp_path / "stat"
    stat.write_text(FIRST, "ascii")
    cores = Cores(stat)
    stat.write_text(later, "ascii")
    assert cores.free() == pytest.approx(free)
    assert cores.free() == 1.0


def test_a_system_that_does_not_tell(tmp_path: Path) -> None:
    assert Cores(tmp_path / "stat").free() == 1.0
