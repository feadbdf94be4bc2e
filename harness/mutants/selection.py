"""Which scenarios a defect can change, as a sound run had it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.mutants.subject import Defect
from harness.results.model import RuleResult, RunResult
from harness.runs.reach import Reach
from harness.wording import counted


@dataclass(frozen=True)
class Selection:
    """Which scenarios a defect can change: those that come to what it replaces, as the sound run had it."""

    before: Mapping[str, RuleResult]  # the rules of the sound run
    reach: Reach | None  # None: each defect meets all scenarios

    @classmethod
    def of(cls, baseline: RunResult, reach: Reach | None) -> "Selection":
        """By what the sound run came to, and came to on the way."""
        return cls({rule.id: rule for rule in baseline.rules}, reach)

    def of_all(self, defects: Iterable[Defect]) -> frozenset[str] | None:
        """The pytest ids of the scenarios that some of the defects can change; None for all."""
        found: frozenset[str] = frozenset()
        for defect in defects:
            tests = self.reach.of(defect.parts) if self.reach else None
            if tests is None:
                return None
            found |= tests
        return found

    def comes_to(self, defect: Defect) -> bool:
        """Whether a scenario of its rules comes to what the defect replaces."""
        tests = self.of_all([defect])
        own = {case.test for rule in defect.rules if rule in self.before for case in self.before[rule].cases}
        return tests is None or bool(own & tests)

    def expected(self, only: Collection[str] | None) -> dict[str, RuleResult]:
        """The rules of which a run of some scenarios says something, with those of their cases."""
        if only is None:
            return {**self.before}
        parts = {
            name: tuple(case for case in rule.cases if case.test in only)
            for name, rule in self.before.items()
        }
        return {name: replace(self.before[name], cases=cases) for name, cases in parts.items() if cases}

    def told(self, chosen: Sequence[Defect]) -> str:
        """How much of the scenarios is played, in a sentence."""
        every = {case.test for rule in self.before.values() for case in rule.cases}
        each = [self.of_all([defect]) for defect in chosen]
        numbers = [len(every if tests is None else tests) for tests in each]
        whole = sum(tests is None for tests in each)
        return (
            f"of {counted(len(every), 'scenario')} a mutant can change {sum(numbers) / len(numbers):.0f} on "
            f"average; {counted(whole, 'mutant')} may change any"
        )
