"""Whether the verdicts about a drawn server are true: what it is was known before."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from harness.results.model import RuleResult, RunResult, Status
from harness.rules import Catalogue

DOCTOR = "doctor."  # how what the doctor found is called


class Kind(StrEnum):
    """How a verdict can be wrong."""

    FALSE_FAILURE = "failed a rule that is kept"
    UNNOTICED = "passed the rule that is broken"
    UNTOLD = "said neither way of the rule that is broken"
    NO_CAUSE = "inconclusive without a cause that it names"
    FALSE_FINDING = "a finding about innocent clients of a sound server"
    NO_RESULT = "no result at all"

    @property
    def may_be_noise(self) -> bool:
        """Whether nothing false was said: a machine that is busy for a moment may be the reason."""
        return self in (Kind.UNTOLD, Kind.NO_CAUSE, Kind.NO_RESULT)


@dataclass(frozen=True)
class Wrong:
    """A wrong verdict, and what the harness said."""

    kind: Kind
    rule: str  # or the id of a finding
    said: str = ""

    def __str__(self) -> str:
        """A line of the report."""
        return f"{self.rule}: {self.kind}: {self.said}"

    @property
    def same(self) -> tuple[str, str]:
        """What two wrong verdicts have in common that are the same one."""
        return (self.kind, self.rule)


@dataclass(frozen=True)
class Truth:
    """What is known of a server: which rule is broken, if any, and who cannot help but notice that."""

    broken: str = ""
    noticed_by: Collection[str] = ()

    def wrong(self, result: RunResult, catalogue: Catalogue) -> tuple[Wrong, ...]:
        """The verdicts that are not true."""
        return (*self._about_rules(result, catalogue), *self._about_innocents(result))

    def _about_rules(self, result: RunResult, catalogue: Catalogue) -> Iterator[Wrong]:
        for rule in result.rules:
            if rule.id == self.broken:
                if rule.status is not Status.FAILED and not _told_at_the_top(rule, result):
                    kind = Kind.UNNOTICED if rule.status is Status.PASSED else Kind.UNTOLD
                    yield Wrong(kind, rule.id, f"{rule.status.words}. {rule.reason}".strip())
            elif rule.status is Status.FAILED and rule.id not in self.noticed_by:
                yield Wrong(Kind.FALSE_FAILURE, rule.id, f"{rule.expectation}. {rule.reason}")
            elif rule.status is Status.INCONCLUSIVE and not self._has_cause(rule, result, catalogue):
                yield Wrong(Kind.NO_CAUSE, rule.id, f"{rule.expectation}. {rule.reason}")
        if self.broken and self.broken not in {rule.id for rule in result.rules}:
            yield Wrong(Kind.UNTOLD, self.broken, "it was not tried")

    def _about_innocents(self, result: RunResult) -> Iterator[Wrong]:
        if not self.broken:
            for finding in result.findings:
                yield Wrong(Kind.FALSE_FINDING, finding.id, finding.statement)

    def _has_cause(self, rule: RuleResult, result: RunResult, catalogue: Catalogue) -> bool:
        """Whether it is blocked by the broken rule, by one that notices it, or by what innocents meet.

        A rule notices it that rests on the broken one, or is declared to.
        """
        if not self.broken or not rule.blocked_by:
            return False
        failed = {one.id for one in result.rules if one.status is Status.FAILED}
        if rule.blocked_by.startswith(DOCTOR) or rule.blocked_by in failed & {*self.noticed_by}:
            return True
        findings = {finding.id for finding in result.findings}
        rests_on = (
            catalogue.foundations(catalogue[rule.blocked_by]) if rule.blocked_by in catalogue.rules else ()
        )
        return rule.blocked_by in findings or self.broken in (rule.blocked_by, *rests_on)


def _told_at_the_top(rule: RuleResult, result: RunResult) -> bool:
    """A defect that hits innocent clients is a finding of its own, and its rule is blocked by that."""
    return rule.blocked_by in {finding.id for finding in result.findings}
