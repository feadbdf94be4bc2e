"""The verdict: what was seen, held against what is documented, and no verdict from noise."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.judge import (
    ContradictionError,
    GreylistWordError,
    Judge,
    MisplacedError,
    NoEvidenceError,
    Timing,
    UnclearTimingError,
    in_greylist_words,
)
from harness.outcome import Outcome, Stage
from harness.profile.tables import Greylist
from harness.smtp.reply import Reply
from harness.smtp.session import Ending
from harness.verdicts import FailedError, InconclusiveError
from harness.world.conversation import Attempt, Step
from harness.world.reply_set import THROUGH, ReplySet

DELAY = 2.0
LATE, PROMPT, BETWEEN = 2.01, 0.02, 1.4


def step(stage: Stage, code: int, seconds: float = PROMPT, *, dropped: bool = False) -> Step:
    reply = Reply(code=code, lines=("text",), raw=b"%d text\r\n" % code, at=seconds, seconds=seconds)
    return Step(stage, "", (reply,), began=10.0, seconds=seconds, silence=seconds, dropped=dropped)


def silence(stage: Stage) -> Step:
    return Step(stage, "", (), began=10.0, seconds=1.0, broken="connection reset")


def attempt(*steps: Step) -> Attempt:
    return Attempt("198.18.0.1", steps, Ending.QUIT)


def judge(lag: float = 0.0, delay: float = DELAY) -> Judge:
    return Judge(delay, lambda since, until: lag)


def test_a_reply_is_not_late_that_several_slownesses_may_have_made_so() -> None:
    def timed(taken: float) -> Timing:
        slowly = replace(judge(lag=DELAY * 0.3), taken=lambda since, until: taken)
        return slowly.timing(step(Stage.HELO, 250, LATE))

    assert timed(DELAY * 0.3) is Timing.LATE
    assert timed(DELAY * 0.6) is Timing.UNCLEAR
    assert timed(math.inf) is Timing.UNCLEAR


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


@pytest.mark.parametrize(
    ("seen", "outcome", "told"),
    [
        (
            greeted(550, dropped=True),
            "deny",
            "refused and closed the connection; if it is meant to, write",
        ),
        (greeted(550), "drop", "refused and left the connection open; if it is meant to, write deny"),
        (greeted(550), "drop with 550", "write deny instead of drop"),
        (greeted(550, dropped=True), "deny with 554", ""),
        (greeted(550), "defer", ""),
        (greeted(250), "drop", ""),
    ],
)
def test_a_refusal_that_differs_in_its_ending_only_says_what_to_write(
    seen: Attempt, outcome: str, told: str
) -> None:
    answer, separator, codes = outcome.partition(" with ")
    with pytest.raises(FailedError) as caught:
        judge().expect(seen, (Outcome.parse(f"{answer} at helo{separator}{codes}"),))
    assert told in str(caught.value)
    assert bool(told) == ("write" in str(caught.value))


@pytest.mark.parametrize(
    ("seen", "came"),
    [
        (greeted(250), "pass at helo"),
        (attempt(*greeted(250, LATE).staged, step(Stage.MAIL, 250)), "delay at helo"),
        (attempt(*greeted(250, LATE).staged, step(Stage.MAIL, 550)), "deny at mail"),
        (greeted(550, LATE, dropped=True), "delay+drop at helo"),
        (greeted(250, BETWEEN), ""),
        (greeted(421), ""),
        (attempt(step(Stage.CONNECT, 220), silence(Stage.HELO)), ""),
        (attempt(), ""),
    ],
)
def test_what_a_dialogue_came_to(seen: Attempt, came: str) -> None:
    assert judge().came_to(seen) == came


@pytest.mark.parametrize("outcome", ["pass at helo", "delay at helo"])
def test_neither_prompt_nor_late_is_inconclusive(outcome: str) -> None:
    with pytest.raises(InconclusiveError, match="neither clearly prompt nor clearly late"):
        judge().expect(greeted(250, BETWEEN), (Outcome.parse(outcome),))


@pytest.mark.parametrize("outcome", ["pass at helo", "delay at helo"])
def test_a_late_reply_proves_nothing_while_the_harness_itself_lagged(outcome: str) -> None:
    with pytest.raises(InconclusiveError):
        judge(lag=DELAY * 0.45).expect(greeted(250, LATE), (Outcome.parse(outcome),))


@pytest.mark.parametrize(
    ("lag", "timing"), [(0.3, Timing.UNCLEAR), (0.6, Timing.PROMPT), (0.9, Timing.PROMPT)]
)
def test_a_reply_that_came_too_soon_to_be_late_is_prompt_where_slowness_explains_the_rest(
    lag: float, timing: Timing
) -> None:
    assert judge(lag=lag).timing(step(Stage.HELO, 250, BETWEEN)) is timing


def test_slowness_that_nobody_measured_explains_nothing() -> None:
    assert judge(lag=math.inf).timing(step(Stage.HELO, 250, BETWEEN)) is Timing.UNCLEAR
    assert judge(lag=math.inf).timing(step(Stage.HELO, 250, LATE)) is Timing.UNCLEAR


@pytest.mark.parametrize("lag", [0.0, 0.5, 1.0, 5.0])
def test_no_slowness_makes_a_late_reply_prompt(lag: float) -> None:
    assert judge(lag=lag).timing(step(Stage.HELO, 250, LATE)) is not Timing.PROMPT


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
        (Stage.DATA, 552, "5.2.2 The mailbox is full", True),
        (Stage.RCPT, 552, "5.2.2 The mailbox is full", True),
        (Stage.DATA, 554, "5.3.1 Mail system full", True),
        (Stage.DATA, 552, "5.3.4 The message is too big", False),
        (Stage.DATA, 552, "The message is too big", False),
        (Stage.RCPT, 452, "too many recipients", False),
        (Stage.RCPT, 452, "4.5.3 Too many recipients", False),
        (Stage.DATA, 451, "4.7.1 Not now", False),
    ],
)
@pytest.mark.parametrize("outcome", ["pass at {}", "defer at {} with 450"])
def test_a_server_without_room_says_nothing_of_its_rules(
    stage: Stage, code: int, text: str, full: bool, outcome: str
) -> None:
    reply = Reply(code=code, lines=(text,), raw=b"", at=PROMPT, seconds=PROMPT)
    refused = replace(step(stage, code), replies=(reply,))
    with pytest.raises(NoEvidenceError if full else ContradictionError, match="storage" if full else "said"):
        judge().expect(attempt(refused), (Outcome.parse(outcome.format(stage)),))


MANGLED = replace(
    step(Stage.HELO, 550),
    replies=(Reply(550, ("n\0",), b"", at=PROMPT, seconds=PROMPT, flaws=("NUL byte",)),),
)


@pytest.mark.parametrize("last", [silence(Stage.HELO), step(Stage.HELO, 421), MANGLED], ids=str)
@pytest.mark.parametrize("outcome", ["pass at helo", "deny at helo", "defer at helo", "drop at helo"])
def test_silence_421_and_garbage_are_no_evidence(last: Step, outcome: str) -> None:
    with pytest.raises(NoEvidenceError):
        judge().expect(attempt(step(Stage.CONNECT, 220), last), (Outcome.parse(outcome),))
    with pytest.raises(NoEvidenceError):
        judge().through(attempt(step(Stage.CONNECT, 220), last), Stage.HELO)


def test_421_counts_where_it_is_documented() -> None:
    seen = attempt(step(Stage.CONNECT, 220), step(Stage.HELO, 421))
    judge().expect(seen, (Outcome.parse("defer at helo with 421"),))


@pytest.mark.parametrize(
    ("outcome", "holds"),
    [
        ("deny at helo with 550", True),
        ("deny at helo with 554, 550", True),
        ("deny at helo with 554", False),
        ("deny at helo with 5.7.1", True),
        ("deny at helo with 550, 5.7.1", True),
    ],
)
def test_codes_are_part_of_what_is_promised(outcome: str, holds: bool) -> None:
    if holds:
        judge().expect(greeted(550), (Outcome.parse(outcome),))
    else:
        with pytest.raises(ContradictionError, match="with 554, but at helo the server said 550"):
            judge().expect(greeted(550), (Outcome.parse(outcome),))


def test_an_enhanced_code_that_is_another_contradicts() -> None:
    reply = Reply(550, ("5.1.1 nobody",), b"", at=PROMPT, seconds=PROMPT)
    seen = attempt(step(Stage.CONNECT, 220), replace(step(Stage.HELO, 550), replies=(reply,)))
    judge().expect(seen, (Outcome.parse("deny at helo with 5.1.1"),))
    with pytest.raises(ContradictionError):
        judge().expect(seen, (Outcome.parse("deny at helo with 5.7.1"),))


def test_what_everybody_waits_for_is_held_against_nobody() -> None:
    pausing = replace(judge(), pause=20.0)
    assert pausing.timing(step(Stage.CONNECT, 220, 20.0 + PROMPT)) is Timing.PROMPT
    assert pausing.timing(step(Stage.CONNECT, 220, 20.0 + LATE)) is Timing.LATE
    assert pausing.timing(step(Stage.HELO, 250, 20.0)) is Timing.LATE


def test_what_every_refusal_takes_is_held_against_nobody() -> None:
    tarpit = replace(judge(), refusals_take=1.4)
    assert tarpit.timing(step(Stage.RCPT, 550, 1.4 + PROMPT)) is Timing.PROMPT
    assert tarpit.timing(step(Stage.RCPT, 451, 1.4 + PROMPT)) is Timing.PROMPT
    assert tarpit.timing(step(Stage.RCPT, 550, 1.4 + BETWEEN)) is Timing.UNCLEAR
    assert tarpit.timing(step(Stage.RCPT, 550, 1.4 + LATE)) is Timing.LATE
    assert tarpit.timing(step(Stage.RCPT, 250, LATE)) is Timing.LATE
    assert tarpit.timing(step(Stage.DATA, 354, BETWEEN)) is Timing.UNCLEAR
    both = replace(tarpit, pause=20.0)
    assert both.timing(step(Stage.CONNECT, 554, 20.0 + 1.4 + PROMPT)) is Timing.PROMPT
    assert both.timing(step(Stage.CONNECT, 554, 20.0 + 1.4 + LATE)) is Timing.LATE


def test_several_refusals_of_one_write_take_that_each() -> None:
    refused = step(Stage.RCPT, 550, 2.8 + PROMPT)
    pair = replace(refused, replies=refused.replies * 2)
    assert replace(judge(), refusals_take=1.4).timing(pair) is Timing.PROMPT
    assert replace(judge(), refusals_take=1.4).timing(refused) is Timing.UNCLEAR


def test_a_silence_that_every_refusal_has_is_no_delay() -> None:
    asking = replace(step(Stage.RCPT, 550, 1.9 + LATE), silence=1.9)  # DNS was asked all the while before
    assert replace(judge(), refusals_take=1.9).timing(asking) is Timing.UNCLEAR


def test_the_reasons_name_what_decides_how_long_a_refusal_takes() -> None:
    promised = (Outcome.parse("deny at helo"),)
    with pytest.raises(InconclusiveError, match=r"neither clearly.*; if this .* dialect\.refusals_take to "):
        judge().expect(greeted(550, BETWEEN), promised)
    with pytest.raises(
        ContradictionError, match=r"it was late: 550.*; if this .* dialect\.refusals_take to "
    ):
        judge().expect(greeted(550, LATE), promised)
    with pytest.raises(ContradictionError) as accepted:
        judge().expect(greeted(250, LATE), (Outcome.parse("pass at helo"),))
    assert "refusals_take" not in str(accepted.value)
    tarpit = replace(judge(), refusals_take=LATE)
    tarpit.expect(greeted(550, LATE), promised)
    with pytest.raises(
        ContradictionError, match=r"late.*below 3\.01 s.*, 2\.01 s of it as .* by dialect"
    ) as late:
        tarpit.expect(greeted(550, LATE + LATE), promised)
    assert late.value.missed == pytest.approx(LATE + DELAY / 2)
    with pytest.raises(ContradictionError, match=r"prompt: 550 .* silence of 3\.81 s or more, 2\.01 s of it"):
        tarpit.expect(greeted(550, LATE), (Outcome.parse("delay+deny at helo"),))
    with pytest.raises(ContradictionError, match=r"held back at helo, but came 550"):
        tarpit.not_prompt(greeted(550, LATE).step(Stage.HELO))


def earned(rcpt_code: int, seconds: float) -> Attempt:
    return attempt(
        step(Stage.CONNECT, 220, LATE),
        step(Stage.HELO, 250),
        step(Stage.MAIL, 250, LATE),
        step(Stage.RCPT, rcpt_code, seconds),
    )


def waited(before: float) -> Attempt:
    return attempt(step(Stage.CONNECT, 220, before), step(Stage.HELO, 250), step(Stage.RCPT, 250, LATE))


@pytest.mark.parametrize(
    ("outcome", "before"),
    [("delay at rcpt", BETWEEN), ("delay at rcpt", LATE)],
)
def test_a_wait_after_another_wait_proves_nothing_about_its_own_rule(outcome: str, before: float) -> None:
    with pytest.raises(InconclusiveError, match="earned before"):
        judge().expect(waited(before), (Outcome.parse(outcome),))


def test_who_was_kept_waiting_before_has_not_got_through_promptly() -> None:
    with pytest.raises(ContradictionError, match="at connect it was late") as caught:
        judge().expect(waited(LATE), (Outcome.parse("pass at rcpt"),))
    assert caught.value.step.stage is Stage.CONNECT


def test_who_may_have_been_kept_waiting_before_may_not_have_got_through_promptly() -> None:
    seen = attempt(step(Stage.CONNECT, 220, LATE), step(Stage.HELO, 250), step(Stage.RCPT, 250))
    for slow in (judge(lag=DELAY), Judge(DELAY, lambda since, until: math.inf)):
        with pytest.raises(UnclearTimingError, match=r"the reply at connect took .* neither clearly"):
            slow.through(seen, Stage.RCPT)
    judge(lag=DELAY).accepts(seen, Stage.RCPT)
    judge(lag=DELAY).expect(seen, (Outcome.parse("pass at rcpt"),), earned=True)


def test_a_greeting_is_prompt_only_as_seen_from_before_the_client_set_out_for_it() -> None:
    def connecting(seconds: float, before: float) -> Step:  # or its connection was seen late
        return replace(
            step(Stage.CONNECT, 220, before + seconds), seconds=seconds, silence=seconds, lead=before
        )

    assert judge(lag=DELAY).timing(connecting(DELAY * 0.6, DELAY * 0.4)) is Timing.UNCLEAR
    assert judge(lag=DELAY).timing(connecting(DELAY * 0.6, DELAY * 0.2)) is Timing.PROMPT
    assert judge().timing(connecting(PROMPT, DELAY)) is Timing.UNCLEAR  # a lost SYN
    introduced = replace(step(Stage.CONNECT, 220), lead=DELAY)  # it was asked for after others had waited
    assert judge().timing(introduced) is Timing.PROMPT


def test_a_wait_that_was_meant_to_be_earned_proves_its_repetition() -> None:
    judge().expect(earned(250, LATE), (Outcome.parse("delay at rcpt"),), earned=True)


def test_an_innocent_dialogue_goes_through_promptly() -> None:
    judge().through(greeted(250), Stage.HELO)
    for hit in (greeted(550), greeted(250, LATE)):
        with pytest.raises(ContradictionError):
            judge().through(hit, Stage.HELO)
    judge().accepts(greeted(250, LATE), Stage.HELO)
    with pytest.raises(InconclusiveError):
        judge().through(greeted(250, BETWEEN), Stage.HELO)


def test_the_greylist_s_word_is_not_that_of_another_rule() -> None:
    def put_off(code: int) -> Attempt:
        steps = (step(Stage.CONNECT, 220), step(Stage.HELO, 250), step(Stage.RCPT, code))
        return replace(attempt(*steps), awaits_greylist=True)

    greylisting = replace(judge(), greylist=Greylist(codes=(450,)))
    with pytest.raises(InconclusiveError, match="greylist"):
        greylisting.expect(put_off(450), (Outcome.parse("pass at rcpt"),))
    for one, code in ((greylisting, 451), (judge(), 450)):
        with pytest.raises(ContradictionError):
            one.expect(put_off(code), (Outcome.parse("pass at rcpt"),))
    waited = replace(put_off(450), awaits_greylist=False)  # whom it never puts off, or has put off before
    either = (Outcome.parse("pass at rcpt"), Outcome.parse("deny at rcpt"))
    for outcomes in (either[:1], either):
        with pytest.raises(ContradictionError) as said:
            greylisting.expect(waited, outcomes)
        assert in_greylist_words(said.value)  # if it is broken, the fault is its own
        with pytest.raises(ContradictionError) as said:
            greylisting.expect(put_off(451), outcomes)
        assert not in_greylist_words(said.value)


def test_a_promised_deferral_may_be_the_greylist_s_word_as_long_as_nobody_waited_for_that() -> None:
    put_off = attempt(
        step(Stage.CONNECT, 220), step(Stage.HELO, 250), step(Stage.MAIL, 250), step(Stage.RCPT, 451)
    )
    outcome = (Outcome.parse("defer at rcpt with 451"),)
    greylisting = replace(judge(), greylist=Greylist())
    greylisting.expect(put_off, outcome)
    with pytest.raises(GreylistWordError, match="greylist's word"):
        greylisting.expect(replace(put_off, awaits_greylist=True), outcome)
    judge().expect(replace(put_off, awaits_greylist=True), outcome)


def test_whom_the_greylist_may_have_put_off_was_not_turned_away() -> None:
    put_off = attempt(step(Stage.MAIL, 250), step(Stage.RCPT, 451))
    waiting = replace(put_off, awaits_greylist=True)
    greylisting = replace(judge(), greylist=Greylist())
    with pytest.raises(GreylistWordError, match="greylist's word"):
        greylisting.not_the_greylist(waiting, waiting.rcpt)
    greylisting.not_the_greylist(put_off, put_off.rcpt)
    judge().not_the_greylist(waiting, waiting.rcpt)


def test_a_reply_that_is_asked_for_has_one_of_its_codes() -> None:
    judge().replied(step(Stage.AUTH, 235), (235,))
    with pytest.raises(ContradictionError, match="expected 235 or 334 at auth"):
        judge().replied(step(Stage.AUTH, 535), (235, 334))
    with pytest.raises(NoEvidenceError):
        judge().replied(silence(Stage.AUTH), (235,))


def test_the_end_of_data_may_take_as_long_as_the_content_is_scanned() -> None:
    scanning = Judge(DELAY, lambda since, until: 0.0, scan=10.0)
    assert scanning.timing(step(Stage.DATA, 250, LATE)) is Timing.PROMPT
    assert scanning.timing(step(Stage.DATA, 250, 12.0)) is Timing.LATE
    assert scanning.timing(step(Stage.RCPT, 250, LATE)) is Timing.LATE


def test_a_delay_within_the_time_of_a_scan_is_neither_held_back_nor_prompt() -> None:
    scanning = Judge(DELAY, lambda since, until: 0.0, scan=2 * DELAY)
    held = (Outcome.parse("delay+deny at data"),)
    with pytest.raises(UnclearTimingError, match=r"server\.scan"):
        scanning.expect(attempt(step(Stage.RCPT, 250), step(Stage.DATA, 550, LATE)), held)
    with pytest.raises(ContradictionError):
        scanning.expect(attempt(step(Stage.RCPT, 250), step(Stage.DATA, 550)), held)
    with pytest.raises(UnclearTimingError, match=r"server\.scan"):
        scanning.not_prompt(step(Stage.DATA, 550, LATE))
    with pytest.raises(ContradictionError):
        scanning.not_prompt(step(Stage.DATA, 550))


def test_a_late_end_of_data_proves_nothing_where_the_scan_is_not_known() -> None:
    late = attempt(step(Stage.DATA, 250, LATE))
    expected = (Outcome.parse("pass at data"),)
    with pytest.raises(InconclusiveError, match=r"server\.scan"):
        Judge(DELAY, lambda since, until: 0.0).expect(late, expected)
    with pytest.raises(FailedError):
        Judge(DELAY, lambda since, until: 0.0, scan=0.0).expect(late, expected)


def test_who_was_greeted_late_while_innocents_were_as_well_is_not_judged() -> None:
    crowded = Judge(DELAY, lambda since, until: 0.0, arrival=lambda since, until: DELAY)
    assert crowded.timing(step(Stage.CONNECT, 220, LATE)) is Timing.UNCLEAR
    assert crowded.timing(step(Stage.CONNECT, 220, PROMPT)) is Timing.PROMPT
    assert crowded.timing(step(Stage.HELO, 250, LATE)) is Timing.LATE


def test_whatever_a_wait_is_for_it_is_as_long_as_a_delay_or_nothing_was_held_back() -> None:
    for seconds in (LATE, 9.0):
        judge(lag=9.0).not_prompt(step(Stage.CONNECT, 220, seconds))
    with pytest.raises(FailedError):
        judge().not_prompt(step(Stage.CONNECT, 220, PROMPT))
    with pytest.raises(InconclusiveError):
        judge().not_prompt(step(Stage.CONNECT, 220, BETWEEN))
    judge(delay=0.0).not_prompt(step(Stage.CONNECT, 220, PROMPT))


MISPLACED = [
    (Stage.DATA, "DATA", 250),
    (Stage.DATA, "DATA", 350),
    (Stage.DATA, "the message", 354),
    (Stage.CONNECT, "", 250),
    (Stage.HELO, "EHLO a.example", 354),
    (Stage.TLS, "STARTTLS", 250),
    (Stage.AUTH, "AUTH PLAIN", 250),
    (Stage.AUTH, "AUTH PLAIN", 334),
    (Stage.MAIL, "MAIL FROM:<>", 354),
    (Stage.RCPT, "RCPT TO:<ann@example.org>", 334),
    (Stage.RCPT, "RCPT TO:<ann@example.org>", 150),
    (Stage.MAIL, "MAIL FROM:<>", 650),
    (Stage.HELO, "EHLO a.example", 999),
]


@pytest.mark.parametrize(("stage", "command", "code"), MISPLACED)
def test_what_is_no_answer_to_what_was_asked_is_neither_a_pass_nor_a_failure(
    stage: Stage, command: str, code: int
) -> None:
    seen = replace(step(stage, code), command=command)
    met = attempt(*([step(Stage.CONNECT, 220)] if stage is not Stage.CONNECT else []), seen)
    after = attempt(seen, step(Stage.DATA, 250))
    acts: list[Callable[[], None]] = [
        lambda: judge().through(met, stage),
        lambda: judge().accepts(met, stage),
        lambda: judge().replied(seen),
        lambda: judge().heard(met, seen, ReplySet.of(*THROUGH)),
    ]
    for act in acts:
        with pytest.raises((MisplacedError, ContradictionError)) as ending:
            act()
        assert isinstance(ending.value, MisplacedError)
        assert ending.value.step is seen
    if stage is not Stage.DATA:
        for outcome in ("pass at data", "deny at data"):
            with pytest.raises(MisplacedError):
                judge().expect(after, (Outcome.parse(outcome),))
    assert seen.treatment is None
    assert judge().came_to(met) == ""


def test_who_is_not_refused_who_was_to_be_is_not_refused_with_another_code_either() -> None:
    with pytest.raises(ContradictionError):
        judge().expect(attempt(step(Stage.AUTH, 250)), (Outcome.parse("deny at auth"),))
    unsent = attempt(replace(step(Stage.DATA, 250), command="DATA"))
    with pytest.raises(MisplacedError, match="where 354 belongs: no message was sent"):
        judge().expect(unsent, (Outcome.parse("deny at data"),))


@pytest.mark.parametrize(
    ("stage", "command", "code"),
    [
        (Stage.CONNECT, "", 220),
        (Stage.HELO, "EHLO a.example", 250),
        (Stage.TLS, "STARTTLS", 220),
        (Stage.AUTH, "AUTH PLAIN", 235),
        (Stage.RCPT, "RCPT TO:<ann@example.org>", 251),
        (Stage.DATA, "the message", 250),
        (Stage.DATA, "DATA", 554),
    ],
)
def test_what_answers_what_was_asked_is_in_its_place(stage: Stage, command: str, code: int) -> None:
    assert replace(step(stage, code), command=command).misplaced == ""
