"""Trouble is named once: which rule's failure, or which finding, keeps another rule from being told."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.judge import ContradictionError, Fault
from harness.outcome import Stage
from harness.profile.dialect import Dialect, Told
from harness.profile.model import Profile
from harness.results.model import Status, Try
from harness.rules import Catalogue
from harness.runs.assembly import Wish, open_run
from harness.runs.course import CaseResult
from harness.runs.expect import EndedError
from harness.runs.foundations import (
    blocked,
    ends_connections,
    hit_beyond,
    hits_nobody,
    is_only_there,
    may_block,
)
from harness.runs.play import Play
from harness.runs.trial import Plan
from harness.smtp.reply import Reply
from harness.verdicts import FailedError
from harness.world.step import Step

CATALOGUE = Catalogue.below(Path("scenarios"))
FAILED, DOUBTFUL = CaseResult(Status.FAILED, "it did not"), CaseResult(Status.INCONCLUSIVE, "it may have")
HOLDS, BROKEN = CaseResult(Status.PASSED, ""), CaseResult(Status.FAILED, "nor did this")
WAVERS = replace(DOUBTFUL, tries=(Try(Status.FAILED, "late", ()), Try(Status.INCONCLUSIVE, "unclear", ())))
HINDERED = CaseResult(Status.INCONCLUSIVE, "", blocked_by="baseline.ipv6.rcpt")


def never(play: Play) -> None:
    raise AssertionError("nothing is played here")


PLAN = Plan(CATALOGUE["dnsbl.one"], frozenset(), never)  # the rule that is rested on


@pytest.mark.parametrize(
    ("above", "below", "blocked_by"),
    [
        (FAILED, [BROKEN], "dnsbl.one"),
        (FAILED, [HOLDS, BROKEN], "dnsbl.one"),
        (FAILED, [HINDERED], "baseline.ipv6.rcpt"),
        (FAILED, [HINDERED, HOLDS], ""),
        (FAILED, [HOLDS], ""),
        (DOUBTFUL, [HINDERED, HOLDS], "baseline.ipv6.rcpt"),
    ],
    ids=[
        "it failed",
        "a case of it failed",
        "it cannot be told",
        "a case of it cannot be told",
        "it holds",
        "doubtful",
    ],
)
def test_what_keeps_a_rule_from_being_told(
    above: CaseResult, below: list[CaseResult], blocked_by: str
) -> None:
    cases = {str(number): outcome for number, outcome in enumerate(below)}
    found = blocked(above, cases, dict.fromkeys(cases, PLAN))
    assert found.blocked_by == blocked_by
    assert found.status is (Status.INCONCLUSIVE if blocked_by else above.status)


@pytest.fixture(scope="module")
def profile() -> Iterator[Profile]:
    """That of the reference MTA."""
    with open_run(Wish(CATALOGUE)) as run:
        yield run.profile


def refused(stage: Stage, code: int = 550) -> FailedError:
    """What a scenario ended with that was refused there."""
    step = Step(stage, "", (Reply(code, ("no",), b"%d no\r\n" % code, 0.0, 0.0),), 0.0, 0.0)
    return FailedError("it is another", seen=ContradictionError("another", step))


@pytest.mark.parametrize(
    ("rule", "told", "stage", "beyond"),
    [
        ("connect.rdns-temperror", Told.AT_ONCE, Stage.RCPT, True),
        ("connect.rdns-temperror", Told.RCPT, Stage.RCPT, False),  # there it tells what was earned before
        ("connect.rdns-temperror", Told.DATA, Stage.RCPT, True),
        ("connect.rdns-temperror", Told.AT_ONCE, Stage.CONNECT, False),
        ("rcpt.delay-repeated", Told.AT_ONCE, Stage.RCPT, False),
        ("rcpt.delay-repeated", Told.AT_ONCE, Stage.MAIL, False),
        ("delivery.trace-headers", Told.RCPT, Stage.RCPT, False),  # all that comes before is its way
        ("dkim.broken", Told.DATA, Stage.DATA, False),
    ],
)
def test_a_refusal_after_a_rule_has_spoken(
    profile: Profile, rule: str, told: Told, stage: Stage, beyond: bool
) -> None:
    speaking = profile.model_copy(update={"dialect": Dialect(told=told)})
    for code in (450, 550):
        found = hit_beyond(refused(stage, code), CATALOGUE[rule], speaking)
        assert found == (stage if beyond else None)
    assert hit_beyond(refused(stage, 250), CATALOGUE[rule], speaking) is None


def test_a_failure_says_nothing_while_what_it_rests_on_failed_and_not_for_certain() -> None:
    found = blocked(FAILED, {"one": WAVERS}, {"one": PLAN})
    assert found.status is Status.INCONCLUSIVE
    assert "dnsbl.one, which is not decided" in found.reason
    for below in (DOUBTFUL, replace(WAVERS, status=Status.PASSED)):
        assert blocked(FAILED, {"one": below}, {"one": PLAN}) == FAILED


def test_only_an_ending_that_fails_a_rule_is_one_that_others_may_have_met() -> None:
    error = FailedError("it did not go on", seen=EndedError("the connection did not go on to QUIT"))
    assert ends_connections(CaseResult(Status.FAILED, "", error=error))
    assert not ends_connections(CaseResult(Status.INCONCLUSIVE, "", error=error))
    assert not ends_connections(CaseResult(Status.FAILED, "", error=refused(Stage.RCPT)))


def test_a_delay_after_a_rule_has_spoken(profile: Profile) -> None:
    prompt = Step(Stage.HELO, "", (Reply(250, ("hello",), b"250 hello\r\n", 0.0, 0.0),), 0.0, 0.0)
    late, soon = (
        FailedError("it is another", seen=ContradictionError("another", prompt, fault))
        for fault in (Fault.LATE, Fault.SOON)
    )
    assert hit_beyond(late, CATALOGUE["connect.rdns-temperror"], profile) is Stage.HELO
    assert hit_beyond(late, CATALOGUE["helo.not-fqdn"], profile) is None
    assert hit_beyond(soon, CATALOGUE["connect.rdns-temperror"], profile) is None
    assert "helo.forward-match" in may_block(
        CaseResult(Status.FAILED, "", error=late), CATALOGUE["connect.rdns-temperror"], CATALOGUE, profile
    )


def test_a_rule_that_is_suspected_for_its_stage_alone_must_have_hit_somebody(profile: Profile) -> None:
    refused_later = CaseResult(Status.FAILED, "", error=refused(Stage.RCPT))
    greeting, resting = CATALOGUE["helo.not-fqdn"], CATALOGUE["delay.no-early-reject"]
    assert is_only_there(CATALOGUE["dnsbl.two"], refused_later, greeting, CATALOGUE, profile)
    assert not is_only_there(CATALOGUE["mail.no-helo"], refused_later, greeting, CATALOGUE, profile)
    assert not is_only_there(CATALOGUE["delivery.alias"], refused_later, greeting, CATALOGUE, profile)
    assert not is_only_there(CATALOGUE["rcpt.delay-repeated"], refused_later, resting, CATALOGUE, profile)
    let_through = CaseResult(Status.FAILED, "", error=refused(Stage.RCPT, 250))
    assert hits_nobody(let_through)
    assert not hits_nobody(refused_later)
    assert not hits_nobody(replace(let_through, status=Status.PASSED))


def test_what_was_seen_names_the_rules_that_may_be_broken(profile: Profile) -> None:
    at_rcpt, at_mail = (
        may_block(CaseResult(Status.FAILED, "", error=refused(stage)), rule, CATALOGUE, profile)
        for stage in (Stage.RCPT, Stage.MAIL)
        for rule in (CATALOGUE["rcpt.leading-dot"],)
    )
    assert {"delivery.alias", "delivery.catch-all"} <= {*at_rcpt}
    assert "delivery.alias" not in at_mail


def test_a_deferral_in_other_words_than_the_greylist_s_may_be_of_the_recipient(profile: Profile) -> None:
    assert profile.greylist
    assert profile.greylist.codes == (451,)
    rule = CATALOGUE["greylist.other-triplet"]
    put_off, not_taken = (
        may_block(CaseResult(Status.FAILED, "", error=refused(Stage.RCPT, code)), rule, CATALOGUE, profile)
        for code in (451, 450)
    )
    assert "delivery.catch-all" not in put_off
    assert "delivery.catch-all" in not_taken
