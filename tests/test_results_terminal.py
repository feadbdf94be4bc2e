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
