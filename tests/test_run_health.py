"""Before anything is judged: a server that lets not even an innocent client through is not judged at all."""

import contextlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.rules import Catalogue
from harness.runs.assembly import Wish, begin, open_run
from harness.runs.run import Run
from harness.verdicts import NotTestableError
from tests.hostile_server import Drip, Flood, Hear, HostileServer, Reset, Say, Stall, Step

PROFILE = """
name = "troubled"
[server]
address = "127.0.0.1"
port = {port}
hostname = "mx.example.org"
reply_timeout = 0.5
[policy]
delay = 1.0
[[domain]]
name = "example.org"
users = ["ann"]
[rules]
claim = ["rcpt.*"]
"""
GREETING = Say(b"220 mx.example.org ESMTP\r\n")
OK = Say(b"250 fine\r\n")


def dialogue(*endings: Step, after: int) -> list[Step]:
    """A polite server for the greeting and so many commands, and then `endings`."""
    steps: list[Step] = [GREETING]
    for _ in range(after):
        steps += [Hear(), OK]
    return [*steps, Hear(), *endings]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.below(Path("scenarios"))


def examined(folder: Path, catalogue: Catalogue, port: int) -> Run:
    profile = folder / "profile.toml"
    profile.write_text(PROFILE.format(port=port), "utf-8")
    with open_run(Wish(catalogue, profile)) as run:
        return begin(run)[0]


def test_a_server_in_health_is_judged(tmp_path: Path, catalogue: Catalogue) -> None:
    with HostileServer([dialogue(Say(b"221 bye\r\n"), after=3)]) as server:
        assert examined(tmp_path, catalogue, server.address[1]).unusable == ""


def test_a_greylisting_server_is_in_health(tmp_path: Path, catalogue: Catalogue) -> None:
    script = dialogue(Say(b"451 later\r\n"), Hear(), Say(b"221 bye\r\n"), after=2)
    with HostileServer([script]) as server:
        assert examined(tmp_path, catalogue, server.address[1]).unusable == ""


TROUBLES: dict[str, tuple[Sequence[Step], str]] = {
    "wrong greeting": ([Say(b"554 go away\r\n"), Stall()], "refused at connect: 554 go away"),
    "greets with 250": ([Say(b"250 welcome\r\n"), Stall()], "no answer at connect: 250 welcome"),
    "greets with 421": ([Say(b"421 too busy\r\n")], "no further than connect: 421 too busy"),
    "closes at connect": ([], "no further than connect"),
    "never answers": ([Stall()], "no further than connect"),
    "greets with garbage": ([Say(b"\x00\xff<html>\r\n"), Stall()], "no further than connect"),
    "never ends its greeting": ([Flood(b"220-more\r\n")], "no further than connect"),
    "drips its greeting": ([Drip(b"220 mx.example.org\r\n", 0.1)], "no further than connect"),
    "closes at EHLO": (dialogue(after=0), "no further than helo"),
    "resets at EHLO": (dialogue(Reset(), after=0), "no further than helo"),
    "closes at MAIL": (dialogue(after=1), "no further than mail"),
    "answers MAIL with garbage": (dialogue(Say(b"what?\r\n"), Stall(), after=1), "no further than mail"),
    "closes at RCPT": (dialogue(after=2), "no further than rcpt"),
}


@pytest.mark.parametrize("trouble", list(TROUBLES))
def test_a_troubled_server_is_not_judged(tmp_path: Path, catalogue: Catalogue, trouble: str) -> None:
    script, reason = TROUBLES[trouble]
    with HostileServer([script]) as server:
        run = examined(tmp_path, catalogue, server.address[1])
    assert reason in run.unusable
    assert "nothing can be judged" in run.unusable


def test_a_server_that_does_not_listen_is_not_judged(tmp_path: Path, catalogue: Catalogue) -> None:
    with HostileServer([[]]) as server:
        port = server.address[1]
    run = examined(tmp_path, catalogue, port)
    assert "nobody listens" in run.unusable


def test_what_every_innocent_client_meets_is_a_finding_and_keeps_nothing_else_from_being_judged(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    script = dialogue(Say(b"550 5.7.1 no\r\n"), Hear(), Say(b"221 bye\r\n"), after=2)
    with HostileServer([script]) as server:
        run = examined(tmp_path, catalogue, server.address[1])
    assert run.unusable == ""
    (finding,) = run.baseline.findings
    assert finding.id == "baseline.known.rcpt"
    assert finding.statement.startswith("known innocent clients are refused at rcpt: 550 5.7.1 no")


def test_the_pulse_goes_on_when_no_address_is_left(tmp_path: Path, catalogue: Catalogue) -> None:
    few = '[clients]\nroute = "bind"\nnetworks = ["127.1.2.0/28"]\n[policy]'
    script = dialogue(Say(b"221 bye\r\n"), after=8)
    with HostileServer([script]) as server:
        profile = tmp_path / "profile.toml"
        profile.write_text(PROFILE.format(port=server.address[1]).replace("[policy]", few), "utf-8")
        with open_run(Wish(catalogue, profile)) as run:
            with contextlib.suppress(NotTestableError):
                while True:
                    run.observer(run.world())
            greeted = server.heard.count(b"NOOP\r\n")
            until = time.monotonic() + 20.0
            while server.heard.count(b"NOOP\r\n") < greeted + 12 and time.monotonic() < until:
                threading.Event().wait(0.01)
            assert time.monotonic() < until


def test_the_observer_comes_from_whatever_address_there_is(tmp_path: Path, catalogue: Catalogue) -> None:
    only = '[clients]\nroute = "proxy-v2"\nnetworks = ["2001:db8::/32"]\n[policy]'
    profile = tmp_path / "profile.toml"
    profile.write_text(PROFILE.format(port=2525).replace("[policy]", only), "utf-8")
    with open_run(Wish(catalogue, profile)) as run:
        assert run.observer(run.world()).version == 6
