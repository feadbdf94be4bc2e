"""How long a whole run takes against its longest scenario, and what the plugin costs beside pytest itself."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

from table import Row, show

from harness.results.model import Status
from harness.rules import Catalogue
from harness.truth.draw import Draw
from harness.truth.pool import Order, prepared
from harness.truth.trial import Bench

RULES = """
suite = "bench"
[rule."bench.wait"]
stage = "connect"
source = "benchmark"
statement = "Something takes its time."
expect = "pass at connect"
"""
SCENARIOS = """
import threading
import pytest
from harness.scenario import Expect, rule

@rule("bench.wait")
@pytest.mark.parametrize("number", range({count}))
def test_wait(expect: Expect, number: int) -> None:
    threading.Event().wait({seconds})
    expect.proven = True
"""
PLAIN = """
import threading
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_wait(number: int) -> None:
    threading.Event().wait({seconds})
"""
WORKERS = (4, 8, 16, 32)
ROUNDS = 5
PAUSE = 20.0  # seconds


def main() -> None:
    """Print the comparisons."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        show("a whole run against the embedded reference MTA", [whole_run(place)])
        show("a server at which everybody waits for the greeting", [everybody_waits()])
        show("100 scenarios of one second each", side_by_side(place))
        show("plugin overhead", overhead(place))


def whole_run(place: Path) -> Row:
    """Median wall time of the suite over its longest scenario, from process start to exit."""
    ratios, walls, longest = [], [], []
    for number in range(ROUNDS):
        reports = place / f"run{number}"
        wall = pytest_run("scenarios", "--smtp-reports", str(reports), expect_success=True)
        data = json.loads((reports / "latest.json").read_text("utf-8"))
        slowest = max(case["seconds"] for rule in data["rules"] for case in rule["cases"])
        walls.append(wall)
        longest.append(slowest)
        ratios.append(wall / slowest)
    return Row(
        f"wall {statistics.median(walls):.2f} s, longest scenario {statistics.median(longest):.2f} s",
        statistics.median(ratios),
        "<= 1.5",
    )


def everybody_waits() -> Row:
    """One run over its longest scenario, where everybody waits so long and offenders wait on top."""
    scenarios = Path("scenarios")
    pool = prepared(Bench(scenarios, Catalogue.below(scenarios)), parallel=1, patience=PAUSE * 30)
    ((_, trial),) = pool.trials(deque([Order(None, Draw(pause=PAUSE, delay=2.0))]))
    if trial.result is None:
        raise SystemExit(trial.trouble)
    longest = max(case.seconds for rule in trial.result.rules for case in rule.cases)
    passed = sum(rule.status is Status.PASSED for rule in trial.result.rules)
    words = f"wall {trial.seconds:.0f} s, longest scenario {longest:.0f} s, {passed} rules passed"
    return Row(words, trial.seconds / longest, "<= 1.5")


def side_by_side(place: Path) -> list[Row]:
    """The harness's threads against the best number of pytest-xdist workers."""
    ours = pytest_run(str(written(place / "ours", SCENARIOS, 100, 1.0)), "--smtp-jobs", "100")
    plain = str(written(place / "plain", PLAIN, 100, 1.0))
    theirs = {count: pytest_run(plain, "-n", str(count)) for count in WORKERS}
    best = min(theirs, key=lambda count: theirs[count])
    return [Row(f"ours {ours:.2f} s, xdist -n {best} {theirs[best]:.2f} s", theirs[best] / ours, ">= 5")]


def overhead(place: Path) -> list[Row]:
    """Cost of an item, from the difference between few and many items, so that start-up drops out."""
    ours = per_item(place / "o", SCENARIOS)
    plain = per_item(place / "p", PLAIN)
    text = f"a scenario {1000 * ours:.2f} ms, a plain test {1000 * plain:.2f} ms: added over pytest's own"
    return [Row(text, (ours - plain) / plain, "<= 1")]


def per_item(place: Path, template: str, few: int = 100, many: int = 1100) -> float:
    """Median seconds that one more item costs."""
    small = written(place / "few", template, few, 0)
    large = written(place / "many", template, many, 0)
    costs = []
    for _ in range(ROUNDS):
        costs.append((pytest_run(str(large)) - pytest_run(str(small))) / (many - few))
    return statistics.median(costs)


def written(folder: Path, template: str, count: int, seconds: float) -> Path:
    """A folder with a generated test module."""
    folder.mkdir(parents=True)
    (folder / "rules.toml").write_text(RULES, "utf-8")
    (folder / "test_bench.py").write_text(template.format(count=count, seconds=seconds), "utf-8")
    return folder


def pytest_run(*arguments: str, expect_success: bool = True) -> float:
    """Wall seconds of one pytest process."""
    with tempfile.TemporaryDirectory() as reports:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        if "--smtp-reports" not in arguments and "-n" not in arguments:
            command += ["--smtp-reports", reports]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wall = time.perf_counter() - began
    if expect_success and done.returncode != 0:
        raise SystemExit(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr}"
        )
    return wall


if __name__ == "__main__":
    main()
