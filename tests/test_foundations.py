"""Trouble is named once: which rule's failure, or which finding, keeps another rule from being told."""

from pathlib import Path

import pytest

from harness.results.model import Status
from harness.rules import Catalogue
from harness.runs.course import CaseResult
from harness.runs.foundations import blocked
from harness.runs.play import Play
from harness.runs.trial import Plan

CATALOGUE = Catalogue.below(Path("scenarios"))
FAILED, DOUBTFUL = CaseResult(Status.FAILED, "it did not"), CaseResult(Status.INCONCLUSIVE, "it may have")
HOLDS, BROKEN = CaseResult(Status.PASSED, ""), CaseResult(Status.FAILED, "nor did this")
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
