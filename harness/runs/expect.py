"""What a scenario expects: what the server did, held against what its profile promises for the rule."""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.grants.mail import Mailbox
from harness.judge import ContradictionError, Fault, Judge, Timing
from harness.offence import Offence
from harness.outcome import Outcome, Stage, Treatment, later
from harness.profile.model import Profile
from harness.rules import Catalogue, Rule
from harness.verdicts import (
    FailedError,
    InconclusiveError,
    NeverCameError,
    NotApplicableError,
    NotTestableError,
)
from harness.wording import counted
from harness.world.conversation import Attempt, Step
from harness.world.world import Cause

LISTED = (Offence.LISTED, Offence.LISTED_ENOUGH)


class EndedError(FailedError):
    """A connection did not go on as documented: evidence only when the same ending comes again and again."""


class MarkedInnocentError(FailedError):
    """A message that earned no mark is marked, which may be what all messages are."""


class UnprovenError(Exception):
    """A scenario that ended without holding anything against its rule proves nothing."""


@dataclass
class Expect:
    """Holds what the server did against what its profile promises for the rule under test.

    In the play with the offence an attempt must come out as promised; in the twin's it must go through.
    """

    judge: Judge
    profile: Profile
    catalogue: Catalogue
    rule: Rule
    offence: bool
    mailbox: Mailbox | None = None
    observed: str = ""
    came: str = ""  # what the offence came to, in a profile's words
    proven: bool = False
    by_absence: bool = False  # that nothing came, or the connection ended, is what proved it
    by_ending: bool = False  # that the connection ended where it might go on as well

    @property
    def expected(self) -> tuple[Outcome, ...]:
        """The outcomes that the profile promises for the rule."""
        return self.profile.expectation(self.rule)[0]

    def __call__(
        self,
        attempt: Attempt,
        *,
        cause: Cause | None = None,
        earns: Offence | None = None,
        also: Offence | None = None,
        earned: bool = False,
        whenever: bool = False,
    ) -> None:
        """The offence must come out as promised, and its innocent twin must go through.

        `cause` is what the rule rests on: a refusal before which it was not seen is somebody else's. With
        `earns` the offence is of another kind than the rule's own; with `also` it is one of that kind too,
        and what that earns says nothing of this rule. `earned` says that the dialogue was meant
        to earn a delay at the connection or the greeting, and `whenever` that lateness says nothing here:
        a reply that came promptly was not held back all the same.
        """
        outcomes = self.earnings(earns) if earns else self.expected
        if self.rule.borrowed and not any(outcome.is_felt for outcome in outcomes):
            raise NotApplicableError(
                f"whoever does that earns «{outcomes[0]}» anyway, so nothing shows whether the rule is kept"
            )
        judge = self.judge.patient if whenever else self.judge
        stage = outcomes[0].stage
        self.observed = attempt.shown_at(stage)
        others = self._told_apart(outcomes, also) if also else ()
        if self.offence:
            self.came = judge.came_to(attempt)
            try:
                self._comes_out(attempt, outcomes, judge, earned=earned)
            except FailedError as ending:
                if cause and cause.vanished:
                    raise InconclusiveError(
                        f"{ending}; but {cause.missing}, as it was at the beginning"
                    ) from None
                if self._comes_out_as(attempt, others, judge):
                    raise InconclusiveError(
                        f"{ending}; but it is {_words(also)} as well, which earns that"
                    ) from None
                raise
            if whenever and all(outcome.late for outcome in outcomes):
                self.judge.not_prompt(attempt.step(stage))
            if cause and not cause.seen and any(outcome.is_felt for outcome in outcomes):
                raise InconclusiveError(
                    f"it came out as promised, but {cause.missing}, so the cause is another"
                )
        else:
            judge.through(attempt, max((outcome.stage for outcome in outcomes), key=list(Stage).index))
            self._goes_on(attempt, (Outcome(Treatment.PASS, stage),))
            if any(outcome.marked for outcome in outcomes) and (marks := self._marks_of(attempt)):
                fields = counted(len(marks), f"{self.profile.dialect.mark} field")
                raise MarkedInnocentError(f"the message has {fields}")
        self.proven = True

    def earnings(self, offence: Offence) -> tuple[Outcome, ...]:
        """What an offence of some kind earns here; raises `NotTestableError` when no rule is about it."""
        rule = self.catalogue.about(offence)
        if rule is None:
            raise NotTestableError(f"no rule says what {_words(offence)} earns")
        outcomes, _ = self.profile.expectation(rule)
        return outcomes if rule.id in self.profile.rules.expect else outcomes[:1]

    def shown(self, offence: Offence) -> Stage:
        """How far a dialogue must go to show what an offence earns here; raises as `earnings` does."""
        return functools.reduce(later, map(self.profile.shows, self.earnings(offence)))

    def _told_apart(self, outcomes: tuple[Outcome, ...], also: Offence) -> tuple[Outcome, ...]:
        """What another offence in the same act earns, if anything; raises `NotApplicableError` if alike."""
        others = tuple(outcome for outcome in self.earnings(also) if outcome.is_felt)
        if any(_alike(one, other) for one in outcomes for other in others):
            raise NotApplicableError(
                f"it is {_words(also)} as well, and what that earns is not told from this"
            )
        return others

    def _comes_out(
        self, attempt: Attempt, outcomes: tuple[Outcome, ...], judge: Judge, *, earned: bool = False
    ) -> None:
        """Raise unless it came out as one of these, and with a mark where nothing else is one of them."""
        judge.expect(attempt, outcomes, earned=earned)
        self._goes_on(attempt, outcomes)
        if not any(outcome.marked for outcome in outcomes):
            return
        others = tuple(outcome for outcome in outcomes if not outcome.marked)
        if not self._comes_out_as(attempt, others, judge) and not self._marks_of(attempt):
            raise FailedError(f"the message has no {self.profile.dialect.mark} field")

    def _comes_out_as(self, attempt: Attempt, outcomes: tuple[Outcome, ...], judge: Judge) -> bool:
        """Whether it came out as one of these, or may have; a mark is there, if mail can be read."""
        if not outcomes:
            return False
        try:
            self._comes_out(attempt, self._as_seen(outcomes), judge)
        except FailedError:
            return False
        except InconclusiveError:
            pass
        return True

    def _as_seen(self, outcomes: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
        """These, without a mark where no mail can be read."""
        if self.mailbox:
            return outcomes
        return tuple(replace(outcome, marked=False) for outcome in outcomes)

    def _goes_on(self, attempt: Attempt, outcomes: tuple[Outcome, ...]) -> None:
        """What was let through is not refused where this server tells its refusals."""
        if all(outcome.treatment is Treatment.PASS for outcome in outcomes):
            stage = self.profile.settles(max((one.stage for one in outcomes), key=list(Stage).index))
            if attempt.at(stage):
                self.judge.accepts(attempt, stage)

    def treated_as(self, attempt: Attempt, offence: Offence, *, promptly: bool = True) -> None:
        """In both plays it comes out as offences of some kind do here; a twin that does not proves nothing.

        Unless it is to be `promptly`, lateness says nothing.
        """
        outcomes = self._as_seen(self.earnings(offence))
        judge = self.judge if promptly else self.judge.patient
        self.observed = attempt.shown_at(outcomes[0].stage)
        try:
            self._comes_out(attempt, outcomes, judge)
        except FailedError as ending:
            if self.offence:
                raise
            raise InconclusiveError(str(ending)) from None
        self.proven = True

    def unmarked(self, attempt: Attempt) -> None:
        """In both plays no list has the message marked; without a mailbox there is nothing to be seen.

        Where other offences earn marks as well, a mark does not tell which of them it is for.
        """
        marks = self._marks_of(attempt) if self.mailbox else []
        if marks:
            field_name, answers = self.profile.dialect.mark, self.profile.dialect.answers
            text = f"the message of a client on no list is marked: {field_name}: {marks[0]}"
            by_others = any(answer.marked for offence, answer in answers.items() if offence not in LISTED)
            raise MarkedInnocentError(text) if by_others or not self.offence else FailedError(text)

    def _marks_of(self, attempt: Attempt) -> list[str]:
        """The mark of a message that was accepted, as often as it is there."""
        if self.mailbox is None:
            raise NotTestableError("the mark stands in delivered mail, and the profile has no [mailbox]")
        self.judge.accepts(attempt, Stage.DATA)
        try:
            found = self.mailbox.find(attempt.recipient, attempt.token)
        except NeverCameError as ending:
            users = (
                f"{user}@{domain.name}".lower() for domain in self.profile.domain for user in domain.users
            )
            if attempt.recipient.lower() in users:
                raise
            raise NotTestableError(
                f"{ending}; {attempt.recipient} is no user of a [[domain]], so nobody knows whose it is"
            ) from None
        return found.headers(self.profile.dialect.mark)

    def outcome(self, text: str, attempt: Attempt, *, earned: bool = False) -> None:
        """A part of the rule with an outcome of its own, such as `deny at rcpt`; the twin goes through."""
        outcome = Outcome.parse(text)
        self.observed = self.observed or attempt.shown_at(outcome.stage)
        if self.offence:
            self.judge.expect(attempt, (outcome,), earned=earned)
        else:
            self.judge.through(attempt, outcome.stage)
        self.proven = True

    def through(self, attempt: Attempt, stage: Stage) -> None:
        """In both plays a dialogue must go through, promptly, up to `stage`."""
        self.judge.through(attempt, stage)

    def refusal(self, attempt: Attempt, stage: Stage) -> None:
        """The offence earns a refusal at `stage`, for good and prompt or late; its twin goes through."""
        told = self.profile.dialect.tells(stage)
        self.observed = attempt.shown_at(told)
        self.came = self.judge.came_to(attempt)
        if not self.offence:
            self.judge.through(attempt, told)
        elif attempt.step(told).treatment is not Treatment.DROP:
            self.judge.patient.expect(attempt, (Outcome(Treatment.DENY, told),))
        self.proven = True

    def turned_away(self, attempt: Attempt, stage: Stage) -> None:
        """The offence is refused by `stage` at the latest, for good or for now; its twin goes through."""
        step = next(
            (one for one in attempt.staged if one.treatment is not Treatment.PASS), attempt.step(stage)
        )
        self.observed = f"{step.stage}: {step}"
        if not self.offence:
            self.judge.through(attempt, stage)
        else:
            self.judge.replied(step)
            self.judge.not_the_greylist(attempt, step)
            if step.treatment is Treatment.PASS:
                raise ContradictionError(
                    f"expected a refusal by {stage}, but at {step.stage} the server said {step}", step
                )
        self.proven = True

    def accepted(self, attempt: Attempt, stage: Stage, *, patiently: bool = True) -> None:
        """The offence is let through at `stage`, prompt or late, or promptly too; its twin is promptly."""
        settled = self.profile.settles(stage)
        self.observed = attempt.shown_at(settled)
        self.came = self.judge.came_to(attempt)
        (self.judge.patient if self.offence and patiently else self.judge).through(attempt, settled)
        self.proven = True

    def replied(self, step: Step, *codes: int) -> None:
        """In both plays a step has a sound reply, with one of the codes if any are named."""
        self.judge.replied(step, codes)

    def goes_on(self, attempt: Attempt) -> None:
        """In both plays the connection goes on until QUIT; how a server answers that is its own affair."""
        if not attempt.parted:
            raise EndedError(f"the connection did not go on to QUIT: {attempt.broken or attempt.ending}")

    def no_slower(self, attempt: Attempt, limit: float) -> None:
        """The offence waits for no reply before the message for `limit` seconds, whatever the delay is."""
        for step in attempt.staged:
            everybody = self.judge.everybody(step)
            if step.reply is None or step.stage is Stage.DATA or step.at_most - everybody < limit:
                continue
            took = f"the reply at {step.stage} took {step.seconds:.2f} s, and nothing should take {limit:g} s"
            if not self.offence:
                raise InconclusiveError(f"{took}; but so it is without the offence")
            if step.seconds - everybody - self.slowness(step.began, step.ended) < limit:
                raise InconclusiveError(f"{took}; but everything was slow meanwhile")
            raise ContradictionError(took, step, Fault.LATE, limit + everybody)

    def was_late(self, step: Step) -> bool:
        """Whether a reply was clearly held back."""
        return self.judge.timing(step) is Timing.LATE

    def slowness(self, began: float, ended: float) -> float:
        """The greatest slowness of this machine, the server and its DNS between two moments, seconds."""
        return self.judge.noise(began, ended)

    @property
    def lets_through(self) -> bool:
        """Whether the server documents that the offence gets through, prompt or late."""
        return all(outcome.treatment is Treatment.PASS for outcome in self.expected)

    def lets_through_if(self, offence: Offence) -> bool:
        """Whether the server documents that offences of some kind get through, prompt or late."""
        return all(outcome.treatment is Treatment.PASS for outcome in self.earnings(offence))

    def claimed(self, offence: Offence) -> bool:
        """Whether the profile claims any rule about offences of some kind."""
        return any(self.profile.claims(rule) for rule in self.catalogue if rule.offence is offence)

    def accepts(self, attempt: Attempt, stage: Stage) -> None:
        """In both plays nothing is refused up to `stage`, prompt or late; by itself it proves nothing."""
        self.judge.accepts(attempt, stage)

    def applicable(self, condition: bool, reason: str) -> None:
        """What the profile must promise for the case to mean anything; without it it is not applicable."""
        if not condition:
            raise NotApplicableError(reason)

    @contextlib.contextmanager
    def one_of_several(self) -> Iterator[None]:
        """What cannot be tried in this context says nothing of a rule that other cases tell of."""
        try:
            yield
        except NotTestableError as lacking:
            raise NotApplicableError(str(lacking)) from None

    def needed(self, condition: bool, reason: str) -> None:
        """What the profile must describe for the scenario to be possible; without it it is not testable."""
        if not condition:
            raise NotTestableError(reason)

    def given(self, condition: bool, reason: str) -> None:
        """What must be so for the scenario to mean anything; without it nothing is proven."""
        if not condition:
            raise InconclusiveError(reason)


def _alike(one: Outcome, other: Outcome) -> bool:
    """Whether one answer may be both of these."""
    same = (one.treatment, one.late, one.marked) == (other.treatment, other.late, other.marked)
    return same and not (one.codes and other.codes and set(one.codes).isdisjoint(other.codes))


def _words(offence: Offence | None) -> str:
    return str(offence or "").replace("_", " ")
