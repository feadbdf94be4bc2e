"""The root of trouble, among all that scenarios came to: what is another's fault is blocked by it."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace

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
    refusal,
    refused_before,
    told_at,
    told_before,
    told_with_others,
)
from harness.runs.trial import Plan
from harness.wording import named
from harness.world.refusal import Refusal

SEVERAL = 2  # sorts of clients: what one rule holds against its own is its own doing


@dataclass
class Roots:
    """Lays what a scenario came to at the door of another, where that one is to blame.

    `came` is what each of those that are `known` came to by itself. `found` has those that were looked at:
    where two may block each other, it is what the other came to by itself that counts. Scenarios fare *alike*
    whose clients are refused at one stage, with one code and in the same words: that has one source.
    """

    catalogue: Catalogue
    profile: Profile
    plans: Mapping[str, Plan]
    known: Container[str]
    came: Callable[[str], CaseResult]
    found: dict[str, CaseResult]

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
            self.found[key] = self._with_what_was_not_tried(key, blocked(outcome, others, self.plans))
        return self.found[key]

    def _with_what_was_not_tried(self, key: str, outcome: CaseResult) -> CaseResult:
        """A failure says on what it rests of which no case was selected: that might be what is broken."""
        if outcome.status is not Status.FAILED:
            return outcome
        tried = {plan.rule.id for plan in self.plans.values()}
        below = (self.catalogue.known[one] for one in self.catalogue.foundations(self.plans[key].rule))
        untried = [one.id for one in below if one.id not in tried and self.profile.claims(one)]
        if not untried:
            return outcome
        rests = f"it rests on {named(untried)}, of which nothing was tried by then: play that as well"
        return replace(outcome, reason=f"{outcome.reason}; {rests}")

    def open_below(self, key: str) -> list[str]:
        """The rules that may be to blame for what a scenario came to, and of which nothing is known.

        Beside those that may have kept it from being proved: where it was refused, all of the stages whose
        refusals are told there.
        """
        outcome, rule = self.came(key), self.plans[key].rule
        found = {self.plans[one].rule.id: None for one in self.below(key) if one not in self.known}
        if self._refusal(key):
            stages = {
                *refused_before(outcome.error, rule, self.profile),
                *self._stages_told_before(key),
                *self._stages_told_with(key),
            }
            found |= {
                plan.rule.id: None
                for one, plan in self.plans.items()
                if one not in self.known and plan.rule.stage in stages and plan.rule != rule
            }
        return [*found]

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
        if refused := self._refusal(key):
            found += [*self._refused_before(key, refused), *self._told_there(key, refused)]
        if self.came(key).lost:
            found += [one for one in self.plans if one in self.known and ends_connections(self.came(one))]
        return [*dict.fromkeys(found)]

    def _refusal(self, key: str) -> Refusal | None:
        """The refusal by which a scenario failed."""
        outcome = self.came(key)
        return refusal(outcome.error) if outcome.status is Status.FAILED else None

    def _alike(self, refused: Refusal) -> list[str]:
        """The scenarios that failed, whatever by, whose clients met such a refusal and may have earned it."""
        stages = told_at(refused.stage, self.profile)
        return [
            one
            for one, plan in self.plans.items()
            if plan.rule.stage in stages
            and one in self.known
            and self.came(one).status is Status.FAILED
            and refused in self.came(one).refusals
        ]

    def _refused_before(self, key: str, refused: Refusal) -> list[str]:
        """Those of earlier stages that fared alike, where this one was refused before its own."""
        stages = refused_before(self.came(key).error, self.plans[key].rule, self.profile)
        return [one for one in self._alike(refused) if self.plans[one].rule.stage in stages] if stages else []

    def _told_there(self, key: str, refused: Refusal) -> list[str]:
        """Those of rules that are broken as a whole, whose refusals are told where this one was."""
        stages = (*self._stages_told_before(key), *self._stages_told_with(key))
        if not stages:
            return []
        alike = self._alike(refused)
        rules = {rule.id: rule for one in alike if (rule := self.plans[one].rule).stage in stages}
        broken = {name for name, rule in rules.items() if self._is_broken_as_a_whole(rule, alike)}
        return [one for one, plan in self.plans.items() if one in self.known and plan.rule.id in broken]

    def _is_broken_as_a_whole(self, rule: Rule, alike: Sequence[str]) -> bool:
        """Whether no case of a rule holds, and several fail alike, or one beside other sorts of clients.

        One that holds nothing against anybody by itself may fail where all is told, and nowhere else: then it
        is broken if none on which it rests is, and none that fails where it has its say. One about what
        others hold against a client is not to blame for clients that it has nothing to do with.
        """
        own = [one for one in alike if self.plans[one].rule == rule]
        if not own or self._holds(rule) or self._is_cleared(rule, alike):
            return False
        at_home = [one for one in own if not self._stages_told_with(one)]
        if len(at_home) > 1:
            return True
        if self._sorts(rule, alike) < SEVERAL:
            return False
        if at_home or rule.offence:
            return bool(at_home)
        told = {stage for one in own for stage in self._stages_told_with(one)}
        there = [one for one in alike if self.plans[one].rule.stage in told]
        below = (self.catalogue[one] for one in self.catalogue.foundations(rule))
        return not (
            any(self._fails_at_home(one, alike) for one in there)
            or any(self._is_broken_as_a_whole(one, alike) for one in below)
        )

    def _holds(self, rule: Rule) -> bool:
        """Whether a case of it is known to hold."""
        cases = (one for one, plan in self.plans.items() if one in self.known and plan.rule == rule)
        return any(self.came(one).status is Status.PASSED for one in cases)

    def _fails_at_home(self, key: str, alike: Sequence[str]) -> bool:
        """Whether one failed where its rule has its say, none of whose cases holds."""
        rule = self.plans[key].rule
        return not (self._stages_told_with(key) or self._holds(rule) or self._is_cleared(rule, alike))

    def _is_cleared(self, rule: Rule, alike: Sequence[str]) -> bool:
        """Whether it is about what others hold against clients, and one that has done nothing fares alike."""
        if rule.offence or rule.lets_its_clients_through:
            return False
        before = {
            stage for one in alike if self.plans[one].rule == rule for stage in self._stages_told_before(one)
        }
        return any(
            other.lets_its_clients_through
            and other.stage in before
            and rule.stage in self._stages_told_with(one)
            and not self._holds(other)
            for one in alike
            if (other := self.plans[one].rule)
        )

    def _sorts(self, rule: Rule, alike: Sequence[str]) -> int:
        """How many sorts of clients are refused where this rule's would be told, and have earned no refusal.

        Those that it lets through itself are one, and then those of whom others hold something are as well.
        """
        refused = {
            other.offence
            for one in alike
            if (other := self.plans[one].rule).offence and rule.stage in self._stages_told_with(one)
        }
        if not rule.lets_its_clients_through:
            return len(refused)
        others = any(
            not (other := self.plans[one].rule).offence
            and not other.lets_its_clients_through
            and rule.stage in self._stages_told_before(one)
            for one in alike
        )
        return len(refused) + 1 + others

    def _stages_told_with(self, key: str) -> tuple[Stage, ...]:
        return told_with_others(self.came(key).error, self.plans[key].rule, self.profile)

    def _stages_told_before(self, key: str) -> tuple[Stage, ...]:
        return told_before(self.came(key).error, self.plans[key].rule, self.profile)

    def _is_hit_by(self, key: str, below: str) -> bool:
        """Whether another was refused, or kept waiting, at the stage of this one, where it holds nothing."""
        outcome, rule = self.came(below), self.plans[below].rule
        if outcome.status is not Status.FAILED:
            return False
        here = self.plans[key].rule
        if hit_beyond(outcome.error, rule, self.profile) is here.stage:
            return True
        refused = self._refusal(below)
        if not refused:
            return False
        if here.stage in refused_before(outcome.error, rule, self.profile):
            return key in self._alike(refused)
        told_with = here.stage in self._stages_told_with(below)
        return told_with and self._is_broken_as_a_whole(here, self._alike(refused))

    def _does_not_hit(self, key: str, below: str) -> bool:
        """Whether another is suspected for its stage alone, and failed by what neither refuses nor delays."""
        rule, other = self.plans[key].rule, self.plans[below].rule
        only_there = is_only_there(other, self.came(key), rule, self.catalogue, self.profile)
        return only_there and hits_nobody(self.came(below))
