"""The pulse: what is slow besides the server's policy, and that nobody knows where nothing was measured."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.runs.noise import Beats, GreetingProbe, Pulse, ServerProbe
from harness.smtp.endpoint import Endpoint
from harness.smtp.session import Session
from harness.smtp.transport import Tcp
from tests.hostile_server import Hear, HostileServer, Reset, Say, Stall, Step, Visitor

PATIENCE = 10.0  # seconds
OK = Say(b"250 fine\r\n")


def polite(noops: int) -> list[Step]:
    steps: list[Step] = [Say(b"220 mx.example.org\r\n")]
    for _ in range(noops):
        steps += [Hear(), OK]
    return [*steps, Hear(), Say(b"221 bye\r\n")]


def probe(server: HostileServer, spare: int = 1) -> ServerProbe:
    def connect() -> Session:
        return Session(Endpoint(Tcp(*server.address)), "127.0.0.1", reply_timeout=PATIENCE)

    return ServerProbe(connect, spare)


def ready(one: ServerProbe) -> bool:
    until = time.monotonic() + PATIENCE
    while not one.prepare():
        if time.monotonic() > until:
            return False
        threading.Event().wait(0.01)
    return True


def test_what_was_not_measured_is_not_known() -> None:
    beats = Beats()
    assert beats.worst(0.0, time.monotonic()) == math.inf
    beats.begin(time.monotonic())
    beats.end()
    now = time.monotonic()
    assert beats.worst(now - 10.0, now) < 1.0
    assert beats.worst(now + 10.0, now + 20.0) == math.inf


def test_a_measurement_that_is_not_over_yet_counts_as_slow_as_it_is_by_now() -> None:
    beats = Beats()
    beats.begin(time.monotonic() - 5.0)
    now = time.monotonic()
    assert 5.0 <= beats.worst(now - 1.0, now) < math.inf


class Held:
    """A probe whose measurements take until they are let go."""

    def __init__(self) -> None:
        self.free = threading.Event()

    def prepare(self) -> bool:
        return True

    def measure(self) -> bool:
        return self.free.wait(PATIENCE)

    def break_off(self) -> None:
        self.free.set()

    def close(self) -> None:
        """Nothing is left."""


def held_for(pulse: Pulse, seconds: float) -> None:
    """Wait until a measurement of a pulse takes so long."""
    while True:
        now = time.monotonic()
        if seconds <= pulse.worst(now - 0.01, now) < math.inf:
            return
        threading.Event().wait(0.01)


def test_a_lull_is_when_nothing_is_slow_any_more() -> None:
    slow, nothing = Held(), threading.Event()
    with Pulse(0.02, [slow]) as pulse, ThreadPoolExecutor(1) as pool:
        pulse.await_lull(0.2, nothing)  # nothing is slow yet
        held_for(pulse, 0.2)
        waiting = pool.submit(pulse.await_lull, 0.2, nothing)
        with pytest.raises(TimeoutError):
            waiting.result(0.1)
        slow.free.set()
        waiting.result(PATIENCE)


@pytest.mark.parametrize("is_over", [False, True])
def test_a_lull_that_does_not_come_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch, is_over: bool
) -> None:
    monkeypatch.setattr("harness.runs.noise.LULL", 0.1 if not is_over else PATIENCE)
    slow, over = Held(), threading.Event()
    with Pulse(0.02, [slow]) as pulse:
        held_for(pulse, 0.2)
        if is_over:
            over.set()
        for _ in range(2):
            pulse.await_lull(0.2, over)
        now = time.monotonic()
        assert pulse.worst(now - 0.01, now) >= 0.2


def test_the_slowest_of_those_within_counts_and_no_other() -> None:
    beats = Beats()
    now = time.monotonic()
    for due, took in ((now - 30.0, 3.0), (now - 20.0, 1.0)):
        beats.add(due, due + took)
    assert beats.worst(now - 21.0, now - 10.0) == 1.0
    assert beats.worst(now - 40.0, now - 10.0) == 3.0
    assert beats.worst(now - 10.0, now) == math.inf


def beating(*times: float, gap: float = 1.0) -> Beats:
    """Beats that took a hundredth of a second, each so long ago."""
    beats, now = Beats(gap), time.monotonic()
    for ago in times:
        beats.add(now - ago, now - ago + 0.01)
    return beats


@pytest.mark.parametrize(
    ("half_seconds_ago", "known"),
    [
        (range(24, 0, -1), True),
        ([20], False),
        (range(24, 10, -1), False),
        (range(10, 0, -1), False),
        ([*range(24, 12, -1), *range(8, 0, -1)], False),
    ],
    ids=["all the time", "once", "not at the end", "not at the beginning", "not in the middle"],
)
def test_a_time_is_known_where_it_was_measured_all_along(
    half_seconds_ago: Sequence[int], known: bool
) -> None:
    beats = beating(*(0.5 * ago for ago in half_seconds_ago))
    now = time.monotonic()
    assert math.isfinite(beats.worst(now - 10.0, now)) == known


def test_what_is_to_come_is_not_missing() -> None:
    now = time.monotonic()  # a server that says how long it would have waited answers before that
    assert beating(0.5).worst(now - 0.6, now + 20.0) < 0.1


@pytest.mark.parametrize(
    ("policy", "took", "slow"), [(0.0, [5.0, 5.0], 0.0), (0.0, [0.0, 5.0], 5.0), (2.0, [2.0, 6.0], 4.0)]
)
def test_what_everybody_waits_for_is_no_slowness(policy: float, took: list[float], slow: float) -> None:
    beats, now = Beats(policy=policy, may_be_more=True), time.monotonic()
    for seconds in took:
        beats.add(now - 10.0, now - 10.0 + seconds)
    assert beats.worst(now - 10.0, now) == pytest.approx(slow)


def test_what_was_slow_may_have_been_so_since_the_measurement_before() -> None:
    beats, now = Beats(gap=10.0, rest=1.0), time.monotonic()
    for ago, took in ((9.0, 0.1), (8.0, 0.7), (6.0, 0.4), (4.5, 2.0), (1.5, 0.1)):
        beats.add(now - ago, now - ago + took)
    assert beats.taken(now - 5.0, now) == pytest.approx(2.0 + 1.0)
    assert beats.taken(now - 9.0, now) == pytest.approx(0.7 + 1.0 + 2.0 + 1.0)
    assert beats.taken(now - 2.0, now) == 0.0
    assert Beats(rest=1.0).taken(now - 2.0, now) == math.inf


def greeting(server: HostileServer) -> GreetingProbe:
    return GreetingProbe(lambda: Session(Endpoint(Tcp(*server.address)), "127.0.0.1", reply_timeout=PATIENCE))


def test_who_waits_to_be_greeted_is_measured_though_noops_are_quick() -> None:
    queue = threading.Event()

    class Queue:
        def play(self, visitor: Visitor) -> None:
            queue.wait(PATIENCE)

    served: list[Step] = polite(noops=8)
    with (
        HostileServer([served]) as quick,
        HostileServer([[Queue(), *served]]) as crowded,
        Pulse(0.05, [probe(quick)], greeting(crowded)) as pulse,
    ):
        assert within(lambda now: 0.4 < pulse.arrival(now - 0.1, now) < math.inf)
        assert within(lambda now: pulse.worst(now - 0.1, now) < 0.2)
        queue.set()
        assert within(lambda now: pulse.arrival(now - 0.1, now) < 0.2)


def within(seen: Callable[[float], bool]) -> bool:
    """Whether it is seen before patience ends."""
    until = time.monotonic() + PATIENCE
    while (now := time.monotonic()) < until:
        if seen(now):
            return True
        threading.Event().wait(0.01)
    return False


def test_where_nobody_is_greeted_it_is_not_known() -> None:
    with HostileServer([[Reset()]]) as server, Pulse(0.02, [], greeting(server)) as pulse:
        began = time.monotonic()
        while (now := time.monotonic()) < began + PATIENCE and pulse.arrival(began, now) < math.inf:
            threading.Event().wait(0.02)
        assert pulse.arrival(began, now) == math.inf


def test_the_pulse_ends_though_no_greeting_and_no_reply_comes() -> None:
    mute: list[Step] = [Say(b"220 mx.example.org\r\n"), Hear(), Stall()]
    with HostileServer([mute]) as mute_server, HostileServer([[Stall()]]) as deaf:
        with Pulse(0.02, [probe(mute_server)], greeting(deaf)):
            threading.Event().wait(0.3)
            began = time.monotonic()
        assert time.monotonic() - began < PATIENCE / 2


def test_a_pulse_says_nothing_of_a_server_that_it_cannot_ask() -> None:
    with HostileServer([[Stall()]]) as server, Pulse(0.01, [probe(server)]) as pulse:
        began = time.monotonic()
        threading.Event().wait(0.1)
        assert pulse.worst(began, time.monotonic()) == math.inf


def test_no_connection_is_kept_for_more_noops_than_a_server_takes() -> None:
    with HostileServer([polite(noops=8)]) as server:
        one = probe(server)
        for _ in range(3 * 8):
            assert ready(one)
            one.measure()
        one.close()
        assert server.heard.count(b"NOOP\r\n") == 3 * 8


def test_the_end_of_a_run_does_not_wait_for_a_greeting() -> None:
    with HostileServer([[Stall()]]) as server:
        one = probe(server, spare=3)
        assert not one.prepare()
        began = time.monotonic()
        one.close()
        assert time.monotonic() - began < PATIENCE
