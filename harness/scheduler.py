"""Lets scenarios wait side by side, and tries again before a failure counts."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from harness.evidence import dialogues
from harness.judge import BrokenError
from harness.results.model import Status, Try
from harness.rules import Capability, Rule, spell
from harness.run import Run, ailing
from harness.trial import Trial
from harness.verdicts import FailedError, InconclusiveError, NotApplicableError, NotTestableError

TRIES = 3
CONFIRMATIONS = 2  # a failure counts when it was seen on this many fresh clients

Play = Callable[[Trial], None]


@dataclass(frozen=True)
class Plan:
    """A scenario as the scheduler knows it."""

    rule: Rule
    needs: frozenset[Capability]  # of this case, beyond those of the rule
    play: Play


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


def run_scenario(run: Run, plan: Plan) -> Outcome:
    """Try a scenario on fresh clients until its verdict is certain.

    A pass is certain at once. A failure must be seen twice. A try that proves nothing is repeated;
    a scenario that fails once and passes once is inconclusive.
    """
    expected = spell(run.profile.expectation(plan.rule)[0])
    began = time.monotonic()
    if refusal := run.refusal(plan.rule, plan.needs):
        return Outcome(_status_of(refusal), str(refusal), expected, error=refusal)
    if run.unusable:
        return Outcome(Status.INCONCLUSIVE, run.unusable, expected, error=InconclusiveError(run.unusable))
    tries: list[Try] = []
    endings: list[_Ending] = []
    observed = ""
    for _ in range(TRIES):
        trial = Trial(run, plan.rule)
        ending = _play(run, trial, plan.play)
        observed = trial.expect.observed
        tries.append(Try(ending.status, ending.reason, dialogues(trial.world, run.judge)))
        endings.append(ending)
        if ending.final or ending.status is Status.PASSED:
            break
        if sum(one.status is Status.FAILED for one in endings) == CONFIRMATIONS:
            break
    verdict = _weigh(endings)
    return Outcome(
        verdict.status,
        verdict.reason,
        expected,
        observed,
        time.monotonic() - began,
        tuple(tries),
        verdict.error,
    )


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
        play(trial)
    except BrokenError as ending:
        return _judge_broken(run, ending)
    except (FailedError, AssertionError) as ending:
        return _Ending(Status.FAILED, str(ending) or "an assertion of the scenario does not hold", ending)
    except InconclusiveError as ending:
        return _Ending(Status.INCONCLUSIVE, str(ending), ending)
    except (NotTestableError, NotApplicableError) as ending:
        return _Ending(_status_of(ending), str(ending), ending, final=True)
    except Exception as error:  # noqa: BLE001 - whatever a scenario raises must reach its pytest item
        reason = f"the scenario itself is broken: {type(error).__name__}: {error}"
        return _Ending(Status.INCONCLUSIVE, reason, error, final=True)
    return _Ending(Status.PASSED, "", None)


def _judge_broken(run: Run, ending: BrokenError) -> _Ending:
    """A dialogue that broke off: is it this rule, or is the server in trouble as a whole?"""
    attempt, _ = run.canary()
    if trouble := ailing(attempt):
        reason = f"{ending}; afterwards {trouble}"
        return _Ending(Status.INCONCLUSIVE, reason, InconclusiveError(reason))
    reason = f"{ending}, while an innocent client was served right after it"
    return _Ending(Status.FAILED, reason, FailedError(reason))


def _status_of(ending: BaseException) -> Status:
    return Status.NOT_APPLICABLE if isinstance(ending, NotApplicableError) else Status.NOT_TESTABLE


class Scheduler:
    """Runs scenarios on threads ahead of the pytest items that report them."""

    def __init__(self, run: Run, jobs: int) -> None:
        """`jobs` scenarios at most wait side by side; with 1 each runs when its item's turn comes."""
        self._run = run
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="scenario") if jobs > 1 else None
        self._futures: dict[str, Future[Outcome]] = {}
        self._done = 0
        self._lock = threading.Lock()

    def start(self, key: str, plan: Plan) -> None:
        """Let a scenario run as soon as a thread is free."""
        if self._pool:
            future = self._pool.submit(run_scenario, self._run, plan)
            future.add_done_callback(self._count)
            self._futures[key] = future

    def collect(self, key: str, plan: Plan, waiting: Callable[[int, int], None]) -> Outcome:
        """The outcome of a scenario; one that was not started ahead runs here and now.

        While there is nothing to collect, `waiting` is told now and then how many are done of how many.
        """
        future = self._futures.get(key)
        if future is None:
            return run_scenario(self._run, plan)
        while True:
            try:
                return future.result(timeout=0.1)
            except TimeoutError:
                waiting(self._done, len(self._futures))

    def stop(self) -> None:
        """Drop what has not begun and wait for what has."""
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _count(self, future: Future[Outcome]) -> None:
        with self._lock:
            self._done += 1
