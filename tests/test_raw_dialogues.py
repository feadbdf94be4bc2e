"""Raw dialogues: a suite of three rules, against servers that keep them, break them, or say nothing."""

import contextlib
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.grants.capability import Tools
from harness.grants.mail import MAILBOX
from harness.judge import in_greylist_words
from harness.outcome import Outcome
from harness.results.model import Status
from harness.rules import Catalogue
from harness.runs.assembly import Wish, open_run
from harness.runs.play import Play
from harness.runs.run import Run
from harness.runs.talk import NotationError
from harness.runs.trial import Plan, Vote, evidence_of, try_once
from harness.scenario import (
    CLOSED,
    SILENCE,
    Client,
    Raw,
    Stage,
    Sut,
    Talk,
    message,
    must_end_data,
    must_not_end_data,
    replies_must_be_sound,
)
from harness.verdicts import FailedError, InconclusiveError
from harness.world.reply_set import ReplySet
from tests.hostile_server import HostileServer
from tests.mail_server import Fault, ItsMailbox, MailServer

RULES = """
suite = "session"

[rule."session.rset"]
stage = "rcpt"
source = "RFC 5321 §4.1.1.5"
statement = "RSET drops the transaction, keeps the greeting and never closes the connection."
expect = "deny at rcpt with 503"

[rule."session.quit"]
stage = "data"
source = "RFC 5321 §4.1.1.10"
statement = "QUIT is answered with 221, then the connection is closed; an open transaction is dropped."
expect = "pass at data"

[rule."eod.lf-dot-lf"]
stage = "data"
source = "RFC 5321 §4.1.1.4"
statement = "LF . LF does not end the content."
expect = "pass at data"
"""
PROFILE = """
name = "small"
[server]
address = "127.0.0.1"
port = {port}
hostname = "mx.example.org"
reply_timeout = 2.0
scan = 0.0
[clients]
route = "bind"
networks = ["127.1.2.0/24"]
[policy]
delay = 0.0
[[domain]]
name = "example.org"
users = ["ann", "ben", "postmaster"]
"""
Scenario = Callable[..., None]


def rset(client: Client, offence: bool, raw: Raw, sut: Sut) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.MAIL)
        talk.fault("RSET").must_hear(250)
        talk.says(f"RCPT TO:<{sut.recipient}>").must_hear()
        if offence:
            talk.says(f"MAIL FROM:<{client.sender}>").must_hear(250)
        talk.must_go_on()


def rset_goes_on(client: Client, offence: bool, raw: Raw) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.HELO)
        talk.fault("RSET")
        talk.must_go_on()


def leave(client: Client, offence: bool, raw: Raw) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.RCPT)
        talk.fault("QUIT").must_hear(221)
        if offence:
            talk.must_end(within=0.5)


def half_a_message(client: Client, offence: bool, raw: Raw, sut: Sut) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.DATA)
        talk.says(message(client, sut.recipient), stage=Stage.DATA)
        if not offence:
            talk.says(b".\r\n", replies=1, stage=Stage.DATA).must_hear("2xx")
    if offence:
        raw.must_not_deliver(client)
    else:
        raw.must_deliver(client)


def bare_lines(client: Client, offence: bool, raw: Raw) -> None:
    must_not_end_data(raw, client, offence, b"\n.\n")


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    file = tmp_path / "rules.toml"
    file.write_text(RULES, "utf-8")
    return Catalogue.load([file])


@contextlib.contextmanager
def judged(
    catalogue: Catalogue, folder: Path, fault: Fault, described: str = ""
) -> Iterator[tuple[Run, MailServer]]:
    """A run against a small server that has a fault; it is never slow. More of it may be `described`."""
    server = MailServer(fault)
    with HostileServer([[server]]) as listening:
        profile = folder / "profile.toml"
        profile.write_text(PROFILE.format(port=listening.address[1]) + described, "utf-8")
        with open_run(Wish(catalogue, profile)) as run:
            tools = Tools({**run.tools.made, MAILBOX: ItsMailbox(server)})
            yield replace(run, tools=tools, judge=replace(run.judge, noise=lambda since, until: 0.0)), server


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.runs.play.QUIET", 0.3)


def said(run: Run, rule: str, scenario: Scenario, *wanted: str) -> tuple[Vote, list[Play]]:
    names = ("client", "offence", "raw", *wanted)
    plan = Plan(run.catalogue[rule], frozenset(), lambda play: play.call(scenario, {}, names))
    return try_once(run, plan)


@pytest.mark.parametrize("says", ["hears", "must_hear"])
@pytest.mark.parametrize("has_greylist", [True, False])
def test_a_deferral_may_be_the_word_of_a_greylist(
    catalogue: Catalogue, tmp_path: Path, says: str, has_greylist: bool
) -> None:
    endings: list[BaseException] = []

    def recipient(client: Client, offence: bool, raw: Raw, sut: Sut) -> None:
        with raw(client, offence) as talk:
            talk.comes_to(Stage.MAIL)
            with pytest.raises((FailedError, InconclusiveError)) as ending:
                getattr(talk.says(f"RCPT TO:<{sut.recipient}>"), says)(250)
        endings.append(ending.value)

    greylist = '[greylist]\nwhitelist_hosts = ["*.known.example"]\n' if has_greylist else ""
    with judged(catalogue, tmp_path, Fault.REFUSES_EVERYBODY, greylist) as (run, _):
        said(run, "session.quit", recipient, "sut")
    assert [in_greylist_words(one) for one in endings] == [has_greylist] * 2


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (Fault.NONE, Status.PASSED, ""),
        (Fault.KEEPS_AFTER_RESET, Status.FAILED, "expected 503 at rcpt, but the server said 250"),
        (Fault.FORGETS_GREETING_AT_RESET, Status.FAILED, "expected 250 at mail, but the server said 503"),
        (Fault.CLOSES_AT_RESET, Status.INCONCLUSIVE, "the server closed the connection at RSET"),
        (Fault.HANGS_AT_RESET, Status.INCONCLUSIVE, "no whole reply to RSET came in time"),
        (Fault.UNAVAILABLE_AT_RESET, Status.INCONCLUSIVE, "421 busy"),
    ],
)
def test_reset_drops_the_transaction(
    catalogue: Catalogue, tmp_path: Path, fault: Fault, status: Status, reason: str
) -> None:
    with judged(catalogue, tmp_path, fault) as (run, _):
        vote, _ = said(run, "session.rset", rset, "sut")
    assert not vote.by_absence
    assert vote.status is status, vote.reason
    assert reason in vote.reason


def test_what_leads_to_the_point_and_goes_wrong_proves_nothing(catalogue: Catalogue, tmp_path: Path) -> None:
    with judged(catalogue, tmp_path, Fault.REFUSES_EVERYBODY) as (run, _):
        vote, _ = said(run, "session.quit", leave)
    assert vote.status is Status.INCONCLUSIVE
    assert "did not come to its point: expected 250 or 251 at rcpt, and there was 451" in vote.reason


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (Fault.NONE, Status.PASSED, ""),
        (Fault.CLOSES_AT_RESET, Status.FAILED, "the connection did not go on"),
        (Fault.HANGS_AT_RESET, Status.INCONCLUSIVE, "came in time"),  # one of two replies
        (Fault.UNAVAILABLE_AT_RESET, Status.INCONCLUSIVE, "421 busy"),
    ],
)
def test_that_a_connection_goes_on_is_a_rule_of_its_own(
    catalogue: Catalogue, tmp_path: Path, fault: Fault, status: Status, reason: str
) -> None:
    with judged(catalogue, tmp_path, fault) as (run, _):
        vote, _ = said(run, "session.rset", rset_goes_on)
    assert vote.status is status, vote.reason
    assert reason in vote.reason


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (Fault.NONE, Status.PASSED, ""),
        (Fault.STAYS_AFTER_QUIT, Status.FAILED, "was not closed within 0.5 s: NOOP has 250"),
    ],
)
def test_quit_closes_the_connection(
    catalogue: Catalogue, tmp_path: Path, fault: Fault, status: Status, reason: str
) -> None:
    with judged(catalogue, tmp_path, fault) as (run, _):
        vote, _ = said(run, "session.quit", leave)
    assert vote.by_absence is (status is Status.PASSED)
    assert vote.status is status, vote.reason
    assert reason in vote.reason


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (Fault.NONE, Status.PASSED, ""),
        (Fault.UNAVAILABLE_AT_BARE_LINES, Status.PASSED, ""),
        (Fault.ENDS_AT_BARE_LINES, Status.FAILED, "at data, but the server said 250 taken"),
        (Fault.ENDS_AT_BARE_LINES_WITH_TEXT, Status.FAILED, "was taken for commands: nothing had asked for"),
        (
            Fault.ENDS_AT_BARE_LINES_WITHOUT_A_WORD,
            Status.FAILED,
            "the message that was delivered to ann@example.org ends at b'\\n.\\n'",
        ),
    ],
)
def test_what_does_not_end_the_content(
    catalogue: Catalogue, tmp_path: Path, fault: Fault, status: Status, reason: str
) -> None:
    with judged(catalogue, tmp_path, fault) as (run, _):
        vote, _ = said(run, "eod.lf-dot-lf", bare_lines)
    assert vote.by_absence is (status is Status.PASSED)  # silence behind the form, or the end
    assert vote.status is status, vote.reason
    assert reason in vote.reason


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (Fault.NONE, Status.PASSED, ""),
        (Fault.DELIVERS_HALF_MESSAGES, Status.FAILED, "was delivered all the same, to the inbox of ann@"),
        (Fault.LOSES_MESSAGES, Status.INCONCLUSIVE, "nothing is delivered, whatever it is"),
        (Fault.REFUSES_EVERYBODY, Status.INCONCLUSIVE, "did not come to its point"),
    ],
)
def test_what_must_not_be_delivered_is_not_while_a_later_message_is(
    catalogue: Catalogue, tmp_path: Path, fault: Fault, status: Status, reason: str
) -> None:
    with judged(catalogue, tmp_path, fault) as (run, _):
        vote, _ = said(run, "session.quit", half_a_message, "sut")
    assert vote.status is status, vote.reason
    assert reason in vote.reason


def test_what_does_not_end_the_content_by_itself_is_followed_by_nothing_that_makes_it(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    def one_return(client: Client, offence: bool, raw: Raw) -> None:
        must_not_end_data(raw, client, offence, b"\r\n.\r")

    with judged(catalogue, tmp_path, Fault.ENDS_AT_A_RETURN_TOO_MANY) as (run, _):
        vote, _ = said(run, "eod.lf-dot-lf", one_return)
    assert vote.status is Status.PASSED, vote.reason


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (Fault.NONE, Status.PASSED, ""),
        (Fault.NEEDS_ANOTHER_DOT, Status.FAILED, "only another dot behind it was answered, by 250 taken"),
        (Fault.REFUSES_EVERYBODY, Status.INCONCLUSIVE, "did not come to its point"),
    ],
)
def test_what_ends_the_content(
    catalogue: Catalogue, tmp_path: Path, fault: Fault, status: Status, reason: str
) -> None:
    whole = b"\r\n.\r\n" * (2 if fault is Fault.NEEDS_ANOTHER_DOT else 1)

    def by_octets(client: Client, offence: bool, raw: Raw, sut: Sut) -> None:
        with raw(client, offence) as talk:
            talk.comes_to(Stage.DATA)
            talk.says(message(client, sut.recipient, body="x"), stage=Stage.DATA)
            talk.fault(b"\r", b"\n", b".", b"\r", b"\n", instead=(whole,), apart=0.01, replies=1)
            must_end_data(talk)

    with judged(catalogue, tmp_path, fault) as (run, _):
        vote, _ = said(run, "eod.lf-dot-lf", by_octets, "sut")
    assert vote.status is status, vote.reason
    assert reason in vote.reason


def test_silence_behind_a_reply_is_as_long_as_it_lasts(catalogue: Catalogue, tmp_path: Path) -> None:
    def nothing_more(client: Client, offence: bool, raw: Raw) -> None:
        with raw(client, offence) as talk:
            talk.comes_to(Stage.HELO)
            talk.says("NOOP").must_hear(250).must_hear(SILENCE)

    with judged(catalogue, tmp_path, Fault.NONE) as (whole, _):
        measured = replace(whole.judge, noise=lambda since, until: 0.0 if until - since > 0.2 else math.inf)
        vote, _ = said(replace(whole, judge=measured), "session.quit", nothing_more)
    assert vote.status is Status.PASSED, vote.reason


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (Fault.NONE, Status.PASSED, ""),
        (Fault.SAYS_CONTROLS, Status.FAILED, r"reply 3 of the dialogue has an escape: 500 what\x1b?"),
        (Fault.SAYS_CONTROLS_TO_ONE, Status.INCONCLUSIVE, "on one connection a reply has an escape, and on"),
        (Fault.CLOSES_AMID_A_REPLY, Status.FAILED, "reply 3 of the dialogue goes on: 500-what?"),
    ],
)
def test_what_is_wrong_with_a_reply_is_seen_on_two_connections(
    catalogue: Catalogue, tmp_path: Path, fault: Fault, status: Status, reason: str
) -> None:
    def wrong(reply: bytes) -> str:
        last = reply.splitlines()[-1]
        return "has an escape" if b"\x1b" in reply else "goes on" if last[3:4] == b"-" else ""

    def say(talk: Talk) -> None:
        talk.comes_to(Stage.HELO)
        talk.fault("XYZZY", instead=("NOOP",))
        talk.hears_anything()

    def odd(client: Client, offence: bool, raw: Raw) -> None:
        replies_must_be_sound(raw, client, offence, say, wrong)

    with judged(catalogue, tmp_path, fault) as (run, _):
        vote, _ = said(run, "session.quit", odd)
    assert vote.status is status, vote.reason
    assert reason in vote.reason


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (Fault.SAYS_CONTROLS, Status.PASSED, ""),
        (Fault.SAYS_CONTROLS_TO_ONE, Status.INCONCLUSIVE, "is no sound reply (control character)"),
    ],
)
def test_a_reply_is_not_lost_for_a_flaw_that_this_server_always_has(
    catalogue: Catalogue, tmp_path: Path, fault: Fault, status: Status, reason: str
) -> None:
    """Another rule than the one that is about that flaw."""

    def say(talk: Talk) -> None:
        talk.comes_to(Stage.HELO)
        talk.fault("XYZZY", instead=("NOOP",), stage=Stage.MAIL)
        talk.hears_anything()

    def odd(client: Client, offence: bool, raw: Raw) -> None:
        replies_must_be_sound(raw, client, offence, say, lambda reply: "")

    with judged(catalogue, tmp_path, fault) as (run, _):
        vote, _ = said(run, "session.quit", odd)
    assert vote.status is status, vote.reason
    assert reason in vote.reason


def test_the_reference_mta_keeps_the_rules(catalogue: Catalogue) -> None:
    with open_run(Wish(catalogue)) as whole:
        run = replace(whole, judge=replace(whole.judge, noise=lambda since, until: 0.0))
        for rule, scenario, wanted in (
            ("session.rset", rset, ("sut",)),
            ("session.quit", leave, ()),
            ("eod.lf-dot-lf", bare_lines, ()),
        ):
            vote, _ = said(run, rule, scenario, *wanted)
            assert vote.status is Status.PASSED, f"{rule}: {vote.reason}"


def test_a_connection_has_one_fault_and_one_with_a_fault_has_a_twin(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    def twice(client: Client, offence: bool, raw: Raw) -> None:
        with raw(client, offence) as talk:
            talk.fault("RSET")
            talk.fault("RSET")

    def without_twin(client: Client, offence: bool, raw: Raw) -> None:
        with raw(client) as talk:
            talk.fault("RSET")

    def two_lines(client: Client, offence: bool, raw: Raw) -> None:
        with raw(client, offence) as talk:
            talk.says("RSET\r\nNOOP")

    with judged(catalogue, tmp_path, Fault.NONE) as (run, _):
        for scenario, reason in (
            (twice, "a connection has one fault"),
            (without_twin, "has a twin"),
            (two_lines, "is more than a line"),
        ):
            vote, _ = said(run, "session.rset", scenario)
            assert isinstance(vote.error, NotationError)
            assert vote.status is Status.INCONCLUSIVE
            assert reason in vote.reason


def test_what_is_said_goes_out_to_the_byte_and_each_reply_is_in_its_step(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    def many(client: Client, offence: bool, raw: Raw, sut: Sut) -> None:
        with raw(client, offence) as talk:
            talk.comes_to(Stage.HELO)
            both = talk.says(f"MAIL FROM:<{client.sender}>", f"RCPT TO:<{sut.recipient}>")
            both.hears(250).hears("25x")
            talk.says(b"NO", b"OP\r\n", apart=0.01, replies=1).hears(250)
            talk.fault(b"V\0FY\r\n", instead=("NOOP",), replies=1).must_hear({500, 501, 502}, twin=250)
            talk.says(b"NOOP").must_hear(SILENCE)
            talk.says(b"\r\n", replies=1).must_hear("2xx")
            talk.says("QUIT").must_hear(221)
            talk.says("NOOP").must_hear(CLOSED)

    with judged(catalogue, tmp_path, Fault.NONE) as (run, _):
        vote, plays = said(run, "session.quit", many, "sut")
        assert vote.status is Status.PASSED, vote.reason
        offence, _ = evidence_of(run, vote, plays).dialogues
    told = [(step.sent, [reply.code for reply in step.replies]) for step in offence.steps]
    assert told[2][0].startswith("MAIL FROM:<")
    assert r"\r\nRCPT TO:<" in told[2][0]
    assert told[2][1] == [250, 250]
    assert told[3:] == [
        ("NOOP", [250]),
        (r"V\x00FY", [500]),
        ("NOOP", []),
        ("", [250]),
        ("QUIT", [221]),
        ("NOOP", []),
    ]
    sent = [line.text for line in offence.lines if line.direction == "C"]
    assert r"V\x00FY" in sent


@given(st.integers(200, 599), st.sets(st.integers(200, 599), min_size=1))
def test_a_set_has_its_codes_and_their_classes(code: int, codes: set[int]) -> None:
    if any(str(one)[1] > "5" for one in codes):
        with pytest.raises(ValueError, match="is no reply code"):
            ReplySet.of(codes)
        return
    assert ReplySet.of(codes).has(code) == (code in codes)
    assert ReplySet.of(f"{code // 100}xx").has(code)
    assert not ReplySet.of(SILENCE).has(code)


def test_what_a_rule_promises_is_a_set() -> None:
    outcomes = [Outcome.parse(one) for one in ("deny at rcpt with 503, 554, 5.5.1", "defer at data")]
    assert str(ReplySet.promised(outcomes)) == "503, 554 or 4xx"
    assert ReplySet.promised([Outcome.parse("pass at data")]).has(354)


def test_a_set_is_told_in_words_and_what_is_none_is_refused() -> None:
    assert str(ReplySet.of({500}, "4xx", CLOSED, SILENCE)) == (
        "500, 4xx, no reply or the end of the connection"
    )
    for wrong in ("25", "2x0", "abc", 999, "600"):
        with pytest.raises(ValueError, match="is no reply code"):
            ReplySet.of(wrong)
    with pytest.raises(ValueError, match="nothing may come back"):
        ReplySet.of()


@pytest.mark.parametrize(
    ("fault", "status"), [(Fault.NONE, Status.PASSED), (Fault.KEEPS_AFTER_RESET, Status.FAILED)]
)
def test_the_example_of_the_guide_is_a_scenario(tmp_path: Path, fault: Fault, status: Status) -> None:
    guide = Path("docs/raw-dialogues.md").read_text("utf-8")
    (rules,) = re.findall(r"^```toml\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    (code,) = re.findall(r"^```python\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    (tmp_path / "rules.toml").write_text(rules, "utf-8")
    names: dict[str, Any] = {}
    exec(compile(code, "raw-dialogues.md", "exec"), names)
    catalogue = Catalogue.load([tmp_path / "rules.toml"])
    with judged(catalogue, tmp_path, fault) as (run, _):
        vote, _ = said(run, "session.rset", names["test_rset_drops_the_transaction"], "sut")
    assert vote.status is status, vote.reason
