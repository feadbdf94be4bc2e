"""What odd clients met, held against what innocent ones meet."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.discovery.evidence import says
from harness.discovery.facts import Sighting
from harness.outcome import Outcome, Stage, Treatment, later
from harness.world.conversation import Attempt, Step

HELD_FROM = 0.4  # seconds by which an odd client must wait longer than the slowest innocent one
AGREEING = 2  # odd clients that met the same
SHORT = 2.0  # seconds; who waited no longer may have waited for a busy machine
AGREEING_IN_A_SHORT_WAIT = 4

Came = tuple[Outcome | None, Step | None, float]  # what came, the step that shows it, seconds of waiting


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
        held = min(step.seconds - self.least.get(step.stage, 0.0), step.silence)
        return held if min(held, step.seconds - slowest) >= HELD_FROM else 0.0

    def includes(self, step: Step) -> bool:
        """Whether innocent clients are told the same at the same stage."""
        return self.stop is not None and (step.stage, step.code) == (self.stop.stage, self.stop.code)


def agreed(blank: Sighting, seen: Sequence[Came], innocent: Sequence[Came], usual: Usual) -> Sighting | None:
    """What clients enough met alike, and more than met anything else; None when there is no such thing.

    Nobody is said to be refused or kept waiting unless most innocent clients beside them were not; that of a
    short wait more must have met. Where innocent clients get no further, replies say nothing of odd ones, and
    more of them would not either.
    """
    votes = Counter(outcome for outcome, step, _ in seen if outcome or (step and says(step)))
    if not votes:
        return None
    outcome, count = votes.most_common(1)[0]
    waited = min(waited for one, _, waited in seen if one == outcome)
    late = outcome.late if outcome else waited > 0
    enough = AGREEING_IN_A_SHORT_WAIT if late and waited < SHORT else AGREEING
    if count < enough or count <= len(seen) - count:
        return None
    suffering = 2 * sum(not _well(one, usual, late=late) for one in innocent) >= len(innocent)
    if suffering and (late or (outcome and not _passed(outcome))):
        return None
    step = next(step for one, step, _ in seen if one == outcome)
    return replace(blank, outcome=outcome, said=words(step), waited=waited)


def nothing_follows(
    blank: Sighting, seen: Sequence[Came], innocent: Sequence[Came], usual: Usual
) -> Sighting:
    """What was seen last, of odd clients, and of innocent ones beside them where they fared no better."""
    suffering = next((came[1] for came in innocent if not _well(came, usual, late=True)), None)
    beside = f"; an innocent client beside it met {words(suffering)}" if suffering else ""
    return replace(blank, said=f"{words(seen[-1][1])}{beside}")


def _passed(outcome: Outcome) -> bool:
    return outcome.treatment is Treatment.PASS and not outcome.late


def _well(came: Came, usual: Usual, *, late: bool) -> bool:
    """Whether an innocent client met what they all met before, and was not `late` where that matters."""
    _, step, waited = came
    if step is None or (late and waited):
        return False
    return usual.includes(step) or (says(step) and step.treatment is Treatment.PASS)


def came_out(attempt: Attempt, usual: Usual, *, by_time: bool, since: Stage = Stage.CONNECT) -> Came:
    """In the words of a profile, with the step that shows it, and how much longer that took than usual.

    What a client did at the stage `since`, or in DNS before it came (the default), has no effect before that.
    """
    held: tuple[Step, float] | None = None
    for step in attempt.staged:
        if not says(step) or usual.includes(step):
            return None, step, 0.0
        if later(step.stage, since) is not step.stage:
            if step.treatment is not Treatment.PASS:
                return None, step, 0.0
            continue
        waited = usual.late(step) if by_time else 0.0
        if step.treatment is not Treatment.PASS:
            return Outcome(step.treatment or Treatment.DENY, step.stage, late=waited > 0), step, waited
        if waited and held is None:
            held = (step, waited)
    shown, waited = held or (attempt.staged[-1], 0.0)
    if attempt.staged[-1].stage is not Stage.DATA:  # it may be refused where it was not heard out to
        return None, shown, waited
    return Outcome(Treatment.PASS, shown.stage, late=waited > 0), shown, waited


def words(step: Step | None) -> str:
    """What was said at a step, and where; empty when there was none."""
    return f"{step.stage}: {step}" if step else ""
