"""Trouble is named once: while a rule is broken, those that rest on it cannot be told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.judge import ContradictionError, Fault, UnclearTimingError, in_greylist_words
from harness.outcome import DIALOGUE, Stage, Treatment
from harness.profile.model import Profile
from harness.results.model import Status
from harness.rules import Catalogue, Rule
from harness.runs.expect import EndedError
from harness.runs.trial import Plan
from harness.verdicts import (
    FailedError,
    InconclusiveError,
    UndeliveredError,
    UnreadableMailError,
    seen_in,
)
from harness.world.refusal import Refusal, refusal_of

if TYPE_CHECKING:
    from harness.runs.course import CaseResult


def refusal(error: BaseException | None) -> Refusal | None:
    """The refusal that contradicts what is documented; None where it is something else."""
    seen = seen_in(error)
    return refusal_of(seen.step) if isinstance(seen, ContradictionError) else None


def refused_at(error: BaseException | None) -> Stage | None:
    """The stage of the refusal that contradicts what is documented; None where it is something else."""
    found = refusal(error)
    return found.stage if found else None


def _hit_at(error: BaseException | None) -> Stage | None:
    """The stage at which somebody was refused or kept waiting as is not documented; None otherwise."""
    seen = seen_in(error)
    if isinstance(seen, ContradictionError) and seen.fault is Fault.LATE:
        return seen.step.tag
    if isinstance(seen, UnclearTimingError) and seen.step:  # the wait that it may be that comes again
        return seen.step.tag
    return refused_at(error)


def _went_elsewhere(error: BaseException | None, rule: Rule, _: Profile) -> bool:
    """Whether a message never came to its mailbox, and this is no failure of a rule that says whose it is."""
    is_its_own = rule.about_recipients and isinstance(error, FailedError)
    return isinstance(seen_in(error), UndeliveredError) and not is_its_own


FOR_GOOD = 500  # a code of that or above


def _is_not_taken(error: BaseException | None, rule: Rule, profile: Profile) -> bool:
    """Whether a recipient was refused; to be put off as the greylist does says nothing in its own rules."""
    found = refusal(error)
    if found is None or found.stage is not profile.dialect.tells(Stage.RCPT):
        return False
    greylists = profile.greylist is None or found.code in profile.greylist.codes
    return found.code >= FOR_GOOD or not (rule.about_greylist and greylists)


SUSPECTS: tuple[tuple[Callable[[BaseException | None, Rule, Profile], bool], Callable[[Rule], bool]], ...] = (
    (lambda ending, *_: in_greylist_words(ending), lambda rule: rule.about_greylist),
    (lambda ending, *_: isinstance(ending, UnreadableMailError), lambda rule: rule.about_storage),
    (_went_elsewhere, lambda rule: rule.about_recipients),
    (_is_not_taken, lambda rule: rule.about_recipients),
)  # what was seen, and the rules of which it shows the fault where they are broken


def may_block(outcome: "CaseResult", rule: Rule, catalogue: Catalogue, profile: Profile) -> tuple[str, ...]:
    """The rules that may have kept a scenario of this one from being proved, the nearest first."""
    found = _suspected(outcome, rule, catalogue, profile)
    if stage := hit_beyond(outcome.error, rule, profile):
        found |= {one.id: None for one in catalogue if one.stage is stage}
    found.pop(rule.id, None)
    return tuple(found)


def _suspected(outcome: "CaseResult", rule: Rule, catalogue: Catalogue, profile: Profile) -> dict[str, None]:
    """The rules on which this one rests, and those whose fault is just what was seen."""
    found = dict.fromkeys(catalogue.foundations(rule))
    for shows, is_suspect in SUSPECTS:
        if shows(outcome.error, rule, profile):
            others = (one.id for one in catalogue if is_suspect(one))
            # What rests on this rule fails because of it.
            found |= {one: None for one in others if not catalogue.rest_on([one], [rule.id])}
    return found


def hits_nobody(outcome: "CaseResult") -> bool:
    """Whether it failed, and not because somebody was refused or kept waiting."""
    return outcome.status is Status.FAILED and _hit_at(outcome.error) is None


def is_only_there(
    other: Rule, outcome: "CaseResult", rule: Rule, catalogue: Catalogue, profile: Profile
) -> bool:
    """Whether another rule is suspected for nothing but the stage at which it speaks."""
    at_its_stage = hit_beyond(outcome.error, rule, profile) is other.stage
    return at_its_stage and other.id not in _suspected(outcome, rule, catalogue, profile)


def ends_connections(outcome: "CaseResult") -> bool:
    """Whether it failed because the server ended connections that were to go on."""
    return outcome.status is Status.FAILED and isinstance(seen_in(outcome.error), EndedError)


def hit_beyond(error: BaseException | None, rule: Rule, profile: Profile) -> Stage | None:
    """The stage of a refusal or a delay that comes after a rule has spoken, and that others may have caused.

    A rule speaks at its stage, where the server tells what was earned there, and where its outcomes are told.
    While one that speaks at that stage is broken it is named: what rests on this rule may do so as well,
    because whoever comes to its stage has earned something before.
    """
    stage, stages = _hit_at(error), list(Stage)
    if stage is None or stages.index(stage) <= stages.index(rule.stage):
        return None
    promised, _ = profile.expectation(rule)
    speaks = {profile.dialect.tells(rule.stage), *(one.stage for one in promised)}
    return stage if stage not in speaks else None


def told_with_others(error: BaseException | None, rule: Rule, profile: Profile) -> tuple[Stage, ...]:
    """The later stages at which a refusal may have been earned that is told where this rule's would be.

    Only where the rule promises none: whoever is refused there has passed those stages as well.
    """
    told = _told_where_refused(error, rule, profile)
    return told[told.index(rule.stage) + 1 :] if rule.stage in told else ()


def told_before(error: BaseException | None, rule: Rule, profile: Profile) -> tuple[Stage, ...]:
    """The earlier stages at which a refusal may have been earned that is told where this rule's would be.

    Only where the rule promises none.
    """
    told = _told_where_refused(error, rule, profile)
    return told[: told.index(rule.stage)] if rule.stage in told else ()


def refused_before(error: BaseException | None, rule: Rule, profile: Profile) -> tuple[Stage, ...]:
    """The stages at which a refusal may have been earned that came before the stage of the rule.

    None where it may be this rule's own: who is a recipient shows where RCPT is told.
    """
    stage, stages = refused_at(error), list(Stage)
    if stage is None or stages.index(stage) >= stages.index(rule.stage):
        return ()
    if rule.about_recipients and stage is profile.dialect.tells(Stage.RCPT):
        return ()
    return told_at(stage, profile)


def _told_where_refused(error: BaseException | None, rule: Rule, profile: Profile) -> tuple[Stage, ...]:
    """The stages whose refusals are told where somebody was refused, by a rule that promises none."""
    stage = refused_at(error)
    promised, _ = profile.expectation(rule)
    if stage is None or any(one.treatment is not Treatment.PASS for one in promised):
        return ()
    return told_at(stage, profile)


def told_at(stage: Stage, profile: Profile) -> tuple[Stage, ...]:
    """The stages at which it may have been earned what a client is told at this one, in their order."""
    if stage not in DIALOGUE:
        return ()
    until = DIALOGUE[: DIALOGUE.index(stage) + 1]
    return tuple(one for one in until if profile.dialect.tells(one) is stage)


def blocked(
    outcome: "CaseResult", below: Mapping[str, "CaseResult"], plans: Mapping[str, Plan]
) -> "CaseResult":
    """An outcome that proves nothing good, or, if one of the rules `below` is broken, blocked by that one.

    What keeps one case of a rule from being told is no cause for another rule's failure while other cases of
    it hold. A failure says nothing while one of the rules `below` failed on a client, and not for certain.
    """
    hold = {plans[key].rule.id for key, case in below.items() if case.status is Status.PASSED}
    for key, foundation in below.items():
        rule = plans[key].rule
        if foundation.status is Status.FAILED:
            reason = f"blocked by {rule.id}, which failed; seen was: {outcome.reason}"
        elif foundation.blocked_by and not (rule.id in hold and outcome.status is Status.FAILED):
            reason = f"blocked by {foundation.blocked_by}, as {rule.id} is"
        elif outcome.status is Status.FAILED and foundation.may_have_failed:
            return undecided_below(outcome, (rule.id,))
        else:
            continue
        return replace(
            outcome,
            status=Status.INCONCLUSIVE,
            reason=reason,
            error=InconclusiveError(reason),
            blocked_by=foundation.blocked_by or rule.id,
        )
    return outcome


def undecided_below(outcome: "CaseResult", rules: Sequence[str]) -> "CaseResult":
    """A failure that may be that of the `rules` by which it may be blocked, and those are not decided."""
    reason = f"it may be the fault of {', '.join(rules)}, which is not decided; seen was: {outcome.reason}"
    return replace(outcome, status=Status.INCONCLUSIVE, reason=reason, error=InconclusiveError(reason))
