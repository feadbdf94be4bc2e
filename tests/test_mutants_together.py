"""Several mutants in one run: as telling as one by one where they do not get in each other's way."""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import pytest

from harness.mutants.matrix import run_matrix
from harness.mutants.subject import Defect, Order, side_by_side
from harness.pytest_runs.commanded import BrokenRunError
from harness.results.model import RunResult, Status
from harness.runs.reach import Reach
from tests import result_builder

RULES = ("helo.one", "helo.two", "rcpt.three", "rcpt.four")


@dataclass
class Fake:
    """A server whose defects fail their rule, and perhaps others; it notes what ran together."""

    scenarios: Path
    hits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    declared: frozenset[tuple[str, str]] = frozenset()
    conflict: frozenset[str] = frozenset()
    title: str = "fake"
    runs: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def defects(self) -> list[Defect]:
        """One for each rule."""
        return [Defect(f"{rule}:off", (rule,), "it is off") for rule in RULES]

    def run(
        self, defects: Sequence[Defect], folder: Path, *, heavy: bool, only: Collection[str] | None = None
    ) -> RunResult:
        """Each defect hits what it is said to hit, or else its own rule."""
        self.runs.append(tuple(defect.name for defect in defects))
        hit = {rule for defect in defects for rule in self.hits.get(defect.name, defect.rules)}
        statuses = {rule: Status.FAILED if rule in hit else Status.PASSED for rule in RULES}
        rules = (result_builder.rule(rule, status=status) for rule, status in statuses.items())
        return result_builder.run(*rules)

    def play_all(
        self, orders: Sequence[Order], parallel: int
    ) -> Iterator[tuple[Order, RunResult | BrokenRunError]]:
        """One beside the other."""
        return side_by_side(
            lambda one: self.run(one.defects, one.folder, heavy=one.heavy, only=one.only), orders, parallel
        )

    def sound(self, folder: Path) -> RunResult:
        """Without a defect."""
        return self.run([], folder, heavy=True)

    def reach(self, folder: Path) -> Reach | None:
        """It tells nothing of its parts."""
        return None

    def fits(self, defects: Sequence[Defect]) -> bool:
        """All but those that conflict."""
        return not {defect.name for defect in defects} >= self.conflict or not self.conflict

    def expects(self, defect: Defect, rule: str) -> bool:
        """What is declared."""
        return (defect.name, rule) in self.declared


def catalogued(folder: Path, more: Mapping[str, str] = MappingProxyType({})) -> None:
    """A catalogue of those rules, some with more lines."""
    entry = 'stage = "helo"\nsource = "s"\nstatement = "s"\nexpect = "pass at helo"\n'
    rules = "".join(f'[rule."{rule}"]\n{entry}{more.get(rule, "")}' for rule in RULES)
    (folder / "rules.toml").write_text(f'suite = "fake"\n{rules}')


def test_what_is_as_expected_needs_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake(tmp_path)
    assert run_matrix(fake, ["*"], parallel=1, together=4) == 0
    assert [len(run) for run in fake.runs] == [0, 4]
    assert "4 of 4 mutants of 4 rules killed" in capsys.readouterr().out


def test_one_that_others_notice_is_not_put_beside_them(tmp_path: Path) -> None:
    fake = Fake(tmp_path, declared=frozenset({("helo.one:off", "helo.two")}))
    run_matrix(fake, ["*"], parallel=1, together=4)
    assert not any({"helo.one:off", "helo.two:off"} <= {*run} for run in fake.runs)


def test_those_that_change_the_same_place_are_not_in_one_server(tmp_path: Path) -> None:
    fake = Fake(tmp_path, conflict=frozenset({"helo.one:off", "rcpt.four:off"}))
    assert run_matrix(fake, ["*"], parallel=1, together=4) == 0
    assert [len(run) for run in fake.runs] == [0, 3, 1]


def test_a_survivor_is_run_alone_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake(tmp_path, hits={"helo.two:off": ()})
    assert run_matrix(fake, ["*"], parallel=1, together=4) == 1
    assert ("helo.two:off",) in fake.runs
    assert "SURVIVED  helo.two:off" in capsys.readouterr().out


def test_a_hit_on_a_bystander_is_found_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake(tmp_path, hits={"rcpt.three:off": ("rcpt.three", "rcpt.four")})
    assert run_matrix(fake, ["helo.*", "rcpt.three:*"], parallel=1, together=4) == 1
    assert "killed    rcpt.three:off  COLLATERAL rcpt.four failed" in capsys.readouterr().out


@dataclass
class Straining(Fake):
    """The second rule has a case that strains the server, and one that comes to `else_` with any defect."""

    else_: Status = Status.PASSED

    def run(
        self, defects: Sequence[Defect], folder: Path, *, heavy: bool, only: Collection[str] | None = None
    ) -> RunResult:
        """As that of the other, but for the second rule."""
        result = super().run(defects, folder, heavy=heavy, only=only)
        spared = result_builder.case(Status.NOT_TESTABLE, name="large", lacks="heavy")
        cases = (
            result_builder.case(self.else_ if defects else Status.PASSED, name="small"),
            result_builder.case(Status.PASSED, name="large") if heavy else spared,
        )
        return replace(
            result, rules=(result.rules[0], result_builder.rule(RULES[1], *cases), *result.rules[2:])
        )


@pytest.mark.parametrize(
    ("small", "status"),
    [(Status.PASSED, 0), (Status.NOT_APPLICABLE, 0), (Status.FAILED, 1), (Status.NOT_TESTABLE, 1)],
)
def test_a_case_that_is_spared_says_nothing(tmp_path: Path, small: Status, status: int) -> None:
    catalogued(tmp_path, more={"rcpt.four": 'needs = ["heavy"]\n'})
    fake = Straining(tmp_path, else_=small)
    assert run_matrix(fake, ["helo.one:*"], parallel=1) == status


@dataclass
class Blocking(Fake):
    """While the first rule is broken, the second cannot be told because of what `blocked_by` names."""

    blocked_by: str = ""

    def run(
        self, defects: Sequence[Defect], folder: Path, *, heavy: bool, only: Collection[str] | None = None
    ) -> RunResult:
        """As that of the other, but for the second rule."""
        result = super().run(defects, folder, heavy=heavy, only=only)
        if "helo.one:off" not in self.runs[-1]:
            return result
        other = result_builder.rule(RULES[1], status=Status.INCONCLUSIVE, blocked_by=self.blocked_by)
        return replace(result, rules=(result.rules[0], other, *result.rules[2:]))


@pytest.mark.parametrize(
    ("blocked_by", "status"), [("helo.one", 0), ("baseline.known.rcpt", 0), ("rcpt.three", 1), ("", 1)]
)
def test_what_the_broken_rule_blocks_is_no_collateral(tmp_path: Path, blocked_by: str, status: int) -> None:
    catalogued(tmp_path)
    fake = Blocking(tmp_path, blocked_by=blocked_by)
    assert run_matrix(fake, ["helo.one:*"], parallel=1) == status


@dataclass
class Stopped(Fake):
    """Somebody loses patience at the first of many mutants; a run takes its time."""

    @property
    def defects(self) -> list[Defect]:
        """Many."""
        return [Defect(f"helo.one:{number}", ("helo.one",), "it is off") for number in range(100)]

    def run(
        self, defects: Sequence[Defect], folder: Path, *, heavy: bool, only: Collection[str] | None = None
    ) -> RunResult:
        """Stopped where a terminal's Ctrl-C stops it."""
        if len(self.runs) == 1:
            self.runs.append(())
            raise KeyboardInterrupt
        threading.Event().wait(0.01)
        return super().run(defects, folder, heavy=heavy, only=only)


def test_when_stopped_the_mutants_that_wait_never_run(tmp_path: Path) -> None:
    fake = Stopped(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_matrix(fake, ["*"], parallel=1, together=1)
    assert len(fake.runs) < 100
