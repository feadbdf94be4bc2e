"""Lets scenarios wait side by side, and tries again before a failure counts."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from harness.judge import GreylistWordError
from harness.outcome import DIALOGUE
from harness.results.model import Status
from harness.rules import Capability
from harness.runs.course import Course, Outcome, broken_by, run_scenario
from harness.runs.foundations import blocked
from harness.runs.run import Run
from harness.runs.trial import Plan

FEW = 24  # scenarios at a time when the crowd is gone
LAST = 4  # of the crowd, that are waiting for late replies and will not be disturbed by what strains a server


@dataclass(frozen=True)
class _Tried:
    """A scenario that was tried once, and where its outcome is waited for."""

    course: Course
    future: Future[Outcome]


class Scheduler:
    """Runs scenarios on threads ahead of the pytest items that report them.

    All first tries wait side by side. What they came to stands when the last of them is done, and those whose
    twins were hit have been tried again, for only then is known how steady the server is. Whatever is not
    certain is tried again when the crowd is gone, a few at a time: what only the crowd had made slow is
    prompt then. Scenarios that strain the server wait until next to nobody is left whom they could slow down.
    What may change the server for all is played last of all.
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
        self._tried: list[_Tried] = []  # once; what stands is not known yet
        self._doubts = 0  # those of them that are tried again before the others stand
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
        while not future.done():
            wait([future], timeout=0.25)
            done = sum(one.done() for one in self._outcomes.values()) + len(self._tried)
            waiting(done, len(self._outcomes))
        return future.result()

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
        course = Course(self._run, plan)
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
                    self._tried.append(_Tried(course, future))
        with self._lock:
            self._first_tries -= 1
        self._thin_out()

    def _thin_out(self) -> None:
        """What may begin, now that so few of the crowd are left."""
        with self._lock:
            straining, tried = [], []
            if self._first_tries <= LAST + len(self._straining):
                straining, self._straining = self._straining, []
            if self._first_tries == 0 and self._doubts == 0:
                tried, self._tried = self._tried, []
            doubtful = [one for one in tried if one.course.is_doubtful]
            self._doubts += len(doubtful)
            if doubtful:
                self._tried = [one for one in tried if one not in doubtful]
                tried = []
        for key in straining:
            self._quiet.submit(self._try_first, self._plans[key], self._outcomes[key])
        for one in doubtful:
            self._quiet.submit(self._try_doubtful, one)
        self._settle(tried)
        self._play_the_rest()

    def _try_doubtful(self, one: "_Tried") -> None:
        with self._reporting(one.future):
            one.course.go()
        tried: list[_Tried] = []
        with self._lock:
            self._doubts -= 1
            if self._doubts == 0:
                tried, self._tried = self._tried, []
        self._settle([one, *tried])

    def _settle(self, tried: "list[_Tried]") -> None:
        """Now that it is known how steady the server is: what stands, and what is tried again."""
        for one in sorted(tried, key=lambda one: one.course.outcome is not None):
            if one.future.done():
                continue
            if outcome := one.course.outcome:
                one.future.set_result(outcome)
            else:
                self._quiet.submit(self._try_again, one.course, one.future)

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
            self._quiet.submit(self._try_again, Course(self._run, self._plans[key]), self._outcomes[key])
        for key in alone:
            self._last.submit(self._try_again, Course(self._run, self._plans[key]), self._outcomes[key])

    def _try_again(self, course: Course, future: Future[Outcome]) -> None:
        with self._reporting(future):
            outcome = course.untried()
            while outcome is None:
                course.go()
                outcome = course.outcome
            future.set_result(outcome)

    @contextlib.contextmanager
    def _reporting(self, future: Future[Outcome]) -> Iterator[None]:
        """Whatever a thread raises is an outcome, told once and at its own item; an interrupt ends the run."""
        try:
            yield
        except KeyboardInterrupt as interrupt:
            future.set_exception(interrupt)
            raise
        except BaseException as error:  # noqa: BLE001 - it is told at the pytest item, with its traceback
            if not future.done():
                future.set_result(broken_by(error))
