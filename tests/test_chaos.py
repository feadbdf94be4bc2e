"""A sample of `bench.chaos`; and how that draws runs, judges verdicts and sums them up."""

import shlex
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench import chaos
from bench.chaos import ALL, SCENARIOS, Draw, Judged, Judging, draws, run_all, table
from harness.results.model import RuleResult, Status
from tests.chaos_trouble import Kind
from tests.result_builder import rule

QUICK = "test_bounce or test_rcpt"  # twenty-odd rules
SAMPLE = (
    Draw(2, 10, ALL),
    Draw(5, 10, ALL, "rcpt.unknown-user:weak-4xx"),
    Draw(8, 10, Kind.CLOSE, "bounce.bogus:off"),
)
KINDS = [ALL, *Kind]
MUTANTS = ["helo.not-fqdn:off", "rcpt.unknown-user:off"]


def test_no_verdict_is_false_on_a_bad_network(tmp_path: Path) -> None:
    judged = run_all(Judging(tmp_path, QUICK), SAMPLE, jobs=len(SAMPLE))
    assert [str(one) for one in judged if one.wrong or one.failure] == []
    assert all(one.troubled for one in judged)
    assert sum(one.passed for one in judged) > 20


# Verdicts


def verdicts(mutant: str, **statuses: Status) -> Judged:
    rules = [
        rule(name.replace("__", ".").replace("_", "-"), status=status) for name, status in statuses.items()
    ]
    return Judging(Path()).verdicts(Draw(1, 10, ALL, mutant), rules)


def ids(rules: tuple[RuleResult, ...]) -> list[str]:
    return [one.id for one in rules]


def test_on_a_sound_server_every_failure_is_false() -> None:
    judged = verdicts("", helo__ok=Status.PASSED, bounce__bogus=Status.FAILED, dnsbl__one=Status.INCONCLUSIVE)
    assert (judged.passed, judged.rightly, judged.inconclusive) == (1, 0, 1)
    assert ids(judged.false_failures) == ["bounce.bogus"]
    assert "FALSELY failed bounce.bogus" in str(judged)


@pytest.mark.parametrize(
    ("status", "falsely"), [(Status.FAILED, []), (Status.INCONCLUSIVE, []), (Status.PASSED, ["bounce.bogus"])]
)
def test_a_broken_rule_must_not_pass(status: Status, falsely: list[str]) -> None:
    judged = verdicts("bounce.bogus:off", helo__ok=Status.PASSED, bounce__bogus=status)
    assert ids(judged.wrong) == falsely
    assert judged.passed == 1


def test_on_a_broken_server_only_those_may_fail_that_cannot_help_it() -> None:
    judged = verdicts(
        "rcpt.unknown-user:off",
        rcpt__unknown_user=Status.FAILED,
        delivery__no_catch_all=Status.FAILED,
        bounce__bogus=Status.FAILED,
    )
    assert judged.rightly == 2
    assert ids(judged.false_failures) == ["bounce.bogus"]


@pytest.mark.parametrize(("status", "gave_up"), [(Status.INCONCLUSIVE, True), (Status.PASSED, False)])
def test_a_run_that_proves_nothing_has_given_up(status: Status, gave_up: bool) -> None:
    assert verdicts("", helo__ok=status).gave_up is gave_up


def test_a_run_without_result_is_told(tmp_path: Path) -> None:
    judged = Judging(tmp_path, "nothing_that_is_there").judge(Draw(1, 10, ALL))
    assert judged.failure
    assert "NO RESULT" in str(judged)
    assert not judged.gave_up


# Draws


def test_each_pair_of_rate_and_kind_comes_before_one_comes_again() -> None:
    found = draws(2 * 2 * len(KINDS) + 1, 7, [5, 30], KINDS, MUTANTS)
    pairs = Counter((draw.rate, draw.kind) for draw in found)
    assert pairs.keys() == {(rate, kind) for rate in (5, 30) for kind in KINDS}
    assert sorted(pairs.values()) == [2] * (2 * len(KINDS) - 1) + [3]
    assert {draw.mutant for draw in found} == {"", *MUTANTS}
    assert len({draw.seed for draw in found}) == len(found)


def test_the_same_seed_draws_the_same_runs() -> None:
    assert draws(40, 7, [5], KINDS, MUTANTS) == draws(40, 7, [5], KINDS, MUTANTS)
    assert draws(40, 7, [5], KINDS, MUTANTS) != draws(40, 8, [5], KINDS, MUTANTS)


def test_fewer_runs_are_the_first_of_more() -> None:
    assert draws(100, 7, [5, 30], KINDS, MUTANTS)[:40] == draws(40, 7, [5, 30], KINDS, MUTANTS)


def test_without_mutants_all_servers_are_sound() -> None:
    assert {draw.mutant for draw in draws(20, 7, [5], KINDS, [])} == {""}


def test_a_replay_is_one_command() -> None:
    replay = Draw(7, 2.5, Kind.CLOSING, "helo.not-fqdn:off").replay(SCENARIOS, "test_helo or test_tls")
    assert shlex.split(replay) == [
        "python", "-m", "pytest", "scenarios", "-p", "tests.chaos_plugin", "--smtp-skip-heavy",
        "--chaos-rate=2.5", "--chaos-seed=7", "--chaos-kind=421", "--smtp-mutant=helo.not-fqdn:off",
        "-k", "test_helo or test_tls",
    ]  # fmt: skip


# The table and the exit status


def test_the_table_has_kinds_rates_and_sums() -> None:
    wrong = (rule("helo.ok", status=Status.FAILED),)
    judged = [
        Judged(Draw(1, 5, Kind.NUL), passed=9, inconclusive=1, troubled=4),
        Judged(
            Draw(2, 5, Kind.NUL, "helo.not-fqdn:off"), passed=7, rightly=1, false_failures=wrong, troubled=3
        ),
        Judged(Draw(3, 30, ALL), inconclusive=10, troubled=40),
    ]
    rows = {line[:20].strip(): line[20:].split() for line in table(judged).splitlines()}
    assert rows["nul 5 %"] == ["2", "0", "7", "16", "1", "1", "1", "0"]
    assert rows["all 30 %"] == ["1", "1", "40", "0", "0", "10", "0", "0"]
    assert rows["= sound servers"] == ["2", "1", "44", "9", "0", "11", "0", "0"]
    assert rows["= all"] == ["3", "1", "47", "16", "1", "11", "1", "0"]
    assert "nul 30 %" not in rows


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Those of a proof of runs that are quick to judge."""
    monkeypatch.setattr(Judging, "calm", lambda judging, seed: {"helo.ok": Status.PASSED})
    found = ["chaos", "--runs=3", "--seed=7", "--rates=10", "--kinds=nul", "--jobs=1", "-k", "helo"]
    monkeypatch.setattr(sys, "argv", found)
    return found


@pytest.mark.parametrize(("status", "expected"), [(Status.PASSED, 0), (Status.FAILED, 1)])
@pytest.mark.usefixtures("arguments")
def test_any_false_verdict_makes_the_exit_status_1(
    status: Status, expected: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def judge(judging: Judging, draw: Draw) -> Judged:
        return judging.verdicts(draw, [rule("helo.ok", status=status)])

    monkeypatch.setattr(Judging, "judge", judge)
    assert chaos.main() == expected
    printed = capsys.readouterr().out
    assert "[3/3, 0 min left] 10 % nul, sound" in printed
    assert ("--chaos-rate=10 --chaos-seed=7 --chaos-kind=nul -k helo" in printed) is bool(expected)


@pytest.mark.parametrize(("status", "expected"), [(Status.PASSED, chaos.STOPPED), (Status.FAILED, 1)])
def test_one_that_is_stopped_tells_of_the_runs_that_were_over(
    status: Status,
    expected: int,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def judge(judging: Judging, draw: Draw) -> Judged:
        if draw.seed == 7 + 4:
            raise KeyboardInterrupt
        return judging.verdicts(draw, [rule("helo.ok", status=status)])

    monkeypatch.setattr(Judging, "judge", judge)
    arguments.append("--first=3")
    assert chaos.main() == expected
    printed = capsys.readouterr().out
    assert "[1/3" in printed
    assert f"seed {7 + 3}" in printed
    assert [line.split()[:4] for line in printed.splitlines()][4] == ["nul", "10", "%", "1"]
    assert "stopped: 2 of 3 runs were not over" in printed
