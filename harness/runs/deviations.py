"""What a case came to, held against the list of known deviations: it hides no failure but those it tells."""

import datetime
from collections.abc import Sequence
from dataclasses import replace

from harness.profile.deviations import Deviation
from harness.results.model import Status
from harness.runs.course import CaseResult
from harness.verdicts import FailedError


def held_against(
    listed: Sequence[Deviation], rule_id: str, case: str, outcome: CaseResult, today: datetime.date
) -> CaseResult:
    """The outcome of a case as it is reported.

    What fails as it is listed is a known deviation; what holds though it is listed is stale. A failure of
    another kind, or after the last day of the entry, stays one; so does whatever proves nothing.
    """
    entries = [one for one in listed if one.covers(rule_id, case)]
    if not entries or outcome.status not in (Status.PASSED, Status.FAILED):
        return outcome
    if outcome.status is Status.PASSED:
        return _ended(outcome, Status.STALE, _stale(entries[0]))
    whys = [_unlike(one, outcome, today) for one in entries]
    if "" in whys:
        known = entries[whys.index("")]
        reason = f"{known.reason} ({known.source}); seen was: {outcome.reason}"
        return replace(outcome, status=Status.KNOWN_DEVIATION, reason=reason)
    return _ended(outcome, Status.FAILED, f"{outcome.reason}; {'; '.join(dict.fromkeys(whys))}")


def _stale(entry: Deviation) -> str:
    mend = (
        "take the entry out"
        if entry.case
        else "take the entry out, or if other cases of the rule fail name them with case"
    )
    return f"it holds, and is listed as a known deviation ({entry.reason}): the list is stale; {mend}"


def _unlike(entry: Deviation, outcome: CaseResult, today: datetime.date) -> str:
    """Why a failure is not the one that is listed; empty when it is."""
    if entry.is_over(today):
        return f"it was a known deviation until {entry.until}, and that is over: the entry is stale"
    if outcome.hits_innocents and not entry.innocents:
        return "the known deviation that is listed is not that innocent clients are hit"
    if entry.innocents and not outcome.hits_innocents:
        return "the known deviation that is listed is that innocent clients are hit"
    if entry.observed and str(entry.observed) != outcome.came:
        came = f"«{outcome.came}»" if outcome.came else "nothing of which there is evidence"
        return f"the known deviation that is listed comes to «{entry.observed}», and this came to {came}"
    return ""


def _ended(outcome: CaseResult, status: Status, reason: str) -> CaseResult:
    """With another status or reason, which is what pytest tells as well."""
    error = outcome.error
    if not isinstance(error, AssertionError):  # pytest shows what that compared
        error = FailedError(reason).with_traceback(error.__traceback__ if error else None)
    return replace(outcome, status=status, reason=reason, error=error)
