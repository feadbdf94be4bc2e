"""Lets scenarios wait side by side, and tries again before a failure counts."""

import contextlib
import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from harness.grants.mail import QUEUE
from harness.grants.strain import HEAVY
from harness.outcome import DIALOGUE
from harness.results.model import Status
from harness.runs.course import CaseResult, Course, broken_by
from harness.runs.foundations import undecided_below
from harness.runs.in_turn import InTurn
from harness.runs.roots import Roots
from harness.runs.run import Run
from harness.runs.trial import Plan
from harness.verdicts import ScenarioEnd

FEW = 24  # scenarios at a time when the crowd is gone
NO_DOUBT = (Status.PASSED, Status.NOT_TESTABLE, Status.NOT_APPLICABLE)  # whoever else disturbs the server
LAST = 4  # of the crowd, that are waiting for late replies and will not be disturbed by what strains a server


@dataclass(frozen=True)
class _Case:
    """The course of a scenario, and where its outcome is waited for."""

    course: Course
    future: Future[CaseResult]


class Scheduler:
    """Runs scenarios on threads ahead of the pytest items that report them.

    All first tries wait side by side. What they came to stands when the last of them is done, and those whose
    twins were hit have been tried again, for only then is known how steady the server is. Whatever is not
    certain is tried again when the crowd is gone, a few at a time: what only the crowd had made slow is
    prompt then. Scenarios that strain the server wait until next to nobody is left whom they could slow down.
    What may change the server for all is played last of all, when innocent clients are served: first all
    that does not change it for certain together, for most servers mind none of it and a pass shows why, as
    what cannot be tested does; then, one rule after the other, what else came of it is played again, and what
    changes the server for certain.
    """

    def __init__(self, run: Run, jobs: int) -> None:
        """`jobs` dialogues at most wait side by side; with 1 all is played in turn, in the main thread."""
        self._run = run
        run.side_by_side = jobs > 1
        run.room.places = jobs
        at_once = max(1, jobs // 2)  # each with its twin
        self._here = InTurn() if jobs == 1 else None
        self._crowd = self._here or ThreadPoolExecutor(at_once, thread_name_prefix="scenario")
        self._quiet = self._here or ThreadPoolExecutor(min(at_once, FEW), thread_name_prefix="again")
        self._last = self._here or ThreadPoolExecutor(1, thread_name_prefix="alone")
        self._plans: dict[str, Plan] = {}
        self._outcomes: dict[str, Future[CaseResult]] = {}
        self._settled: dict[str, CaseResult] = {}  # before the run was over
        self._done = 0  # outcomes, whatever they are
        self._found: dict[str, CaseResult] = {}  # as they are told, those that have been collected
        self._tried: list[_Case] = []  # once; what stands is not known yet
        self._doubts = 0  # those of them that are tried again before the others stand
        self._straining: list[str] = []
        self._late: list[str] = []  # what may change the server for all, in the order in which it is played
        self._were_together = False  # whether those that may were played together
        self._first_tries = 0
        self._unsettled = 0
        self._lock = threading.Lock()

    def start(self, plans: Mapping[str, Plan]) -> None:
        """Let these scenarios run as threads are free, those that are to be kept waiting first."""
        self._plans = {**plans}
        self._outcomes = {key: self._awaited(key) for key in plans}
        self._late = sorted(
            (key for key, plan in plans.items() if self._is_late(plan)),
            key=lambda key: self._changes_all(plans[key]),
        )
        late = {*self._late}
        self._straining = [
            key for key, plan in plans.items() if HEAVY.name in plan.all_needs and key not in late
        ]
        crowd = [key for key in plans if key not in {*self._straining, *late}]  # in their order
        self._first_tries = self._unsettled = len(plans) - len(late)
        for key in plans.keys() - late:
            self._outcomes[key].add_done_callback(self._one_settled)
        if self._here is None:  # what is played in turn is played in the order in which it is told
            crowd.sort(key=lambda key: -self._wait_to_expect(plans[key]))
        for key in crowd:
            self._crowd.submit(self._try_first, plans[key], self._outcomes[key])
        self._thin_out()

    def collect(self, key: str, plan: Plan, waiting: Callable[[int, int], None]) -> CaseResult:
        """The outcome of a scenario; one that was not started ahead runs here and now, and stands for others.

        While there is nothing to collect, `waiting` is told now and then how many are done of how many.
        """
        if key not in self._outcomes:
            self._play_in_its_turn(key, plan, waiting)

        def came(one: str) -> CaseResult:
            return self._await(self._outcomes[one], waiting)

        return self._roots(self._outcomes, came, self._found).of(key)

    def _roots(
        self, known: Container[str], came: Callable[[str], CaseResult], found: dict[str, CaseResult]
    ) -> Roots:
        return Roots(self._run.catalogue, self._run.profile, self._plans, known, came, found)

    def decided(self) -> dict[str, CaseResult]:
        """What stands by now, whether it was collected or not, by what was seen until now.

        What failed while it is not known how the rules on which it rests came out is not told as their
        failure: it is inconclusive.
        """
        with self._lock:
            known = dict(self._settled)
            keys = {id(future): key for key, future in self._outcomes.items()}
            for one in self._tried:
                if not one.course.is_doubtful and (outcome := one.course.standing):
                    known.setdefault(keys[id(one.future)], outcome)
        roots, stands = self._roots(known, known.__getitem__, {}), {}
        for key in known:
            come = roots.of(key)
            open_ones = roots.open_below(key)
            if come.status is Status.FAILED and open_ones:
                come = undecided_below(come, tuple(open_ones))
            stands[key] = come
        return stands

    def _play_in_its_turn(self, key: str, plan: Plan, waiting: Callable[[int, int], None]) -> None:
        others = [*self._outcomes.values()]
        self._plans[key], self._outcomes[key] = plan, self._awaited(key)
        if not self._is_late(plan):
            self._try_again(Course(self._run, plan), self._outcomes[key])
            return
        for other in others:
            self._await(other, waiting)
        for one in self._that_may_begin([key]):
            self._try_again(one.course, one.future)

    def _await(self, future: Future[CaseResult], waiting: Callable[[int, int], None]) -> CaseResult:
        while not future.done():
            if self._here is None or not self._here.do_next():
                wait([future], timeout=0.25)
            waiting(self._done + len(self._tried), len(self._outcomes))
        return future.result()

    def stop(self) -> None:
        """Drop what has not begun and wait for what has."""
        self._run.break_off()
        for pool in (self._crowd, self._quiet, self._last):
            pool.shutdown(wait=True, cancel_futures=True)

    def _wait_to_expect(self, plan: Plan) -> int:
        """How long a scenario waits, roughly: by the stage of its delay; the longest start first."""
        late = [outcome for outcome in self._run.profile.expectation(plan.rule)[0] if outcome.late]
        waits_for_queue = len(DIALOGUE) if QUEUE.name in plan.all_needs else 0
        return max((1 + DIALOGUE.index(outcome.stage) for outcome in late), default=waits_for_queue)

    def _is_late(self, plan: Plan) -> bool:
        """Whether it may change the server for all, or does for certain."""
        return plan.rule.disturbs or self._changes_all(plan)

    def _changes_all(self, plan: Plan) -> bool:
        return self._run.tools.hits_all(plan.all_needs)

    def _try_first(self, plan: Plan, future: Future[CaseResult]) -> None:
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
                    self._tried.append(_Case(course, future))
        with self._lock:
            self._first_tries -= 1
        self._thin_out()

    def _thin_out(self) -> None:
        """What may begin, now that so few of the crowd are left."""
        if self._run.over.is_set():
            return  # nothing begins any more, and what stands is what stood then
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

    def _try_doubtful(self, one: "_Case") -> None:
        with self._reporting(one.future):
            one.course.go()
        tried: list[_Case] = []
        with self._lock:
            self._doubts -= 1
            if self._doubts == 0:
                tried, self._tried = self._tried, []
        self._settle([one, *tried])

    def _settle(self, tried: "list[_Case]") -> None:
        """Now that it is known how steady the server is: what stands, and what is tried again."""
        for one in sorted(tried, key=lambda one: one.course.outcome is not None):
            if one.future.done():
                continue
            if outcome := one.course.outcome:
                one.future.set_result(outcome)
            else:
                self._quiet.submit(self._try_again, one.course, one.future)

    def _awaited(self, key: str) -> Future[CaseResult]:
        """Where an outcome is waited for; what comes of it when the run is over stands nowhere."""

        def note(done: Future[CaseResult]) -> None:
            with self._lock:
                self._done += 1
                if not self._run.over.is_set() and done.exception() is None:
                    self._settled[key] = done.result()

        future: Future[CaseResult] = Future()
        future.add_done_callback(note)
        return future

    def _one_settled(self, _: Future[CaseResult]) -> None:
        self._one_came_back()

    def _play_the_rest(self) -> None:
        """When all others are settled: what may change the server for all, and then what does for certain."""
        with self._lock:
            if self._unsettled or not self._late:
                return
            if several := self._to_be_together():
                self._unsettled = len(several)
                self._last.submit(self._try_together, several)
                return
            first = self._plans[self._late[0]]
            together = [key for key in self._late if self._goes_with(first, self._plans[key])]
            self._late = [key for key in self._late if key not in together]
            self._unsettled = len(together)
        for key in together:
            self._outcomes[key].add_done_callback(self._one_settled)
        self._last.submit(self._try_alone, together)

    def _to_be_together(self) -> list[str]:
        """Those that may change the server, where they are of several rules, and the first time."""
        if self._were_together or self._here:
            return []
        self._were_together = True
        keys = [key for key in self._late if not self._changes_all(self._plans[key])]
        return keys if len({self._plans[key].rule.id for key in keys}) > 1 else []

    def _try_together(self, keys: Sequence[str]) -> None:
        """One try of each, where innocent clients are served; what says no more than that is played alone."""
        served = not self._trouble()
        for key in keys:
            if served:
                self._crowd.submit(self._try_one_of_several, key)
            else:
                self._one_came_back()

    def _try_one_of_several(self, key: str) -> None:
        future = self._outcomes[key]
        with self._reporting(future):
            course = Course(self._run, self._plans[key])
            outcome = course.untried()
            if outcome is None:
                course.go()
                standing = course.standing
                shows_why = standing and standing.status in NO_DOUBT and not standing.by_absence
                outcome = standing if shows_why else None
            if outcome:
                future.set_result(outcome)
        if future.done():
            with self._lock:
                self._late.remove(key)
        self._one_came_back()

    def _one_came_back(self) -> None:
        with self._lock:
            self._unsettled -= 1
        self._play_the_rest()

    def _goes_with(self, first: Plan, other: Plan) -> bool:
        """Whether cases that disturb the server may do so at a time."""
        return other is first or (other.rule is first.rule and not self._changes_all(other))

    def _try_alone(self, together: Sequence[str]) -> None:
        for one in self._that_may_begin(together):
            self._quiet.submit(self._try_again, one.course, one.future)

    def _that_may_begin(self, late: Sequence[str]) -> list[_Case]:
        """Those cases that are to be tried, none while innocent clients are not served as ever."""
        trouble: str | None = None
        begin = []
        for key in late:
            course, future = Course(self._run, self._plans[key]), self._outcomes[key]
            with self._reporting(future):
                outcome = course.untried()
                if outcome is None:
                    trouble = self._trouble() if trouble is None else trouble
                    outcome = course.put_off(f"before it was played, {trouble}") if trouble else None
                if outcome:
                    future.set_result(outcome)
                else:
                    begin.append(_Case(course, future))
        return begin

    def _trouble(self) -> str:
        try:
            return self._run.trouble_in_full()
        except ScenarioEnd as ending:
            return f"whether innocent clients were served could not be told: {ending}"

    def _try_again(self, course: Course, future: Future[CaseResult]) -> None:
        with self._reporting(future):
            outcome = course.untried()
            while outcome is None:
                course.go()
                outcome = course.outcome
            future.set_result(outcome)

    @contextlib.contextmanager
    def _reporting(self, future: Future[CaseResult]) -> Iterator[None]:
        """Whatever a try raises is an outcome, told once, at its own item; an interrupt ends the run."""
        try:
            yield
        except KeyboardInterrupt as interrupt:
            future.set_exception(interrupt)
            raise
        except BaseException as error:  # noqa: BLE001 - it is told at the pytest item, with its traceback
            if not future.done():
                future.set_result(broken_by(error))
