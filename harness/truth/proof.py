"""The proof: many drawn servers, sound ones and broken ones, and no verdict that is wrong."""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from harness.mutants.reference import ReferenceMta
from harness.mutants.subject import Defect
from harness.results.model import RunResult, Status
from harness.truth.defects import showing
from harness.truth.dimensions import draw
from harness.truth.draw import Draw
from harness.truth.pool import Order, Pool
from harness.truth.shrink import shrunk
from harness.truth.trial import Bench, Trial
from harness.truth.verdict import Kind, Truth, Wrong


@dataclass(frozen=True)
class Case:
    """One server: the number of a draw, and the defect that it has, if any."""

    seed: int
    number: int
    mutant: str = ""

    def __str__(self) -> str:
        """As it is asked for to be tried again."""
        return f"{self.seed}:{self.number}" + (f":{self.mutant}" if self.mutant else "")

    @classmethod
    def parse(cls, text: str) -> "Case":
        """Read SEED:NUMBER[:MUTANT]; raises `ValueError`."""
        seed, separator, rest = text.partition(":")
        number, _, mutant = rest.partition(":")
        if not separator or not seed.isdecimal() or not number.isdecimal():
            raise ValueError(f"{text!r} is no server; write SEED:NUMBER or SEED:NUMBER:MUTANT")
        return cls(int(seed), int(number), mutant)

    @property
    def drawn(self) -> Draw:
        """The server."""
        return draw(self.seed, self.number)

    @property
    def broken(self) -> str:
        """The rule that is broken; empty for a sound server."""
        return self.mutant.rpartition(":")[0]


@dataclass(frozen=True)
class Mistake:
    """A server about which something wrong was said, and each time where noise may have been the reason."""

    case: Case
    wrong: tuple[Wrong, ...]


@dataclass(frozen=True)
class Judged:
    """An order, its last trial, and what is wrong about it; `passing` did not come each time."""

    order: Order
    trial: Trial
    wrong: tuple[Wrong, ...]
    passing: tuple[Wrong, ...] = ()
    cpu: float = 0.0  # seconds, of all its trials


@dataclass
class _Again:
    order: Order
    tries: list[tuple[Wrong, ...]] = field(default_factory=list)  # what was wrong, each time
    cpu: float = 0.0

    @property
    def doubtful(self) -> set[tuple[str, str]]:
        """What may be noise and came each time."""
        return set.intersection(
            *({one.same for one in tried if one.kind.may_be_noise} for tried in self.tries)
        )


@dataclass
class Tally:
    """What the verdicts about a sort of servers came to."""

    servers: int = 0
    statuses: Counter[Status] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)  # of what was inconclusive
    mistakes: list[Mistake] = field(default_factory=list)
    passing: Counter[Kind] = field(default_factory=Counter)  # wrong by noise, and not each time
    rules: dict[str, Counter[Status]] = field(default_factory=dict)
    mutants: Counter[str] = field(default_factory=Counter)
    cpu: float = 0.0

    def add(self, case: Case, judged: Judged) -> None:
        """Count one server's result, the last one where it was tried again."""
        trial, wrong = judged.trial, judged.wrong
        self.cpu += judged.cpu
        self.passing.update(one.kind for one in judged.passing)
        self.servers += 1
        if case.mutant:
            self.mutants[case.mutant] += 1
        if wrong:
            self.mistakes.append(Mistake(case, wrong))
        for rule in trial.result.rules if trial.result else ():
            self.statuses[rule.status] += 1
            self.rules.setdefault(rule.id, Counter())[rule.status] += 1
            if rule.status is Status.INCONCLUSIVE:
                self.causes[_cause(rule.blocked_by, case, trial.result)] += 1


def _cause(blocked_by: str, case: Case, result: RunResult | None) -> str:
    if not blocked_by:
        return "none that it names"
    if blocked_by == case.broken:
        return "blocked by the broken rule"
    findings = {finding.id for finding in result.findings} if result else set()
    return "blocked by what innocent clients meet" if blocked_by in findings else "blocked by another rule"


@dataclass
class Proof:
    """Tries servers and holds what is said of them against what they are."""

    pool: Pool
    told: Callable[[str], None] = print  # what is found, as it is found
    sound: Tally = field(default_factory=Tally)
    broken: Tally = field(default_factory=Tally)
    doubtful: int = 0  # servers that are to be tried again, and are not counted until then

    def run(self, cases: Sequence[Case], progress: Callable[[int, int, int], None]) -> None:
        """Try all of them.

        `progress` is told how many are done, of how many, and how many mistakes there are.
        """
        orders = [Order(case, case.drawn, _mutants(case)) for case in cases]
        for done, judged in enumerate(self.judged(orders), 1):
            case: Case = judged.order.key
            tally = self.broken if case.mutant else self.sound
            tally.add(case, judged)
            if judged.wrong:
                self._tell(Mistake(case, judged.wrong))
            progress(done, len(cases), len(self.sound.mistakes) + len(self.broken.mistakes))

    def judged(self, orders: Iterable[Order]) -> Iterator[Judged]:
        """Every order and what is wrong about it.

        What may be noise is tried again before it counts, when all others are done, for noise takes its
        time; and where it comes again, once more, with nothing beside it.
        """
        left = deque(replace(order, key=_Again(order)) for order in orders)
        alone = replace(self.pool, parallel=1)
        for pool, is_last in ((self.pool, False), (self.pool, False), (alone, True)):
            doubtful: deque[Order] = deque()
            for order, trial in pool.trials(left):
                again: _Again = order.key
                was_doubtful = bool(again.tries)
                again.tries.append(self.wrong(order.mutants, trial))
                again.cpu += trial.cpu
                if again.doubtful and not is_last:
                    doubtful.append(order)
                    self.doubtful += not was_doubtful
                else:
                    self.doubtful -= was_doubtful
                    yield _judged(again, trial)
            left = doubtful

    def wrong(self, mutants: Sequence[str], trial: Trial) -> tuple[Wrong, ...]:
        """What is wrong about the verdicts on a server with that defect, if any."""
        mutant = "".join(mutants)
        if trial.result is None:
            return (Wrong(Kind.NO_RESULT, mutant.rpartition(":")[0], trial.trouble),)
        return truth_of(mutant, self.pool.bench).wrong(trial.result, self.pool.bench.catalogue)

    def smallest(self, mistake: Mistake) -> Draw:
        """The smallest server of which the first of its wrong things is said.

        Only the rule in question is tried where it shows by itself.
        """
        case, same = mistake.case, mistake.wrong[0].same
        alone = self._with_rule(mistake.wrong[0].rule)
        if alone and any(does for _, does in alone.showing(case, same, [case.drawn])):
            return shrunk(case.drawn, lambda tried: alone.showing(case, same, tried))
        return shrunk(case.drawn, lambda tried: self.showing(case, same, tried))

    def showing(
        self, case: Case, same: tuple[str, str], tried: Sequence[Draw]
    ) -> Iterator[tuple[Draw, bool]]:
        """Servers with the defect of a case, as each is tried, and whether the same wrong thing is said."""
        possible = [one for one in tried if not case.mutant or case.mutant in _names(one)]
        for order, trial in self.pool.trials(deque(Order(case, one, _mutants(case)) for one in possible)):
            yield order.drawn, same in {one.same for one in self.wrong(order.mutants, trial)}

    def _with_rule(self, rule: str) -> "Proof | None":
        if rule not in self.pool.bench.catalogue.rules:
            return None
        return Proof(replace(self.pool, bench=replace(self.pool.bench, rules=(rule,))))

    def _tell(self, mistake: Mistake) -> None:
        self.told(f"WRONG about {mistake.case} (smtp-harness truth --replay {mistake.case})")
        for one in mistake.wrong:
            self.told(f"    {one}")


def _judged(again: _Again, trial: Trial) -> Judged:
    """What counts is what no noise excuses, or what came each time."""
    each_time = again.doubtful
    every = [one for tried in again.tries for one in tried]
    passing = tuple(one for one in every if one.kind.may_be_noise and one.same not in each_time)
    counts = {one.same: one for one in every if one not in passing}
    return Judged(again.order, trial, tuple(counts.values()), passing, again.cpu)


def _mutants(case: Case) -> tuple[str, ...]:
    return (case.mutant,) if case.mutant else ()


def _names(drawn: Draw) -> set[str]:
    return {mutant.name for mutant in showing(drawn)}


def truth_of(mutant: str, bench: Bench) -> Truth:
    """What is known of a server with that defect: whose rule must fail, and which others may."""
    if not mutant:
        return Truth()
    rule = mutant.rpartition(":")[0]
    subject = ReferenceMta(bench.scenarios)
    defect = Defect(mutant, (rule,), "")
    return Truth(rule, {one.id for one in bench.catalogue if subject.expects(defect, one.id)})


def cases(bench: Bench, seed: int, servers: int, broken: int, first: int = 0) -> list[Case]:
    """So many sound servers and so many broken ones; of the defects that show those that were had least.

    Those before number `first` are left out, and the others are what they would be with them.
    """
    sound = [Case(seed, number) for number in range(first + servers)]
    had: Counter[str] = Counter()
    spoilt: list[Case] = []
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    for number in range(first + broken):
        names = [one.name for one in showing(draw(seed, number)) if bench.tries(one.rule)]
        if names:
            chosen = min(chance.sample(names, len(names)), key=lambda name: had[name])
            had[chosen] += 1
            spoilt.append(Case(seed, number, chosen))
    later = [[case for case in sort if case.number >= first] for sort in (sound, spoilt)]
    return [one for both in _side_by_side(*later) for one in both]


def _side_by_side(sound: list[Case], spoilt: list[Case]) -> Iterator[list[Case]]:
    for number in range(max(len(sound), len(spoilt))):
        yield [*sound[number : number + 1], *spoilt[number : number + 1]]
