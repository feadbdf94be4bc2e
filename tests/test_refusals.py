"""What innocent clients are refused with in the middle of a run is told once, where it is no noise."""

import datetime
import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.outcome import Stage
from harness.results.model import RunResult, ServerFacts, Status
from harness.rules import Catalogue
from harness.runs.assembly import Wish, begin, open_run
from harness.runs.baseline import innocents, meet
from harness.runs.course import run_scenario
from harness.runs.play import Play
from harness.runs.refusals import ALIKE
from harness.runs.result_builder import ResultBuilder, RuleCase
from harness.runs.run import Run
from harness.runs.trial import Plan
from tests.hostile_server import HostileServer
from tests.test_baseline import PROFILE, Politely

REFUSED = b"550 5.7.1 your network is banned"
RULES = ("rcpt.unknown-user", "rcpt.too-many", "rcpt.illegal-chars")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.below(Path("scenarios"))


class Banning:
    """Says to HELO what comes next, and nothing special while nothing is left."""

    def __init__(self) -> None:
        self.left: Iterator[bytes] = iter(())
        self._lock = threading.Lock()

    def __call__(self, command: bytes) -> bytes:
        with self._lock:
            return next(self.left, b"") if command.startswith(b"HELO") else b""


@pytest.fixture
def banning() -> Banning:
    return Banning()


@pytest.fixture
def run(tmp_path: Path, catalogue: Catalogue, banning: Banning) -> Iterator[Run]:
    with HostileServer([[Politely(banning)]]) as listening:
        profile = tmp_path / "profile.toml"
        profile.write_text(PROFILE.format(port=listening.address[1], more=""), "utf-8")
        with open_run(Wish(catalogue, profile)) as run:
            yield begin(run)[0]


def test_those_who_are_refused_at_the_same_moment_count_once(run: Run, banning: Banning) -> None:
    """However many are out at a time: a network that is banned is so at the next moment, too."""
    (innocent,) = (one for one in innocents(run.profile) if not one.extended)
    banning.left = itertools.repeat(REFUSED)
    together = [meet(run, innocent) for _ in range(2 * ALIKE)]
    for met in together:
        run.refusals.canary_met(met, usual=False)
    assert run.refusals.findings == ()
    for _ in range(ALIKE - 1):
        run.refusals.canary_met(meet(run, innocent), usual=False)
    assert len(run.refusals.findings) == 1


def result_of(run: Run) -> RunResult:
    """What comes of some rules whose clients are to get through to RCPT."""

    def gets_through(play: Play) -> None:
        attempt = play.run.observer(play.world).attempt(upto=Stage.RCPT, extended=False)
        play.expect.through(attempt, Stage.RCPT)
        play.expect.proven = True

    builder = ResultBuilder(datetime.datetime.now(datetime.UTC), 0.0, ServerFacts("", (), (), {}))
    for name in RULES:
        rule = replace(run.catalogue[name], needs=frozenset())
        builder.add(RuleCase(rule, name, name, run_scenario(run, Plan(rule, frozenset(), gets_through))))
    return builder.finish(run)


def test_who_is_refused_since_the_run_began_is_told_once_and_blocks_the_rules(
    run: Run, banning: Banning
) -> None:
    assert not run.baseline.findings
    banning.left = itertools.repeat(REFUSED)
    result = result_of(run)
    (finding,) = result.findings
    assert finding.id == "during.known.helo.550"
    assert finding.statement.startswith(
        "in the middle of the run known innocent clients that greet with HELO are refused at "
        "helo, other than at the beginning: 550"
    )
    assert finding.blocks == RULES
    assert {(one.status, one.blocked_by) for one in result.rules} == {(Status.INCONCLUSIVE, finding.id)}


@pytest.mark.parametrize(
    "replies",
    [
        [REFUSED] * (ALIKE - 1),
        [REFUSED, b"451 4.3.0 not now"] * ALIKE,
        [REFUSED, REFUSED, REFUSED, b"250 fine"] * ALIKE,
        [b"hang up"] * 3 * ALIKE,
        [b"421 too busy"] * 3 * ALIKE,
    ],
    ids=["too few", "not the same", "served in between", "lost", "421"],
)
def test_noise_makes_no_finding(run: Run, banning: Banning, replies: list[bytes]) -> None:
    """Every canary sees the next reply: no other dialogue has HELO meanwhile."""
    like = replace(next(innocents(run.profile)), goal=Stage.RCPT, extended=False)
    banning.left = iter(replies)
    for _ in replies:
        run.trouble(like=like)
    assert run.refusals.findings == ()


def test_a_finding_that_comes_too_late_for_a_rule_takes_no_verdict_away(run: Run, banning: Banning) -> None:
    before = result_of(run)
    assert {one.status for one in before.rules} == {Status.PASSED}
    like = replace(next(innocents(run.profile)), goal=Stage.RCPT, extended=False)
    banning.left = itertools.repeat(REFUSED)
    for _ in range(ALIKE):
        run.trouble(like=like)
    assert [one.id for one in run.refusals.findings] == ["during.known.helo.550"]
    banning.left = iter(())
    for _ in range(300):  # served, as in a long run: a few that are not make little doubt then
        run.steadiness.innocent_met()
    after = result_of(run)
    assert {(one.status, one.blocked_by) for one in after.rules} == {(Status.PASSED, "")}
