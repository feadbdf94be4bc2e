"""From what a server did to a verdict: prompt or late, as documented or not, or not to be told."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import NoReturn

from harness.outcome import DIALOGUE, Outcome, Stage, Treatment
from harness.profile.tables import Greylist
from harness.rules import spell
from harness.verdicts import FailedError, InconclusiveError, seen_in
from harness.world.conversation import REFUSES, SERVICE_ENDS, WANTS_MORE, Attempt, Step
from harness.world.reply_set import ReplySet

LATE_FROM = 0.9  # of the configured delay: such a silence is a reply held back
PROMPT_BELOW = 0.5  # of the configured delay: such a reply was not
NOISE_BELOW = 0.4  # of the configured delay: what everything else may take meanwhile
CONNECTING = 0.01  # seconds until the connection was seen that are worth a word

REPEATING = (Stage.MAIL, Stage.RCPT)  # a delay that was earned before is imposed here again

FULL = ("4.2.2", "5.2.2", "4.3.1", "5.3.1")  # the mailbox, the mail system


class Timing(Enum):
    """Whether a reply was held back."""

    PROMPT = "prompt"
    LATE = "late"
    UNCLEAR = "neither clearly prompt nor clearly late"


class Fault(Enum):
    """What is wrong about a reply."""

    REPLY = "it says something else"
    LATE = "it was held back"
    SOON = "it was not held back"


class NoEvidenceError(InconclusiveError):
    """There is no reply that says anything about a rule: none at all, a 421, garbage, want of room."""


class MisplacedError(NoEvidenceError):
    """A reply is no answer to what was asked at `step`, such as a 2yz to the command DATA, or a 530."""

    fault = Fault.REPLY

    def __init__(self, text: str, step: Step) -> None:
        """`text` is the reason for the report."""
        super().__init__(text)
        self.step = step


class UnclearTimingError(InconclusiveError):
    """Every reply is as documented, and whether one of them was held back cannot be told.

    `step` is one that was held back before, where that is the reason.
    """

    fault = Fault.LATE

    def __init__(self, text: str, step: Step | None = None) -> None:
        """`text` is the reason for the report."""
        super().__init__(text)
        self.step = step


class GreylistWordError(InconclusiveError):
    """A client was put off as the greylist does it, where the rule in question is not about that."""


class ContradictionError(FailedError):
    """A reply is another than is documented; `step` is where it was given, and `fault` what is wrong.

    `missed` are the seconds that it had to take at least, or to stay below, where its time is what is wrong.
    `in_greylist_words`: the greylist says that as well, which has no say any more unless it is broken.
    """

    def __init__(
        self,
        text: str,
        step: Step,
        fault: Fault = Fault.REPLY,
        missed: float | None = None,
        *,
        in_greylist_words: bool = False,
    ) -> None:
        """`text` is the reason for the report."""
        super().__init__(text)
        self.in_greylist_words = in_greylist_words
        self.step = step
        self.fault = fault
        self.missed = missed


def in_greylist_words(ending: BaseException | None) -> bool:
    """Whether what a scenario ended with may be what the greylist says, and not what its rule is about."""
    seen = seen_in(ending)
    if isinstance(seen, ContradictionError):
        return seen.in_greylist_words
    return isinstance(seen, GreylistWordError)


@dataclass(frozen=True)
class Judge:
    """Holds attempts against outcomes, for one configured delay in seconds."""

    delay: float
    noise: Callable[[float, float], float]  # the greatest slowness between two moments, seconds; inf: unknown
    scan: float | None = None  # seconds that the server may look at a message; None: nobody knows
    pause: float = 0.0  # seconds that everybody waits for the greeting
    arrival: Callable[[float, float], float] = lambda since, until: 0.0  # as noise, of being greeted
    greylist: Greylist | None = None  # whose word is not that of the rule in question
    refusals_take: float = 0.0  # seconds that every refusal is held back, whoever is refused for whatever
    taken: Callable[[float, float], float] = lambda since, until: 0.0  # by all slowness between two moments

    @property
    def patient(self) -> "Judge":
        """One to whom lateness says nothing."""
        return replace(self, delay=0.0)

    def timing(self, step: Step) -> Timing:
        """Prompt below half of the delay; late when the server was silent for nine tenths of it on end.

        A server that holds a reply back is silent. One that is slow, or whose DNS is, goes on asking
        meanwhile; and what the pulse's own exchanges took at the time proves nothing about policy: it is
        taken off a reply that came too soon to be a late one, and a late one may owe its time to all of them.
        Too soon is counted from before the client began, for it may itself be late to see where it stands.
        Where content is scanned, the end of DATA may take as long as that does; what everybody waits for at
        the greeting, or for a refusal, is held against nobody; that silence says nothing of a delay either.
        Where connections queue, innocents are greeted late as well.
        """
        at_most = step.at_most - self.everybody(step)
        prompt_below = self._prompt_below(step)
        if self.delay == 0 or at_most < prompt_below:
            return Timing.PROMPT
        noise = self._noise(step)
        if at_most < LATE_FROM * self.delay and at_most - noise < prompt_below and math.isfinite(noise):
            return Timing.PROMPT
        on_end = min(step.seconds - self.everybody(step), step.silence - self._refusing(step))
        if on_end < LATE_FROM * self.delay or max(noise, self._taken(step)) >= NOISE_BELOW * self.delay:
            return Timing.UNCLEAR
        return Timing.LATE

    def everybody(self, step: Step) -> float:
        """Seconds that everybody waits for these replies: for the greeting, and for each refusal."""
        return (self.pause if step.tag is Stage.CONNECT else 0.0) + self._refusing(step)

    def _refusing(self, step: Step) -> float:
        """Seconds that the refusals among these replies take by themselves."""
        return self.refusals_take * sum(reply.code >= REFUSES for reply in step.replies)

    def _held_from(self, step: Step) -> float:
        """Seconds that a reply takes at least which is held back."""
        return self.everybody(step) + LATE_FROM * self.delay

    def _below(self, step: Step) -> float:
        """Seconds below which a reply is prompt."""
        return self.everybody(step) + self._prompt_below(step)

    def _bounds(self, step: Step) -> str:
        """By what a reply is told to be prompt or late, in words."""
        prompt = self._below(step)
        text = f"prompt is below {prompt:.2f} s, held back a silence of {self._held_from(step):.2f} s or more"
        take = self._refusing(step)
        return f"{text}, {take:g} s of it as refusals take anyway by dialect.refusals_take" if take else text

    def _decides(self, step: Step) -> str:
        """What would explain the time that a refusal took; empty where nothing in a profile would."""
        if self.refusals_take or step.code < REFUSES:
            return ""
        return (
            "; if this server holds back every refusal by itself, whatever it is for, set "
            "dialect.refusals_take to the seconds that it does"
        )

    def _prompt_below(self, step: Step) -> float:
        """Seconds; a message may be looked at for longer than half of the delay."""
        return max(PROMPT_BELOW * self.delay, (self.scan or 0.0) if step.tag is Stage.DATA else 0.0)

    def _noise(self, step: Step) -> float:
        """How slow all was during a step; who waits to be greeted waits for others who are served, too."""
        noise = self.noise(step.began, step.ended)
        return max(noise, self.arrival(step.began, step.ended)) if step.tag is Stage.CONNECT else noise

    def _taken(self, step: Step) -> float:
        """What slowness may have taken of a step, all together."""
        return self.taken(step.began, step.ended)

    def expect(self, attempt: Attempt, outcomes: tuple[Outcome, ...], *, earned: bool = False) -> None:
        """Raise unless the attempt came out as one of `outcomes`.

        With `earned` the dialogue is meant to have earned a delay at the connection or the greeting.
        Raises `ContradictionError` or `InconclusiveError`.
        """
        endings: list[ContradictionError] = []
        doubt: InconclusiveError | None = None
        for outcome in outcomes:
            try:
                self._expect_one(attempt, outcome, earned)
            except ContradictionError as ending:
                endings.append(ending)
            except InconclusiveError as ending:
                doubt = doubt or ending
            else:
                return
        if doubt:
            raise doubt
        if len(endings) == 1:
            raise endings[0]
        text = f"expected {spell(outcomes)}; {'; '.join(str(ending) for ending in endings)}"
        faults, greylists = {one.fault for one in endings}, all(one.in_greylist_words for one in endings)
        if len(faults) > 1:
            raise ContradictionError(text, endings[-1].step, in_greylist_words=greylists)
        raise ContradictionError(
            text, endings[-1].step, faults.pop(), endings[-1].missed, in_greylist_words=greylists
        )

    def not_prompt(self, step: Step) -> None:
        """Raise unless the whole wait for a reply, whatever it was for, is as long as one held back takes."""
        if self.delay > 0 and self.timing(step) is Timing.PROMPT:
            self._is_no_scan(step)
            text = f"expected a reply that is held back at {step.name}, but came {step}; {self._bounds(step)}"
            raise ContradictionError(text, step, Fault.SOON, self._held_from(step))
        if step.seconds - self.everybody(step) < LATE_FROM * self.delay:
            took = f"the reply at {step.name} took {step.seconds:.2f} s of {self.delay:g} s"
            raise UnclearTimingError(f"{took}; {self._bounds(step)}")

    def through(self, attempt: Attempt, stage: Stage) -> None:
        """Raise unless a dialogue went through, promptly, up to and including `stage`."""
        self._expect_one(attempt, Outcome(Treatment.PASS, stage), earned=False)

    def is_before_the_pause(self, greeting: Step) -> bool:
        """Whether a greeting came before the time was over that everybody waits for it."""
        return greeting.at_most < LATE_FROM * self.pause

    def is_before_refusals(self, refused: Step) -> bool:
        """Whether a refusal came before the time was over that each of them takes."""
        return refused.at_most < LATE_FROM * self.refusals_take

    def accepts(self, attempt: Attempt, stage: Stage) -> None:
        """Raise unless nothing was refused up to and including `stage`, prompt or late."""
        self.patient.through(attempt, stage)

    def replied(self, step: Step, codes: tuple[int, ...] = ()) -> None:
        """Raise unless a step has a reply that says something, with one of the codes if any are named."""
        self._expect_evidence(step, f"a reply at {step.name}", codes)
        if not codes:
            self._expect_answer(step, f"a reply at {step.name}")
        if codes and step.code not in codes:
            wanted = " or ".join(map(str, codes))
            raise ContradictionError(f"expected {wanted} at {step.name}, but the server said {step}", step)

    def heard(self, attempt: Attempt, step: Step, wanted: ReplySet) -> None:
        """Raise unless the last reply of a step is one of a set, and nobody else's word than the rule's."""
        self._expect_evidence(step, str(wanted), wanted.codes)
        said = f"the server said {step}"
        if not wanted.has(step.code):
            if step.code == WANTS_MORE:
                raise MisplacedError(
                    f"expected {wanted} at {step.name}, but {said}, which asks for TLS or a login before "
                    "anything and says nothing of this rule",
                    step,
                )
            self._contradict(f"expected {wanted} at {step.name}, but {said}", step, attempt)
        if step.code not in wanted.codes:
            self._expect_answer(step, str(wanted))
        if attempt.awaits_greylist and self.says_the_greylist(step, attempt):
            seen = f"expected {wanted} at {step.name}, and {said}"
            raise GreylistWordError(f"{seen}, which may be the greylist's word and not that of this rule")

    def not_the_greylist(self, attempt: Attempt, step: Step) -> None:
        """Raise where a refusal may be the word of a greylist that nobody waited for."""
        if attempt.awaits_greylist and self.says_the_greylist(step, attempt):
            raise GreylistWordError(
                f"at {step.name} the server said {step}, which may be the greylist's word and not that of "
                "this rule"
            )

    def came_to(self, attempt: Attempt) -> str:
        """What a dialogue came to, in the words of a profile; empty when there is no evidence of it.

        That is its first refusal, or else the first reply that was held back, or that it passed to its end.
        """
        held: Step | None = None
        for step in attempt.staged:
            try:
                self._expect_evidence(step, "a reply", ())
            except NoEvidenceError:
                return ""
            timing = self.timing(step)
            if timing is Timing.UNCLEAR or step.misplaced:
                return ""
            if step.treatment not in (Treatment.PASS, None):
                return str(Outcome(step.treatment, step.stage, late=timing is Timing.LATE))
            held = held or (step if timing is Timing.LATE else None)
        if not attempt.staged:
            return ""
        return str(Outcome(Treatment.PASS, (held or attempt.staged[-1]).stage, late=held is not None))

    def _expect_one(self, attempt: Attempt, outcome: Outcome, earned: bool) -> None:
        for stage in DIALOGUE[: DIALOGUE.index(outcome.stage)]:
            before = attempt.at(stage)
            if before and before.treatment is not Treatment.PASS:
                self._mismatch(before, outcome, attempt)
        step = attempt.step(outcome.stage)
        if step.treatment is not outcome.treatment:
            self._mismatch(step, outcome, attempt)
        self._expect_evidence(step, str(outcome), _as_numbers(outcome.codes))
        if not outcome.answer.admits(step.code, step.reply.enhanced if step.reply else None):
            self._mismatch(step, outcome, attempt)
        if attempt.awaits_greylist and self.says_the_greylist(step, attempt):
            raise GreylistWordError(
                f"at {step.name} the server said {step}, as promised; but that may be the greylist's word"
            )
        if outcome.treatment is Treatment.PASS and not outcome.late and not earned:
            self._never_held(attempt, outcome)
        self._expect_timing(attempt, step, outcome, earned)

    def _never_held(self, attempt: Attempt, outcome: Outcome) -> None:
        """Who goes through without a delay was, for all that can be told, not kept waiting before either."""
        for stage in DIALOGUE[: DIALOGUE.index(outcome.stage)]:
            before = attempt.at(stage)
            if before is None:
                continue
            timing = self.timing(before)
            if timing is Timing.UNCLEAR:
                raise UnclearTimingError(self._unclear(before))
            if timing is Timing.LATE:
                raise ContradictionError(
                    f"expected {outcome}, but at {stage} it was {Timing.LATE.value}: {before}; "
                    f"{self._bounds(before)}",
                    before,
                    Fault.LATE,
                    self._below(before),
                )

    def _expect_timing(self, attempt: Attempt, step: Step, outcome: Outcome, earned: bool) -> None:
        timing = self.timing(step)
        if outcome.stage in REPEATING and not earned and timing is not Timing.PROMPT:
            earlier = [step for step in (attempt.at(Stage.CONNECT), attempt.at(Stage.HELO)) if step]
            held = next((one for one in earlier if self.timing(one) is not Timing.PROMPT), None)
            if held:
                raise UnclearTimingError(
                    f"the wait at {outcome.stage} may repeat a delay that was earned before it", held
                )
        if timing is Timing.UNCLEAR:
            raise UnclearTimingError(self._unclear(step))
        if timing is Timing.LATE and outcome.stage is Stage.DATA and self.scan is None:
            raise UnclearTimingError(
                f"the end of DATA was answered after {step.seconds:.2f} s, and how long the server may "
                "look at a message is not known; set server.scan (0: not at all)"
            )
        if outcome.late and self.delay > 0 and timing is Timing.PROMPT:
            self._is_no_scan(step)
        if (timing is Timing.LATE) != (outcome.late and self.delay > 0):
            text = f"expected {outcome}, but it was {timing.value}: {step}; {self._bounds(step)}"
            if timing is Timing.LATE:
                raise ContradictionError(text + self._decides(step), step, Fault.LATE, self._below(step))
            raise ContradictionError(text, step, Fault.SOON, self._held_from(step))

    def _is_no_scan(self, step: Step) -> None:
        """Raise where a reply counts as prompt because a message may be looked at for as long as a delay."""
        if step.at_most - self.everybody(step) >= LATE_FROM * self.delay:
            raise UnclearTimingError(
                f"the end of DATA was answered after {step.seconds:.2f} s, which may be a delay of "
                f"{self.delay:g} s or the message that was looked at for as long as server.scan says"
            )

    def _unclear(self, step: Step) -> str:
        """Why it cannot be told whether a reply was held back."""
        noise = max(self._noise(step), self._taken(step))
        connecting = step.at_most - step.seconds
        took = f"{step.seconds:.2f} s" + (f", or {step.at_most:.2f} s" if connecting >= CONNECTING else "")
        text = (
            f"the reply at {step.name} took {took}: {Timing.UNCLEAR.value} "
            f"for a delay of {self.delay:g} s ({self._bounds(step)})"
        )
        if math.isinf(noise):
            return f"{text}, and whether everything was slow meanwhile is not known{self._decides(step)}"
        if noise >= NOISE_BELOW * self.delay:
            return f"{text}, and everything was slow meanwhile, by {noise:.2f} s"
        return text + self._decides(step)

    def _mismatch(self, step: Step, outcome: Outcome, attempt: Attempt) -> None:
        self._expect_evidence(step, str(outcome), _as_numbers(outcome.codes))
        if outcome.treatment is Treatment.PASS or step.tag is not outcome.stage or not step.completes:
            self._expect_answer(step, str(outcome))
        closed = " and closed the connection" if step.dropped else ""
        seen = f"expected {outcome}, but at {step.name} the server said {step}{closed}"
        seen += _drop_or_deny(step, outcome)
        self._contradict(seen, step, attempt)

    def _contradict(self, seen: str, step: Step, attempt: Attempt) -> NoReturn:
        """What was seen contradicts the rule, unless it may be the greylist that says so."""
        greylists = self.says_the_greylist(step, attempt)
        if attempt.awaits_greylist and greylists:
            raise GreylistWordError(f"{seen}, which may be the greylist's word and not that of this rule")
        raise ContradictionError(seen, step, in_greylist_words=greylists)

    def says_the_greylist(self, step: Step, attempt: Attempt) -> bool:
        """Whether a reply is what the greylist says, where it says it; bounces may be put off later."""
        if self.greylist is None:
            return False
        stages = (self.greylist.stage, *([Stage.DATA] if attempt.bounces else []))
        return step.tag in stages and step.code in self.greylist.codes

    def _expect_evidence(self, step: Step, wanted: str, codes: tuple[int, ...]) -> None:
        """Only a whole reply that speaks of what was asked says anything about a rule."""
        if step.reply is None:
            raise NoEvidenceError(f"expected {wanted}, but at {step.name} there was {step}")
        if step.mangled:
            raise NoEvidenceError(
                f"expected {wanted}, but what came at {step.name} is no sound reply ({step.mangled}): {step}"
            )
        if step.code == SERVICE_ENDS and SERVICE_ENDS not in codes:
            raise NoEvidenceError(
                f"expected {wanted}, but at {step.name} the server said {step}, which ends the service for "
                "whatever reason"
            )
        if self._short_of_room(step) and step.code not in codes:
            raise NoEvidenceError(
                f"expected {wanted}, but at {step.name} the server said {step}, which speaks of its storage "
                "and not of this rule"
            )
        if step.code // 100 not in range(2, 6):
            self._expect_answer(step, wanted)

    def _expect_answer(self, step: Step, wanted: str) -> None:
        """A reply that is no answer to what was asked is no pass, whatever its first digit."""
        if step.misplaced:
            raise MisplacedError(
                f"expected {wanted}, but at {step.name} the server said {step}, {step.misplaced}", step
            )

    def _short_of_room(self, step: Step) -> bool:
        """Whether there is no room for mail (RFC 5321 §4.2.3; RFC 3463 §3.3, §3.4): a mailbox has a quota.

        At RCPT a bare 452 means too many recipients just as well (RFC 5321 §4.5.3.1.10).
        """
        enhanced = step.reply.enhanced if step.reply else None
        if enhanced:
            return enhanced in FULL
        return step.code == 452 and step.tag is not Stage.RCPT


def _drop_or_deny(step: Step, outcome: Outcome) -> str:
    """What to write where a refusal differs in nothing but in whether it ends the connection."""
    refusals = {Treatment.DENY, Treatment.DROP}
    alike = {outcome.treatment, step.treatment} == refusals and step.tag is outcome.stage
    if not alike or not outcome.answer.admits(step.code, step.reply.enhanced if step.reply else None):
        return ""
    did = "refused and closed the connection" if step.dropped else "refused and left the connection open"
    return f": it {did}; if it is meant to, write {step.treatment} instead of {outcome.treatment}"


def _as_numbers(codes: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(int(code) for code in codes if "." not in code)
