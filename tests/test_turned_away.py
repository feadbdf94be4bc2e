"""Clients that a server refuses in place of its greeting: what the RFC asks of it, and what it does not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.results.model import Status
from scenarios.rfc import test_session_greeting as greeting
from tests.hostile_server import Hangup, Visitor
from tests.mta_here import speaking
from tests.mta_process import STRANGER, WHITELISTED
from tests.rfc_server import RfcServer
from tests.test_rfc_scenarios import Given, Scenario, judged, said, soon

__all__ = ["soon"]  # a fixture: silence is short
REFUSED = "127.48.0."
NOT_NOW = b"503 you were refused"
UNTIL_QUIT = "session.greeting-554"
COMMANDS = "session.commands-after-554"
QUIT: tuple[str, Scenario, Given] = (UNTIL_QUIT, greeting.test_quit_of_who_is_turned_away, {})
NOOP: tuple[str, Scenario, Given] = (
    UNTIL_QUIT,
    greeting.test_who_is_turned_away_may_say_something,
    {"line": "NOOP"},
)
EHLO: tuple[str, Scenario, Given] = (
    COMMANDS,
    greeting.test_who_is_turned_away_cannot_greet,
    {"verb": "EHLO"},
)


@dataclass(frozen=True)
class Doorkeeper:
    """Turns some away, with an opening message, so many replies to what they say, and one to QUIT."""

    server: RfcServer
    opening: bytes = b"554 not from there"
    replies: int = 10
    answer: bytes = NOT_NOW
    farewell: bytes = b"221 bye"

    def play(self, visitor: Visitor) -> None:
        if not visitor.socket.getpeername()[0].startswith(REFUSED):
            return self.server.play(visitor)
        visitor.socket.sendall(self.opening + b"\r\n")
        for _ in range(self.replies):
            if visitor.hear(b"\r\n").upper() == b"QUIT\r\n":
                visitor.socket.sendall(self.farewell + b"\r\n" if self.farewell else b"")
                raise Hangup
            visitor.socket.sendall(self.answer + b"\r\n")
        raise Hangup


@pytest.mark.parametrize(
    ("door", "case", "status"),
    [
        ({}, QUIT, Status.PASSED),
        ({}, NOOP, Status.PASSED),
        ({}, EHLO, Status.PASSED),
        ({"answer": b"554 still not"}, NOOP, Status.PASSED),
        ({"answer": b"554 still not"}, EHLO, Status.PASSED),
        ({"answer": b"250 welcome"}, NOOP, Status.PASSED),
        ({"answer": b"250 welcome"}, EHLO, Status.FAILED),
        ({"replies": 0}, QUIT, Status.FAILED),
        ({"replies": 0}, NOOP, Status.FAILED),
        ({"replies": 1}, NOOP, Status.FAILED),
        ({"replies": 0}, EHLO, Status.INCONCLUSIVE),
        ({"farewell": NOT_NOW}, QUIT, Status.FAILED),
        ({"farewell": b""}, QUIT, Status.INCONCLUSIVE),
        ({"answer": b"421 enough"}, NOOP, Status.INCONCLUSIVE),
        ({"opening": b"550 not from there"}, QUIT, Status.NOT_APPLICABLE),
        ({"opening": b"521 no mail here", "replies": 0}, NOOP, Status.NOT_APPLICABLE),
        ({"opening": b"220 mx.example.org"}, QUIT, Status.INCONCLUSIVE),
        ({"opening": b"421 too busy"}, QUIT, Status.INCONCLUSIVE),
    ],
)
def test_who_is_turned_away(
    tmp_path: Path, door: dict[str, Any], case: tuple[str, Scenario, Given], status: Status
) -> None:
    rule, scenario, given = case
    with judged(tmp_path, behind=lambda server: Doorkeeper(server, **door)) as run:
        vote = said(run, rule, scenario, **given)
    assert vote.status is status, vote.reason


def test_the_reference_mta_turns_hosts_away(tmp_path: Path) -> None:
    lists = f'[refuse]\nfrom_hosts = ["{STRANGER}/32"]\n[relay]\nfrom_hosts = ["{STRANGER}"]\n'
    with speaking(tmp_path, lists) as mta:
        with mta.connect(STRANGER) as client:
            assert client.reply() == "554 5.7.1 mail.castle.example takes no mail from your address"
            assert [client.say(line)[:3] for line in ("EHLO x.example", "MAIL FROM:<>", "NOOP", "XYZZY")] == [
                "503", "503", "503", "500",
            ]  # fmt: skip
            assert client.say("QUIT").startswith("221")
            assert client.reply() == ""
        with mta.connect(WHITELISTED) as client:
            assert client.reply().startswith("220")
