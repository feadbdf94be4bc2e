"""Scenarios as pytest runs them: its own features keep working, and nothing that was not proved passes."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

RULES = """
suite = "mine"
[rule."mine.first"]
stage = "helo"
source = "our handbook, section 3"
statement = "A greeting with a bare address is refused."
expect = "delay+deny at helo"
needs = ["address", "dns"]
[rule."mine.second"]
stage = "rcpt"
source = "our handbook, section 4"
statement = "The moon is full."
expect = "pass at rcpt"
needs = ["mailbox"]
"""
HEAD = "import pytest\nfrom harness.scenario import *\nfrom harness.scenario import rule, Stage\n"
GOOD = """
@rule("mine.first")
def test_good(client, offence, expect):
    expect(client.attempt(helo=client.address if offence else client.host))
"""
WRONG = """
@rule("mine.first")
def test_wrong(client, offence, expect):
    expect(client.attempt())
"""


def written(pytester: pytest.Pytester, *scenarios: str) -> None:
    pytester.makefile(".toml", rules=RULES)
    pytester.makepyfile(test_mine=HEAD + "".join(scenarios))


def result(pytester: pytest.Pytester) -> dict[str, str]:
    data = json.loads((pytester.path / "reports" / "latest.json").read_text("utf-8"))
    return {rule["id"]: rule["status"] for rule in data["rules"]}


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:hypothesispytest", *arguments, timeout=120)


def test_a_pass_a_failure_and_a_plain_test(pytester: pytest.Pytester) -> None:
    written(pytester, GOOD, WRONG, "\ndef test_plain():\n    pass\n")
    outcome = run(pytester, "--junitxml=out.xml")
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    outcome.stdout.fnmatch_lines(["*2 passed*"])
    outcome.stdout.fnmatch_lines(["*expected delay+deny at helo, but at helo the server said 250*"])
    assert result(pytester) == {"mine.first": "failed"}
    cases = {case.get("name"): case for case in ElementTree.parse(pytester.path / "out.xml").iter("testcase")}
    properties = {entry.get("name"): entry.get("value") for entry in cases["test_wrong"].iter("property")}
    assert properties == {"rule": "mine.first", "status": "failed"}
    assert (
        float(cases["test_good"].get("time") or 0) >= 0.9
    )  # the scenario's own time, not that of collecting it


def test_a_failure_shows_the_line_of_the_scenario_and_none_of_the_harness(pytester: pytest.Pytester) -> None:
    own = """
@rule("mine.first")
def test_own(client):
    words = ["one", "two"]
    assert words == ["one", "three"]
@rule("mine.first")
def test_broken(client, expect):
    client.withdraw(client.host, "A")
    attempt = client.attempt(helo="x" * 2000)
    expect.through(attempt, Stage.HELO)
"""
    written(pytester, WRONG, own)
    outcome = run(pytester)
    shown = outcome.stdout.str()
    assert shown.count(">       ") == 3
    outcome.stdout.fnmatch_lines(
        [
            ">       expect(client.attempt())",
            "E       *expected delay+deny at helo, but at helo the server said 250*",
            "test_mine.py:*: FailedError",
            "E       AssertionError: assert ['one', 'two'] == ['one', 'three']",
            "E         At index 1 diff: 'two' != 'three'",
        ]
    )
    assert "harness/" not in shown.partition("= rules =")[0].partition("= FAILURES =")[2]


def test_fixtures_of_the_user_work_in_every_scope(pytester: pytest.Pytester) -> None:
    log = """
events = []
@pytest.fixture(scope="module")
def place():
    events.append("module up")
    yield "here"
    events.append("module down")
@pytest.fixture
def thing(place):
    events.append("up")
    yield place
    events.append("down")
@pytest.fixture
def used():
    events.append("used")
@rule("mine.first")
@pytest.mark.parametrize("name", ["bare", "bare again"])
@pytest.mark.usefixtures("used")
def test_own(client, offence, expect, thing, name):
    assert thing == "here" and events[-1] in ("used", "up")
    expect(client.attempt(helo=client.address if offence else client.host))
def test_after():
    assert events.count("up") == events.count("down") == events.count("used") == 2
    assert events.count("module up") == 1
"""
    written(pytester, log, GOOD)
    outcome = run(pytester)
    assert outcome.ret == 0
    assert result(pytester) == {"mine.first": "passed"}
    outcome.stdout.fnmatch_lines(["*4 passed*"])


def test_one_job_selection_and_skips(pytester: pytest.Pytester) -> None:
    skipped = GOOD.replace("@rule", "@pytest.mark.skip(reason='not today')\n@rule").replace("good", "later")
    written(pytester, GOOD, skipped, WRONG)
    outcome = run(pytester, "--smtp-jobs", "1", "-k", "good or later")
    assert outcome.ret == 0
    outcome.assert_outcomes(passed=1, skipped=1, deselected=1)


def test_a_scenario_that_proves_nothing_does_not_pass(pytester: pytest.Pytester) -> None:
    written(
        pytester, '\n@rule("mine.first")\ndef test_nothing(client):\n    client.attempt(upto=Stage.HELO)\n'
    )
    outcome = run(pytester)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    outcome.stdout.fnmatch_lines(["*it proves nothing*"])
    assert result(pytester) == {"mine.first": "inconclusive"}


def test_the_first_failure_stops_the_run(pytester: pytest.Pytester) -> None:
    written(pytester, WRONG, GOOD)
    outcome = run(pytester, "-x")
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    outcome.stdout.fnmatch_lines(["*stopping after 1 failures*"])


PROFILE = """
name = "bare"
[server]
address = "127.0.0.1"
port = 9
hostname = "mx.example.org"
[policy]
delay = 1
[[domain]]
name = "example.org"
users = ["ann"]
"""


def test_no_rule_tested_is_no_success(pytester: pytest.Pytester) -> None:
    written(pytester, GOOD)
    pytester.makefile(".toml", profile=PROFILE)
    outcome = run(pytester, "--smtp-sut", "profile.toml")
    assert outcome.ret == 5
    outcome.stdout.fnmatch_lines(["*No rule was proved or refuted*"])
    assert result(pytester) == {"mine.first": "not_testable"}


@pytest.mark.parametrize(
    ("arguments", "scenario", "said"),
    [
        (["-k", "nothing-of-that-name"], GOOD, "deselected"),
        (["--smtp-sut", "absent.toml"], GOOD, "absent.toml: there is no such file"),
        (["--jobs", "0"], GOOD, "--smtp-jobs takes a number from 1 on"),
        (["--mutant", "helo.plain-ip:of"], GOOD, "did you mean 'helo.plain-ip:off'"),
        ([], GOOD.replace("mine.first", "mine.frist"), "did you mean 'mine.first'"),
    ],
    ids=["none selected", "no profile", "no jobs", "unknown mutant", "unknown rule"],
)
def test_mistakes_end_in_a_sentence(
    pytester: pytest.Pytester, arguments: list[str], scenario: str, said: str
) -> None:
    written(pytester, scenario)
    outcome = run(pytester, *arguments)
    assert outcome.ret not in (0, 1)
    shown = outcome.stdout.str() + outcome.stderr.str()
    assert said in shown
    assert "Traceback" not in shown


def test_a_mutant_is_noticed(pytester: pytest.Pytester) -> None:
    written(pytester, GOOD.replace("mine.first", "helo.plain-ip"))
    pytester.makefile(
        ".toml", rules=Path("rules.toml").read_text("utf-8").replace("mine.first", "helo.plain-ip")
    )
    outcome = run(pytester, "--smtp-mutant", "helo.plain-ip:off")
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    assert result(pytester) == {"helo.plain-ip": "failed"}


def test_a_scenario_may_use_the_words_of_pytest(pytester: pytest.Pytester) -> None:
    says = """
@rule("mine.first")
def test_says_{word}(client):
    pytest.{word}("in its own words")
"""
    written(pytester, says.format(word="skip"), says.format(word="fail"))
    outcome = run(pytester)
    outcome.stdout.fnmatch_lines(["*1 failed, 1 not testable*"])
    (rule,) = json.loads((pytester.path / "reports" / "latest.json").read_text("utf-8"))["rules"]
    cases = {case["name"]: (case["status"], case["reason"]) for case in rule["cases"]}
    assert cases == {
        "says skip": ("not_testable", "in its own words"),
        "says fail": ("failed", "in its own words"),
    }
