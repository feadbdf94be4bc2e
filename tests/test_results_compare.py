"""The check before an upgrade: what got worse decides, what else changed is told."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import main
from harness.results.comparable import ComparisonError
from harness.results.compare import Direction, compare, to_json
from harness.results.compare_text import render
from harness.results.formats import filed
from harness.results.model import RunResult, Status, Suite
from harness.results.store import save
from tests.result_builder import SERVER, case, dialogue, full_run, reply, rule, run


def one(status: Status) -> RunResult:
    return run(rule("helo.plain-ip", status=status), rule("rcpt.steady"))


@pytest.mark.parametrize(
    ("before", "after", "direction"),
    [
        (Status.PASSED, Status.FAILED, Direction.WORSE),
        (Status.PASSED, Status.INCONCLUSIVE, Direction.WORSE),
        (Status.PASSED, Status.NOT_TESTABLE, Direction.UNTESTED),
        (Status.PASSED, Status.NOT_APPLICABLE, Direction.UNTESTED),
        (Status.FAILED, Status.NOT_TESTABLE, Direction.UNTESTED),
        (Status.INCONCLUSIVE, Status.FAILED, Direction.WORSE),
        (Status.NOT_TESTABLE, Status.FAILED, Direction.WORSE),
        (Status.NOT_APPLICABLE, Status.FAILED, Direction.WORSE),
        (Status.FAILED, Status.PASSED, Direction.BETTER),
        (Status.FAILED, Status.INCONCLUSIVE, Direction.OTHER),
        (Status.INCONCLUSIVE, Status.PASSED, Direction.BETTER),
        (Status.NOT_TESTABLE, Status.PASSED, Direction.BETTER),
        (Status.INCONCLUSIVE, Status.NOT_TESTABLE, Direction.OTHER),
    ],
)
def test_direction_of_a_change(before: Status, after: Status, direction: Direction) -> None:
    comparison = compare(one(before), one(after))
    assert [(change.rule, change.direction) for change in comparison.rules] == [("helo.plain-ip", direction)]
    assert comparison.exit_status == {Direction.WORSE: 1, Direction.UNTESTED: 3}.get(direction, 0)


def test_the_same_run_has_no_changes() -> None:
    comparison = compare(full_run(), full_run())
    assert comparison.exit_status == 0
    found = (*comparison.rules, *comparison.server, *comparison.replies, *comparison.latencies)
    assert not found
    assert "nothing else changed" in render(comparison, colour=False)


def test_a_proved_rule_that_vanished_is_no_longer_tested_and_a_new_one_is_no_loss() -> None:
    whole, part = run(rule("a.one"), rule("a.two")), run(rule("a.one"))
    assert [change.direction for change in compare(whole, part).rules] == [Direction.UNTESTED]
    assert compare(whole, part).exit_status == 3
    assert compare(part, whole).exit_status == 0


def test_one_more_case_of_a_failed_rule_got_worse() -> None:
    def second(status: Status) -> RunResult:
        return run(rule("a.one", case(Status.FAILED, name="first"), case(status, name="second")))

    comparison = compare(second(Status.PASSED), second(Status.FAILED))
    assert [change.rule for change in comparison.rules] == ["a.one (second)"]
    assert comparison.exit_status == 1
    assert compare(second(Status.FAILED), second(Status.PASSED)).exit_status == 0


@pytest.mark.parametrize(
    ("status", "direction"),
    [
        (Status.INCONCLUSIVE, Direction.WORSE),
        (Status.NOT_TESTABLE, Direction.UNTESTED),
        (None, Direction.UNTESTED),
    ],
)
def test_a_case_that_is_lost_shows_behind_another_that_failed_before(
    status: Status | None, direction: Direction
) -> None:
    first, second = case(Status.FAILED, name="first"), case(name="second")
    other = (case(status, name="second"),) if status else ()
    comparison = compare(run(rule("a.one", first, second)), run(rule("a.one", first, *other)))
    assert [(change.rule, change.direction) for change in comparison.rules] == [("a.one (second)", direction)]


def test_a_case_that_nobody_had_tried_and_that_fails_shows_behind_another_that_failed_before() -> None:
    first, second = case(Status.FAILED, name="first"), case(Status.FAILED, name="of a list that was added")
    comparison = compare(run(rule("a.one", first)), run(rule("a.one", first, second)))
    (change,) = comparison.rules
    assert (change.rule, change.direction) == ("a.one (of a list that was added)", Direction.WORSE)
    assert compare(run(rule("a.one", first)), run(rule("a.one", first, case(name="new")))).rules == ()


def test_changed_replies_are_told_once_with_their_places() -> None:
    def refused(text: str, code: int = 550) -> RunResult:
        cases = [case(Status.PASSED, dialogue(reply("rcpt", code, text)), name=name) for name in ("a", "b")]
        return run(rule("rcpt.unknown-user", *cases))

    comparison = compare(refused("No such user"), refused("User unknown", 551))
    (change,) = comparison.replies
    assert (change.before, change.after) == ("550 No such user", "551 User unknown")
    assert change.places == ("rcpt.unknown-user (a)", "rcpt.unknown-user (b)")
    assert comparison.exit_status == 0


def test_changed_words_of_the_server_are_told() -> None:
    other = replace(
        SERVER, greeting="new", keywords=("PIPELINING", "STARTTLS"), tls={**SERVER.tls, "version": "TLSv1.2"}
    )
    changes = compare(run(rule("a.one")), run(rule("a.one"), server=other)).server
    assert [change.what for change in changes] == ["greeting", "EHLO keywords in clear text", "TLS version"]
    assert (changes[1].before, changes[1].after) == ("8BITMIME, SIZE 52428800", "PIPELINING")


@pytest.mark.parametrize(("after", "told"), [(0.01, False), (0.2, False), (0.9, True)])
def test_latencies_count_by_factor_and_by_seconds(after: float, told: bool) -> None:
    def waits(seconds: float) -> RunResult:
        return run(rule("a.one", case(Status.PASSED, dialogue(reply("mail", seconds=seconds)))))

    assert bool(compare(waits(0.005), waits(after)).latencies) is told


def test_latencies_come_in_the_order_of_the_dialogue() -> None:
    stages = ("connect", "helo", "mail", "rcpt", "data")

    def waits(seconds: float) -> RunResult:
        talk = dialogue(*(reply(stage, seconds=seconds) for stage in stages))
        return run(rule("a.one", case(Status.PASSED, talk)))

    told = [change.what for change in compare(waits(0.01), waits(2.0)).latencies]
    assert told == [f"median wait at {stage}" for stage in stages]


def test_runs_that_say_nothing_about_each_other() -> None:
    with pytest.raises(ComparisonError, match="no rule in common"):
        compare(run(rule("a.one")), run(rule("a.two")))


def suite(name: str, *rules: str) -> Suite:
    return Suite(name=name, title=f"The suite {name}", rules=rules)


def test_what_only_one_run_knows_is_said_and_not_compared() -> None:
    both, mine = rule("a.one", suite="one"), rule("b.one", suite="mine")
    alone = run(both, suites=(suite("one", "a.one"),))
    together = run(both, mine, suites=(suite("one", "a.one"), suite("mine", "b.one")))
    for old, new, when in ((together, alone, "before"), (alone, together, "after")):
        found = compare(old, new)
        assert (found.rules, found.exit_status) == ((), 0)
        said = f"Only the run {when} knows the suite «The suite mine»; not compared: 1 rule (b.one)."
        assert said in found.doubts


def test_a_rule_that_its_suite_has_lost_is_no_longer_tested() -> None:
    old = run(rule("a.one"), rule("a.two"))
    new = run(rule("a.one"))
    (change,) = compare(old, new).rules
    assert (change.rule, change.direction, change.after) == ("a.two", Direction.UNTESTED, "not in the run")


def test_two_suites_have_no_rule_in_common() -> None:
    with pytest.raises(ComparisonError, match="no rule in common"):
        compare(
            run(rule("a.one", suite="one"), suites=(suite("one", "a.one"),)),
            run(rule("b.one", suite="mine"), suites=(suite("mine", "b.one"),)),
        )


@pytest.mark.parametrize(
    ("before", "after", "direction"),
    [
        (Status.PASSED, Status.KNOWN_DEVIATION, Direction.WORSE),
        (Status.FAILED, Status.KNOWN_DEVIATION, Direction.OTHER),
        (Status.KNOWN_DEVIATION, Status.FAILED, Direction.WORSE),
        (Status.KNOWN_DEVIATION, Status.PASSED, Direction.BETTER),
        (Status.KNOWN_DEVIATION, Status.STALE, Direction.BETTER),
        (Status.KNOWN_DEVIATION, Status.NOT_TESTABLE, Direction.UNTESTED),
        (Status.PASSED, Status.STALE, Direction.OTHER),
    ],
)
def test_known_deviations_side_by_side(before: Status, after: Status, direction: Direction) -> None:
    (change,) = compare(run(rule("a.one", status=before)), run(rule("a.one", status=after))).rules
    assert change.direction is direction


def test_nothing_that_a_server_said_reaches_the_terminal_as_it_is() -> None:
    hostile = run(rule("a.one", case(Status.FAILED, reason="\x1b[2J\u202egotcha")))
    shown = render(compare(run(rule("a.one")), hostile), colour=False)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\\x1b[2J" in shown


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, *_ = save(one(Status.PASSED), tmp_path / "good", filed())
    bad, *_ = save(one(Status.FAILED), tmp_path / "bad", filed())
    assert main(["compare", str(good), str(good)]) == 0
    assert main(["compare", str(good), str(bad)]) == 1
    assert main(["compare", str(bad), str(good)]) == 0
    capsys.readouterr()
    assert main(["compare", str(good), str(bad), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["exit_status"] == 1
    assert to_json(compare(one(Status.PASSED), one(Status.PASSED)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file"),
        ("", "is empty"),
        ('{"format": "smtp-harness/results", "version": 1', "was cut off"),
        ("[]", "is no result of a run"),
        ('{"format": "other"}', "is no result of a run"),
        ('{"format": "smtp-harness/results", "version": 0}', "no longer reads"),
        ('{"format": "smtp-harness/results", "version": 99}', "a newer one"),
        ('{"format": "smtp-harness/results", "version": 1}', "has wrong fields"),
    ],
)
def test_files_that_cannot_be_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, said: str
) -> None:
    good, *_ = save(one(Status.PASSED), tmp_path, filed())
    file = tmp_path / "other.json"
    if content is not None:
        file.write_text(content, "utf-8")
    assert main(["compare", str(good), str(file)]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert str(file) in told


def test_a_run_of_a_part_is_told_in_a_sentence_and_in_one_line() -> None:
    whole = run(*(rule(f"a.rule-{number}") for number in range(9)))
    part = replace(whole, rules=whole.rules[:2])
    comparison = compare(whole, part)
    assert comparison.exit_status == 3
    shown = render(comparison, colour=False)
    assert "The run after looked at 2 of its 9 rules only." in shown
    assert "untested 7 rules not in the run after: a.rule-2, a.rule-3, a.rule-4 and 4 more" in shown
    assert shown.endswith("no rule got worse; 7 rules no longer tested")
    assert shown.count("a.rule-") == 3
    assert "better   7 rules not in the run before" in render(compare(part, whole), colour=False)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"sut_name": "other"}, True),
        ({"sut_address": "192.0.2.1:2525"}, True),
        ({"sut_address": "127.0.0.1:40001"}, False),
    ],
)
def test_two_servers_are_told(facts: dict[str, str], told: bool) -> None:
    before, after = run(rule("a.one")), run(rule("a.one"), **facts)
    shown = render(compare(before, after), colour=False)
    assert ("These are two servers: embedded at 127.0.0.1:2525 before," in shown) == told


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["compare", "good.json", "bad.json"], 1),
        (["compare", "good.json", "good.json"], 141),
        (["rules"], 141),
        (["mta", "--example"], 141),
    ],
)
def test_output_that_nobody_reads_to_its_end_is_no_success(
    tmp_path: Path, words: list[str], status: int
) -> None:
    for name, come in (("good", Status.PASSED), ("bad", Status.FAILED)):
        written, *_ = save(one(come), tmp_path / name, filed())
        written.rename(tmp_path / f"{name}.json")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "harness.cli", *words]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    try:
        done = subprocess.run(
            command,
            cwd=tmp_path,
            stdout=writing,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (status, "")
