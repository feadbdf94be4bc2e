"""Scenarios as pytest runs them: its own features keep working, and nothing that was not proved passes."""

import fnmatch
import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from harness.results.store import newest

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
    data = json.loads(newest(pytester.path / "reports").read_text("utf-8"))
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
    assert properties == {
        "suite": "mine",
        "rule": "mine.first",
        "level": "documented",
        "status": "failed",
    }
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


def test_a_failure_shows_its_rule_first_and_no_fixture_of_the_harness(pytester: pytest.Pytester) -> None:
    own = """
@pytest.fixture
def mine():
    return "what is mine"
@rule("mine.first")
def test_own(client, sut, expect, mine):
    assert client.host == "nobody", "the client has a name"
"""
    written(pytester, own)
    outcome = run(pytester, "--junitxml=out.xml", "-vv")
    shown = outcome.stdout.str().partition("= FAILURES =")[2].partition("= rules =")[0]
    statement, expected = shown.index("mine.first: "), shown.index("expected: delay+deny at helo")
    assert statement < expected < shown.index("mine = 'what is mine'")
    assert "Profile(" not in shown
    assert "client = " not in shown
    assert "expected: delay+deny at helo" in Path(pytester.path / "out.xml").read_text("utf-8")


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
        (["--reports", "rules.toml"], GOOD, "reports go to a folder, and *rules.toml is none; move"),
        (["--baseline", "absent.json"], GOOD, "absent.json: there is no such file"),
        (
            ["--baseline", "x", "--mutant", "helo.plain-ip:off"],
            GOOD,
            "nothing: drop --smtp-baseline",
        ),
        (["--mutant", "helo.plain-ip:of"], GOOD, "did you mean 'helo.plain-ip:off'"),
        (["--smtp-sut="], GOOD, "--smtp-sut: is empty; write a profile, or leave the option out for the ref"),
        (["--sut", ""], GOOD, "--smtp-sut: is empty"),
        (["-o", "addopts=--smtp-baseline="], GOOD, "--smtp-baseline: is empty; write the result file of"),
        (
            ["--reports="],
            GOOD,
            "--smtp-reports: is empty; write a folder, or leave the option out",
        ),
        (["--smtp-rule="], GOOD, "--smtp-rule: is empty; write the id of a rule"),
        (
            ["--smtp-rule=mine.first", "--smtp-rule=mine.frist"],
            GOOD,
            "--smtp-rule 'mine.frist' matches no rule; did you mean 'mine.first'",
        ),
        (["--smtp-rule=moon.*"], GOOD, "--smtp-rule 'moon.[*]' matches no rule; known here: "),
        ([], GOOD.replace("mine.first", "mine.frist"), "did you mean 'mine.first'"),
    ],
    ids=[
        "none selected",
        "no profile",
        "no jobs",
        "reports at a file",
        "no baseline",
        "broken, and a baseline",
        "unknown mutant",
        "a profile left empty",
        "a profile left empty by its older name",
        "a baseline left empty in a file",
        "a folder left empty",
        "a rule left empty",
        "a misspelt rule beside a right one",
        "no rule of that group",
        "unknown rule",
    ],
)
def test_mistakes_end_in_a_sentence(
    pytester: pytest.Pytester, arguments: list[str], scenario: str, said: str
) -> None:
    written(pytester, scenario)
    outcome = run(pytester, *arguments)
    assert outcome.ret not in (0, 1)
    shown = outcome.stdout.str() + outcome.stderr.str()
    assert fnmatch.fnmatch(shown, f"*{said}*")
    assert "Traceback" not in shown
    assert "INTERNALERROR" not in shown


def test_a_rule_that_is_known_and_not_collected_is_no_mistake(pytester: pytest.Pytester) -> None:
    written(pytester, GOOD)
    outcome = run(pytester, "--smtp-rule=mine.second", "--smtp-rule=mine.first", "--collect-only", "-q")
    assert outcome.ret == pytest.ExitCode.OK
    outcome.stdout.fnmatch_lines(["test_mine.py::test_good"])


def test_a_terminal_without_a_character_shows_the_table_in_lines(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    written(pytester, GOOD)
    pytester.makefile(".toml", profile=PROFILE)
    outcome = run(pytester, "--smtp-sut", "profile.toml")
    outcome.stdout.fnmatch_lines([r"helo *\u00b7 *1*", r"all *\u00b7 *1*"])
    assert r"\n" not in outcome.stdout.str()


def test_a_mutant_is_noticed(pytester: pytest.Pytester) -> None:
    written(pytester, GOOD.replace("mine.first", "helo.plain-ip"))
    pytester.makefile(
        ".toml", rules=Path("rules.toml").read_text("utf-8").replace("mine.first", "helo.plain-ip")
    )
    outcome = run(pytester, "--smtp-mutant", "helo.plain-ip:off")
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    assert result(pytester) == {"helo.plain-ip": "failed"}
    assert not (pytester.path / "reports" / "latest.json").exists()
    outcome.stdout.fnmatch_lines(["not a whole run", "*broken on purpose: --smtp-mutant helo.plain-ip:off"])


def test_a_scenario_may_use_the_words_of_pytest(pytester: pytest.Pytester) -> None:
    says = """
@rule("mine.first")
def test_says_{word}(client):
    pytest.{word}("in its own words")
"""
    written(pytester, says.format(word="skip"), says.format(word="fail"))
    outcome = run(pytester)
    outcome.stdout.fnmatch_lines(["*1 failed, 1 not testable*"])
    (rule,) = json.loads(newest(pytester.path / "reports").read_text("utf-8"))["rules"]
    cases = {case["name"]: (case["status"], case["reason"]) for case in rule["cases"]}
    assert cases == {
        "says skip": ("not_testable", "in its own words"),
        "says fail": ("failed", "in its own words"),
    }


KNOWN_FAILURE = WRONG.replace("mine.first", "mine.second").replace("wrong", "known")


def test_a_run_is_held_against_an_earlier_one(pytester: pytest.Pytester) -> None:
    rules = RULES.replace('needs = ["mailbox"]', 'needs = ["address", "dns"]')
    rules = rules.replace('"pass at rcpt"', '"deny at rcpt"')
    written(pytester, GOOD, KNOWN_FAILURE)
    pytester.makefile(".toml", rules=rules)
    assert run(pytester).ret == pytest.ExitCode.TESTS_FAILED
    before = str(pytester.path / "reports" / "latest.json")
    outcome = run(pytester, "--baseline", before)
    assert outcome.ret == 0  # what failed there fails
    outcome.stdout.fnmatch_lines([f"*held against {before}*", "no rule got worse*"])
    written(pytester, WRONG, KNOWN_FAILURE)
    pytester.makefile(".toml", rules=rules)
    outcome = run(pytester, "--baseline", before)
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    outcome.stdout.fnmatch_lines(["worse    mine.first: passed -> failed"])


FULL = """
import resource
def pytest_runtest_teardown():
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
"""


def test_a_run_whose_reports_find_no_room_is_told_on_the_terminal(pytester: pytest.Pytester) -> None:
    written(pytester, GOOD)
    pytester.makeconftest(FULL)
    outcome = run(pytester, "-p", "no:cacheprovider", "-s")
    assert outcome.ret == 6
    shown = outcome.stdout.str()
    assert "INTERNALERROR" not in shown
    outcome.stdout.fnmatch_lines(["*= rules =*", "helo * 1 *", "*/reports: reports cannot be written there*"])
    assert not [*(pytester.path / "reports").iterdir()]


HANGS = """
import socket
silent = socket.create_server(("127.0.0.1", 0))
@rule("mine.second")
def test_a_hangs(client, expect):
    client.server = silent.getsockname()
    expect(client.attempt())
"""


@pytest.mark.parametrize(("request_to_end", "by"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_what_was_decided_is_kept_when_a_run_is_interrupted(
    pytester: pytest.Pytester, request_to_end: signal.Signals, by: str
) -> None:
    written(pytester, HANGS, GOOD, WRONG.replace("wrong", "not_decided"))
    rules = RULES.replace('needs = ["mailbox"]', 'needs = ["address", "dns"]')
    pytester.makefile(".toml", rules=rules)
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", f"--smtp-progress-to={writing}"]
    with os.fdopen(reading) as told:
        process = subprocess.Popen(
            command,
            cwd=pytester.path,
            pass_fds=[writing],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as in a terminal
        )
        try:
            os.close(writing)
            while "2 of 3 scenarios done" not in told.readline():
                assert process.poll() is None
            process.send_signal(request_to_end)
            shown, _ = process.communicate(timeout=100)
        finally:
            process.kill()
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "INTERNALERROR" not in shown
    assert f"it was interrupted by {by}, and 2 of 3 scenarios were not decided by then" in shown
    assert "not decided: mine.second, mine.first" in shown
    (only,) = json.loads(newest(pytester.path / "reports").read_text("utf-8"))["rules"]
    assert (only["id"], only["status"]) == ("mine.first", "inconclusive")
    assert {case["name"]: case["status"] for case in only["cases"]} == {
        "good": "passed",
        "not decided": "inconclusive",
    }
