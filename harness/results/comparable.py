"""Whether two runs can be held against each other, and what of them: their caveats decide that."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from harness.results.model import CaveatKind, RuleResult, RunResult, aggregate

_BROKEN = "was of a server that was broken on purpose (--smtp-mutant); compare runs without that"


class ComparisonError(Exception):
    """Two runs that say nothing about each other; the text says why and what to compare instead."""


def check_before(old: RunResult) -> None:
    """Raise `ComparisonError` for a run that no other one can be held against.

    A broken server is nobody's; and after a run that tried nothing, anything would be better. A run of a
    part, or one that was interrupted or given up, is one to compare with as far as it came.
    """
    if old.caveat(CaveatKind.MUTANT):
        raise ComparisonError(f"the run before {_BROKEN}")
    if old.caveat(CaveatKind.UNTRIED):
        raise ComparisonError("the run before tried nothing; compare with one that did")


def check_pair(old: RunResult, new: RunResult) -> None:
    """Raise `ComparisonError` for two runs that cannot be compared.

    A new run that tried nothing can be: all that was proved before is not proved any more.
    """
    check_before(old)
    if new.caveat(CaveatKind.MUTANT):
        raise ComparisonError(f"the run after {_BROKEN}")


def in_common(old: RunResult, new: RunResult) -> tuple[RunResult, RunResult]:
    """The two runs without the rules and cases that were not selected for one of them, or not known to it.

    A rule that is no longer in a suite that both have is compared: it is not tested any more. Raises
    `ComparisonError` when no rule is left that both looked at.
    """
    old, new = _of_common_suites(old, new), _of_common_suites(new, old)
    parts = [one for run in (old, new) if (one := run.caveat(CaveatKind.PART))]
    left_out = {rule for part in parts for rule in part.rules}
    before, after = _cases(old), _cases(new)
    if not before.keys() & after.keys():
        raise ComparisonError("the runs have no rule in common; compare two runs of the same scenarios")
    return _without(old, left_out, after), _without(new, left_out, before)


def only_known_to(run: RunResult, other: RunResult) -> dict[str, tuple[str, ...]]:
    """The rules of suites that the other run has not, nor any rule of that id: by the title of the suite."""
    names, known = {suite["name"] for suite in other.suites}, {*other.all_rules}
    own = {
        suite["title"]: tuple(rule for rule in suite["rules"] if rule not in known)
        for suite in run.suites
        if suite["name"] not in names
    }
    return {title: rules for title, rules in own.items() if rules}


def _of_common_suites(run: RunResult, other: RunResult) -> RunResult:
    unknown = {rule for rules in only_known_to(run, other).values() for rule in rules}
    return replace(run, rules=tuple(rule for rule in run.rules if rule.id not in unknown))


def _cases(run: RunResult) -> dict[str, frozenset[str]]:
    return {rule.id: frozenset(case.name for case in rule.cases) for rule in run.rules}


def _without(run: RunResult, left_out: Collection[str], others: Mapping[str, Collection[str]]) -> RunResult:
    """A run whose rules that were left out have those cases only that the other run has as well."""
    rules = [
        rule if rule.id not in left_out else _of_these_cases(rule, others.get(rule.id, ()))
        for rule in run.rules
    ]
    return replace(run, rules=tuple(rule for rule in rules if rule.cases))


def _of_these_cases(rule: RuleResult, names: Collection[str]) -> RuleResult:
    cases = tuple(case for case in rule.cases if case.name in names)
    status = aggregate(cases)
    reason = next((case.reason for case in cases if case.status is status), "")
    return replace(rule, cases=cases, status=status, reason=reason)
