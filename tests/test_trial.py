"""What follows from a play with the offence and one without: only a difference is a verdict."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.judge import ContradictionError, Fault, NoEvidenceError
from harness.outcome import Stage
from harness.results.model import Status
from harness.rules import Catalogue
from harness.runs.assembly import Wish, open_run
from harness.runs.baseline import Baseline, Finding, Innocent, Meeting, innocents
from harness.runs.course import CaseResult, run_scenario
from harness.runs.expect import EndedError
from harness.runs.play import Play
from harness.runs.run import Run
from harness.runs.steadiness import Steadiness
from harness.runs.trial import Plan, Vote, try_once
from harness.smtp.endpoint import Endpoint
from harness.smtp.session import Ending as SessionEnding
from harness.verdicts import (
    FailedError,
    InconclusiveError,
    NeverCameError,
    NotApplicableError,
    NotTestableError,
)
from harness.world.conversation import Attempt
from harness.world.internet import Kind

Ending = Callable[[Play], None]


@pytest.fixture(scope="module")
def whole_run() -> Iterator[Run]:
    with open_run(Wish(Catalogue.below(Path("scenarios")))) as run:
        yield run


@pytest.fixture
def run(whole_run: Run) -> Run:
    return replace(whole_run)


def keeps(play: Play) -> None:
    play.expect.proven = True


def raises(error: Exception) -> Ending:
    def play(play: Play) -> None:
        raise error

    return play


def vote(run: Run, offence: Ending, twin: Ending | None, rule: str = "helo.plain-ip") -> Vote:
    def scenario(play: Play) -> None:
        (offence if play.offence else twin or offence)(play)

    return try_once(run, Plan(run.catalogue[rule], frozenset(), scenario, has_twin=twin is not None))[0]


@pytest.mark.parametrize("rule", ["auth.plaintext-refused", "dnsbl.fail-open"])
def test_who_may_disturb_the_server_has_done_so_before_the_twin_comes(run: Run, rule: str) -> None:
    came: list[str] = []

    def scenario(play: Play) -> None:
        came.append("offence begins" if play.offence else "twin")
        time.sleep(0.05 * play.offence)
        came.extend(["offence ends"] * play.offence)
        play.expect.proven = True

    assert run.catalogue[rule].disturbs
    try_once(run, Plan(run.catalogue[rule], frozenset(), scenario))
    assert came == ["offence begins", "offence ends", "twin"]


BROKEN, DOUBT = raises(FailedError("550 at helo")), raises(InconclusiveError("neither"))


@pytest.mark.parametrize(
    ("offence", "twin", "status", "said"),
    [
        (keeps, keeps, Status.PASSED, ""),
        (keeps, None, Status.PASSED, ""),
        (BROKEN, keeps, Status.FAILED, "550 at helo"),
        (BROKEN, None, Status.FAILED, "550 at helo"),
        (keeps, BROKEN, Status.FAILED, "it hits the innocent twin, too: 550 at helo"),
        (BROKEN, BROKEN, Status.FAILED, "it hits the innocent twin, too"),
        (DOUBT, keeps, Status.INCONCLUSIVE, "neither"),
        (keeps, DOUBT, Status.INCONCLUSIVE, "the innocent twin: neither"),
        (BROKEN, DOUBT, Status.INCONCLUSIVE, "the innocent twin: neither"),
        (raises(NoEvidenceError("no reply")), keeps, Status.INCONCLUSIVE, "no reply"),
        (keeps, raises(NotTestableError("no way")), Status.NOT_TESTABLE, "no way"),
        (raises(NeverCameError("no mail")), keeps, Status.FAILED, "no mail"),
        (raises(NeverCameError("no mail")), None, Status.INCONCLUSIVE, "nothing shows that what an innocent"),
        (keeps, raises(NeverCameError("no mail")), Status.INCONCLUSIVE, "the innocent twin: no mail"),
        (BROKEN, raises(NeverCameError("no mail")), Status.INCONCLUSIVE, "the innocent twin: no mail"),
        (raises(NotApplicableError("not here")), keeps, Status.NOT_APPLICABLE, "not here"),
        (raises(ZeroDivisionError("oops")), keeps, Status.INCONCLUSIVE, "the scenario itself is broken"),
    ],
)
def test_what_follows_from_two_plays(
    run: Run, offence: Ending, twin: Ending | None, status: Status, said: str
) -> None:
    found = vote(run, offence, twin)
    assert found.status is status
    assert said in found.reason


def test_a_play_in_which_a_dialogue_was_lost_never_votes(run: Run) -> None:
    """Half of what the server said is not what it said."""

    def lost(then: Ending) -> Ending:
        def play(play: Play) -> None:
            client = play.new_client(Kind.KNOWN)
            with client.conversation() as talk:
                talk.connect()
                talk.session.cut_short()
                talk.ehlo(client.host)
            then(play)

        return play

    for then in (keeps, BROKEN, raises(AssertionError("no AUTH is listed")), raises(KeyError("AUTH"))):
        for pair in ((lost(then), keeps), (keeps, lost(then))):
            found = vote(run, *pair)
            assert found.status is Status.INCONCLUSIVE, found
            assert "a dialogue was lost" in found.reason
    ended = vote(run, lost(raises(EndedError("it hung up"))), keeps)
    assert ended.status is Status.FAILED  # for a rule about how connections end it is evidence, if seen again


def test_what_innocent_clients_meet_blocks_the_rule(run: Run) -> None:
    def refused(play: Play) -> None:
        attempt = play.new_client(Kind.KNOWN).attempt(
            recipient=play.run.sut.unknown_recipient, upto=Stage.RCPT
        )
        raise ContradictionError("550 at rcpt", attempt.rcpt)

    plain = vote(run, refused, keeps)
    assert plain.status is Status.FAILED
    client = run.client(run.world(), Kind.KNOWN)
    met = client.attempt(recipient=run.sut.unknown_recipient, upto=Stage.RCPT).rcpt
    innocent = Innocent(Kind.KNOWN, run.sut.recipient)
    finding = Finding("baseline.known.rcpt", "known, innocent clients are refused at rcpt", "", innocent, met)
    blocked = vote(replace(run, baseline=Baseline(findings=(finding,))), refused, keeps)
    assert (blocked.status, blocked.blocked_by) == (Status.INCONCLUSIVE, "baseline.known.rcpt")
    assert "this is what innocent clients meet" in blocked.reason


def test_a_message_that_was_never_taken_is_not_said_to_be_lost(run: Run) -> None:
    """What counts is who refused it, and why."""

    def sends(recipient: str) -> Ending:
        def play(play: Play) -> None:
            client = play.new_client(Kind.KNOWN)
            client.attempt(recipient=recipient, upto=Stage.DATA)
            raise NeverCameError("it was accepted and not delivered", client.token)

        return play

    refused = vote(run, sends(run.sut.unknown_recipient), keeps)
    assert isinstance(refused.error, FailedError)
    assert "at rcpt the server said 550" in refused.reason
    assert vote(run, sends(run.sut.recipient), keeps).reason == "it was accepted and not delivered"


def test_that_strangers_are_kept_waiting_hides_no_client_that_is_not(run: Run) -> None:
    def contradicts(fault: Fault) -> Ending:
        def play(play: Play) -> None:
            raise ContradictionError("220 at connect", play.new_client(Kind.KNOWN).attempt().connect, fault)

        return play

    met = run.client(run.world(), Kind.STRANGER).attempt().connect
    innocent = Innocent(Kind.STRANGER, run.sut.recipient)
    waiting = Finding("baseline.stranger.connect", "they are kept waiting", "", innocent, met, late=True)
    known = replace(run, baseline=Baseline(findings=(waiting,)))
    for fault in (Fault.SOON, Fault.REPLY):
        assert vote(known, contradicts(fault), keeps).status is Status.FAILED
    assert vote(known, contradicts(Fault.LATE), keeps).blocked_by == "baseline.stranger.connect"


@pytest.mark.parametrize(("known", "late"), [(True, 0), (False, 1)])
def test_that_all_innocent_clients_wait_makes_no_rule_doubt_its_own(run: Run, known: bool, late: int) -> None:
    """It is what one rule is broken by, or a pause that the profile lacks, and no slowness of the moment."""

    def waits(play: Play) -> None:
        greeting = play.new_client(Kind.KNOWN).attempt().connect
        raise ContradictionError("220 at connect", greeting, Fault.LATE)

    greeting = run.client(run.world(), Kind.KNOWN).attempt().connect
    innocent = Innocent(Kind.KNOWN, run.sut.recipient)
    finding = Finding("baseline.known.connect", "they are kept waiting", "", innocent, greeting, late=True)
    findings = (finding,) if known else ()
    played = replace(run, baseline=Baseline(findings=findings), steadiness=Steadiness())
    assert vote(played, waits, None, "connect.rdns-confirmed").status is Status.FAILED
    assert played.steadiness.lateness("dnsbl.none", Stage.CONNECT).late == late


def test_clients_of_one_scenario_are_strangers_to_each_other(run: Run) -> None:
    networks: list[str] = []

    def look(play: Play) -> None:
        client = play.new_client(Kind.KNOWN)
        hosts = [client, client.another(), client.another(), play.new_client(Kind.STRANGER)]
        networks.extend(host.address.rpartition(".")[0] for host in hosts)
        keeps(play)

    assert vote(run, look, look).status is Status.PASSED
    assert len(networks) == len({*networks}) == 8


def late_at_the_end(play: Play) -> None:
    """What a scenario meets whose message is taken late."""
    attempt = play.new_client(Kind.KNOWN).attempt(upto=Stage.DATA)
    raise ContradictionError("expected pass at data, but it was late", attempt.data, Fault.LATE)


def outcome(run: Run, plays: Ending, rule: str = "delivery.maildir") -> CaseResult:
    return run_scenario(run, Plan(run.catalogue[rule], frozenset(), lambda play: plays(play), has_twin=False))


def test_lateness_that_others_have_as_well_is_no_failure(run: Run) -> None:
    alone = outcome(replace(run, steadiness=Steadiness()), late_at_the_end)
    assert (alone.status, len(alone.tries)) == (Status.FAILED, 3)
    slow = replace(run, steadiness=Steadiness())
    for number in range(20):
        slow.steadiness.timed(f"rule {number}", [Stage.DATA], Stage.DATA if number < 10 else None)
    among_others = outcome(slow, late_at_the_end)
    assert among_others.status is Status.INCONCLUSIVE
    assert "innocent clients of 10 of 20 other rules were late at data, too" in among_others.reason


@pytest.mark.parametrize(
    ("wrong", "dialogues", "status", "tries"),
    [
        (6, 1, Status.FAILED, 4),
        (6, 12, Status.FAILED, 10),  # where one of them may have met trouble
        (60, 12, Status.INCONCLUSIVE, 2),  # as one of twelve is sure to: no number of votes would decide it
    ],
)
def test_a_scenario_of_many_dialogues_fails_on_more_clients_where_the_server_is_not_steady(
    run: Run, wrong: int, dialogues: int, status: Status, tries: int
) -> None:
    def fails(play: Play) -> None:
        for _ in range(dialogues):
            play.new_client(Kind.KNOWN).attempt(upto=Stage.HELO)
        raise FailedError("550 at helo")

    steadiness = Steadiness()
    for number in range(300):
        steadiness.innocent_met("550 at rcpt" if number < wrong else "")
    came = outcome(replace(run, steadiness=steadiness), fails, "helo.plain-ip")
    assert (came.status, len(came.tries)) == (status, tries), came.reason


SAID = {
    "refused": "450 at helo",
    "late": "late at connect",
    "ended": "the connection ended, while an innocent client was served right after it",
}


@pytest.mark.parametrize(
    "sorts",
    [
        ("refused", "late", "refused"),
        ("refused", "late", "another"),  # one more of them will do
        ("refused", "late", "nothing"),
        ("late", "late"),
        ("ended", "ended"),
        ("ended", "ended later", "nothing"),
        ("ended", "ended later", "refused"),  # nor with what has no more in common with them
    ],
)
def test_clients_that_met_different_things_need_one_more_to_fail(run: Run, sorts: tuple[str, ...]) -> None:
    left = iter(sorts)

    def fails(play: Play) -> None:
        sort = next(left)
        attempt = play.new_client(Kind.KNOWN).attempt(upto=Stage.MAIL if "later" in sort else Stage.HELO)
        match sort:
            case "ended" | "ended later":
                raise EndedError("the connection ended")
            case "refused":
                raise ContradictionError("450 at helo", attempt.helo)
            case "late":
                raise ContradictionError("late at connect", attempt.connect, Fault.SOON)
            case "another":
                raise FailedError("no message came")
            case _:
                raise InconclusiveError("nothing was seen")

    came = outcome(replace(run, steadiness=Steadiness()), fails, "helo.plain-ip")
    assert len(came.tries) == len(sorts)
    if sorts[-1] == "nothing" or "ended later" in sorts:
        assert came.status is Status.INCONCLUSIVE
        assert "of them otherwise than on the rest" in came.reason
    else:
        assert (came.status, came.reason) == (Status.FAILED, SAID[sorts[0]])


def test_what_could_not_be_told_is_tried_again_when_nothing_is_slow(run: Run) -> None:
    course: list[str] = []

    def cannot_tell(play: Play) -> None:
        course.append("a try")
        raise InconclusiveError("everything was slow")

    run = replace(run, steadiness=Steadiness(), await_lull=lambda: course.append("a lull"))
    assert outcome(run, cannot_tell, "helo.plain-ip").status is Status.INCONCLUSIVE
    assert course == ["a try", "a lull", "a try", "a lull", "a try"]


def tries_to_log_in(play: Play) -> None:
    """What a stranger meets that is not let in."""
    client = play.new_client(Kind.STRANGER)
    user, secret = client.account()
    with client.conversation() as talk:
        client.begin_tls(talk)
        client.authenticate(talk, user, "not-" + secret)
        attempt = talk.quit()
    raise ContradictionError("535 at auth", attempt.auth)


def test_an_account_that_is_out_of_use_is_looked_for_where_one_is_not_let_in(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    """Some servers lock an account after wrong passwords: who does not log in is served all the while."""
    sent: list[Innocent | None] = []

    def trouble(run: Run, server: Endpoint | None = None, like: Innocent | None = None) -> str:
        sent.append(like)
        return "accounts are refused" if like and like.authenticated else ""

    monkeypatch.setattr(Run, "trouble", trouble)
    address = run.client(run.world(), Kind.KNOWN)
    meetings = (
        Meeting(innocent, address, Attempt(address.address, (), SessionEnding.QUIT))
        for innocent in innocents(run.profile)
    )
    found = vote(
        replace(run, baseline=Baseline(tuple(meetings))), tries_to_log_in, None, "auth.from-anywhere"
    )
    assert (found.status, found.lost) == (Status.INCONCLUSIVE, True)
    assert "afterwards accounts are refused" in found.reason
    assert [like and like.authenticated for like in sent] == [True]


@pytest.mark.parametrize("visits", [1, 3])
def test_who_came_before_is_held_beside_an_innocent_client_that_comes_as_often(
    monkeypatch: pytest.MonkeyPatch, run: Run, visits: int
) -> None:
    asked: list[int] = []

    def wearied(run: Run, like: Innocent, times: int) -> str:
        asked.append(times)
        return "innocent clients that come so often are refused"

    def comes_again(play: Play) -> None:
        play.new_client(Kind.KNOWN).attempt()
        client = play.new_client(Kind.KNOWN)
        attempts = [client.attempt() for _ in range(visits)]
        raise ContradictionError("450 at helo", attempts[-1].helo)

    monkeypatch.setattr(Run, "trouble", lambda run, server=None, like=None: "")
    monkeypatch.setattr(Run, "wearied", wearied)
    client = run.client(run.world(), Kind.KNOWN)
    meeting = Meeting(next(innocents(run.profile)), client, Attempt(client.address, (), SessionEnding.QUIT))
    found = vote(replace(run, baseline=Baseline((meeting,))), comes_again, keeps)
    assert asked == [visits - 1][: visits > 1]
    assert found.status is (Status.INCONCLUSIVE if visits > 1 else Status.FAILED)


def sets_aside(*, loses: bool = False, again: bool = True) -> Ending:
    """A scenario that is not applicable by what a client met, once or each time; a dialogue may be lost."""
    tries: list[Play] = []

    def play(play: Play) -> None:
        if not play.offence:
            keeps(play)
            return
        tries.append(play)
        client = play.new_client(Kind.KNOWN)
        client.attempt()
        if loses:
            with client.conversation() as talk:
                talk.connect()
                talk.session.close()
                talk.ehlo(client.host)
        play.expect.applicable(len(tries) > 1 and not again, "nobody may do that here")
        keeps(play)

    return play


@pytest.mark.parametrize(
    ("scenario", "status", "tries"),
    [
        (sets_aside(), Status.NOT_APPLICABLE, 2),
        (sets_aside(again=False), Status.PASSED, 2),
        (sets_aside(loses=True), Status.INCONCLUSIVE, None),
        (raises(NotApplicableError("nobody may do that here")), Status.NOT_APPLICABLE, 1),
    ],
    ids=["each time", "once", "by a dialogue that was lost", "before any dialogue"],
)
def test_what_was_met_sets_a_scenario_aside_only_if_it_is_met_again(
    run: Run, scenario: Ending, status: Status, tries: int | None
) -> None:
    run = replace(run, steadiness=Steadiness())
    came = run_scenario(run, Plan(run.catalogue["helo.plain-ip"], frozenset(), scenario))
    assert came.status is status, came.reason
    assert tries in (None, len(came.tries))


def test_what_was_met_sets_no_scenario_aside_that_failed(run: Run) -> None:
    fails_then_aside = iter([FailedError("550 at helo"), *[NotApplicableError("not here")] * 11])

    def scenario(play: Play) -> None:
        if play.offence:
            play.new_client(Kind.KNOWN).attempt()
            raise next(fails_then_aside)
        keeps(play)

    run = replace(run, steadiness=Steadiness())
    came = run_scenario(run, Plan(run.catalogue["helo.plain-ip"], frozenset(), scenario))
    assert came.status is Status.INCONCLUSIVE, came.reason
    assert "it failed on one client and proved nothing on another: not here" in came.reason


def test_what_an_innocent_client_does_not_get_either_sets_nothing_aside(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    run = replace(run, steadiness=Steadiness())
    monkeypatch.setattr(run, "trouble", lambda server=None, like=None: "an innocent client is banned")
    plan = Plan(run.catalogue["helo.plain-ip"], frozenset(), sets_aside())
    came = run_scenario(run, plan)
    assert came.status is Status.INCONCLUSIVE
    assert "nobody may do that here; afterwards an innocent client is banned" in came.reason


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        ("helo.not-fqdn", Status.INCONCLUSIVE),
        ("greylist.other-triplet", Status.FAILED),  # who is spared by the greylist is its own affair
        ("absent.mime-checks", Status.FAILED),  # nothing is held against anybody
    ],
)
def test_what_is_let_through_of_hosts_on_a_white_list_is_looked_for_on_others(
    run: Run, rule: str, status: Status
) -> None:
    def scenario(play: Play) -> None:
        client = play.new_client(Kind.KNOWN)
        if play.offence and play.run.sut.whitelists(client.host):
            raise FailedError("it was let through")
        keeps(play)

    run = replace(run, steadiness=Steadiness())
    came = run_scenario(run, Plan(run.catalogue[rule], frozenset(), scenario))
    assert came.status is status, came.reason
    assert ("spared more than the greylist" in came.reason) is (status is Status.INCONCLUSIVE)


def test_an_ordinary_host_waits_for_the_greylist_and_is_taken(run: Run) -> None:
    play = Play(run, run.catalogue["helo.not-fqdn"], spared=False)
    with play.world.place():
        client = play.new_client(Kind.KNOWN)
        attempt = client.attempt(upto=Stage.DATA)
    assert client.kind is Kind.ORDINARY
    assert not run.sut.whitelists(client.host)
    assert client.put_off == (Stage.RCPT, 451)
    assert attempt.data.code == 250


def test_a_dialogue_that_was_lost_is_no_turn_of_a_host_that_waits(run: Run) -> None:
    spared: list[bool] = []

    def scenario(play: Play) -> None:
        client = play.new_client(Kind.KNOWN)
        if play.offence:
            spared.append(play.spared)
            if len(spared) == 2:
                with client.conversation() as talk:
                    talk.connect()
                    talk.session.cut_short()
                    talk.ehlo(client.host)
            if play.spared:
                raise FailedError("it was let through")
        keeps(play)

    run = replace(run, steadiness=Steadiness())
    came = run_scenario(run, Plan(run.catalogue["helo.not-fqdn"], frozenset(), scenario))
    assert spared[:3] == [True, False, False]
    assert came.status is Status.INCONCLUSIVE, came.reason
