"""What odd clients met, held against what innocent ones meet."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from harness.discovery.evidence import says
from harness.discovery.facts import Sighting
from harness.outcome import Outcome, Stage, Treatment, later
from harness.world.conversation import Attempt, Step

HELD_FROM = 0.4  # seconds by which an odd client must wait longer than the slowest innocent one
AGREEING = 2  # odd clients that met the same
SHORT = 2.0  # seconds; who waited no longer may have waited for a busy machine
AGREEING_IN_A_SHORT_WAIT = 4


class Came(NamedTuple):
    """What came of a dialogue."""

    outcome: Outcome | None
    step: Step | None  # that shows it
    waited: float = 0.0  # seconds for which it was held back; 0 where it was not
    waits: Mapping[Stage, float] = {}  # seconds by which each took longer than for the quickest innocent one

    def between(self, slowest: Mapping[Stage, float]) -> Stage | None:
        """Where it waited longer than the slowest innocent client, and not clearly so; None: nowhere."""
        if self.waited and self.step:
            unclear = self.waited - slowest.get(self.step.stage, 0.0) < HELD_FROM
            return self.step.stage if unclear else None
        return next(
            (
                stage
                for stage, seconds in self.waits.items()
                if seconds >= HELD_FROM and 0 < seconds - slowest.get(stage, 0.0) < HELD_FROM
            ),
            None,
        )


@dataclass(frozen=True)
class Usual:
    """What innocent clients met: how far they got, and how long each stage took at most, in seconds."""

    reached: Stage | None
    seconds: Mapping[Stage, float] = field(default_factory=dict)
    least: Mapping[Stage, float] = field(default_factory=dict)
    stop: Step | None = None  # where they got no further
    broken: str = ""  # why there is nothing to compare with

    @property
    def pause(self) -> float:
        """What everybody waits for the greeting, in seconds."""
        return self.least.get(Stage.CONNECT, 0.0)

    @property
    def stopped(self) -> str:
        """What keeps them from getting through; empty when nothing does."""
        return f"{self.stop.stage}: {self.stop}" if self.stop else self.broken

    def late(self, step: Step) -> float:
        """How long a step was held back, in seconds; 0 unless that is more than for the slowest innocent."""
        others = [seconds for stage, seconds in self.seconds.items() if stage is not Stage.CONNECT]
        slowest = self.seconds.get(step.stage, max(others, default=0.0))
        held = self.waited(step)
        return held if min(held, step.seconds - slowest) >= HELD_FROM else 0.0

    def waited(self, step: Step) -> float:
        """How much longer than for the quickest innocent a step took in silence, in seconds."""
        return min(step.seconds - self.least.get(step.stage, 0.0), step.silence)

    def includes(self, step: Step) -> bool:
        """Whether innocent clients are told the same at the same stage."""
        return self.stop is not None and (step.stage, step.code) == (self.stop.stage, self.stop.code)


def agreed(blank: Sighting, seen: Sequence[Came], innocent: Sequence[Came], usual: Usual) -> Sighting | None:
    """What clients enough met alike, and more than met anything else; None when there is no such thing.

    Nobody is said to be refused or kept waiting unless most innocent clients beside them were not; that of a
    short wait more must have met. Who waited longer than the slowest of them, and not clearly so, has no say.
    Where innocent clients get no further, replies say nothing of odd ones, and more of them would not either.
    """
    slowest = _slowest(innocent, usual)
    seen = [one for one in seen if one.between(slowest) is None]
    votes = Counter(one.outcome for one in seen if one.outcome or (one.step and says(one.step)))
    if not votes:
        return None
    outcome, count = votes.most_common(1)[0]
    waited = min(one.waited for one in seen if one.outcome == outcome)
    late = outcome.late if outcome else waited > 0
    enough = AGREEING_IN_A_SHORT_WAIT if late and waited < SHORT else AGREEING
    if count < enough or count <= len(seen) - count:
        return None
    suffering = 2 * sum(not _well(one, usual, late=late) for one in innocent) >= len(innocent)
    if suffering and (late or (outcome and not _passed(outcome))):
        return None
    step = next(one.step for one in seen if one.outcome == outcome)
    return replace(blank, outcome=outcome, said=words(step), waited=waited)


def nothing_follows(
    blank: Sighting, seen: Sequence[Came], innocent: Sequence[Came], usual: Usual
) -> Sighting:
    """What was seen last, of odd clients, and of innocent ones beside them where they fared no better."""
    suffering = next((came.step for came in innocent if not _well(came, usual, late=True)), None)
    beside = f"; an innocent client beside it met {words(suffering)}" if suffering else ""
    slowest = _slowest(innocent, usual)
    for one in seen:
        if stage := one.between(slowest):
            most = slowest.get(stage, 0.0)
            beside += (
                f"; whether it was held back at {stage} is not clear: it waited {one.waits[stage]:.1f} s "
                f"longer than the quickest innocent client, and the slowest one {most:.1f} s"
            )
            break
    return replace(blank, said=f"{words(seen[-1].step)}{beside}")


def _slowest(innocent: Sequence[Came], usual: Usual) -> dict[Stage, float]:
    """By how much an innocent client waited longer than the quickest, beside odd ones or before them."""
    slowest = {stage: seconds - usual.least.get(stage, 0.0) for stage, seconds in usual.seconds.items()}
    for one in innocent:
        for stage, seconds in one.waits.items():
            slowest[stage] = max(seconds, slowest.get(stage, 0.0))
    return slowest


def _passed(outcome: Outcome) -> bool:
    return outcome.treatment is Treatment.PASS and not outcome.late


def _well(came: Came, usual: Usual, *, late: bool) -> bool:
    """Whether an innocent client met what they all met before, and was not `late` where that matters."""
    step = came.step
    if step is None or (late and came.waited):
        return False
    return usual.includes(step) or (says(step) and step.treatment is Treatment.PASS)


def came_out(attempt: Attempt, usual: Usual, *, by_time: bool, since: Stage = Stage.CONNECT) -> Came:
    """In the words of a profile, with the step that shows it, and how much longer that took than usual.

    What a client did at the stage `since`, or in DNS before it came (the default), has no effect before that.
    """
    held: tuple[Step, float] | None = None
    waits: dict[Stage, float] = {}
    for step in attempt.staged:
        if not says(step) or usual.includes(step):
            return Came(None, step)
        if later(step.stage, since) is not step.stage:
            if step.treatment is not Treatment.PASS:
                return Came(None, step)
            continue
        waited = usual.late(step) if by_time else 0.0
        if by_time:
            waits[step.stage] = max(usual.waited(step), waits.get(step.stage, 0.0))
        if step.treatment is not Treatment.PASS:
            outcome = Outcome(step.treatment or Treatment.DENY, step.stage, late=waited > 0)
            return Came(outcome, step, waited, waits)
        if waited and held is None:
            held = (step, waited)
    shown, waited = held or (attempt.staged[-1], 0.0)
    if attempt.staged[-1].stage is not Stage.DATA:  # it may be refused where it was not heard out to
        return Came(None, shown, waited, waits)
    return Came(Outcome(Treatment.PASS, shown.stage, late=waited > 0), shown, waited, waits)


def words(step: Step | None) -> str:
    """What was said at a step, and where; empty when there was none."""
    return f"{step.stage}: {step}" if step else ""
