"""What of a result is wrong when it is known what the server is."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.outcome import Outcome, Stage
from harness.results.model import Finding, RuleResult, RunResult, Status
from harness.rules import Catalogue, Level, Rule
from harness.truth.dimensions import draw
from harness.truth.pool import Order
from harness.truth.proof import Proof
from harness.truth.trial import Bench, Trial
from harness.truth.verdict import Kind, Truth
from tests import result_builder

SOUND = Truth()
BROKEN = Truth("one")


def _of(name: str, *rests_on: str) -> Rule:
    outcomes = (Outcome.parse("deny at helo"),)
    return Rule(name, "s", Stage.HELO, Level.DOCUMENTED, "", "", outcomes, frozenset(), rests_on=rests_on)


CATALOGUE = Catalogue({rule.id: rule for rule in (_of("one"), _of("two"), _of("above", "one"))})
FINDING = Finding("baseline.known.rcpt", "known innocent clients are deferred", "451", ())
PASSED = result_builder.rule("two", status=Status.PASSED)


def _rule(name: str, status: Status, blocked_by: str = "") -> RuleResult:
    return result_builder.rule(name, status=status, blocked_by=blocked_by)


def _kinds(truth: Truth, *rules: RuleResult, findings: tuple[Finding, ...] = ()) -> list[tuple[str, Kind]]:
    result = result_builder.run(*rules, findings=findings)
    return [(wrong.rule, wrong.kind) for wrong in truth.wrong(result, CATALOGUE)]


def test_a_sound_server_of_which_nothing_is_held_against() -> None:
    assert not _kinds(SOUND, PASSED, _rule("one", Status.NOT_TESTABLE), _rule("above", Status.NOT_APPLICABLE))


def test_a_sound_server_fails_nothing_and_leaves_nothing_open() -> None:
    assert _kinds(SOUND, _rule("one", Status.FAILED), _rule("two", Status.INCONCLUSIVE)) == [
        ("one", Kind.FALSE_FAILURE),
        ("two", Kind.NO_CAUSE),
    ]


def test_nothing_of_a_sound_server_is_blocked() -> None:
    found = _kinds(SOUND, _rule("two", Status.INCONCLUSIVE, FINDING.id), findings=(FINDING,))
    assert found == [("two", Kind.NO_CAUSE), (FINDING.id, Kind.FALSE_FINDING)]


def test_the_broken_rule_fails_and_blocks_what_rests_on_it() -> None:
    assert not _kinds(
        BROKEN,
        _rule("one", Status.FAILED),
        _rule("above", Status.INCONCLUSIVE, "one"),
        _rule("two", Status.INCONCLUSIVE, "above"),
        PASSED,
    )


def test_a_broken_rule_that_passes_is_unnoticed_and_no_noise_excuses_that() -> None:
    assert _kinds(BROKEN, _rule("one", Status.PASSED)) == [("one", Kind.UNNOTICED)]
    assert not Kind.UNNOTICED.may_be_noise
    assert not Kind.FALSE_FAILURE.may_be_noise


def test_of_a_broken_rule_that_is_not_tried_nothing_is_told() -> None:
    for rules in ([_rule("one", Status.NOT_TESTABLE)], [PASSED]):
        assert _kinds(BROKEN, *rules) == [("one", Kind.UNTOLD)]


def test_another_rule_is_not_blamed_unless_it_cannot_help_but_notice() -> None:
    rules = (_rule("one", Status.FAILED), _rule("two", Status.FAILED))
    assert _kinds(BROKEN, *rules) == [("two", Kind.FALSE_FAILURE)]
    assert not _kinds(Truth("one", {"two"}), *rules)


def test_a_rule_that_is_blocked_by_one_that_has_nothing_to_do_with_it_has_no_cause() -> None:
    rules = (_rule("one", Status.FAILED), _rule("above", Status.INCONCLUSIVE, "two"))
    assert _kinds(BROKEN, *rules) == [("above", Kind.NO_CAUSE)]


def test_what_rests_on_a_rule_that_cannot_help_but_notice_is_blocked_by_that() -> None:
    rules = (
        _rule("one", Status.FAILED),
        _rule("two", Status.FAILED),
        _rule("above", Status.INCONCLUSIVE, "two"),
    )
    assert not _kinds(Truth("one", {"two"}), *rules)


def test_a_defect_that_innocents_meet_is_told_as_a_finding() -> None:
    rules = (_rule("one", Status.INCONCLUSIVE, FINDING.id), _rule("two", Status.INCONCLUSIVE, FINDING.id))
    assert not _kinds(BROKEN, *rules, findings=(FINDING,))


@dataclass(frozen=True)
class _Pool:
    """Answers with what is to become of each try of each server, in their order."""

    outcomes: dict[str, list[RunResult | None]]
    parallel: int = 12
    tried: list[tuple[str, int]] = field(default_factory=list)  # the server, and how many side by side

    def trials(self, orders: deque[Order]) -> Iterator[tuple[Order, Trial]]:
        while orders:
            order = orders.popleft()
            name = order.key.order.key
            self.tried.append((name, self.parallel))
            yield order, Trial(self.outcomes[name].pop(0), "no result")

    @property
    def bench(self) -> Bench:
        return Bench(Path(), CATALOGUE)


def _proof(**outcomes: list[RunResult | None]) -> tuple[Proof, _Pool]:
    pool = _Pool(outcomes)
    return Proof(pool), pool  # type: ignore[arg-type]


def _orders(*names: str) -> list[Order]:
    drawn = draw(2, 0)
    return [Order(name, drawn) for name in names]


def test_what_may_be_noise_is_tried_again_when_all_others_are_done_and_then_alone() -> None:
    proof, pool = _proof(one=[None, None, None], two=[None, None, None])
    doubtful = []
    for judged in proof.judged(_orders("one", "two")):
        doubtful.append((judged.order.key, proof.doubtful))
        assert [one.kind for one in judged.wrong] == [Kind.NO_RESULT]
    assert pool.tried == [("one", 12), ("two", 12), ("one", 12), ("two", 12), ("one", 1), ("two", 1)]
    assert doubtful == [("one", 1), ("two", 0)]


@pytest.mark.parametrize("noisy", [1, 2])
def test_noise_that_does_not_come_each_time_is_counted_apart(noisy: int) -> None:
    proof, pool = _proof(one=[*[None] * noisy, result_builder.run(PASSED)])
    (judged,) = proof.judged(_orders("one"))
    assert not judged.wrong
    assert [one.kind for one in judged.passing] == [Kind.NO_RESULT] * noisy
    assert len(pool.tried) == noisy + 1
    assert proof.doubtful == 0


def test_noise_about_another_rule_each_time_is_no_mistake() -> None:
    open_rules = [result_builder.run(_rule(name, Status.INCONCLUSIVE)) for name in ("one", "two")]
    proof, _ = _proof(one=[*open_rules])
    (judged,) = proof.judged(_orders("one"))
    assert not judged.wrong
    assert [one.rule for one in judged.passing] == ["one", "two"]


def test_no_later_try_takes_back_what_was_false() -> None:
    failed = result_builder.run(_rule("one", Status.FAILED), _rule("two", Status.INCONCLUSIVE))
    proof, pool = _proof(one=[failed, result_builder.run(PASSED)])
    (judged,) = proof.judged(_orders("one"))
    assert [one.kind for one in judged.wrong] == [Kind.FALSE_FAILURE]
    assert [one.kind for one in judged.passing] == [Kind.NO_CAUSE]
    assert len(pool.tried) == 2
