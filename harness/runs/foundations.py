"""Trouble is named once: while a rule is broken, those that rest on it cannot be told."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.results.model import Status
from harness.runs.trial import Plan
from harness.verdicts import InconclusiveError

if TYPE_CHECKING:
    from harness.runs.course import CaseResult


def blocked(
    outcome: "CaseResult", below: Mapping[str, "CaseResult"], plans: Mapping[str, Plan]
) -> "CaseResult":
    """An outcome that proves nothing good, or, if one of the rules `below` is broken, blocked by that one.

    What keeps one case of a rule from being told is no cause for another rule's failure while other cases of
    it hold.
    """
    hold = {plans[key].rule.id for key, case in below.items() if case.status is Status.PASSED}
    for key, foundation in below.items():
        rule = plans[key].rule
        if foundation.status is Status.FAILED:
            reason = f"blocked by {rule.id}, on which it rests and which failed; seen was: {outcome.reason}"
        elif foundation.blocked_by and not (rule.id in hold and outcome.status is Status.FAILED):
            reason = f"blocked by {foundation.blocked_by}, as {rule.id} is, on which it rests"
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
    """A failure that may be that of the `rules` on which it rests, and nobody knows yet how they came out."""
    reason = f"it rests on {', '.join(rules)}, which was not decided yet; seen was: {outcome.reason}"
    return replace(outcome, status=Status.INCONCLUSIVE, reason=reason, error=InconclusiveError(reason))
