"""The table at the end of a run."""

from harness.results.model import Status
from harness.results.terminal import table
from tests.result_builder import case, full_run, rule, run


def test_the_counts_add_up() -> None:
    result = full_run()
    *_, total = [line for line in table(result, 100, False).splitlines() if line.startswith("all ")]
    numbers = [int(word) for word in total.split()[1:]]
    assert numbers == list(result.counts.values())
    assert sum(numbers) == len(result.rules)


def test_what_needs_a_look_stands_there_with_its_reason() -> None:
    shown = table(run(rule("a.good"), rule("a.bad", status=Status.FAILED)), 100, False)
    assert "failed a.bad" in shown
    assert "it came out failed" in shown
    assert "a.good" not in shown


def test_colour_only_where_it_is_wanted() -> None:
    result = run(rule("a.bad", status=Status.FAILED))
    assert "\033[" in table(result, 100, True)
    assert "\033[" not in table(result, 100, False)


def test_nothing_that_a_server_said_moves_the_cursor() -> None:
    shown = table(run(rule("a.bad", case(Status.FAILED, reason="\x1b[2J\rgotcha"))), 100, False)
    assert "\x1b" not in shown
    assert "\r" not in shown


def test_failures_stand_first_with_what_the_rules_state_and_one_reason_once() -> None:
    bad = [rule(name, case(Status.FAILED, reason="it said 250 instead")) for name in ("z.one", "z.two")]
    shown = table(run(rule("a.unclear", status=Status.INCONCLUSIVE), *bad), 100, False)
    assert shown.index("failed z.one") < shown.index("failed z.two") < shown.index("inconclusive a.unclear")
    assert "The statement of z.two." in shown
    assert shown.count("it said 250 instead") == 1


def test_rules_that_lack_the_same_are_told_together() -> None:
    lacking = [rule(name, case(Status.NOT_TESTABLE, reason="no [clock]")) for name in ("a.one", "a.two")]
    shown = table(run(*lacking), 100, True)
    assert "not testable\033[0m a.one, a.two" in shown
    assert shown.count("no [clock]") == 1
