"""From what a server did to a verdict: prompt or late, as documented or not, or not to be told."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from harness.outcome import DIALOGUE, Outcome, Stage, Verdict
from harness.rules import spell
from harness.verdicts import FailedError, InconclusiveError
from harness.world.conversation import Attempt, Step

LATE_FROM = 0.9  # of the configured delay: such a silence is a reply held back
PROMPT_BELOW = 0.5  # of the configured delay: such a reply was not
NOISE_BELOW = 0.4  # of the configured delay: what everything else may take meanwhile

ORDER = DIALOGUE
REPEATING = (Stage.MAIL, Stage.RCPT)  # a delay that was earned before is imposed here again

FULL = ("4.2.2", "4.3.1")  # the mailbox, the mail system


class Timing(Enum):
    """Whether a reply was held back."""

    PROMPT = "prompt"
    LATE = "late"
    UNCLEAR = "neither clearly prompt nor clearly late"


class BrokenError(InconclusiveError):
    """The dialogue ended in a way that may mean trouble with the server as a whole."""


class FullError(BrokenError):
    """The server has no room for mail: trouble, also when others get through."""


@dataclass(frozen=True)
class Judge:
    """Holds attempts against outcomes, for one configured delay in seconds."""

    delay: float
    noise: Callable[[float, float], float]  # the greatest slowness between two moments, seconds
    greylisting: bool = False  # whether a deferred recipient may just be an unknown one
    scan: float | None = None  # seconds that the server may look at a message; None: nobody knows

    def timing(self, step: Step) -> Timing:
        """Prompt below half of the delay; late when the server was silent for nine tenths of it on end.

        A server that holds a reply back is silent. One that is slow, or whose DNS is, goes on asking
        meanwhile; and what the pulse's own exchanges took at the time proves nothing about policy.
        Where content is scanned, the end of DATA may take as long as that does.
        """
        prompt_below = max(PROMPT_BELOW * self.delay, (self.scan or 0.0) if step.stage is Stage.DATA else 0.0)
        if self.delay == 0 or step.seconds < prompt_below:
            return Timing.PROMPT
        noise = self.noise(step.began, step.began + step.seconds)
        if step.silence < LATE_FROM * self.delay or noise >= NOISE_BELOW * self.delay:
            return Timing.UNCLEAR
        return Timing.LATE

    def expect(self, attempt: Attempt, outcomes: tuple[Outcome, ...], *, earned: bool = False) -> None:
        """Raise unless the attempt came out as one of `outcomes`.

        With `earned` the dialogue is meant to have earned a delay at the connection or the greeting.
        Raises `FailedError`, `InconclusiveError`, `BrokenError` or `FullError`.
        """
        endings: list[Exception] = []
        for outcome in outcomes:
            try:
                self._expect_one(attempt, outcome, earned)
            except (FailedError, InconclusiveError) as ending:
                endings.append(ending)
            else:
                return
        for doubt in endings:
            if isinstance(doubt, InconclusiveError):
                raise doubt
        if len(endings) == 1:
            raise endings[0]
        raise FailedError(f"expected {spell(outcomes)}; {'; '.join(str(ending) for ending in endings)}")

    def through(self, attempt: Attempt, stage: Stage, *, who: str = "the innocent twin") -> None:
        """Raise unless an innocent dialogue went through, promptly, up to and including `stage`."""
        try:
            self._expect_one(attempt, Outcome(Verdict.PASS, stage), earned=False)
        except FailedError as ending:
            raise FailedError(f"{who} suffers too: {ending}") from None
        except BrokenError as ending:
            raise type(ending)(f"{who}: {ending}") from None
        except InconclusiveError as ending:
            raise InconclusiveError(f"{who}: {ending}") from None

    def _expect_one(self, attempt: Attempt, outcome: Outcome, earned: bool) -> None:
        for stage in ORDER[: ORDER.index(outcome.stage)]:
            before = attempt.at(stage)
            if before and before.verdict is not Verdict.PASS:
                self._mismatch(attempt, before, outcome)
        step = attempt.step(outcome.stage)
        if step.verdict is not outcome.verdict:
            self._mismatch(attempt, step, outcome)
        self._expect_timing(attempt, step, outcome, earned)

    def _expect_timing(self, attempt: Attempt, step: Step, outcome: Outcome, earned: bool) -> None:
        timing = self.timing(step)
        if outcome.stage in REPEATING and not earned and timing is not Timing.PROMPT:
            earlier = [attempt.at(Stage.CONNECT), attempt.at(Stage.HELO)]
            if any(before and self.timing(before) is not Timing.PROMPT for before in earlier):
                raise InconclusiveError(
                    f"the wait at {outcome.stage} may repeat a delay that was earned before it"
                )
        if timing is Timing.UNCLEAR:
            raise InconclusiveError(
                f"the reply at {outcome.stage} took {step.seconds:.2f} s: {timing.value} "
                f"for a delay of {self.delay:g} s"
            )
        if timing is Timing.LATE and outcome.stage is Stage.DATA and self.scan is None:
            raise InconclusiveError(
                f"the end of DATA was answered after {step.seconds:.2f} s, and how long the server may "
                "look at a message is not known; set server.scan (0: not at all)"
            )
        if (timing is Timing.LATE) != (outcome.late and self.delay > 0):
            raise FailedError(f"expected {outcome}, but it was {timing.value}: {step}")

    def _mismatch(self, attempt: Attempt, step: Step, outcome: Outcome) -> None:
        closed = " and closed the connection" if step.dropped else ""
        seen = f"expected {outcome}, but at {step.stage} the server said {step}{closed}"
        if step.reply is None:
            raise BrokenError(f"expected {outcome}, but at {step.stage} there was {step}")
        if self._short_of_room(step):
            raise FullError(f"{seen}, which speaks of its storage and not of this rule")
        if step.code == 421 or step.stage is Stage.CONNECT:  # a ban or a limit looks like that as well
            raise BrokenError(seen)
        if self.greylisting and outcome.verdict is Verdict.PASS and step.verdict is Verdict.DEFER:
            raise InconclusiveError(f"{seen}, which may be the greylist's word and not that of this rule")
        raise FailedError(seen)

    def _short_of_room(self, step: Step) -> bool:
        """Whether there is no room for mail at the moment (RFC 5321 §4.2.3; RFC 3463 §3.3, §3.4).

        At RCPT a bare 452 means too many recipients just as well (RFC 5321 §4.5.3.1.10).
        """
        enhanced = step.reply.enhanced if step.reply else None
        if enhanced:
            return enhanced in FULL
        return step.code == 452 and step.stage is not Stage.RCPT
