"""How far something is: on a terminal a line that is written over, elsewhere a line now and then."""

import io
import time

import pytest

from harness.progress import Pace, Progress, is_live, time_left


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)


@pytest.mark.parametrize(
    ("out", "environment", "live"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (Terminal(), {}, False),
        (Terminal(), {"TERM": "xterm", "CI": "true"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
    ids=["terminal", "dumb", "unknown", "CI", "pipe"],
)
def test_only_a_terminal_that_somebody_looks_at_is_written_over(
    out: io.StringIO, environment: dict[str, str], live: bool
) -> None:
    assert is_live(out, environment) is live


def test_on_a_terminal_the_line_is_written_over_and_taken_away(capsys: pytest.CaptureFixture[str]) -> None:
    out = Terminal()
    progress = Progress("cases", out)
    progress.tell(1, 3)
    assert out.getvalue().startswith("\r1 of 3 cases, about 0 s left\033[K")
    progress.say("[1/3] killed")
    progress.tell(3, 3)
    assert out.getvalue().endswith("\r\033[K")
    assert capsys.readouterr().out == "[1/3] killed\n"


def test_elsewhere_a_line_stands_for_each_tenth_and_has_no_escapes() -> None:
    out = io.StringIO()
    progress = Progress("mutants", out)
    for done in range(1, 101):
        progress.tell(done, 100, ", 2 wrong")
    lines = out.getvalue().splitlines()
    assert [line.partition(", about")[0] for line in lines] == [
        f"{done} of 100 mutants, 2 wrong" for done in range(10, 101, 10)
    ]
    assert "\033" not in out.getvalue()
    assert "\r" not in out.getvalue()


def test_long_silence_is_broken_before_the_next_tenth() -> None:
    pace = Pace("scenarios", began=time.monotonic())
    assert not pace.is_due(1, 100)
    pace.began -= 20
    assert pace.is_due(1, 100, tenths=False)
    assert not pace.is_due(1, 100)


def test_what_is_left_is_told_in_seconds_or_minutes() -> None:
    now = time.monotonic()
    assert time_left(now - 10, 5, 15) == "about 20 s left"
    assert time_left(now - 60, 1, 11) == "about 10 min left"
    assert time_left(now - 30, 0, 11) == "30 s so far"
