"""What of a run needs a look: failures first, and what has one cause together."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from harness.results.model import RuleResult, RunResult, Status

# What differs from client to client in reasons that are the same: times, addresses, names of a run.
_PASSING = re.compile(
    r"\b\d+\.\d\d? s\b"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}\b"
    r"|\b(?:[0-9a-f]{1,4}:){2,}[0-9a-f:]*"
    r"|\b(?:[\w-]+\.)*[cd]\d+-[a-z]{6}\.[\w.-]*\w",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Group:
    """Rules that came to the same status for one reason, in the order of the catalogue."""

    status: Status
    reason: str  # of the first of them; or what keeps all of them from being told
    rules: tuple[RuleResult, ...]
    blocked_by: str = ""  # the finding, or the rule that failed, that keeps them from being told


def groups(run: RunResult, status: Status) -> list[Group]:
    """The rules of a status that nothing blocks, by their reasons."""
    by: dict[str, list[RuleResult]] = {}
    for rule in run.rules:
        if rule.status is status and not _is_blocked(rule):
            by.setdefault(_PASSING.sub("…", rule.reason), []).append(rule)
    return [Group(status, rules[0].reason, tuple(rules)) for rules in by.values()]


def blocked(run: RunResult) -> list[Group]:
    """The rules that cannot be told, by the finding or the rule that keeps them from it."""
    by: dict[str, list[RuleResult]] = {}
    for rule in run.rules:
        if _is_blocked(rule):
            by.setdefault(rule.blocked_by, []).append(rule)
    return [Group(Status.INCONCLUSIVE, _said(run, cause), tuple(rules), cause) for cause, rules in by.items()]


def needing_a_look(run: RunResult) -> list[Group]:
    """What failed, then what is no deviation any more, then what something else keeps from being told, then
    what could not be decided."""
    return [
        *groups(run, Status.FAILED),
        *groups(run, Status.STALE),
        *blocked(run),
        *groups(run, Status.INCONCLUSIVE),
    ]


def _is_blocked(rule: RuleResult) -> bool:
    return bool(rule.blocked_by) and rule.status is Status.INCONCLUSIVE


def _said(run: RunResult, cause: str) -> str:
    """What a finding, or a rule that failed, says."""
    found: Iterable[str] = (
        *(finding.statement for finding in run.findings if finding.id == cause),
        *(rule.reason for rule in run.rules if rule.id == cause),
    )
    return next(iter(found), "")
