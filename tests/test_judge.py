"""The verdict: what was seen, held against what is documented, and no verdict from noise."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.judge import BrokenError, FullError, Judge, Timing
from harness.outcome import Outcome, Stage
from harness.smtp.reply import Reply
from harness.smtp.session import Ending
from harness.verdicts import FailedError, InconclusiveError
from harness.world.conversation import Attempt, Step

DELAY = 2.0
LATE, PROMPT, BETWEEN = 2.01, 0.02, 1.4


def step(stage: Stage, code: int, seconds: float = PROMPT, *, dropped: bool = False) -> Step:
    reply = Reply(code=code, lines=("text",), raw=b"%d text\r\n" % code, at=seconds, seconds=seconds)
    return Step(stage, "", reply, began=10.0, seconds=seconds, silence=seconds, dropped=dropped)


def silence(stage: Stage) -> Step:
    return Step(stage, "", None, began=10.0, seconds=1.0, broken="connection reset")


def attempt(*steps: Step) -> Attempt:
    return Attempt("198.18.0.1", steps, Ending.QUIT)


def judge(lag: float = 0.0, delay: float = DELAY) -> Judge:
    return Judge(delay, lambda since, until: lag)


def greeted(code: int, seconds: float = PROMPT, *, dropped: bool = False) -> Attempt:
    return attempt(step(Stage.CONNECT, 220), step(Stage.HELO, code, seconds, dropped=dropped))


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (greeted(250), "pass at helo"),
        (greeted(250, LATE), "delay at helo"),
        (greeted(550), "deny at helo"),
        (greeted(550, LATE), "delay+deny at helo"),
        (greeted(550, dropped=True), "drop at helo"),
        (greeted(550, LATE, dropped=True), "delay+drop at helo"),
        (greeted(451), "defer at helo"),
    ],
)
def test_each_outcome_is_itself_and_no_other(seen: Attempt, outcome: str) -> None:
    judge().expect(seen, (Outcome.parse(outcome),))
    for other in ("pass", "delay", "deny", "delay+deny", "drop", "delay+drop", "defer"):
        if f"{other} at helo" != outcome:
            with pytest.raises(FailedError):
                judge().expect(seen, (Outcome.parse(f"{other} at helo"),))


@pytest.mark.parametrize("outcome", ["pass at helo", "delay at helo"])
def test_neither_prompt_nor_late_is_inconclusive(outcome: str) -> None:
    with pytest.raises(InconclusiveError, match="neither clearly prompt nor clearly late"):
        judge().expect(greeted(250, BETWEEN), (Outcome.parse(outcome),))


@pytest.mark.parametrize("outcome", ["pass at helo", "delay at helo"])
def test_a_late_reply_proves_nothing_while_the_harness_itself_lagged(outcome: str) -> None:
    with pytest.raises(InconclusiveError):
        judge(lag=DELAY * 0.45).expect(greeted(250, LATE), (Outcome.parse(outcome),))


def test_a_server_that_goes_on_asking_dns_is_slow_and_does_not_hold_back() -> None:
    busy = replace(step(Stage.HELO, 250, LATE), silence=DELAY * 0.3)
    for outcome in ("pass at helo", "delay at helo"):
        with pytest.raises(InconclusiveError):
            judge().expect(attempt(step(Stage.CONNECT, 220), busy), (Outcome.parse(outcome),))


def test_a_prompt_reply_is_prompt_however_the_harness_lagged() -> None:
    judge(lag=DELAY).expect(greeted(250), (Outcome.parse("pass at helo"),))
    with pytest.raises(FailedError):
        judge(lag=DELAY).expect(greeted(250), (Outcome.parse("delay at helo"),))


@given(st.floats(min_value=0.0, max_value=10.0), st.sampled_from([250, 451, 550]))
def test_no_reply_is_both_prompt_and_late(seconds: float, code: int) -> None:
    verdict = {250: "pass", 451: "defer", 550: "deny"}[code]
    words = (f"{verdict} at helo", "delay at helo" if code == 250 else f"delay+{verdict} at helo")
    assert [holds(greeted(code, seconds), word) for word in words].count(True) <= 1


def holds(seen: Attempt, word: str) -> bool:
    try:
        judge().expect(seen, (Outcome.parse(word),))
    except (FailedError, InconclusiveError):
        return False
    return True


def test_without_a_documented_delay_nothing_is_late() -> None:
    judge(delay=0.0).expect(greeted(250, 30.0), (Outcome.parse("pass at helo"),))


def test_alternatives_are_enough() -> None:
    both = (Outcome.parse("deny at helo"), Outcome.parse("delay+deny at helo"))
    judge().expect(greeted(550), both)
    judge().expect(greeted(550, LATE), both)
    with pytest.raises(FailedError, match="deny at helo or delay"):
        judge().expect(greeted(250), both)


def test_a_refusal_before_its_stage_is_no_refusal_at_its_stage() -> None:
    with pytest.raises(FailedError, match="at helo the server said 550"):
        judge().expect(greeted(550), (Outcome.parse("deny at rcpt"),))


@pytest.mark.parametrize(
    ("stage", "code", "text", "full"),
    [
        (Stage.MAIL, 452, "Space shortage, please try later", True),
        (Stage.DATA, 452, "4.3.1 No room", True),
        (Stage.DATA, 431, "4.3.1 No room", True),
        (Stage.RCPT, 452, "4.2.2 The mailbox is full", True),
        (Stage.RCPT, 452, "too many recipients", False),
        (Stage.RCPT, 452, "4.5.3 Too many recipients", False),
        (Stage.DATA, 451, "4.7.1 Not now", False),
    ],
)
@pytest.mark.parametrize("outcome", ["pass", "deny"])
def test_a_server_without_room_says_nothing_of_its_rules(
    stage: Stage, code: int, text: str, full: bool, outcome: str
) -> None:
    reply = Reply(code=code, lines=(text,), raw=b"", at=PROMPT, seconds=PROMPT)
    refused = replace(step(stage, code), reply=reply)
    with pytest.raises(FullError if full else FailedError, match="storage" if full else "said"):
        judge().expect(attempt(refused), (Outcome.parse(f"{outcome} at {stage}"),))


def test_silence_and_421_may_be_trouble_with_the_server() -> None:
    for last in (silence(Stage.HELO), step(Stage.HELO, 421)):
        with pytest.raises(BrokenError):
            judge().expect(attempt(step(Stage.CONNECT, 220), last), (Outcome.parse("pass at helo"),))


def earned(rcpt_code: int, seconds: float) -> Attempt:
    return attempt(
        step(Stage.CONNECT, 220, LATE),
        step(Stage.HELO, 250),
        step(Stage.MAIL, 250, LATE),
        step(Stage.RCPT, rcpt_code, seconds),
    )


@pytest.mark.parametrize("outcome", ["pass at rcpt", "delay at rcpt"])
@pytest.mark.parametrize("before", [LATE, BETWEEN])
def test_a_wait_after_another_wait_proves_nothing_about_its_own_rule(outcome: str, before: float) -> None:
    waited = attempt(step(Stage.CONNECT, 220, before), step(Stage.HELO, 250), step(Stage.RCPT, 250, LATE))
    with pytest.raises(InconclusiveError, match="earned before"):
        judge().expect(waited, (Outcome.parse(outcome),))


def test_a_wait_that_was_meant_to_be_earned_proves_its_repetition() -> None:
    judge().expect(earned(250, LATE), (Outcome.parse("delay at rcpt"),), earned=True)


def test_a_twin_that_suffers_fails_the_rule() -> None:
    judge().through(greeted(250), Stage.HELO)
    for hit in (greeted(550), greeted(250, LATE)):
        with pytest.raises(FailedError, match="the innocent twin suffers too"):
            judge().through(hit, Stage.HELO)


def test_a_twin_that_was_slow_without_being_held_back_is_inconclusive() -> None:
    with pytest.raises(InconclusiveError, match="the innocent twin"):
        judge().through(greeted(250, BETWEEN), Stage.HELO)


def test_a_deferred_recipient_may_be_the_greylist_s_word() -> None:
    deferred = attempt(step(Stage.CONNECT, 220), step(Stage.HELO, 250), step(Stage.RCPT, 451))
    with pytest.raises(FailedError):
        judge().expect(deferred, (Outcome.parse("pass at rcpt"),))
    with pytest.raises(InconclusiveError, match="greylist"):
        replace(judge(), greylisting=True).expect(deferred, (Outcome.parse("pass at rcpt"),))
    with pytest.raises(FailedError):
        replace(judge(), greylisting=True).expect(deferred, (Outcome.parse("deny at rcpt"),))


def test_the_end_of_data_may_take_as_long_as_the_content_is_scanned() -> None:
    scanning = Judge(DELAY, lambda since, until: 0.0, scan=10.0)
    assert scanning.timing(step(Stage.DATA, 250, LATE)) is Timing.PROMPT
    assert scanning.timing(step(Stage.DATA, 250, 12.0)) is Timing.LATE
    assert scanning.timing(step(Stage.RCPT, 250, LATE)) is Timing.LATE


def test_a_late_end_of_data_proves_nothing_where_the_scan_is_not_known() -> None:
    late = attempt(step(Stage.DATA, 250, LATE))
    expected = (Outcome.parse("pass at data"),)
    with pytest.raises(InconclusiveError, match=r"server\.scan"):
        Judge(DELAY, lambda since, until: 0.0).expect(late, expected)
    with pytest.raises(FailedError):
        Judge(DELAY, lambda since, until: 0.0, scan=0.0).expect(late, expected)
