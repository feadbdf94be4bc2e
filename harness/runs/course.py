"""The course of one scenario: its tries, and the outcome that stands after them."""

import time
from collections.abc import Hashable
from dataclasses import dataclass

from harness.grants.greylist import CLOCK
from harness.judge import UnclearTimingError
from harness.outcome import Stage, Treatment
from harness.results.model import Status, Try
from harness.rules import spell
from harness.runs.run import Run
from harness.runs.steadiness import MORE_TRIES, TRIES, Lateness, Seen
from harness.runs.trial import (
    Plan,
    Vote,
    came_in,
    evidence_of,
    observed_in,
    refusals_in,
    status_of,
    try_once,
)
from harness.verdicts import BrokenOffError, InconclusiveError, NotTestableError
from harness.wording import counted
from harness.world.refusal import Refusal

SPARED = (
    "it failed on hosts whose names are on greylist.whitelist_hosts, and passed on others, so such hosts may "
    "be spared more than the greylist; a pattern that stands on no other white list would decide it"
)
ASIDE = (Status.NOT_APPLICABLE, Status.NOT_TESTABLE)
ALIKE = 2  # tries by which a scenario is set aside for what its clients met


@dataclass(frozen=True)
class CaseResult:
    """What a scenario came to, with all its tries; `error` is what a debugger wants to see.

    `blocked_by` is the finding, or the id of the rule, that keeps this rule from being told; `lacks` the
    capability that is not granted.
    """

    status: Status
    reason: str
    expected: str = ""
    observed: str = ""
    seconds: float = 0.0
    tries: tuple[Try, ...] = ()
    error: BaseException | None = None
    blocked_by: str = ""
    came: str = ""
    lacks: str = ""
    hits_innocents: bool = False  # whether it failed because of what clients without the offence met
    troubled_by: str = ""  # the id of the finding about how innocents are refused by now, if it is one
    by_absence: bool = False  # whether it passed because nothing came, or the connection ended
    lost: bool = False  # whether it says nothing because a dialogue was lost
    refusals: frozenset[Refusal] = frozenset()  # that its clients met
    given: frozenset[str] = frozenset()  # to its clients: addresses and domains, see `Internet.given`

    @property
    def may_have_failed(self) -> bool:
        """Whether it failed on a client, or may have kept one waiting or not, and nothing is certain."""
        undecided = self.status is Status.INCONCLUSIVE and not self.blocked_by
        failed = any(one.status is Status.FAILED for one in self.tries)
        return undecided and (failed or isinstance(self.error, UnclearTimingError))


def broken_by(error: BaseException) -> CaseResult:
    """The outcome of a scenario that a fault of the harness keeps from being told."""
    reason = f"the harness itself is broken: {type(error).__name__}: {error}"
    return CaseResult(Status.INCONCLUSIVE, reason, error=error)


class Course:
    """The tries of one scenario so far."""

    def __init__(self, run: Run, plan: Plan) -> None:
        """Nothing is tried yet."""
        self._run = run
        self._plan = plan
        self._promised, _ = run.profile.expectation(plan.rule)
        self._expected = spell(self._promised)
        self._tries: list[Try] = []
        self._votes: list[Vote] = []
        self._observed = self._came = ""
        self._seconds = 0.0
        self._dialogues = 0  # of the try that had most of them, its twin's among them
        self._given: frozenset[str] = frozenset()
        self._refusals: frozenset[Refusal] = frozenset()

    def untried(self) -> CaseResult | None:
        """The outcome of a scenario that is not to be tried at all."""
        if refusal := self._run.refusal(self._plan.rule, self._plan.needs):
            lacks = refusal.lacks if isinstance(refusal, NotTestableError) else ""
            return CaseResult(status_of(refusal), str(refusal), self._expected, error=refusal, lacks=lacks)
        if self._run.over.is_set():
            return self.put_off(str(BrokenOffError()))
        if reason := self._run.unusable:
            return self.put_off(reason)
        if obstacle := self._run.obstacle(self._plan.all_needs):
            need, reason = obstacle
            return CaseResult(
                Status.INCONCLUSIVE,
                reason,
                self._expected,
                error=InconclusiveError(reason),
                blocked_by=f"doctor.{need}",
            )
        return None

    def put_off(self, reason: str) -> CaseResult:
        """The outcome of a scenario that is not to be tried in the state in which the server is."""
        return CaseResult(Status.INCONCLUSIVE, reason, self._expected, error=InconclusiveError(reason))

    def go(self) -> None:
        """One try on fresh clients; a fault of the harness itself is what it came to, and no try follows."""
        try:
            self._try()
        except Exception as error:  # noqa: BLE001 - it is told at the pytest item, with its traceback
            broken = broken_by(error)
            self._votes.append(Vote(broken.status, broken.reason, error, final=True))

    def _try(self) -> None:
        if self._votes and self._votes[-1].status is Status.INCONCLUSIVE:
            self._run.await_lull()
        began = time.monotonic()
        vote, plays = try_once(self._run, self._plan, spared=self._next_is_spared)
        self._given = self._given.union(*(play.world.internet.given for play in plays))
        self._refusals = self._refusals.union(*map(refusals_in, plays))
        waited = max(play.world.waited for play in plays)
        self._seconds += max(0.0, time.monotonic() - began - waited)
        self._dialogues = max(self._dialogues, sum(len(play.world.conversations) for play in plays))
        self._observed, self._came = observed_in(plays), came_in(plays)
        self._tries.append(evidence_of(self._run, vote, plays))
        self._votes.append(vote)

    @property
    def _next_is_spared(self) -> bool:
        """Whether known hosts of the next try are those that the greylist spares by their names.

        Some servers spare such hosts more than the greylist, so what is held against an offence is looked for
        on others as well, in turn, where they can wait for the greylist.
        """
        rule, by_name = self._plan.rule, self._run.internet.spares_by_name
        if rule.offence is None or rule.about_greylist or not by_name or not self._run.tools.get(CLOCK):
            return True
        heard = [vote for vote in self._votes if not vote.lost]
        return len(heard) % 2 == 0

    @property
    def outcome(self) -> CaseResult | None:
        """What it came to, when that is certain by now, or no further try is left."""
        verdict = self._verdict
        if verdict is None and self._may_be_told:
            return None
        return self._by(verdict or self._undecided)

    @property
    def standing(self) -> CaseResult | None:
        """What it came to, when that is certain by now, however many tries were left."""
        verdict = self._verdict
        return self._by(verdict) if verdict else None

    def _by(self, vote: Vote) -> CaseResult:
        return CaseResult(
            vote.status,
            vote.reason,
            self._expected,
            self._observed,
            self._seconds,
            tuple(self._tries),
            vote.error,
            vote.blocked_by,
            self._came,
            hits_innocents=vote.hits_innocents,
            troubled_by=vote.troubled_by,
            by_absence=vote.by_absence,
            lost=vote.lost,
            refusals=self._refusals,
            given=self._given,
        )

    @property
    def _may_be_told(self) -> bool:
        """Whether another try may tell: what was lost may come, and what says nothing each time will not."""
        silent = [vote for vote in self._votes if vote.status is Status.INCONCLUSIVE and not vote.lost]
        told = any(vote.status is not Status.INCONCLUSIVE for vote in self._votes)
        tries = TRIES if len(silent) >= TRIES and not told else self._steadiness.tries
        if any(one.seen for one in (*self._lateness, *(self._lateness_elsewhere if told else ()))):
            tries = MORE_TRIES
        elif self._lateness:  # one client of whom nothing can be told is not to decide it
            tries = max(tries, 1 + max(one.votes for one in self._lateness))
        left = tries - len(self._votes)
        return (
            left > 0 and self._may_be_decided(left) and not self._run.unusable and not self._run.over.is_set()
        )

    def _may_be_decided(self, left: int) -> bool:
        """Whether so many more votes could make a verdict of what there is, were they all alike."""
        failed, passed = self._count(Status.FAILED), self._count(Status.PASSED)
        return (
            self._counts_against - passed + left >= self._to_fail or passed - failed + left >= self._to_pass
        )

    @property
    def _counts_against(self) -> int:
        """What the failures count: as many as say the same, or all but one that were told by replies.

        Connections that ended at different places have nothing in common.
        """
        told = sum(vote.status is Status.FAILED and not vote.by_ending for vote in self._votes)
        return max(len(self._agreeing), told - 1)

    @property
    def _agreeing(self) -> list[Vote]:
        """The failures that say the same, of which there are most: chance has many ways to make one."""
        sorts: dict[Hashable, list[Vote]] = {}
        for vote in self._votes:
            if vote.status is Status.FAILED:
                sorts.setdefault(vote.sort, []).append(vote)
        return max(sorts.values(), key=len, default=[])

    def _count(self, status: Status) -> int:
        return sum(vote.status is status for vote in self._votes)

    @property
    def is_over(self) -> bool:
        """Whether its outcome would be the same however often it were tried."""
        return bool(self._votes) and self._votes[-1].final

    @property
    def is_doubtful(self) -> bool:
        """Whether its twin met something else than promised, and it must be seen whether that is steady."""
        return self._run.steadiness.doubts(self._plan)

    @property
    def _steadiness(self) -> Seen:
        return self._run.steadiness.seen

    @property
    def _verdict(self) -> Vote | None:
        """The vote that stands; None while it may still be the other one."""
        if not self._votes:
            return None
        last, steadiness = self._votes[-1], self._steadiness
        failed = [vote for vote in self._votes if vote.status is Status.FAILED]
        passed = [vote for vote in self._votes if vote.status is Status.PASSED]
        if last.final:
            return last
        aside = [vote for vote in self._votes if vote.status in ASIDE]
        if len(aside) >= ALIKE and not failed and not passed:
            return aside[-1]
        if failed and passed and steadiness.steady:
            return self._undecided
        if self._counts_against - len(passed) >= self._to_fail:
            return self._agreeing[-1]
        return passed[-1] if len(passed) - len(failed) >= self._to_pass else None

    @property
    def _to_fail(self) -> int:
        """By how many votes a failure must be ahead."""
        return max([self._steadiness.votes_to_fail(self._dialogues), *(one.votes for one in self._lateness)])

    @property
    def _to_pass(self) -> int:
        """By how many votes a pass must be ahead."""
        steadiness, passed = self._steadiness, [one for one in self._votes if one.status is Status.PASSED]
        absent = self._rests_on_an_ending or any(vote.by_absence for vote in passed)
        doubted = self._count(Status.FAILED) or (absent and not steadiness.steady)
        needed = (
            steadiness.votes_to_fail() if doubted else steadiness.votes_to_pass(by_time=self._shows_by_time)
        )
        if any(vote.by_ending for vote in passed):  # it must come again
            needed = max(needed, steadiness.votes_to_fail())
        return max([needed, *(one.votes for one in self._lateness_elsewhere if one.seen)])

    @property
    def _lateness(self) -> list[Lateness]:
        """Where it failed by lateness alone: how others fared there."""
        stages = dict.fromkeys(vote.late_at for vote in self._votes if vote.late_at)
        return [self._run.steadiness.lateness(self._plan.rule.id, stage) for stage in stages]

    @property
    def _lateness_elsewhere(self) -> list[Lateness]:
        """How others fare where who offends is to be kept waiting."""
        return [self._run.steadiness.lateness(self._plan.rule.id, stage) for stage in self._shows_late_at]

    @property
    def _rests_on_an_ending(self) -> bool:
        """Whether the server is to close the connection, which a bad network may do as well."""
        return any(outcome.treatment is Treatment.DROP for outcome in self._promised)

    @property
    def _shows_by_time(self) -> bool:
        return bool(self._shows_late_at)

    @property
    def _shows_late_at(self) -> set[Stage]:
        return {outcome.stage for outcome in self._promised if outcome.late}

    @property
    def _undecided(self) -> Vote:
        failed = [vote for vote in self._votes if vote.status is Status.FAILED]
        passed = [vote for vote in self._votes if vote.status is Status.PASSED]
        last = self._votes[-1]
        if failed and passed:
            reason = f"it failed on {_clients(failed)} and passed on {_clients(passed)}: {failed[0].reason}"
            if {one.spared for one in failed} == {True} and {one.spared for one in passed} == {False}:
                reason += f"; {SPARED}"
        elif failed:
            other = ", too few to be certain"
            if len(failed) < len(self._votes):
                other = f" and proved nothing on another: {last.reason}"
            if alike := len(failed) - len(self._agreeing):
                other = f", on {alike} of them otherwise than on the rest{other}"
            reason = f"it failed on {_clients(failed)}{other}: {failed[0].reason}"
        elif passed:
            reason = f"it passed on {_clients(passed)}, too few to be certain on a server that is not steady"
        elif aside := [vote for vote in self._votes if vote.status in ASIDE]:
            reason = f"what was met once, and not again, would have set it aside: {aside[-1].reason}"
        else:
            return last
        reason += "".join(f"; {one}" for one in self._lateness if one.seen)
        return Vote(Status.INCONCLUSIVE, reason, InconclusiveError(reason))


def _clients(votes: list[Vote]) -> str:
    return "one client" if len(votes) == 1 else counted(len(votes), "client")


def run_scenario(run: Run, plan: Plan) -> CaseResult:
    """Try a scenario on fresh clients until its verdict is certain, or no further try is left."""
    course = Course(run, plan)
    if untried := course.untried():
        return untried
    while True:
        course.go()
        if outcome := course.outcome:
            return outcome
