"""The table at the end of a run."""

from harness.results.model import Status, Suite
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
    assert "failed a.bad (documented)" in shown
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


def test_known_deviations_have_columns_where_there_are_any() -> None:
    assert "known deviation" not in table(run(rule("a.good")), 100, False)
    shown = table(
        run(
            rule("a.known", case(Status.KNOWN_DEVIATION, reason="it is so since 1.2 (issue 7)")),
            rule("a.stale", status=Status.STALE),
        ),
        100,
        False,
    )
    assert "known deviation a.known" in shown
    assert "it is so since 1.2 (issue 7)" in shown
    assert "stale a.stale (documented)" in shown
    *_, total = [line for line in shown.splitlines() if line.startswith("all ")]
    assert total.split() == ["all", "·", "1", "·", "1", "·", "·", "·"]


def test_each_suite_has_its_title_over_its_chapters() -> None:
    two = (
        Suite(name="one", title="The first suite", rules=("a.one",)),
        Suite(name="two", title="The second suite", rules=("b.one",)),
    )
    shown = table(
        run(
            rule("a.one", stage="helo", suite="one"),
            rule("b.one", stage="rcpt", suite="two", chapter="What a session keeps"),
            suites=two,
        ),
        100,
        False,
    )
    lines = [line.split("  ")[0].strip() for line in shown.splitlines()]
    wanted = ["The first suite", "helo", "The second suite", "What a session keeps"]
    assert [line for line in lines if line in wanted] == wanted
