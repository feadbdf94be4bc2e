"""What a profile can grant: a clock for everybody, an outage for everybody, the operator's commands."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.capabilities.clock import FakeTimeFile, SharedClock, SteeredClock, WaitingClock
from harness.capabilities.operator import CommandOperator
from harness.capabilities.outage import CommandOutage
from harness.profile.tables import Operator
from harness.smtp.endpoint import Endpoint
from harness.smtp.session import Session, SessionEnded
from harness.smtp.transport import Tcp
from harness.verdicts import InconclusiveError, NotTestableError
from harness.world.pace import Pace
from tests.hostile_server import HostileServer, Stall

CLIENT = "192.0.2.1"
PATIENCE = 10.0  # seconds for something that must happen


# A clock for everybody


def test_a_shared_clock_moves_when_everybody_waits_for_it() -> None:
    moves: list[float] = []
    clock = SharedClock(moves.append)
    talking, through = threading.Event(), threading.Event()

    def talks() -> None:
        with clock.taking_part():
            talking.set()
            assert through.wait(PATIENCE)
            assert moves == []

    def waits() -> None:
        with clock.taking_part():
            assert talking.wait(PATIENCE)
            through.set()
            clock.advance(CLIENT, 60)

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(talks), pool.submit(waits)]:
            done.result(PATIENCE)
    assert moves == [60]


def test_a_shared_clock_moves_to_the_earliest_moment_first() -> None:
    moves: list[float] = []
    clock = SharedClock(moves.append)
    together = threading.Barrier(3)
    order: list[float] = []

    def waits(seconds: float) -> None:
        with clock.taking_part():
            together.wait(PATIENCE)
            clock.advance(CLIENT, seconds)
            order.append(seconds)
            clock.advance(CLIENT, 5)

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(waits, seconds) for seconds in (100, 61, 30)]:
            done.result(PATIENCE)
    assert order == [30, 61, 100]
    assert moves == [30, 35, 61, 66, 100, 105]


def test_a_shared_clock_that_does_not_move_is_no_verdict() -> None:
    def broken(seconds: float) -> None:
        raise InconclusiveError("it is stuck")

    clock = SharedClock(broken)
    with clock.taking_part(), pytest.raises(InconclusiveError, match="stuck"):
        clock.advance(CLIENT, 60)


def test_an_offset_is_written_whole_and_the_greylist_is_told(tmp_path: Path) -> None:
    file, told = tmp_path / "faketime", tmp_path / "told"
    FakeTimeFile(file, (sys.executable, "-c", f"open({str(told)!r}, 'w')")).move(60.5)
    assert file.read_text("ascii") == "+61\n"
    assert told.exists()


def test_the_offset_of_an_earlier_run_is_where_the_next_begins(tmp_path: Path) -> None:
    file = tmp_path / "faketime"
    FakeTimeFile(file).move(3600)
    clock = FakeTimeFile(file)
    clock.move(10)
    clock.move(20)
    assert file.read_text("ascii") == "+3620\n"


@pytest.mark.parametrize(
    ("file", "then", "said"),
    [("missing/faketime", (), "clock.file"), ("faketime", ("/no/such/command",), "clock.then")],
)
def test_an_offset_that_cannot_be_written_is_no_verdict(
    tmp_path: Path, file: str, then: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InconclusiveError, match=said):
        FakeTimeFile(tmp_path / file, then).move(1)


def test_real_waiting_has_a_limit() -> None:
    with pytest.raises(NotTestableError, match=r"clock\.limit"):
        WaitingClock(10).advance(CLIENT, 11)


# Commands


def test_an_outage_begins_and_ends_by_commands(tmp_path: Path) -> None:
    mark = tmp_path / "out"
    touch = (sys.executable, "-c", f"open({str(mark)!r}, 'x')")
    remove = (sys.executable, "-c", f"import os; os.unlink({str(mark)!r})")
    outage = CommandOutage(touch, remove)
    outage.cut(CLIENT)
    assert mark.exists()
    outage.end()
    assert not mark.exists()
    outage.end()  # as before, which is how it is already


def test_an_outage_that_never_began_has_no_end() -> None:
    CommandOutage(("/no/such/command",), ("/no/such/command",)).end()


def test_an_outage_that_came_half_the_way_is_ended(tmp_path: Path) -> None:
    mark = tmp_path / "out"
    breaks_off = (sys.executable, "-c", f"open({str(mark)!r}, 'x'); raise SystemExit(1)")
    remove = (sys.executable, "-c", f"import os; os.unlink({str(mark)!r})")
    outage = CommandOutage(breaks_off, remove, "directory.outage")
    with pytest.raises(InconclusiveError, match=r"^directory\.outage\.begin: "):
        outage.cut(CLIENT)
    outage.end()
    assert not mark.exists()


def test_an_outage_that_does_not_end_is_told() -> None:
    outage = CommandOutage((sys.executable, "-c", ""), ("/no/such/command",))
    outage.cut(CLIENT)
    with pytest.raises(InconclusiveError, match=r"^outage\.end: "):
        outage.end()


def test_the_operators_commands_get_the_triplet() -> None:
    show = (
        sys.executable,
        "-c",
        "import sys; print(*sys.argv[1:])",
        "{list}",
        "{client}",
        "{sender}",
        "{recipient}",
    )
    operator = CommandOperator(Operator(add=show, remove=show, list=show))
    assert operator.listed("white", CLIENT, "a@b.example", "C@d.example")
    assert not CommandOperator(Operator(add=show, remove=show, list=show[:4])).listed(
        "white", CLIENT, "a@b.example", ""
    )


# The pace


def a_session() -> Session:
    return Session(Endpoint(Tcp("127.0.0.1", 9)), CLIENT, reply_timeout=1.0)


def test_turns_come_at_the_rate() -> None:
    pace = Pace(rate=1000.0)
    began = time.monotonic()
    for _ in range(6):
        pace.take_turn(a_session())
    assert time.monotonic() - began > 0.0049  # five turns after the first


def test_nobody_waits_for_a_turn_when_the_run_is_over() -> None:
    pace = Pace(rate=0.001)
    pace.take_turn(a_session())
    pace.end()
    with pytest.raises(InconclusiveError, match="broken off"):
        pace.take_turn(a_session())


def test_what_is_being_said_when_a_run_ends_is_cut_short() -> None:
    with HostileServer([[Stall()]]) as server:
        session = Session(Endpoint(Tcp(*server.address)), CLIENT, reply_timeout=60.0)
        pace = Pace(rate=1000.0)
        pace.take_turn(session)
        threading.Timer(0.05, pace.end).start()
        with pytest.raises(SessionEnded):
            session.open()


def test_nobody_waits_for_a_clock_when_the_run_is_over() -> None:
    for clock in (WaitingClock(100), SharedClock(lambda seconds: None)):
        stop = threading.Timer(0.05, clock.stop)
        stop.start()
        with clock.taking_part(), clock.taking_part(), pytest.raises(InconclusiveError, match="broken off"):
            clock.advance(CLIENT, 60)


def test_a_shared_clock_tells_how_long_one_waits_for_others() -> None:
    clock = SharedClock(lambda seconds: None)
    talking = threading.Event()

    def talks() -> None:
        with clock.taking_part():
            talking.set()
            time.sleep(0.2)

    def waits() -> float:
        with clock.taking_part():
            assert talking.wait(PATIENCE)
            return clock.lag(CLIENT)

    with ThreadPoolExecutor() as pool:
        talk, lag = pool.submit(talks), pool.submit(waits)
        talk.result(PATIENCE)
        assert lag.result(PATIENCE) > 1.2
    assert WaitingClock(1).lag(CLIENT) == SteeredClock(lambda client, seconds: None).lag(CLIENT) == 0


def test_every_clock_tells_how_much_time_has_passed(tmp_path: Path) -> None:
    steered = SteeredClock(lambda client, seconds: None)
    shared = SharedClock(FakeTimeFile(tmp_path / "offset").move)
    for clock in (steered, shared):
        began = clock.reading("198.18.0.1")
        clock.advance("198.18.0.1", 60)
        assert 60 <= clock.reading("198.18.0.1") - began < 90
    assert steered.reading("198.18.0.2") - steered.reading("198.18.0.1") < 0  # it was not moved for that one
    waiting = WaitingClock(limit=1.0)
    assert waiting.reading("198.18.0.1") <= waiting.reading("198.18.0.1")
