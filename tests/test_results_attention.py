"""What needs a look: failures first, one cause once."""

from dataclasses import replace

from harness.results.attention import groups, needing_a_look
from harness.results.model import Finding, RuleResult, Status
from tests.result_builder import case, rule, run


def because(rule_id: str, status: Status, reason: str, blocked_by: str = "") -> RuleResult:
    return replace(rule(rule_id, case(status, reason=reason)), blocked_by=blocked_by)


def test_failures_come_before_all_others() -> None:
    result = run(
        because("a.unclear", Status.INCONCLUSIVE, "too slow"),
        because("a.kept-from", Status.INCONCLUSIVE, "innocents meet it", "baseline.known.rcpt"),
        because("z.bad", Status.FAILED, "it said 250"),
    )
    assert [group.rules[0].id for group in needing_a_look(result)] == ["z.bad", "a.kept-from", "a.unclear"]


def test_the_same_reason_for_other_clients_at_other_times_is_one() -> None:
    told = "expected deny at helo, but {} of mx.c{}-abcdef.example got 250 after {} s"
    result = run(
        because("a.one", Status.FAILED, told.format("198.18.0.7", 7, "0.01")),
        because("a.two", Status.FAILED, told.format("2001:db8::7", 12, "12.34")),
        because("a.three", Status.FAILED, told.format("198.18.0.7", 7, "0.01").replace("250", "451")),
    )
    found = [[one.id for one in group.rules] for group in groups(result, Status.FAILED)]
    assert found == [["a.one", "a.two"], ["a.three"]]


def test_what_is_blocked_stands_with_the_cause_and_what_that_says() -> None:
    finding = Finding("baseline.known.rcpt", "Innocent clients are refused at RCPT.", "550 no", ())
    result = run(
        because("a.one", Status.INCONCLUSIVE, "x", finding.id),
        because("a.two", Status.INCONCLUSIVE, "y", "a.bad"),
        because("a.three", Status.INCONCLUSIVE, "z", finding.id),
        because("a.bad", Status.FAILED, "it said 250"),
        findings=(finding,),
    )
    failed, by_finding, by_rule = needing_a_look(result)
    assert [one.id for one in failed.rules] == ["a.bad"]
    assert [one.id for one in by_finding.rules] == ["a.one", "a.three"]
    assert by_finding.reason == finding.statement
    assert (by_rule.blocked_by, by_rule.reason) == ("a.bad", "it said 250")
