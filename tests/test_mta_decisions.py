"""What the reference MTA tells of its decisions, and how much of it."""

import json
import logging
import os
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.reference_mta import watching
from harness.reference_mta.bounds import LINES, MINUTE, TROUBLES, Bounds
from harness.reference_mta.decisions import Decision
from harness.reference_mta.mail.spam import GTUBE
from harness.reference_mta.policy import Policy
from harness.reference_mta.watching import Lines, form_for, json_line, plain_line
from harness.settings.arguments import CUT_OFF
from tests.mta_here import log_in, play, send, speaking
from tests.mta_process import FROM, NAME, NAMELESS, PASSWORD, PATIENCE, STRANGER, TO, connected, running_mta

RULES = Path(__file__).parents[1] / "scenarios" / "wiki" / "rules.toml"
OWN = {"auth.own-sender"}  # a question of the server's own that nothing documents
HOSTILE = "mx\x1b[2J\x00\u202e\u200b.example"


@pytest.fixture
def watched(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger="harness.reference_mta"):
        yield caplog


def decisions(log: pytest.LogCaptureFixture) -> list[Decision]:
    return [record.decision for record in log.records if hasattr(record, "decision")]


def test_every_decision_is_told_with_its_rules_and_its_reply(
    tmp_path: Path, watched: pytest.LogCaptureFixture
) -> None:
    with speaking(tmp_path) as server:
        heard = server.play(STRANGER)
    told = decisions(watched)
    assert [(one.client, one.stage, one.said, one.rules) for one in told] == [
        (STRANGER, "connect", "", ("connect.rdns-confirmed",)),
        (STRANGER, "helo", f"EHLO {NAME}", ("helo.forward-match",)),
        (STRANGER, "mail", FROM, ()),
        (STRANGER, "rcpt", TO, ("dnsbl.none", "greylist.first-defer")),
    ]
    assert [one.reply.replace("\r\n", "\n") for one in told] == list(heard.values())


def test_a_delay_is_told_with_the_rule_that_imposes_it(
    tmp_path: Path, watched: pytest.LogCaptureFixture
) -> None:
    with speaking(tmp_path, "[server]\ndelay = 0.02") as server:
        server.play(NAMELESS, helo="EHLO bare")
    told = {one.stage: one for one in decisions(watched)}
    assert (told["connect"].rules, told["connect"].delay) == (("connect.rdns-missing",), 0.02)
    assert (told["helo"].rules, told["helo"].delay) == (("helo.not-fqdn",), 0.02)
    assert (told["mail"].rules, told["mail"].delay) == (("mail.delay-repeated",), 0.02)
    assert told["rcpt"].rules[0] == "rcpt.delay-repeated"


def test_a_refusal_that_is_told_later_is_told_where_it_is_earned_too(
    tmp_path: Path, watched: pytest.LogCaptureFixture
) -> None:
    with speaking(tmp_path, '[speech]\ntold = "rcpt"') as server:
        heard = server.play(STRANGER, helo=f"EHLO {STRANGER}")
    told = {one.stage: one for one in decisions(watched)}
    assert told["helo"].rules == told["rcpt"].rules == ("helo.plain-ip",)
    assert told["helo"].reply.startswith("250")
    assert told["helo"].later == told["rcpt"].reply == heard["rcpt"]
    assert heard["rcpt"] in str(told["helo"])


def test_authenticity_and_content_have_their_rules(tmp_path: Path, watched: pytest.LogCaptureFixture) -> None:
    tables = (
        '[spf]\nmode = "reject"\n[dkim]\nmode = "mark"\n[greylist]\nwhitelist_hosts = ["*.client.example"]'
    )
    spam = f"From: <sender@client.example>\r\n\r\n{GTUBE.decode()}\r\n"
    with speaking(tmp_path, tables) as server:
        server.play(STRANGER, content=spam)
        server.dns.publish("strict.example", "TXT", "v=spf1 -all")
        server.play(STRANGER, sender="MAIL FROM:<a@strict.example>")
    told = decisions(watched)
    ends = [one.rules for one in told if one.stage == "data"]
    assert ends == [("dkim.pass", "data.spam-classified")]
    assert [one.rules for one in told if one.stage == "mail"] == [("spf.none",), ("spf.fail",)]


def test_what_a_client_says_is_visible_and_bounded(tmp_path: Path, watched: pytest.LogCaptureFixture) -> None:
    with speaking(tmp_path) as server, server.connect(STRANGER) as client:
        play(client, helo=f"EHLO {HOSTILE}")
        client.say(f"EHLO {'long' * 300}")
        client.say("\x1b]0;title\x07")
    lines = [str(decision) for decision in decisions(watched)]
    assert any(r"EHLO mx\x1b[2J\x00\u202e\u200b.example" in line for line in lines)
    assert any(r"\x1b]0;title\x07" in line for line in lines)
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 2000


@pytest.mark.parametrize("initial", [True, False])
def test_no_password_is_told(tmp_path: Path, watched: pytest.LogCaptureFixture, initial: bool) -> None:
    with speaking(tmp_path) as server, server.connect(STRANGER) as client:
        client.reply()
        if initial:
            reply = log_in(client, server.state)
            secret = "AGFsaWNl"
        else:
            log_in(client, server.state, "wrong")
            assert client.code("AUTH PLAIN") == 334
            secret = "AGFsaWNlAG"
            reply = client.say("AGFsaWNlAG9wZW4gc2VzYW1l")
        assert reply.startswith("235")
    told = [one for one in decisions(watched) if one.stage == "auth"]
    assert told[-1].said == "AUTH PLAIN"
    assert told[-1].reply == reply
    assert len(told) == 1 if initial else told[0].rules == ("auth.wrong-password",)
    everything = "\n".join(record.getMessage() for record in watched.records)
    assert PASSWORD not in everything
    assert secret not in everything


def test_every_rule_of_the_policy_is_documented() -> None:
    documented = tomllib.loads(RULES.read_text("utf-8"))["rule"]
    found: set[str] = set()
    policy = Policy()
    for value in vars(policy).values():
        for question in value if isinstance(value, tuple) else ():
            found |= set(question.checks)
    assert found - set(documented) == OWN


# Bounds


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def of_client(client: str) -> logging.LogRecord:
    decision = Decision(client, "helo", "", (), 0.0, "250 Hello")
    made = logging.LogRecord("decisions", logging.INFO, "", 0, "%s", (decision,), None)
    made.decision = decision
    return made


def trouble(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("trouble", logging.ERROR, "", 0, message, arguments, None)


def test_a_client_fills_no_more_than_its_part_however_long_it_goes_on() -> None:
    clock = Clock()
    bounds = Bounds(clock)
    written = 0
    for _ in range(20 * LINES):
        clock.now += MINUTE / 2  # slow enough for any rate
        written += bounds.admits(of_client(STRANGER))
    assert written == LINES
    assert list(bounds.summaries()) == [f"{STRANGER}: {LINES} lines are enough, what follows is counted only"]
    assert bounds.admits(of_client(NAMELESS))
    clock.now += MINUTE
    assert list(bounds.summaries()) == [f"{STRANGER}: 19,000 more lines were left out"]
    assert bounds.admits(of_client(STRANGER))


def test_the_same_trouble_is_told_once_a_minute_with_how_often_it_came() -> None:
    clock = Clock()
    bounds = Bounds(clock)
    assert [bounds.admits(trouble("no %s", "disk")) for _ in range(100)] == [True, *[False] * 99]
    assert bounds.admits(trouble("no %s", "memory"))
    clock.now += MINUTE
    assert list(bounds.summaries()) == ["no disk: 99 more lines were left out"]
    assert bounds.admits(trouble("no %s", "disk"))


def test_trouble_of_one_kind_is_bounded_whatever_its_words() -> None:
    bounds = Bounds(Clock())
    assert sum(bounds.admits(trouble("no %s", number)) for number in range(9000)) == TROUBLES
    left_out = 9000 - TROUBLES
    assert list(bounds.summaries(at_the_end=True)) == [
        f"troubles such as «no 0»: {left_out:,} more lines were left out"
    ]


def test_visits_of_ever_new_clients_are_forgotten() -> None:
    bounds = Bounds(Clock())
    for number in range(10_000):
        assert bounds.admits(of_client(f"client {number}"))
    assert len(bounds._counted) <= 4096


# Lines


class Stream:
    """A file that may pass for a terminal."""

    def __init__(self, file: int, *, terminal: bool = False) -> None:
        self._file, self._terminal = file, terminal

    def fileno(self) -> int:
        return self._file

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    ("terminal", "variables", "coloured"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colour_is_for_terminals(
    terminal: bool, variables: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    line = form_for(Stream(1, terminal=terminal), as_json=False)(of_client(STRANGER))
    assert ("\x1b[32m250 Hello" in line) is coloured
    assert ("\x1b" in line) is coloured
    assert STRANGER in line


def test_a_program_reads_the_same_as_json() -> None:
    made = of_client(STRANGER)
    made.decision = Decision(STRANGER, "helo", f"EHLO {HOSTILE}", ("helo.plain-ip",), 20.0, "550 No")
    found = json.loads(json_line(made))
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "client": STRANGER,
        "stage": "helo",
        "said": f"EHLO {HOSTILE}",
        "rules": ["helo.plain-ip"],
        "delay": 20.0,
        "reply": "550 No",
    }
    assert json_line(made).isascii()
    other = json.loads(json_line(trouble("no %s", "disk")))
    assert (other["level"], other["message"]) == ("error", "no disk")


def test_lines_that_a_full_disk_lost_are_told_when_there_is_room(tmp_path: Path) -> None:
    file = os.open("/dev/full", os.O_WRONLY)
    lines = Lines(Stream(file), plain_line, Bounds(), lambda: None)
    for _ in range(3):
        lines.handle(of_client(STRANGER))
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(log, file)
    lines.handle(of_client(STRANGER))
    os.close(log)
    os.close(file)
    told = (tmp_path / "log").read_text("utf-8").splitlines()
    assert len(told) == 2
    assert told[0].endswith("3 lines before this one could not be written")


def test_a_log_that_nobody_reads_any_more_is_noticed() -> None:
    unread, written = os.pipe()
    os.close(unread)
    noticed: list[bool] = []
    Lines(Stream(written), watching.plain_line, Bounds(), lambda: noticed.append(True)).handle(
        of_client(STRANGER)
    )
    os.close(written)
    assert noticed == [True]


# The command


def test_a_client_that_says_a_lot_writes_a_bounded_log(tmp_path: Path) -> None:
    boundless = "[speech]\nerror_limit = 0\n"
    with running_mta(tmp_path, steered=False, extra=boundless) as mta, mta.connect(STRANGER) as client:
        client.greet()
        client.send(b"VRFY\r\n" * 3 * LINES)
        for _ in range(3 * LINES):
            assert client.reply().startswith("501")
    told = (tmp_path / "mta.log").read_text("utf-8").splitlines()
    assert len(told) == LINES + 2
    assert "lines are enough" in told[-2]
    assert told[-1].endswith(f"{STRANGER}: {2 * LINES + 2:,} more lines were left out")


def test_json_comes_on_standard_output_and_nothing_when_quiet(tmp_path: Path) -> None:
    (tmp_path / "json").mkdir()
    with running_mta(tmp_path / "json", steered=False, options=["--json"]) as mta:
        with mta.connect(STRANGER) as client:
            client.greet()
        assert mta.process.stdout is not None
        told = [json.loads(mta.process.stdout.readline()) for _ in range(2)]
    assert [one["rules"] for one in told] == [["connect.rdns-confirmed"], ["helo.forward-match"]]
    assert (tmp_path / "json" / "mta.log").read_text("utf-8") == ""
    with running_mta(tmp_path, steered=False, options=["-q"]) as mta, mta.connect(STRANGER) as client:
        client.greet()
        send(client)
    assert (tmp_path / "mta.log").read_text("utf-8") == ""


def test_a_server_whose_reader_has_seen_enough_ends(tmp_path: Path) -> None:
    with running_mta(tmp_path, steered=False, options=["--json"]) as mta:
        assert mta.process.stdout is not None
        mta.process.stdout.close()
        with connected(mta.address, STRANGER) as client:
            client.reply()
        try:
            assert mta.process.wait(PATIENCE) == CUT_OFF
        except subprocess.TimeoutExpired:
            pytest.fail("it goes on")
    assert (tmp_path / "mta.log").read_text("utf-8") == ""
