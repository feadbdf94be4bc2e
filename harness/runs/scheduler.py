"""Lets scenarios wait side by side, and tries again before a failure counts."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from harness.judge import GreylistWordError
from harness.outcome import DIALOGUE
from harness.results.model import Status, Try
from harness.rules import Capability, spell
from harness.runs.foundations import blocked
from harness.runs.run import Run
from harness.runs.steadiness import TRIES, Seen
from harness.runs.trial import Plan, Vote, came_in, evidence_of, observed_in, status_of, try_once
from harness.verdicts import InconclusiveError

FEW = 24  # scenarios at a time when the crowd is gone
LAST = 4  # of the crowd, that are waiting for late replies and will not be disturbed by what strains a server


@dataclass(frozen=True)
class Outcome:
    """What a scenario came to, with all its tries; `error` is what a debugger wants to see.

    `blocked_by` is the finding, or the id of the rule, that keeps this rule from being told.
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


class _Course:
    """The tries of one scenario so far."""

    def __init__(self, run: Run, plan: Plan) -> None:
        self._run = run
        self._plan = plan
        self._expected = spell(run.profile.expectation(plan.rule)[0])
        self._tries: list[Try] = []
        self._votes: list[Vote] = []
        self._observed = self._came = ""
        self._seconds = 0.0

    def untried(self) -> Outcome | None:
        """The outcome of a scenario that is not to be tried at all."""
        if refusal := self._run.refusal(self._plan.rule, self._plan.needs):
            return Outcome(status_of(refusal), str(refusal), self._expected, error=refusal)
        if reason := self._run.unusable:
            return Outcome(Status.INCONCLUSIVE, reason, self._expected, error=InconclusiveError(reason))
        if obstacle := self._run.obstacle(self._plan.all_needs):
            need, reason = obstacle
            return Outcome(
                Status.INCONCLUSIVE,
                reason,
                self._expected,
                error=InconclusiveError(reason),
                blocked_by=f"doctor.{need.value}",
            )
        return None

    def go(self) -> None:
        """One try on fresh clients."""
        began = time.monotonic()
        vote, plays = try_once(self._run, self._plan)
        waited = max(play.world.waited for play in plays)
        self._seconds += max(0.0, time.monotonic() - began - waited)
        self._observed, self._came = observed_in(plays), came_in(plays)
        self._tries.append(evidence_of(self._run, vote, plays))
        self._votes.append(vote)

    @property
    def outcome(self) -> Outcome | None:
        """What it came to, when that is certain by now, or no further try is left."""
        verdict = self._verdict
        if verdict is None and self._may_be_told:
            return None
        vote = verdict or self._undecided
        return Outcome(
            vote.status,
            vote.reason,
            self._expected,
            self._observed,
            self._seconds,
            tuple(self._tries),
            vote.error,
            vote.blocked_by,
            self._came,
        )

    @property
    def _may_be_told(self) -> bool:
        """Whether another try may tell: what was lost may come, and what says nothing each time will not."""
        silent = [vote for vote in self._votes if vote.status is Status.INCONCLUSIVE and not vote.lost]
        told = any(vote.status is not Status.INCONCLUSIVE for vote in self._votes)
        tries = TRIES if len(silent) >= TRIES and not told else self._steadiness.tries
        return len(self._votes) < tries and not self._run.unusable

    @property
    def is_over(self) -> bool:
        """Whether its outcome would be the same however often it were tried."""
        return bool(self._votes) and self._votes[-1].final

    @property
    def _steadiness(self) -> Seen:
        """How steady the server is besides what this rule does to innocents."""
        return self._run.steadiness.besides(self._plan.rule.id)

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
        if failed and passed and steadiness.steady:
            return self._undecided
        if len(failed) - len(passed) >= steadiness.votes_to_fail:
            return failed[-1]
        needed = steadiness.votes_to_fail if failed else steadiness.votes_to_pass
        return passed[-1] if len(passed) - len(failed) >= needed else None

    @property
    def _undecided(self) -> Vote:
        failed = [vote for vote in self._votes if vote.status is Status.FAILED]
        passed = [vote for vote in self._votes if vote.status is Status.PASSED]
        last = self._votes[-1]
        if failed and passed:
            reason = f"it failed on {_clients(failed)} and passed on {_clients(passed)}: {failed[0].reason}"
        elif failed:
            other = (
                "" if len(failed) == len(self._votes) else f" and proved nothing on another: {last.reason}"
            )
            reason = (
                f"it failed on {_clients(failed)}{other or ', too few to be certain'}: {failed[0].reason}"
            )
        elif passed:
            reason = f"it passed on {_clients(passed)}, too few to be certain on a server that is not steady"
        else:
            return last
        return Vote(Status.INCONCLUSIVE, reason, InconclusiveError(reason))


def _clients(votes: list[Vote]) -> str:
    return "one client" if len(votes) == 1 else f"{len(votes)} clients"


def run_scenario(run: Run, plan: Plan) -> Outcome:
    """Try a scenario on fresh clients until its verdict is certain, or no further try is left."""
    course = _Course(run, plan)
    if untried := course.untried():
        return untried
    while True:
        course.go()
        if outcome := course.outcome:
            return outcome


class Scheduler:
    """Runs scenarios on threads ahead of the pytest items that report them.

    All first tries wait side by side. What they came to stands when the last of them is done, for only then
    is known how steady the server is. Whatever is not certain is tried again when the crowd is gone, a few at
    a time: what only the crowd had made slow is prompt then. Scenarios that strain the server wait until next
    to nobody is left whom they could slow down. What may change the server for all is played last of all.
    """

    def __init__(self, run: Run, jobs: int) -> None:
        """`jobs` scenarios at most wait side by side; with 1 each runs when its item's turn comes."""
        self._run = run
        run.side_by_side = jobs > 1
        at_once = max(1, jobs // 2)  # each with its twin
        self._crowd = ThreadPoolExecutor(at_once, thread_name_prefix="scenario") if jobs > 1 else None
        self._quiet = ThreadPoolExecutor(min(jobs, FEW), thread_name_prefix="again")
        self._last = ThreadPoolExecutor(1, thread_name_prefix="alone")
        self._plans: Mapping[str, Plan] = {}
        self._outcomes: dict[str, Future[Outcome]] = {}
        self._tried: list[tuple[_Course, Future[Outcome]]] = []  # once; what stands is not known yet
        self._straining: list[str] = []
        self._disturbing: list[str] = []
        self._alone: list[str] = []
        self._first_tries = 0
        self._unsettled = 0
        self._lock = threading.Lock()

    def start(self, plans: Mapping[str, Plan]) -> None:
        """Let these scenarios run as threads are free, those that are to be kept waiting first."""
        if self._crowd is None:
            return
        self._outcomes = {key: Future() for key in plans}
        self._plans = plans
        self._alone = [key for key, plan in plans.items() if self._changes_all(plan)]
        self._disturbing = [
            key for key, plan in plans.items() if plan.rule.disturbs and key not in self._alone
        ]
        self._straining = [
            key
            for key, plan in plans.items()
            if Capability.HEAVY in plan.all_needs and key not in {*self._alone, *self._disturbing}
        ]
        late = {*self._alone, *self._disturbing}
        crowd = [key for key in plans if key not in {*self._straining, *late}]  # in their order
        self._first_tries = self._unsettled = len(plans) - len(late)
        for key in plans.keys() - late:
            self._outcomes[key].add_done_callback(self._one_settled)
        for key in sorted(crowd, key=lambda key: -self._wait_to_expect(plans[key])):
            self._crowd.submit(self._try_first, plans[key], self._outcomes[key])
        self._thin_out()

    def collect(self, key: str, plan: Plan, waiting: Callable[[int, int], None]) -> Outcome:
        """The outcome of a scenario; one that was not started ahead runs here and now.

        While there is nothing to collect, `waiting` is told now and then how many are done of how many.
        """
        future = self._outcomes.get(key)
        if future is None:
            return run_scenario(self._run, plan)
        outcome = self._await(future, waiting)
        if outcome.status not in (Status.FAILED, Status.INCONCLUSIVE) or outcome.blocked_by:
            return outcome
        rests_on = self._run.catalogue.foundations(plan.rule)
        if isinstance(outcome.error, GreylistWordError):  # it may be as it should be, or not
            greylisting = (rule.id for rule in self._run.catalogue if rule.about_greylist)
            rests_on = tuple(dict.fromkeys([*rests_on, *greylisting]))
        below = [key for key, other in self._plans.items() if other.rule.id in rests_on]
        below.sort(key=lambda key: rests_on.index(self._plans[key].rule.id))  # what it rests on itself first
        return blocked(
            outcome, {key: self._await(self._outcomes[key], waiting) for key in below}, self._plans
        )

    def _await(self, future: Future[Outcome], waiting: Callable[[int, int], None]) -> Outcome:
        while True:
            try:
                return future.result(timeout=0.25)
            except TimeoutError:
                done = sum(one.done() for one in self._outcomes.values()) + len(self._tried)
                waiting(done, len(self._outcomes))

    def stop(self) -> None:
        """Drop what has not begun and wait for what has."""
        self._run.break_off()
        for pool in (self._crowd, self._quiet, self._last):
            if pool:
                pool.shutdown(wait=True, cancel_futures=True)

    def _wait_to_expect(self, plan: Plan) -> int:
        """How long a scenario waits, roughly: by the stage of its delay; the longest start first."""
        late = [outcome for outcome in self._run.profile.expectation(plan.rule)[0] if outcome.late]
        waits_for_queue = len(DIALOGUE) if Capability.QUEUE in plan.all_needs else 0
        return max((1 + DIALOGUE.index(outcome.stage) for outcome in late), default=waits_for_queue)

    def _changes_all(self, plan: Plan) -> bool:
        outage = self._run.tools.outage
        return Capability.GREYLIST_OUTAGE in plan.all_needs and outage is not None and outage.shared

    def _try_first(self, plan: Plan, future: Future[Outcome]) -> None:
        course = _Course(self._run, plan)
        with self._reporting(future):
            outcome = course.untried()
            if outcome is None:
                course.go()
                if course.is_over:
                    outcome = course.outcome
            if outcome:
                future.set_result(outcome)
            else:
                with self._lock:
                    self._tried.append((course, future))
        with self._lock:
            self._first_tries -= 1
        self._thin_out()

    def _thin_out(self) -> None:
        """What may begin, now that so few of the crowd are left."""
        with self._lock:
            straining, tried = [], []
            if self._first_tries <= LAST + len(self._straining):
                straining, self._straining = self._straining, []
            if self._first_tries == 0:
                tried, self._tried = self._tried, []
        for key in straining:
            self._quiet.submit(self._try_first, self._plans[key], self._outcomes[key])
        for course, future in sorted(tried, key=lambda one: one[0].outcome is not None):
            if outcome := course.outcome:
                future.set_result(outcome)
            else:
                self._quiet.submit(self._try_again, course, future)
        self._play_the_rest()

    def _one_settled(self, future: Future[Outcome]) -> None:
        with self._lock:
            self._unsettled -= 1
        self._play_the_rest()

    def _play_the_rest(self) -> None:
        """When all others are settled: what may change the server for all, and then what does for certain."""
        with self._lock:
            disturbing: list[str] = []
            alone: list[str] = []
            if self._unsettled == 0:
                disturbing, self._disturbing = self._disturbing, []
                self._unsettled = len(disturbing)
            if self._unsettled == 0:
                alone, self._alone = self._alone, []
        for key in disturbing:
            self._outcomes[key].add_done_callback(self._one_settled)
            self._quiet.submit(self._try_again, _Course(self._run, self._plans[key]), self._outcomes[key])
        for key in alone:
            self._last.submit(self._try_again, _Course(self._run, self._plans[key]), self._outcomes[key])

    def _try_again(self, course: _Course, future: Future[Outcome]) -> None:
        with self._reporting(future):
            outcome = course.untried()
            while outcome is None:
                course.go()
                outcome = course.outcome
            future.set_result(outcome)

    @contextlib.contextmanager
    def _reporting(self, future: Future[Outcome]) -> Iterator[None]:
        """Whatever a thread raises reaches the main thread."""
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - pytest's own skip and fail are no Exceptions
            future.set_exception(error)
