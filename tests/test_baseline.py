"""What innocent clients meet before any offence, and what is concluded from it."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from harness.judge import Fault
from harness.outcome import Stage
from harness.results.model import Status
from harness.rules import Catalogue
from harness.runs.assembly import Wish, begin, open_run
from harness.runs.baseline import Baseline, Finding, Innocent, innocents
from harness.runs.diagnosis import State
from harness.runs.doctor import of_innocents
from harness.runs.play import Play
from harness.runs.run import Run
from harness.runs.trial import Plan, try_once
from harness.smtp.reply import Reply
from harness.world.conversation import Manner, Step
from harness.world.internet import Kind
from tests.hostile_server import Hangup, HostileServer, Visitor

PROFILE = """
name = "odd"
[server]
address = "127.0.0.1"
port = {port}
hostname = "mx.example.org"
reply_timeout = 3.0
scan = 0.0
[policy]
delay = 1.0
{more}
[[domain]]
name = "example.org"
users = ["ann", "ben", "postmaster"]
[rules]
claim = ["rcpt.*"]
"""
Answers = Callable[[bytes], bytes]
Running = Callable[..., contextlib.AbstractContextManager[tuple[Run, list[bytes]]]]


@dataclass
class Politely:
    """Serves a whole dialogue; `answers` has the replies that are not polite, empty for the polite one."""

    answers: Answers = lambda command: b""
    greeting_after: float = 0.0  # seconds
    visits: list[int] = field(default_factory=list)

    def play(self, visitor: Visitor) -> None:
        self.visits.append(1)
        visitor.over.wait(self.greeting_after)
        self._say(visitor, self.answers(b"") or b"220 mx.example.org ESMTP")
        while True:
            command = visitor.hear(b"\r\n").strip()
            if command == b"DATA" and not self.answers(command):
                self._say(visitor, b"354 go on")
                visitor.hear(b"\r\n.\r\n")
                command = b"."
            self._say(visitor, self.answers(command) or (b"221 bye" if command == b"QUIT" else b"250 fine"))
            if command == b"QUIT":
                raise Hangup

    def _say(self, visitor: Visitor, reply: bytes) -> None:
        if reply == b"hang up":
            raise Hangup
        visitor.socket.sendall(reply + b"\r\n")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.below(Path("scenarios"))


@pytest.fixture
def met(tmp_path: Path, catalogue: Catalogue) -> Callable[..., Run]:
    def look(server: Politely, more: str = "") -> Run:
        with HostileServer([[server]]) as listening:
            profile = tmp_path / "profile.toml"
            profile.write_text(PROFILE.format(port=listening.address[1], more=more), "utf-8")
            with open_run(Wish(catalogue, profile)) as run:
                return begin(run)[0]

    return look


@pytest.fixture
def running(tmp_path: Path, catalogue: Catalogue) -> Running:
    """A run that goes on, and what its server says to one command from now on."""

    @contextlib.contextmanager
    def go(*changed: bytes) -> Iterator[tuple[Run, list[bytes]]]:
        says = list(changed)

        def answers(command: bytes) -> bytes:
            if says == [b"late", b""] and not command:
                threading.Event().wait(1.2)
            return says[1] if says and command.startswith(says[0]) else b""

        with HostileServer([[Politely(answers)]]) as listening:
            profile = tmp_path / "profile.toml"
            profile.write_text(PROFILE.format(port=listening.address[1], more=""), "utf-8")
            with open_run(Wish(catalogue, profile)) as run:
                yield begin(run)[0], says

    return go


def saying(command: bytes, reply: bytes) -> Politely:
    return Politely(lambda said: reply if said.startswith(command) else b"")


def only(run: Run) -> Finding:
    (finding,) = run.baseline.findings
    return finding


def test_a_server_as_its_profile_says_leaves_no_finding(met: Callable[..., Run]) -> None:
    run = met(Politely())
    assert run.baseline.findings == ()
    assert run.baseline.unasked == {"known"}  # it knows no DNS
    assert run.unusable == ""
    assert run.steadiness.seen.steady
    assert {one.attempt.reached and one.attempt.reached.stage for one in run.baseline.meetings} == {
        Stage.RCPT,
        Stage.DATA,
    }


@pytest.mark.parametrize(
    ("server", "name", "statement"),
    [
        (
            saying(b"RCPT", b"451 4.3.0 tainted"),
            "baseline.known.rcpt",
            "are deferred at rcpt: 451 4.3.0 tainted",
        ),
        (saying(b".", b"451 4.7.1 later"), "baseline.known.data", "are deferred at data: 451 4.7.1 later"),
        (saying(b"MAIL", b"550 5.7.1 no"), "baseline.known.mail", "are refused at mail: 550 5.7.1 no"),
        (Politely(greeting_after=1.2), "baseline.known.connect", "are kept waiting at connect: 220"),
    ],
    ids=["tainted look-up", "greylist at the end of DATA", "refused at MAIL", "kept waiting"],
)
def test_what_all_innocent_clients_meet_is_one_finding(
    met: Callable[..., Run], server: Politely, name: str, statement: str
) -> None:
    run = met(server)
    finding = only(run)
    assert finding.id == name
    # On a busy machine it may not be clear of the first of them, and then it is said of the next.
    assert re.match(
        f"known innocent clients( that greet with HELO)? {re.escape(statement)}", finding.statement
    )
    assert run.unusable == ""  # what does not rest on it can be told all the same


@pytest.mark.parametrize(
    ("command", "reply", "stage", "why"),
    [
        (b"DATA", b"250 fine", "data", "to the command DATA, where 354 belongs: no message was sent"),
        (b".", b"354 go on", "data", "where 250 belongs"),
        (b"EHLO", b"354 go on", "helo", "where 250 belongs"),
        (b"MAIL", b"354 go on", "mail", "where 250 belongs"),
        (b"RCPT", b"650 odd", "rcpt", "which is no reply of SMTP"),
    ],
)
def test_what_is_no_answer_is_a_finding_with_words_of_its_own(
    met: Callable[..., Run], command: bytes, reply: bytes, stage: str, why: str
) -> None:
    run = met(saying(command, reply))
    finding = only(run)
    assert finding.id == f"baseline.known.{stage}"
    assert finding.statement.startswith(
        f"known innocent clients are told what is no answer at {stage}: {reply.decode()} after "
    )
    assert finding.statement.endswith(f" s, {why}")
    assert (run.unusable, run.steadiness.seen.steady) == ("", True)
    assert [(found.state, found.mend) for _, found in of_innocents(run)] == [(State.BAD, "misplaced")]


def test_no_rule_passes_or_fails_by_what_is_no_answer(tmp_path: Path, catalogue: Catalogue) -> None:
    rule = catalogue["rcpt.unknown-user"]

    def to_the_end(play: Play) -> None:
        play.expect.through(play.run.observer(play.world).attempt(upto=Stage.DATA), Stage.DATA)
        play.expect.proven = True

    with HostileServer([[saying(b"DATA", b"250 fine")]]) as listening:
        profile = tmp_path / "profile.toml"
        profile.write_text(PROFILE.format(port=listening.address[1], more=""), "utf-8")
        with open_run(Wish(catalogue, profile)) as run:
            begun, _ = begin(run)
            vote, _ = try_once(begun, Plan(rule, frozenset(), to_the_end))
            unknown, _ = try_once(replace(begun, baseline=Baseline()), Plan(rule, frozenset(), to_the_end))
    assert (vote.status, vote.blocked_by) == (Status.INCONCLUSIVE, "baseline.known.data")
    assert unknown.status is Status.INCONCLUSIVE
    assert "no message was sent" in unknown.reason


def test_a_pause_that_is_documented_is_no_finding(met: Callable[..., Run]) -> None:
    assert met(Politely(greeting_after=1.2), "[dialect]\npause = 1.2").baseline.findings == ()


BIND = '[clients]\nroute = "bind"\nnetworks = ["127.1.2.0/24"]\n'


def test_a_documented_pause_that_is_not_there_is_a_finding(met: Callable[..., Run]) -> None:
    run = met(Politely(), f"{BIND}[dialect]\npause = 2.5")
    finding = only(run)
    assert finding.id == "baseline.pause"
    assert finding.statement.startswith(
        "innocent clients are not kept waiting for the greeting, for which everybody waits 2.5 s by "
        "dialect.pause; the slowest that came: 220 mx.example.org ESMTP after 0."
    )
    assert run.judge.pause == 0.0  # so what is late is judged without it


@pytest.mark.parametrize(
    ("server", "more"),
    [
        (Politely(), "[dialect]\npause = 2.5"),
        (Politely(), f"{BIND}[dialect]\npause = 1.5"),
        (Politely(greeting_after=2.3), f"{BIND}[dialect]\npause = 2.5"),
    ],
    ids=["all have one address", "it is short", "it is there"],
)
def test_a_pause_is_missed_only_where_each_client_should_meet_one(
    met: Callable[..., Run], server: Politely, more: str
) -> None:
    run = met(server, more)
    assert not run.baseline.misses("pause")
    assert run.judge.pause > 0.0


@dataclass
class Tarpit(Politely):
    """The same, and each refusal is held back by so many seconds."""

    refusals_take: float = 0.0
    spares: bytes = b"nobody"  # what stands in a refusal that is not

    def _say(self, visitor: Visitor, reply: bytes) -> None:
        if reply[:1] in b"45" and self.spares not in reply:
            visitor.over.wait(self.refusals_take)
        super()._say(visitor, reply)


def no_relaying(command: bytes) -> bytes:
    recipient = command.partition(b"RCPT TO:")[2]
    if not recipient or recipient in (
        b"<ann@example.org>",
        b"<ben@example.org>",
        b"<postmaster@example.org>",
    ):
        return b""
    return b"550 5.1.1 unknown" if b"@example.org" in recipient else b"550 5.7.1 no relaying"


def test_refusals_that_are_not_held_back_any_more_are_a_finding(met: Callable[..., Run]) -> None:
    run = met(Politely(no_relaying), "[dialect]\nrefusals_take = 2.5")
    finding = only(run)
    assert finding.id == "baseline.refusals"
    assert finding.statement.startswith(
        "who is refused is not kept waiting for that, which takes everybody 2.5 s by dialect.refusals_take; "
        "the slowest that came: 550 5."
    )
    assert run.judge.refusals_take == 0.0  # so what is late is judged without it


@pytest.mark.parametrize(
    ("server", "take"),
    [
        (Tarpit(no_relaying, refusals_take=2.5), 2.5),
        (Tarpit(no_relaying, refusals_take=2.5, spares=b"relaying"), 2.5),
        (Politely(no_relaying), 1.5),
        (Politely(), 2.5),
        (saying(b"RCPT TO:<friend@", b"421 4.7.0 too busy"), 2.5),
        (saying(b"RCPT TO:<friend@", b"451 4.7.1 greylisted"), 2.5),
        (saying(b"RCPT TO:<friend@", b"hang up"), 2.5),
    ],
    ids=[
        "they are",
        "only some are",
        "it is short",
        "nobody is refused",
        "it is busy",
        "it puts off",
        "it breaks off",
    ],
)
def test_a_tarpit_is_missed_only_where_somebody_is_refused_at_once(
    met: Callable[..., Run], server: Politely, take: float
) -> None:
    run = met(server, f"[dialect]\nrefusals_take = {take}")
    assert run.baseline.findings == ()
    assert run.judge.refusals_take == take


def test_a_pause_may_be_longer_than_a_reply_may_take(met: Callable[..., Run]) -> None:
    run = met(Politely(greeting_after=3.2), "[dialect]\npause = 3.2")  # reply_timeout is 3 s
    assert (run.baseline.findings, run.unusable) == ((), "")


def test_one_verb_and_one_recipient_have_findings_of_their_own(met: Callable[..., Run]) -> None:
    finding = only(met(saying(b"HELO", b"502 5.5.1 EHLO please")))
    assert finding.statement.startswith(
        "known innocent clients that greet with HELO are refused at helo: 502"
    )
    finding = only(met(saying(b"RCPT TO:<ben@", b"550 5.1.1 nobody")))
    assert (finding.id, finding.only_recipient) == ("baseline.known.rcpt.ben@example.org", True)
    assert "when they write to ben@example.org" in finding.statement


def test_what_only_one_of_two_meets_is_unsteadiness_and_no_finding(met: Callable[..., Run]) -> None:
    turns, lock = iter(range(1000)), threading.Lock()

    def sometimes(command: bytes) -> bytes:
        with lock:
            return b"451 4.3.0 not now" if command.startswith(b"RCPT TO:<ben@") and next(turns) == 0 else b""

    run = met(Politely(sometimes))
    assert run.baseline.findings == ()
    assert not run.steadiness.seen.steady
    assert run.steadiness.seen.wrong == 1


def test_lost_dialogues_are_no_findings(met: Callable[..., Run]) -> None:
    turns, lock = iter(range(1000)), threading.Lock()

    def loses(command: bytes) -> bytes:
        with lock:
            return b"hang up" if command.startswith(b"MAIL") and next(turns) % 3 == 0 else b""

    run = met(Politely(loses))
    assert run.baseline.findings == ()
    assert run.steadiness.lost > 0
    assert run.unusable == ""


def test_every_way_of_being_innocent_is_tried_and_every_user(catalogue: Catalogue, tmp_path: Path) -> None:
    with open_run(Wish(catalogue)) as run:
        ways = list(innocents(run.profile))
    assert {one.kind for one in ways} == {*Kind} - {Kind.ORDINARY, Kind.REFUSED}
    assert any(one.authenticated for one in ways)
    assert any(one.covered and not one.authenticated for one in ways)
    assert any(not one.extended for one in ways)
    users = {f"{user}@{domain.name}" for domain in run.profile.domain for user in domain.users}
    assert {one.recipient for one in ways} == users


def test_a_user_who_is_looked_for_at_the_end_of_data_is_written_to_until_then(
    met: Callable[..., Run],
) -> None:
    class Looking(Politely):
        def play(self, visitor: Visitor) -> None:
            heard: list[bytes] = []

            def answers(said: bytes) -> bytes:
                heard.append(said)
                unknown = any(b"<ben@" in one for one in heard)
                return b"550 5.1.1 nobody of that name" if said == b"." and unknown else b""

            Politely(answers).play(visitor)

    run = met(Looking(), more='[dialect]\ntold = "data"\n')
    finding = only(run)
    assert finding.id == "baseline.known.data.ben@example.org"
    assert finding.only_recipient
    client, step, manner = run.baseline.plainest.client, finding.step, finding.innocent.manner
    assert not finding.explains(client, step, manner, Fault.REPLY, "ann@example.org")
    assert finding.explains(client, step, manner, Fault.REPLY, "ben@example.org")


def known(run: Run, *, extended: bool = True) -> Innocent:
    return replace(next(innocents(run.profile)), extended=extended)


def test_what_begins_in_the_middle_of_a_run_is_trouble_whatever_the_stage(
    running: Running,
) -> None:
    for command, reply in (
        (b"RCPT", b"451 4.3.0 not now"),
        (b".", b"451 4.7.1 scanner"),
        (b"HELO", b"502 no"),
    ):
        with running() as (run, changed):
            greets = command != b"HELO"
            assert run.trouble(like=known(run, extended=greets)) == ""
            changed += [command, reply]
            assert reply.decode() in run.trouble(like=known(run, extended=greets))


def test_a_late_canary_is_trouble(
    running: Running,
) -> None:
    with running() as (run, changed):
        changed += [b"late", b""]
        assert "at connect" in run.trouble(like=known(run))


def test_what_innocents_meet_from_the_beginning_is_no_trouble(
    running: Running,
) -> None:
    with running(b".", b"451 4.7.1 later") as (run, _):
        assert only(run).id == "baseline.known.data"
        assert run.trouble(like=known(run)) == ""
        assert run.steadiness.seen.steady


def met_at(stage: Stage, code: int, text: str = "") -> Step:
    reply = Reply(code=code, lines=(text,), raw=b"", at=0.0, seconds=0.0)
    return Step(stage, "RCPT TO:<ann@example.org>" if stage is Stage.RCPT else "", (reply,), 0.0, 0.0)


def test_a_finding_explains_nobody_who_speaks_otherwise(met: Callable[..., Run]) -> None:
    run = met(saying(b"HELO", b"502 5.5.1 EHLO please"))
    client = run.baseline.plainest.client
    step = met_at(Stage.HELO, 502)
    assert run.baseline.explains(client, step, Manner(extended=False), "ann@example.org")
    assert not run.baseline.explains(client, step, Manner(), "ann@example.org")


def test_a_wait_explains_no_other_reply_and_no_missing_wait(met: Callable[..., Run]) -> None:
    run = met(Politely(greeting_after=1.2))
    client = run.baseline.plainest.client
    greeted = met_at(Stage.CONNECT, 220)
    assert run.baseline.explains(client, greeted, Manner(), "", Fault.LATE)
    assert not run.baseline.explains(client, greeted, Manner(), "", Fault.SOON)
    assert not run.baseline.explains(client, greeted, Manner(), "")


def test_what_strangers_meet_others_of_their_ip_version_may_meet(catalogue: Catalogue) -> None:
    step = met_at(Stage.CONNECT, 554)
    with open_run(Wish(catalogue)) as run:
        clients = {kind: run.client(run.world(), kind) for kind in Kind}
    for kind, explained in (
        (Kind.STRANGER, {*Kind} - {Kind.IPV6}),
        (Kind.IPV6_STRANGER, {Kind.IPV6_STRANGER, Kind.IPV6}),
    ):
        finding = Finding("", "", "", Innocent(kind, ""), step)
        found = {
            one
            for one, client in clients.items()
            if finding.explains(client, step, Manner(), Fault.REPLY, "")
        }
        assert found == explained


@pytest.mark.parametrize(
    ("parts", "network"),
    [
        (["client", "sender"], "192.0.2.0/24"),  # somebody is there
        (["client"], "198.18.0.0/15"),  # an earlier run may have been
    ],
)
def test_where_nobody_can_be_a_stranger_the_others_are_met(
    tmp_path: Path, catalogue: Catalogue, parts: list[str], network: str
) -> None:
    with HostileServer([[Politely()]]) as listening:
        profile = tmp_path / "profile.toml"
        greylist = f'[greylist]\nkey = "network"\nparts = {parts}\n'
        more = f'{greylist}[clients]\nroute = "proxy-v2"\nnetworks = ["{network}"]\n'
        profile.write_text(PROFILE.format(port=listening.address[1], more=more), "utf-8")
        with open_run(Wish(catalogue, profile)) as run:
            kinds = {one.innocent.kind for one in begin(run)[0].baseline.meetings}
    assert kinds == {Kind.KNOWN}


def test_a_canary_that_is_lost_is_a_lost_dialogue_and_no_innocent_that_met_something_else(
    running: Running,
) -> None:
    with running() as (run, changed):
        changed += [b"MAIL", b"hang up"]
        assert "no further than mail" in run.trouble(like=known(run))
        seen = run.steadiness.seen
        assert (seen.wrong, seen.late, seen.lost) == (0, 0, 4)  # two of them, and two as far as RCPT


def test_an_innocent_that_came_late_once_makes_those_rules_doubtful_that_show_by_time(
    met: Callable[..., Run],
) -> None:
    turns, lock = iter(range(1000)), threading.Lock()

    def slowly(command: bytes) -> bytes:
        with lock:
            late = command.startswith(b"RCPT TO:<ben@") and next(turns) == 0
        threading.Event().wait(1.2 if late else 0.0)
        return b""

    seen = met(Politely(slowly)).steadiness.seen
    assert (seen.wrong, seen.late, seen.votes_to_pass()) == (0, 1, 1)
