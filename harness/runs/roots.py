"""The root of trouble, among all that scenarios came to: what is another's fault is blocked by it."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

from harness.offence import Offence
from harness.outcome import Stage
from harness.profile.model import Profile
from harness.results.model import Status
from harness.rules import Catalogue, Rule
from harness.runs.course import CaseResult
from harness.runs.foundations import (
    blocked,
    ends_connections,
    hit_beyond,
    hits_nobody,
    is_only_there,
    may_block,
    told_before,
    told_with_others,
)
from harness.runs.trial import Plan

SEVERAL = 2  # sorts of clients: what one rule holds against its own is its own doing


@dataclass
class Roots:
    """Lays what a scenario came to at the door of another, where that one is to blame.

    `came` is what each of those that are `known` came to by itself. `found` has those that were looked at:
    where two may block each other, it is what the other came to by itself that counts.
    """

    catalogue: Catalogue
    profile: Profile
    plans: Mapping[str, Plan]
    known: Container[str]
    came: Callable[[str], CaseResult]
    found: dict[str, CaseResult] = field(default_factory=dict)

    def of(self, key: str) -> CaseResult:
        """What a scenario came to, or what it is blocked by; so with those that may block it, first."""
        if key not in self.found:
            outcome = self.found[key] = self.came(key)
            below = {
                one: self.of(one)
                for one in self._candidates(key)
                if not (self._is_hit_by(key, one) or self._does_not_hit(key, one))
            }
            own = self.plans[key].rule.id
            others = {one: case for one, case in below.items() if case.blocked_by != own}
            self.found[key] = blocked(outcome, others, self.plans)
        return self.found[key]

    def below(self, key: str) -> list[str]:
        """The scenarios of the rules that may have kept one from being proved, the nearest first."""
        outcome, rule = self.came(key), self.plans[key].rule
        if outcome.status not in (Status.FAILED, Status.INCONCLUSIVE) or outcome.blocked_by:
            return []
        rests_on = may_block(outcome, rule, self.catalogue, self.profile)
        found = [one for one, plan in self.plans.items() if plan.rule.id in rests_on]
        return sorted(found, key=lambda one: rests_on.index(self.plans[one].rule.id))

    def _candidates(self, key: str) -> list[str]:
        """The scenarios that may have kept another from being proved, each once, by all that is known."""
        found = [one for one in self.below(key) if one in self.known]
        found += self._told_there(key)
        if self.came(key).lost:
            found += [one for one in self.plans if one in self.known and ends_connections(self.came(one))]
        return [*dict.fromkeys(found)]

    def _told_there(self, key: str) -> list[str]:
        """The scenarios of rules that are broken as a whole, whose refusals are told where this one was."""
        if self.came(key).status is not Status.FAILED:
            return []
        stages = (*self._stages_told_before(key), *self._stages_told_with(key))
        others = {plan.rule for plan in self.plans.values() if plan.rule.stage in stages}
        broken = {rule.id for rule in others if self._is_broken_as_a_whole(rule)}
        return [one for one, plan in self.plans.items() if one in self.known and plan.rule.id in broken]

    def _is_broken_as_a_whole(self, rule: Rule) -> bool:
        """Whether no case of a rule holds, and several fail, or one where several sorts of clients do.

        One that holds nothing against anybody by itself may fail where all is told, and nowhere else: then it
        is broken if none on which it rests is, and none that fails where it has its say. One about what
        others hold against a client is not to blame for clients who have done nothing.
        """
        failed, at_home = self._failed(rule)
        if not failed or self._hits_less_than_another(rule):
            return False
        if len(at_home) > 1:
            return True
        sorts = len(self._refused_where_it_tells(rule)) + (1 if rule.lets_through else 0)
        if sorts < SEVERAL:
            return False
        if at_home or rule.offence:
            return bool(at_home)
        told = {stage for one in failed for stage in self._stages_told_with(one)}
        there = {plan.rule for plan in self.plans.values() if plan.rule.stage in told}
        below = (self.catalogue[one] for one in self.catalogue.foundations(rule))
        return not (
            any(self._failed(one)[1] for one in there if not self._hits_less_than_another(one))
            or any(self._is_broken_as_a_whole(one) for one in below)
        )

    def _hits_less_than_another(self, rule: Rule) -> bool:
        """Whether clients that have done nothing are refused where it was, which it cannot explain."""
        if rule.offence or rule.lets_through:
            return False
        failed, _ = self._failed(rule)
        stages = {stage for one in failed for stage in self._stages_told_before(one)}
        others = {
            plan.rule for plan in self.plans.values() if plan.rule.lets_through and plan.rule.stage in stages
        }
        return any(
            rule.stage in self._stages_told_with(one) for other in others for one in self._failed(other)[0]
        )

    def _failed(self, rule: Rule) -> tuple[list[str], list[str]]:
        """The cases of a rule that failed, and those that did where it has its say; none while one holds."""
        cases = [one for one, plan in self.plans.items() if one in self.known and plan.rule == rule]
        if any(self.came(one).status is Status.PASSED for one in cases):
            return [], []
        failed = [one for one in cases if self.came(one).status is Status.FAILED]
        return failed, [one for one in failed if not self._stages_told_with(one)]

    def _refused_where_it_tells(self, rule: Rule) -> set[Offence]:
        """The offences that are refused where this rule's would be told, and earn no refusal."""
        return {
            plan.rule.offence
            for one, plan in self.plans.items()
            if plan.rule.offence
            and one in self.known
            and self.came(one).status is Status.FAILED
            and rule.stage in self._stages_told_with(one)
        }

    def _stages_told_with(self, key: str) -> tuple[Stage, ...]:
        return told_with_others(self.came(key).error, self.plans[key].rule, self.profile)

    def _stages_told_before(self, key: str) -> tuple[Stage, ...]:
        return told_before(self.came(key).error, self.plans[key].rule, self.profile)

    def _is_hit_by(self, key: str, below: str) -> bool:
        """Whether another failed at the stage of this one, which rests on it, and kept what it promises."""
        outcome, rule = self.came(below), self.plans[below].rule
        if outcome.status is not Status.FAILED:
            return False
        here = self.plans[key].rule
        if hit_beyond(outcome.error, rule, self.profile) is here.stage:
            return True
        return here.stage in self._stages_told_with(below) and self._is_broken_as_a_whole(here)

    def _does_not_hit(self, key: str, below: str) -> bool:
        """Whether another is suspected for its stage alone, and failed by what neither refuses nor delays."""
        rule, other = self.plans[key].rule, self.plans[below].rule
        only_there = is_only_there(other, self.came(key), rule, self.catalogue, self.profile)
        return only_there and hits_nobody(self.came(below))
