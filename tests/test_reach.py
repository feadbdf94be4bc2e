"""Which scenarios come to which parts of a server, and which of them a mutant is held against."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.mutants.matrix import run_matrix
from harness.mutants.subject import Defect, Order, side_by_side
from harness.pytest_runs.commanded import BrokenRunError
from harness.results.model import RunResult, Status
from harness.runs.reach import Reach, ReachFileError, attributed
from tests import result_builder

GIVEN = {
    "a": {"198.18.0.1", "c1-bcdfgh", "d2-bcdfgh"},
    "b": {"198.18.0.2", "c3-bcdfgh"},
}
OF_THE_RUN = {"198.18.0.9", "c9-bcdfgh"}


def is_ours(name: str) -> bool:
    return name in OF_THE_RUN.union(*GIVEN.values())


@pytest.mark.parametrize(
    ("names", "tests"),
    [
        ([], set()),
        (["198.18.0.1"], {"a"}),
        (["198.18.0.1", "198.18.0.2"], {"a", "b"}),
        (["198.18.0.9"], set()),
        (["sender@c9-bcdfgh.example"], set()),
        (["SENDER@C1-bcdfgh.example"], {"a"}),
        (["friend@d2-bcdfgh.example"], {"a"}),
        (["SRS0=HASH=TT=c3-bcdfgh.example=sender@castle.example"], {"b"}),
        (["198.18.0.2", "alice@castle.example"], None),
        ([""], None),
        (["127.0.0.1"], None),
        (["sender@c1-zzzzzz.example"], None),
    ],
)
def test_whose_a_name_is(names: list[str], tests: set[str] | None) -> None:
    found = attributed({"part": names}, GIVEN, is_ours)
    assert found.of(["part"]) == (None if tests is None else frozenset(tests))


def test_what_two_scenarios_have_in_common_is_reached_by_both() -> None:
    clients = {"a": {"127.0.0.2"}, "b": {"127.0.0.2"}}
    assert attributed({"part": ["127.0.0.2"]}, clients, bool).of(["part"]) == frozenset({"a", "b"})


def test_parts_that_nobody_named_may_be_reached_by_anybody() -> None:
    reach = Reach({"one": frozenset({"a"}), "two": frozenset({"b"}), "all": None})
    assert reach.of([]) is None
    assert reach.of(["one", "two"]) == frozenset({"a", "b"})
    assert reach.of(["one", "all"]) is None
    assert reach.of(["never"]) == frozenset()


PARTS = st.dictionaries(st.text(), st.none() | st.frozensets(st.text()))


@given(PARTS)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, parts: dict[str, frozenset[str] | None]
) -> None:
    file = tmp_path_factory.mktemp("reach") / "reached.json"
    Reach(parts).write(file)
    assert Reach.read(file) == Reach(parts)


@pytest.mark.parametrize("content", ["", "{", '{"format": "smtp-harness/reach", "version": 2, "parts": {}}'])
def test_another_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "reached.json"
    file.write_text(content)
    with pytest.raises(ReachFileError, match=r"reached\.json"):
        Reach.read(file)


RULES = ("helo.one", "rcpt.two", "data.three")


@dataclass
class Telling:
    """A server that tells its parts: each defect replaces one, and hits the rules that it is said to hit."""

    scenarios: Path
    tests: dict[str, frozenset[str] | None]  # that come to the part of a defect
    hits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    title: str = "telling"
    runs: list[tuple[tuple[str, ...], frozenset[str] | None]] = field(default_factory=list)

    @property
    def defects(self) -> list[Defect]:
        """One for each rule."""
        return [Defect(f"{rule}:off", (rule,), "it is off", (f"part of {rule}",)) for rule in RULES]

    def run(
        self, defects: Sequence[Defect], folder: Path, *, heavy: bool, only: Collection[str] | None = None
    ) -> RunResult:
        """Two cases a rule: what is hit fails by its first one, if that is played at all."""
        self.runs.append((tuple(one.name for one in defects), None if only is None else frozenset(only)))
        hit = {rule for one in defects for rule in self.hits.get(one.name, one.rules)}
        rules = []
        for rule in RULES:
            first = Status.FAILED if rule in hit else Status.PASSED
            cases = [
                result_builder.case(status, name=name)
                for name, status in ((f"{rule} first", first), (f"{rule} second", Status.PASSED))
                if only is None or pytest_id(name) in only
            ]
            rules += [result_builder.rule(rule, *cases)] if cases else []
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
        """As it was made."""
        return Reach({f"part of {rule}": self.tests.get(rule, frozenset()) for rule in RULES})

    def fits(self, defects: Sequence[Defect]) -> bool:
        """All do."""
        return True

    def expects(self, defect: Defect, rule: str) -> bool:
        """Nothing is declared."""
        return False


def pytest_id(name: str) -> str:
    """The pytest id of a case."""
    return result_builder.case(Status.PASSED, name=name).test


FIRST = {rule: frozenset({pytest_id(f"{rule} first")}) for rule in RULES}


def test_a_mutant_meets_the_scenarios_that_come_to_what_it_replaces(tmp_path: Path) -> None:
    both = FIRST["helo.one"] | FIRST["rcpt.two"]
    server = Telling(tmp_path, {"helo.one": both, "rcpt.two": FIRST["rcpt.two"], "data.three": None})
    assert run_matrix(server, ["*"], parallel=1) == 0
    assert server.runs == [
        ((), None),
        (("helo.one:off",), both),
        (("rcpt.two:off",), FIRST["rcpt.two"]),
        (("data.three:off",), None),
    ]


def test_several_in_one_server_meet_what_any_of_them_can_change(tmp_path: Path) -> None:
    server = Telling(tmp_path, {**FIRST})
    assert run_matrix(server, ["helo.*", "rcpt.*"], parallel=1, together=2) == 0
    assert server.runs[1] == (("helo.one:off", "rcpt.two:off"), FIRST["helo.one"] | FIRST["rcpt.two"])


def test_the_whole_matrix_stays(tmp_path: Path) -> None:
    server = Telling(tmp_path, {**FIRST})
    assert run_matrix(server, ["*"], parallel=1, whole=True) == 0
    assert all(only is None for _, only in server.runs)


def test_a_hit_on_a_bystander_is_seen_and_judged_by_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = FIRST["helo.one"] | FIRST["rcpt.two"]
    server = Telling(tmp_path, {"helo.one": both}, hits={"helo.one:off": ("helo.one", "rcpt.two")})
    assert run_matrix(server, ["helo.*"], parallel=1) == 1
    assert server.runs[1:] == [(("helo.one:off",), both)] + 2 * [(("helo.one:off",), None)]
    assert "COLLATERAL rcpt.two failed" in capsys.readouterr().out


def test_a_survivor_that_nobody_comes_to_is_told_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Telling(tmp_path, {"rcpt.two": FIRST["rcpt.two"]}, hits={"helo.one:off": (), "rcpt.two:off": ()})
    assert run_matrix(server, ["helo.*", "rcpt.*"], parallel=1) == 1
    told = capsys.readouterr().out.splitlines()
    summary = next(number for number, line in enumerate(told) if "mutants of 2 rules killed" in line)
    first, second = (line for line in told[summary + 1 :] if "SURVIVED" in line)
    assert "helo.one:off  (never reached" in first
    assert "never reached" not in second


def test_who_is_not_reached_and_dies_all_the_same_is_killed(tmp_path: Path) -> None:
    server = Telling(tmp_path, {})
    assert run_matrix(server, ["helo.*"], parallel=1) == 0
    assert server.runs[1:] == [(("helo.one:off",), None)]
