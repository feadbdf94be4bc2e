"""The pulse: what is slow besides the server's policy, and that nobody knows where nothing was measured."""

import math
import threading
import time

from harness.runs.noise import Beats, Pulse, ServerProbe
from harness.smtp.routes import Direct
from harness.smtp.session import Session
from tests.hostile_server import Hear, HostileServer, Say, Stall, Step

PATIENCE = 10.0  # seconds
OK = Say(b"250 fine\r\n")


def polite(noops: int) -> list[Step]:
    steps: list[Step] = [Say(b"220 mx.example.org\r\n")]
    for _ in range(noops):
        steps += [Hear(), OK]
    return [*steps, Hear(), Say(b"221 bye\r\n")]


def probe(server: HostileServer, spare: int = 1) -> ServerProbe:
    def connect() -> Session:
        return Session(server.address, "127.0.0.1", Direct(), reply_timeout=PATIENCE)

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


def test_the_slowest_of_those_within_counts_and_no_other() -> None:
    beats = Beats()
    now = time.monotonic()
    for due, took in ((now - 30.0, 3.0), (now - 20.0, 1.0)):
        beats.add(due, due + took)
    assert beats.worst(now - 21.0, now - 10.0) == 1.0
    assert beats.worst(now - 40.0, now - 10.0) == 3.0
    assert beats.worst(now - 10.0, now) == math.inf


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
