"""Lets scenarios wait side by side, and tries again before a failure counts."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from harness.judge import ORDER, BrokenError, FullError
from harness.results.model import Status, Try
from harness.rules import Capability, Rule, spell
from harness.runs.evidence import aftermath, deliveries, dialogues, operator, with_others
from harness.runs.run import Run
from harness.runs.trial import Trial
from harness.verdicts import FailedError, InconclusiveError, NotApplicableError, NotTestableError

TRIES = 3
FEW = 16  # scenarios at a time when the crowd is gone
LAST = 4  # of the crowd, that are waiting for late replies and will not be disturbed by what strains a server
CONFIRMATIONS = 2  # a failure counts when it was seen on this many fresh clients

Play = Callable[[Trial], None]


@dataclass(frozen=True)
class Plan:
    """A scenario as the scheduler knows it."""

    rule: Rule
    needs: frozenset[Capability]  # of this case, beyond those of the rule
    play: Play

    @property
    def all_needs(self) -> frozenset[Capability]:
        """Of the case and of its rule."""
        return self.rule.needs | self.needs


@dataclass(frozen=True)
class Outcome:
    """What a scenario came to, with all its tries; `error` is what a debugger wants to see."""

    status: Status
    reason: str
    expected: str = ""
    observed: str = ""
    seconds: float = 0.0
    tries: tuple[Try, ...] = ()
    error: BaseException | None = None


@dataclass(frozen=True)
class _Ending:
    status: Status
    reason: str
    error: BaseException | None
    final: bool = False


class _Course:
    """The tries of one scenario so far."""

    def __init__(self, run: Run, plan: Plan) -> None:
        self._run = run
        self._plan = plan
        self._expected = spell(run.profile.expectation(plan.rule)[0])
        self._tries: list[Try] = []
        self._endings: list[_Ending] = []
        self._observed = ""
        self._seconds = 0.0

    def untried(self) -> Outcome | None:
        """The outcome of a scenario that is not to be tried at all."""
        if refusal := self._run.refusal(self._plan.rule, self._plan.needs):
            return Outcome(_status_of(refusal), str(refusal), self._expected, error=refusal)
        if reason := self._run.unusable:
            return Outcome(Status.INCONCLUSIVE, reason, self._expected, error=InconclusiveError(reason))
        return None

    def go(self) -> Outcome | None:
        """One try on fresh clients; the outcome when it is certain by now."""
        began = time.monotonic()
        trial = Trial(self._run, self._plan.rule)
        ending = _play(self._run, trial, self._plan.play)
        self._seconds += time.monotonic() - began - trial.world.waited
        self._observed = "; ".join(filter(None, (trial.expect.observed, aftermath(trial.world))))
        self._tries.append(self._evidence(trial, ending))
        self._endings.append(ending)
        failures = sum(one.status is Status.FAILED for one in self._endings)
        certain = ending.final or ending.status is Status.PASSED or failures == CONFIRMATIONS
        return self._outcome() if certain or len(self._tries) == TRIES else None

    def _evidence(self, trial: Trial, ending: _Ending) -> Try:
        if self._run.lean:
            return Try(ending.status, ending.reason, ())
        said = dialogues(trial.world, self._run.judge) + with_others(trial.world)
        return Try(ending.status, ending.reason, said, deliveries(trial.world), operator(trial.world))

    def _outcome(self) -> Outcome:
        verdict = _weigh(self._endings)
        return Outcome(
            verdict.status,
            verdict.reason,
            self._expected,
            self._observed,
            self._seconds,
            tuple(self._tries),
            verdict.error,
        )


def run_scenario(run: Run, plan: Plan) -> Outcome:
    """Try a scenario on fresh clients until its verdict is certain.

    A pass is certain at once. A failure must be seen twice. A try that proves nothing is repeated;
    a scenario that fails once and passes once is inconclusive.
    """
    course = _Course(run, plan)
    outcome = course.untried()
    while outcome is None:
        outcome = course.go()
    return outcome


def _weigh(endings: list[_Ending]) -> _Ending:
    last = endings[-1]
    failed = [one for one in endings if one.status is Status.FAILED]
    if last.final or len(failed) == CONFIRMATIONS or not failed:
        return last
    how = "passed" if last.status is Status.PASSED else "proved nothing"
    reason = f"it failed on one client and {how} on another: {failed[0].reason}"
    return _Ending(Status.INCONCLUSIVE, reason, InconclusiveError(reason))


def _play(run: Run, trial: Trial, play: Play) -> _Ending:
    try:
        with run.taking_part():
            play(trial)
    except (BrokenError, FailedError, AssertionError) as ending:
        if reason := trial.world.unheard:
            return _Ending(Status.INCONCLUSIVE, reason, InconclusiveError(reason))
        return _hold_against(run, trial, ending)
    except InconclusiveError as ending:
        return _Ending(Status.INCONCLUSIVE, str(ending), ending)
    except (NotTestableError, NotApplicableError) as ending:
        return _Ending(_status_of(ending), str(ending), ending, final=True)
    except Exception as error:  # noqa: BLE001 - whatever a scenario raises must reach its pytest item
        reason = f"the scenario itself is broken: {type(error).__name__}: {error}"
        return _Ending(Status.INCONCLUSIVE, reason, error, final=True)
    return _Ending(Status.PASSED, "", None)


def _hold_against(run: Run, trial: Trial, ending: BrokenError | FailedError | AssertionError) -> _Ending:
    """It was not as documented: is it this rule, or is the server in trouble as a whole?"""
    seen = str(ending) or "an assertion of the scenario does not hold"
    if isinstance(ending, AssertionError):
        seen = seen.partition("\n")[0]  # what pytest adds below shows in its own traceback
    for server in trial.world.servers or [trial.world.server]:
        if trouble := run.trouble(server):
            reason = f"{seen}; afterwards {trouble}"
            return _Ending(Status.INCONCLUSIVE, reason, InconclusiveError(reason))
    if isinstance(ending, FullError):
        return _Ending(Status.INCONCLUSIVE, seen, ending)
    if isinstance(ending, BrokenError):
        reason = f"{seen}, while an innocent client was served right after it"
        return _Ending(Status.FAILED, reason, FailedError(reason).with_traceback(ending.__traceback__))
    return _Ending(Status.FAILED, seen, ending)


def _status_of(ending: BaseException) -> Status:
    return Status.NOT_APPLICABLE if isinstance(ending, NotApplicableError) else Status.NOT_TESTABLE


class Scheduler:
    """Runs scenarios on threads ahead of the pytest items that report them.

    All first tries wait side by side. Whatever is not certain after that is tried again when the crowd
    is gone, a few at a time: what only the crowd had made slow is prompt then. Scenarios that strain the
    server wait until next to nobody is left whom they could slow down. What changes the server for all
    is played last of all, one after the other.
    """

    def __init__(self, run: Run, jobs: int) -> None:
        """`jobs` scenarios at most wait side by side; with 1 each runs when its item's turn comes."""
        self._run = run
        self._crowd = ThreadPoolExecutor(jobs, thread_name_prefix="scenario") if jobs > 1 else None
        self._quiet = ThreadPoolExecutor(min(jobs, FEW), thread_name_prefix="again")
        self._last = ThreadPoolExecutor(1, thread_name_prefix="alone")
        self._plans: Mapping[str, Plan] = {}
        self._outcomes: dict[str, Future[Outcome]] = {}
        self._doubtful: list[tuple[_Course, Future[Outcome]]] = []
        self._straining: list[str] = []
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
        self._straining = [
            key
            for key, plan in plans.items()
            if Capability.HEAVY in plan.all_needs and key not in self._alone
        ]
        crowd = plans.keys() - {*self._straining, *self._alone}
        self._first_tries = self._unsettled = len(plans) - len(self._alone)
        for key in plans.keys() - {*self._alone}:
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
        while True:
            try:
                return future.result(timeout=0.25)
            except TimeoutError:
                done = sum(one.done() for one in self._outcomes.values())
                waiting(done, len(self._outcomes))

    def stop(self) -> None:
        """Drop what has not begun and wait for what has."""
        self._run.break_off()
        for pool in (self._crowd, self._quiet, self._last):
            if pool:
                pool.shutdown(wait=True, cancel_futures=True)

    def _wait_to_expect(self, plan: Plan) -> int:
        """How far into the dialogue a scenario is kept waiting, if at all; the longest runs start first."""
        late = [outcome for outcome in self._run.profile.expectation(plan.rule)[0] if outcome.late]
        return max((1 + ORDER.index(outcome.stage) for outcome in late), default=0)

    def _changes_all(self, plan: Plan) -> bool:
        outage = self._run.tools.outage
        return Capability.GREYLIST_OUTAGE in plan.all_needs and outage is not None and outage.shared

    def _try_first(self, plan: Plan, future: Future[Outcome]) -> None:
        course = _Course(self._run, plan)
        with self._reporting(future):
            outcome = course.untried()
            if outcome is None:
                outcome = course.go()
            if outcome:
                future.set_result(outcome)
            else:
                with self._lock:
                    self._doubtful.append((course, future))
        with self._lock:
            self._first_tries -= 1
        self._thin_out()

    def _thin_out(self) -> None:
        """What may begin, now that so few of the crowd are left."""
        with self._lock:
            straining, doubtful = [], []
            if self._first_tries <= LAST + len(self._straining):
                straining, self._straining = self._straining, []
            if self._first_tries == 0:
                doubtful, self._doubtful = self._doubtful, []
        for key in straining:
            self._quiet.submit(self._try_first, self._plans[key], self._outcomes[key])
        for course, future in doubtful:
            self._quiet.submit(self._try_again, course, future)
        self._play_the_rest()

    def _one_settled(self, future: Future[Outcome]) -> None:
        with self._lock:
            self._unsettled -= 1
        self._play_the_rest()

    def _play_the_rest(self) -> None:
        """When all others are settled: what changes the server for all."""
        with self._lock:
            alone: list[str] = []
            if self._unsettled == 0:
                alone, self._alone = self._alone, []
        for key in alone:
            course = _Course(self._run, self._plans[key])
            self._last.submit(self._try_again, course, self._outcomes[key])

    def _try_again(self, course: _Course, future: Future[Outcome]) -> None:
        with self._reporting(future):
            outcome = course.untried()
            while outcome is None:
                outcome = course.go()
            future.set_result(outcome)

    @contextlib.contextmanager
    def _reporting(self, future: Future[Outcome]) -> Iterator[None]:
        """Whatever a thread raises reaches the main thread."""
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - pytest's own skip and fail are no Exceptions
            future.set_exception(error)
