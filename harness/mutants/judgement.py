"""What a run with defects says of them: killed or survived, and who else has noticed."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.grants.strain import HEAVY
from harness.mutants.selection import Selection
from harness.mutants.subject import Defect, Order, Subject
from harness.pytest_runs.commanded import BrokenRunError
from harness.results.model import RuleResult, RunResult, Status, aggregate
from harness.rules import Catalogue


@dataclass(frozen=True)
class MutantResult:
    """What the scenarios made of one defect."""

    defect: Defect
    survived: tuple[str, ...]  # rules that did not fail and should have
    collateral: Mapping[str, RuleResult]  # by rule id; undeclared ones only
    declared: tuple[str, ...] = ()
    failure: str = ""  # why the run itself did not come to an end
    unreached: bool = False  # whether no scenario of its rules comes to what it replaces

    @property
    def killed(self) -> bool:
        """Whether every rule that it breaks has failed."""
        return not self.survived and not self.failure

    @property
    def sound(self) -> bool:
        """Killed, and nothing else was hit."""
        return self.killed and not self.collateral

    def __str__(self) -> str:
        """One line of the kill matrix."""
        if self.failure:
            return f"BROKEN    {self.defect.name}: {self.failure}"
        line = f"{'killed  ' if self.killed else 'SURVIVED'}  {self.defect.name}"
        if self.survived and self.unreached:
            line += "  (never reached: no scenario of its rules comes to the part that it replaces)"
        if self.collateral:
            line += "  COLLATERAL " + ", ".join(
                f"{rule} {result.status}" for rule, result in self.collateral.items()
            )
        if self.declared:
            line += f"  (declared: {', '.join(self.declared)})"
        return line


@dataclass(frozen=True)
class Judging:
    """Asks for runs with defects, and says what each came to."""

    subject: Subject
    catalogue: Catalogue
    selection: Selection

    @property
    def straining(self) -> frozenset[str]:
        """The rules whose scenarios strain a server."""
        return frozenset(rule.id for rule in self.catalogue if HEAVY.name in rule.needs)

    def order(self, defects: Sequence[Defect], folder: Path) -> Order:
        """The run that tells about them; cases that strain a server are spared unless one is about them."""
        heavy = any(self.straining & {*defect.rules} for defect in defects)
        return Order(tuple(defects), heavy, self.selection.of_all(defects), folder)

    def results(self, orders: Sequence[Order], parallel: int) -> Iterator[list[MutantResult]]:
        """What each run says of its defects, as the runs end; one of no scenario is not played."""
        played = [order for order in orders if order.only is None or order.only]
        for order in orders:
            if order not in played:
                yield [MutantResult(one, one.rules, collateral={}, unreached=True) for one in order.defects]
        for order, found in self.subject.play_all(played, parallel):
            if isinstance(found, BrokenRunError):
                yield _failed(order, str(found))
            else:
                yield self._results(order, found)

    def _results(self, order: Order, found: RunResult) -> list[MutantResult]:
        """A rule that is blocked by what is broken has noticed nothing of its own."""
        before, defects = self.selection.expected(order.only), order.defects
        after = {rule.id: rule for rule in found.rules}
        if missing := [rule for rule in before if rule not in after]:
            return _failed(order, f"the run says nothing of {', '.join(missing)}")
        broken = {rule for defect in defects for rule in defect.rules}
        changed = {
            name: after[name]
            for name, rule in before.items()
            if name not in broken and _differ(rule, after[name])
        }
        declared = {one: {rule for rule in changed if self.subject.expects(one, rule)} for one in defects}
        notice = broken.union(*declared.values())
        blocked = {name for name, rule in changed.items() if _is_blocked(rule, notice, self.catalogue)}
        return [
            MutantResult(
                defect,
                survived=tuple(
                    rule
                    for rule in defect.rules
                    if rule not in before or after[rule].status is not Status.FAILED
                ),
                collateral={name: rule for name, rule in changed.items() if name not in blocked | notice},
                declared=tuple(
                    sorted(name for name in declared[defect] if changed[name].status is Status.FAILED)
                ),
                unreached=not self.selection.comes_to(defect),
            )
            for defect in defects
        ]


def _failed(order: Order, why: str) -> list[MutantResult]:
    return [MutantResult(defect, defect.rules, collateral={}, failure=why) for defect in order.defects]


def _is_blocked(result: RuleResult, notice: Collection[str], catalogue: Catalogue) -> bool:
    """Whether a rule cannot be told because of those that notice a defect, or of what innocents meet."""
    by = result.blocked_by
    if result.status is not Status.INCONCLUSIVE or not by:
        return False
    return by not in catalogue.rules or by in notice or catalogue.rest_on([by], notice)


def _differ(before: RuleResult, after: RuleResult) -> bool:
    """Whether a rule came to something else by those cases of which the second run says something.

    Of both only those are given that the second run was to play.
    """
    spared = {
        case.test for case in after.cases if case.lacks == HEAVY.name or case.status is Status.NOT_APPLICABLE
    }
    one, other = (
        aggregate(case for case in rule.cases if case.test not in spared) for rule in (before, after)
    )
    return one is not other
