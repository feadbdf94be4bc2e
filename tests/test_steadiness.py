"""How many agreeing clients a verdict needs: two, and the more the less steady the server is seen to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.outcome import Stage
from harness.runs.steadiness import LATE, MORE_TRIES, TRIES, Seen, Steadiness


def seen(innocents: int = 0, wrong: int = 0, dialogues: int = 0, lost: int = 0) -> Seen:
    steadiness = Steadiness()
    for number in range(innocents):
        steadiness.innocent_met("550 at rcpt" if number < wrong else "")
    for number in range(dialogues):
        steadiness.dialogue_ended(lost=number < lost)
    return steadiness.seen


@pytest.mark.parametrize("innocents", [0, 20, 300])
def test_a_steady_server_fails_on_two_clients_and_passes_on_one(innocents: int) -> None:
    steadiness = seen(innocents, dialogues=innocents)
    assert (steadiness.votes_to_fail(), steadiness.votes_to_pass(), steadiness.tries) == (2, 1, TRIES)
    assert str(steadiness) == ""


def test_lost_connections_ask_for_more_failures_and_for_no_more_passes() -> None:
    steadiness = seen(300, 0, 600, 180)
    assert steadiness.votes_to_fail() > 2
    assert steadiness.votes_to_pass() == 1
    assert steadiness.tries == MORE_TRIES
    assert "180 of 600 dialogues were lost without a reason" in str(steadiness)


def test_innocents_that_came_out_differently_ask_for_more_of_both() -> None:
    steadiness = seen(300, 90)
    assert steadiness.votes_to_fail() > seen(300, 6).votes_to_fail() > 2
    assert steadiness.votes_to_pass() > 1
    assert "90 of 300 innocent clients met something else" in str(steadiness)


def test_the_more_dialogues_a_try_has_the_more_failures_an_unsteady_server_asks_for() -> None:
    unsteady = seen(300, 15, 600, 30)
    needed = [unsteady.votes_to_fail(dialogues) for dialogues in (0, 1, 2, 4, 8, 16)]
    assert needed[0] == needed[1]
    assert needed[1:] == sorted(set(needed[1:]))
    assert needed[-1] > MORE_TRIES  # among so many, something is wrong each time
    assert seen(300, dialogues=600).votes_to_fail(16) == 2


@given(st.integers(1, 400), st.floats(0, 1), st.integers(1, 400), st.floats(0, 1))
def test_more_trouble_never_asks_for_less(innocents: int, wrong: float, dialogues: int, lost: float) -> None:
    some = seen(innocents, int(innocents * wrong), dialogues, int(dialogues * lost))
    more = seen(innocents, min(innocents, int(innocents * wrong) + 1), dialogues, int(dialogues * lost))
    assert more.votes_to_fail() >= some.votes_to_fail() >= 2
    assert more.votes_to_pass() >= some.votes_to_pass() >= 1


def test_a_rule_that_hits_its_twins_each_time_is_no_reason_to_doubt_any_verdict() -> None:
    steadiness = Steadiness()
    for number in range(40):
        steadiness.twin_met(f"kept {number}", "")
        for _ in range(2):
            steadiness.twin_met(f"hits the innocent {number}", "550 at rcpt")
    assert steadiness.seen == Seen(innocents=120)
    assert steadiness.seen.steady


def test_twins_that_come_out_differently_are_a_reason() -> None:
    steadiness = Steadiness()
    for met in ("", "", "550 at rcpt", "451 at rcpt"):
        steadiness.twin_met("a scenario", met)
    assert steadiness.seen.wrong == 2


def test_one_twin_that_was_hit_leaves_everything_in_doubt_until_another_has_met_the_same() -> None:
    steadiness = Steadiness()
    steadiness.twin_met("another scenario", "")
    steadiness.twin_met("a scenario", "550 at rcpt")
    assert steadiness.doubts("a scenario")
    assert not steadiness.doubts("another scenario")
    assert steadiness.seen.votes_to_pass() > 1
    steadiness.twin_met("a scenario", "550 at rcpt")
    assert steadiness.seen.votes_to_pass() == 1


def test_innocents_that_came_late_make_no_other_rule_doubtful_than_those_that_show_by_time() -> None:
    steadiness = Steadiness()
    for scenario, met in (("a scenario", LATE), ("a scenario", ""), ("another", ""), ("another", "")):
        steadiness.twin_met(scenario, met)
    seen = steadiness.seen
    assert (seen.wrong, seen.late, seen.votes_to_pass()) == (0, 1, 1)
    assert seen.votes_to_pass(by_time=True) > 1
    assert seen.votes_to_fail() > 2
    assert "1 of 4 met the same, but later" in str(seen)
    often = Seen(innocents=300, late=30)
    assert (
        often.votes_to_pass(by_time=True)
        >= often.votes_to_fail()
        > Seen(innocents=300, wrong=30).votes_to_pass()
    )
    steadiness.innocent_met(LATE)
    assert (steadiness.seen.wrong, steadiness.seen.late) == (0, 2)


def timed(late: int, rules: int) -> Steadiness:
    """Other rules, of which so many had an innocent client that was late at the end of DATA."""
    steadiness = Steadiness()
    for number in range(rules):
        for _ in range(3):
            steadiness.timed(
                f"rule {number}", (Stage.RCPT, Stage.DATA), Stage.DATA if number < late else None
            )
    return steadiness


def test_a_rule_whose_clients_alone_are_late_fails_on_two_and_on_one_more_where_mail_is_stored() -> None:
    steadiness = timed(0, 60)
    for _ in range(3):
        steadiness.timed("this one", (Stage.RCPT, Stage.DATA), Stage.DATA)
    lateness = steadiness.lateness("this one", Stage.DATA)
    assert (lateness.rules, lateness.late, lateness.seen, lateness.votes) == (60, 0, False, 3)
    assert steadiness.lateness("this one", Stage.RCPT).votes == 2


def test_where_clients_of_many_rules_are_late_lateness_tells_the_less() -> None:
    votes = [timed(late, 60).lateness("this one", Stage.DATA).votes for late in range(0, 60, 4)]
    assert votes == sorted(votes)
    assert votes[1] > 2
    assert votes[8] > MORE_TRIES
    elsewhere = timed(30, 60).lateness("this one", Stage.RCPT)
    assert (elsewhere.late, elsewhere.votes) == (0, 2)
    assert "30 of 60 other rules were late at data" in str(timed(30, 60).lateness("this one", Stage.DATA))
