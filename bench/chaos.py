"""Judges the reference MTA, sound or broken by a mutant, over a network that troubles its connections.

    python -m bench.chaos --runs 200 --rates 2,5,10,30 --seed 7 [--first 0] [--jobs 2] [-k EXPRESSION]

However bad the network is, there must be no false verdict: on a sound server no rule fails; on a broken one
none but the rule that is broken, and those that cannot help but notice, and that rule does not pass.
Inconclusive is never false. Each run has one share of troubled connections (`--rates`, in percent), trouble
of one kind or of all, and one server; the runs go through all pairs of rates and kinds before one comes
again. Which client meets which trouble depends on the order in which the clients come, so a replay has the
same in store, and not always for the same client. When it is stopped, the table is about those that were
over; `--first` goes on with the run of that number.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import secrets
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from harness.mutants.reference import ReferenceMta
from harness.mutants.subject import Defect
from harness.pytest_runs.commanded import BrokenRunError, run_pytest
from harness.results.model import RuleResult, RunResult, Status
from tests.chaos_plugin import COUNTS
from tests.chaos_trouble import Kind

SCENARIOS = Path("scenarios")
PLUGIN = "tests.chaos_plugin"
ALL = "all"  # kinds of trouble in one run
SOUND_SHARE = 0.5  # of the runs
CHANCES = 2  # calm runs, before rules that do not pass in one are left alone
PATIENCE = 3600.0  # seconds that one run may take; where a third of the connections hang it is long
STOPPED = 130  # the exit status, where nothing was wrong so far
COLUMNS = "runs  gave up  troubled  passed  rightly failed  inconclusive  false failures  false passes"


@dataclass(frozen=True)
class Draw:
    """One run: the network and the server."""

    seed: int
    rate: float  # percent
    kind: str  # of trouble, or `ALL`
    mutant: str = ""  # none: the server is sound

    @property
    def options(self) -> list[str]:
        """What makes pytest play it."""
        kinds = [f"--chaos-kind={self.kind}"] if self.kind != ALL else []
        mutants = [f"--smtp-mutant={self.mutant}"] if self.mutant else []
        rate = f"--chaos-rate={self.rate:g}"
        return ["-p", PLUGIN, "--smtp-skip-heavy", rate, f"--chaos-seed={self.seed}", *kinds, *mutants]

    def replay(self, scenarios: Path, select: str) -> str:
        """The command that plays it again, and reports the dialogues as well."""
        chosen = ["-k", select] if select else []
        return shlex.join(["python", "-m", "pytest", str(scenarios), *self.options, *chosen])

    def __str__(self) -> str:
        """As progress and errors name it."""
        return f"{self.rate:g} % {self.kind}, {self.mutant or 'sound'}, seed {self.seed}"


@dataclass(frozen=True)
class Judged:
    """What the verdicts of one run are worth."""

    draw: Draw
    passed: int = 0
    rightly: int = 0  # failed
    inconclusive: int = 0
    false_failures: tuple[RuleResult, ...] = ()
    false_passes: tuple[RuleResult, ...] = ()
    troubled: int = 0  # connections
    failure: str = ""  # why there is no result at all

    @property
    def gave_up(self) -> bool:
        """Whether nothing was proved, because the server did not seem fit to be judged."""
        return not self.failure and not (self.passed or self.rightly or self.wrong)

    @property
    def wrong(self) -> tuple[RuleResult, ...]:
        """All false verdicts."""
        return self.false_failures + self.false_passes

    def __str__(self) -> str:
        """One line of progress."""
        if self.failure:
            return f"{self.draw}: NO RESULT: {self.failure}"
        counts = f"{self.passed} passed, {self.rightly} rightly failed, {self.inconclusive} inconclusive"
        if self.gave_up:
            counts += " (gave up)"
        wrong = "".join(f", FALSELY {rule.status} {rule.id}" for rule in self.wrong)
        return f"{self.draw}: {counts}{wrong}"


@dataclass(frozen=True)
class Judging:
    """Plays runs of these scenarios and judges their verdicts."""

    folder: Path  # for what the runs leave behind
    select: str = ""  # pytest's -k
    scenarios: Path = SCENARIOS
    subject: ReferenceMta = field(init=False)

    def __post_init__(self) -> None:
        """The server knows its own defects."""
        object.__setattr__(self, "subject", ReferenceMta(self.scenarios))

    def play(self, draw: Draw) -> RunResult:
        """One run; raises `BrokenRunError` when it leaves no result."""
        chosen = ["-k", self.select] if self.select else []
        return run_pytest(self.scenarios, self._place(draw), [*draw.options, *chosen], patience=PATIENCE)

    def judge(self, draw: Draw) -> Judged:
        """One run, and which of its verdicts are false."""
        try:
            result = self.play(draw)
        except BrokenRunError as error:
            return Judged(draw, failure=str(error))
        told = json.loads((self._place(draw) / COUNTS).read_text("utf-8"))
        return self.verdicts(draw, result.rules, sum(told["troubled"].values()))

    def verdicts(self, draw: Draw, rules: Iterable[RuleResult], troubled: int = 0) -> Judged:
        """Which of the verdicts on the drawn server are false."""
        by_status: dict[Status, list[RuleResult]] = {status: [] for status in Status}
        for rule in rules:
            by_status[rule.status].append(rule)
        rightly = [rule for rule in by_status[Status.FAILED] if self._may_fail(draw, rule.id)]
        falsely = [rule for rule in by_status[Status.FAILED] if rule not in rightly]
        broken = draw.mutant.partition(":")[0]
        false_passes = [rule for rule in by_status[Status.PASSED] if rule.id == broken]
        return Judged(
            draw,
            passed=len(by_status[Status.PASSED]) - len(false_passes),
            rightly=len(rightly),
            inconclusive=len(by_status[Status.INCONCLUSIVE]),
            false_failures=tuple(falsely),
            false_passes=tuple(false_passes),
            troubled=troubled,
        )

    def calm(self, seed: int) -> dict[str, Status]:
        """What the rules come to on a sound server when nothing is troubled; raises `BrokenRunError`."""
        for attempt in range(CHANCES):
            found = {rule.id: rule.status for rule in self.play(Draw(seed + attempt, 0.0, ALL)).rules}
            if not {Status.FAILED, Status.INCONCLUSIVE} & {*found.values()}:
                break
        return found

    def _may_fail(self, draw: Draw, rule: str) -> bool:
        if not draw.mutant:
            return False
        broken = draw.mutant.partition(":")[0]
        return rule == broken or self.subject.expects(Defect(draw.mutant, (broken,), ""), rule)

    def _place(self, draw: Draw) -> Path:
        return self.folder / f"{draw.seed}-{draw.rate:g}-{draw.kind}"


def draws(
    runs: int, seed: int, rates: Sequence[float], kinds: Sequence[str], mutants: Sequence[str]
) -> list[Draw]:
    """So many runs, the same for the same seed; without mutants all servers are sound."""
    chance = random.Random(seed)
    found: list[Draw] = []
    while len(found) < runs:
        pairs = list(itertools.product(rates, kinds))
        chance.shuffle(pairs)
        for rate, kind in pairs[: runs - len(found)]:
            sound = not mutants or chance.random() < SOUND_SHARE
            mutant = "" if sound else chance.choice(mutants)
            found.append(Draw(seed + len(found), rate, kind, mutant))
    return found


def table(judged: Sequence[Judged]) -> str:
    """All runs by kind and rate, with sums."""
    groups: dict[str, list[Judged]] = {}
    for kind in sorted({one.draw.kind for one in judged}):
        for rate in sorted({one.draw.rate for one in judged}):
            chosen = [one for one in judged if (one.draw.kind, one.draw.rate) == (kind, rate)]
            groups |= {f"{kind} {rate:g} %": chosen} if chosen else {}
    for rate in sorted({one.draw.rate for one in judged}):
        groups[f"= {rate:g} %"] = [one for one in judged if one.draw.rate == rate]
    groups["= sound servers"] = [one for one in judged if not one.draw.mutant]
    groups["= broken servers"] = [one for one in judged if one.draw.mutant]
    groups["= all"] = list(judged)
    widths = [len(name) for name in COLUMNS.split("  ")]
    lines = [f"{'trouble':20}  {COLUMNS}"]
    for name, chosen in groups.items():
        cells = [f"{number:>{width}}" for number, width in zip(_numbers(chosen), widths, strict=True)]
        lines.append(f"{name:20}  {'  '.join(cells)}")
    return "\n".join(lines)


def _numbers(judged: Sequence[Judged]) -> list[int]:
    """Of each column, in their order."""
    return [
        len(judged),
        sum(one.gave_up for one in judged),
        sum(one.troubled for one in judged),
        sum(one.passed for one in judged),
        sum(one.rightly for one in judged),
        sum(one.inconclusive for one in judged),
        sum(len(one.false_failures) for one in judged),
        sum(len(one.false_passes) for one in judged),
    ]


def run_all(judging: Judging, chosen: Sequence[Draw], jobs: int) -> list[Judged]:
    """Play the runs, so many at a time, and tell how far they are; when interrupted, those that were over."""
    began = time.monotonic()
    judged: list[Judged] = []
    with contextlib.suppress(KeyboardInterrupt), _workers(jobs) as pool:
        for future in as_completed([pool.submit(judging.judge, draw) for draw in chosen]):
            judged.append(future.result())
            left = (time.monotonic() - began) / len(judged) * (len(chosen) - len(judged))
            print(f"[{len(judged)}/{len(chosen)}, {left / 60:.0f} min left] {judged[-1]}", flush=True)
    return judged


@contextlib.contextmanager
def _workers(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """When we are stopped, only the runs under way are waited for."""
    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _summary(judging: Judging, judged: Sequence[Judged], wanted: int) -> int:
    """Print the table and every wrong verdict; returns the exit status."""
    print(table(judged))
    if len(judged) < wanted:
        print(f"stopped: {wanted - len(judged)} of {wanted} runs were not over")
    wrong = [one for one in judged if one.wrong or one.failure]
    by_rule = Counter(f"{rule.id} {rule.status}" for one in wrong for rule in one.wrong)
    if by_rule:
        print("false: " + ", ".join(f"{name} ({times})" for name, times in by_rule.most_common()))
    for one in wrong:
        print(f"{one}\n  again: {one.draw.replay(judging.scenarios, judging.select)}")
        for rule in one.wrong:
            print(f"    {rule.id}: {rule.reason}")
    return 1 if wrong else STOPPED if len(judged) < wanted else 0


def main() -> int:
    """Print progress, the table and the wrong verdicts; the exit status is 1 when there is any.

    It is 130 when the runs were interrupted, and none that was over is wrong.
    """
    options = _options()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="smtp-chaos-") as folder:
        judging = Judging(Path(options.keep or folder), options.select)
        try:
            calm = judging.calm(options.seed)
        except BrokenRunError as error:
            print(f"on a calm network: {error}")
            return 1
        if failed := [rule for rule, status in calm.items() if status is Status.FAILED]:
            print(f"a sound server fails on a calm network already: {', '.join(failed)}")
            return 1
        passing = {rule for rule, status in calm.items() if status is Status.PASSED}
        mutants = [one.name for one in judging.subject.defects if passing.issuperset(one.rules)]
        wanted = options.first + options.runs
        chosen = draws(wanted, options.seed, options.rates, options.kinds, mutants)[options.first :]
        print(f"{len(passing)} rules pass on a calm network; {len(mutants)} mutants of them", flush=True)
        return _summary(judging, run_all(judging, chosen, options.jobs), len(chosen))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, metavar="NUMBER", help="leave out those before it")
    parser.add_argument("--rates", type=_percents, default=_percents("2,5,10,30"), help="in percent")
    parser.add_argument(
        "--kinds", type=_kinds, default=_kinds(",".join([ALL, *Kind])), help=", ".join([ALL, *Kind])
    )
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    parser.add_argument("-k", dest="select", default="", help="the scenarios, in pytest's words")
    parser.add_argument("--keep", help="a folder for the results of all runs")
    return parser.parse_args()


def _percents(text: str) -> tuple[float, ...]:
    found = tuple(float(part) for part in text.split(","))
    if not all(0 < rate <= 100 for rate in found):
        raise argparse.ArgumentTypeError("rates are percents of the connections, above 0 and up to 100")
    return found


def _kinds(text: str) -> tuple[str, ...]:
    return tuple(part if part == ALL else Kind(part).value for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
