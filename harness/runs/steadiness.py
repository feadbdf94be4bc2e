"""How steady a server is seen to be, and how many agreeing clients a verdict therefore needs.

Each try of a scenario votes for or against its rule, or not at all. On a network that loses connections, or
with something between that changes replies, a vote can be wrong. The chance of that is estimated from
innocent clients, who should all meet the same. A verdict stands when the votes for it exceed those against it
by so many that a wrong one is less likely than `RISK` (a sequential probability ratio test: A. Wald,
Sequential Tests of Statistical Hypotheses, 1945).
"""

import math
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.outcome import Stage

RISK = 1e-5  # of a wrong verdict, for each case
SLIPS = 0.1  # of the trouble that takes connections away, what may pass for a reply
HITS = 0.2  # of changed replies, those that look just as what a rule promises
TAKEN_FOR_WELL = 200  # innocent clients, while none is seen who was not: most servers are steady
WORST = 0.45  # the highest chance of a wrong vote that is reckoned with
LATE = "late"  # what a twin met for whom only the time was not as promised
OTHERS = 2  # rules whose innocent clients were late at a stage: one may be broken, and one more notice it
STORING = 1  # more votes where a message may have been stored: how slow that is, no probe knows
FAILING = 2  # a failure is seen on so many clients, however steady the server
TRIES = 3  # of a scenario, while everything is steady
MORE_TRIES = 12  # on a server that is not


@dataclass(frozen=True)
class Seen:
    """What innocent clients met, and how dialogues ended, so far."""

    innocents: int = 0
    wrong: int = 0  # of them, those who met something else than others at the same
    dialogues: int = 0
    lost: int = 0  # of them, those that ended for no reason that a reply gave
    late: int = 0  # innocents who met the same as others, but later or sooner
    doubtful: int = 0  # innocents who met something else than is promised, and nobody has tried it again

    @property
    def steady(self) -> bool:
        """Whether nothing was lost, and no innocent client met anything else than the others."""
        return not self.wrong and not self.lost and not self.late

    @property
    def tries(self) -> int:
        """How often a scenario is tried before it counts as undecided."""
        return TRIES if self.steady else MORE_TRIES

    def votes_to_fail(self, dialogues: int = 1) -> int:
        """By how many votes a failure must be ahead that each of so many `dialogues` of a try may show.

        What is wrong in one of a hundred dialogues is so in one of five tries that hold twenty.
        """
        chance = self._chance_of_change + SLIPS * self._chance_of_loss
        if not self.steady:
            chance = 1 - (1 - min(chance, WORST)) ** max(1, dialogues)
        return max(FAILING, _margin(chance))

    def votes_to_pass(self, *, by_time: bool = False) -> int:
        """By how many votes a pass must be ahead; one will do while no innocent client met anything else.

        Where only the time was something else, that goes for rules that show `by_time`.
        """
        late = self.late if by_time else 0
        # Who is late looks just as such a rule promises; of all else that may have changed, little does.
        chance = HITS * self._chance_of_change + late / max(1, self.innocents)
        return _margin(chance) if self.wrong or self.doubtful or late else 1

    def __str__(self) -> str:
        """What was seen, for a note of the run; empty while everything is steady."""
        seen = []
        if self.lost:
            seen.append(f"{self.lost} of {self.dialogues} dialogues were lost without a reason")
        if self.wrong:
            seen.append(
                f"{self.wrong} of {self.innocents} innocent clients met something else than the others"
            )
        if self.late:
            seen.append(f"{self.late} of {self.innocents} met the same, but later")
        if not seen:
            return ""
        return (
            f"the server, or the network before it, was not steady: {' and '.join(seen)}; so a failure "
            f"needed {self.votes_to_fail()} agreeing clients, or more where a scenario has many dialogues, "
            f"and a pass {self.votes_to_pass(by_time=True)}"
        )

    @property
    def _chance_of_change(self) -> float:
        wrong = self.wrong + self.late
        return (wrong + 0.5) / (self.innocents + (0 if wrong else TAKEN_FOR_WELL))

    @property
    def _chance_of_loss(self) -> float:
        return (self.lost + 0.5) / (self.dialogues + 1) if self.lost else 0.0


@dataclass(frozen=True)
class Lateness:
    """At one stage, how many other rules have innocent clients who got there, and who were kept waiting.

    Whoever holds replies back does so by a rule. Where innocents of several rules wait who should not, the
    machine is slow, and what is late for one rule may be nothing but that.
    """

    stage: Stage
    rules: int = 0
    late: int = 0

    @property
    def seen(self) -> bool:
        """Whether that is more than chance, or another rule that is broken."""
        return self.late > OTHERS

    @property
    def votes(self) -> int:
        """By how many votes one side must be ahead where only lateness tells."""
        chance = (self.late + 0.5) / (self.rules + (1 if self.seen else TAKEN_FOR_WELL))
        return max(FAILING, _margin(chance)) + (STORING if self.stage is Stage.DATA else 0)

    def __str__(self) -> str:
        """What was seen, for a reason."""
        return f"innocent clients of {self.late} of {self.rules} other rules were late at {self.stage}, too"


@dataclass
class Steadiness:
    """Counts what innocent clients met, and how dialogues ended; thread-safe.

    The twins of a scenario are compared with each other: a rule that hits the innocent does so each time, and
    that is no reason to doubt any verdict.
    """

    innocents: int = 0
    wrong: int = 0
    dialogues: int = 0
    lost: int = 0
    late: int = 0
    _twins: dict[object, Counter[str]] = field(default_factory=dict)  # by scenario: what they met
    _timed: dict[str, dict[Stage, bool]] = field(default_factory=dict)  # by rule: whether one was late there
    _frozen: bool = False
    _seen: Seen | None = None  # as long as nothing is added: hundreds of scenarios ask at a time
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def innocent_met(self, said: str = "") -> None:
        """An innocent client got through, or met something else than the others, which it was `said`.

        `LATE`: it met the same at another time.
        """
        with self._lock:
            if not self._frozen:
                self._seen = None
                self.innocents += 1
                self.wrong += bool(said) and said != LATE
                self.late += said == LATE

    def twin_met(self, scenario: object, said: str) -> None:
        """An innocent twin got through, or met what it was `said`, which is empty otherwise.

        `LATE`: it met what was promised at another time.
        """
        with self._lock:
            if not self._frozen:
                self._seen = None
                self._twins.setdefault(scenario, Counter())[said] += 1

    def timed(self, rule: str, reached: Iterable[Stage], late: Stage | None) -> None:
        """How far an innocent client of a rule got, and where it waited, or may have, that should not."""
        with self._lock:
            known = {} if self._frozen else self._timed.setdefault(rule, {})
            for stage in reached:
                known[stage] = known.get(stage, False) or stage is late

    def lateness(self, rule: str, stage: Stage) -> Lateness:
        """What other rules' innocent clients met at a stage."""
        with self._lock:
            others = [
                known[stage] for other, known in self._timed.items() if other != rule and stage in known
            ]
        return Lateness(stage, len(others), sum(others))

    def dialogue_ended(self, *, lost: bool) -> None:
        """A dialogue came to its end, or was lost."""
        with self._lock:
            if not self._frozen:
                self._seen = None
                self.dialogues += 1
                self.lost += lost

    def freeze(self) -> None:
        """The run is broken off: what is cut short from now on says nothing of the server."""
        with self._lock:
            self._frozen = True

    def doubts(self, scenario: object) -> bool:
        """Whether the only twin of a scenario so far did not get through."""
        with self._lock:
            return _only_one_and_odd(self._twins.get(scenario, Counter()))

    @property
    def seen(self) -> Seen:
        """Everything."""
        with self._lock:
            if self._seen is None:
                self._seen = self._counted()
            return self._seen

    def _counted(self) -> Seen:
        twins = self._twins.values()
        odd = sum(met.total() - max(met.values()) for met in twins)
        wrong = sum(met.total() - max(met[""] + met[LATE], *met.values()) for met in twins)
        return Seen(
            self.innocents + sum(met.total() for met in twins),
            self.wrong + wrong,
            self.dialogues,
            self.lost,
            self.late + odd - wrong,
            sum(map(_only_one_and_odd, twins)),
        )


def _only_one_and_odd(met: Counter[str]) -> bool:
    return met.total() == 1 and not met[""]


def _margin(chance: float) -> int:
    """By how many votes one side must be ahead when each is wrong by that chance."""
    chance = min(chance, WORST)
    return math.ceil(math.log(RISK) / math.log(chance / (1 - chance)))
