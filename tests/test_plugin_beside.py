"""The plugin beside all else that pytest runs: it touches scenarios only, and other plugins do it no harm."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from harness.plugin.marks import LEVELS
from harness.plugin.session import NOTHING_TESTED
from harness.results.store import newest
from harness.rules import Level
from tests.test_plugin import GOOD, PROFILE, WRONG, written

pytest_plugins = ["pytester"]

SECOND = """
@rule("mine.second")
def test_moon(client, expect):
    expect(client.attempt())
"""
PLAIN = "\ndef test_plain():\n    pass\n"


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:hypothesispytest", *arguments, timeout=120)


def collected(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    """The functions that are chosen."""
    chosen = run(pytester, "--collect-only", "-q", "--strict-markers", *arguments)
    return [line.partition("::")[2] for line in chosen.outlines if "::" in line]


def untestable(pytester: pytest.Pytester) -> str:
    """The option for a server of which so little is known that no scenario is played."""
    return f"--smtp-sut={pytester.makefile('.toml', profile=PROFILE)}"


def cases(pytester: pytest.Pytester) -> list[str]:
    data = json.loads(newest(pytester.path / "reports").read_text("utf-8"))
    return sorted(case["test"].partition("::")[2] for rule in data["rules"] for case in rule["cases"])


def test_a_run_without_scenarios_is_not_touched(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "def pytest_addoption(parser):\n"
        "    parser.addoption('--jobs', type=int)\n    parser.addoption('--lean', default='fat')\n"
    )
    pytester.makepyfile(
        "import sys, pytest\n"
        "def test_stranger(client):\n    pass\n"
        "def test_options(pytestconfig):\n"
        "    assert (pytestconfig.option.jobs, pytestconfig.option.lean) == (7, 'meat')\n"
        "def test_unread():\n"
        "    assert 'harness.pytest_plugin' in sys.modules\n"
        "    assert not {'harness.rules', 'fake_dns', 'pydantic', 'jinja2'} & set(sys.modules)\n"
    )
    outcome = run(pytester, "--jobs", "7", "--lean=meat")
    outcome.assert_outcomes(passed=2, errors=1)
    outcome.stdout.fnmatch_lines(["E       fixture 'client' not found"])
    assert not (pytester.path / "reports").exists()


def test_a_fixture_of_somebody_else_is_his_own(pytester: pytest.Pytester) -> None:
    own = "\n@pytest.fixture\ndef client():\n    return 'theirs'\n"
    theirs = "\ndef test_theirs(client):\n    assert client == 'theirs'\n"
    kinds = """
class TestKinds:
    @rule("mine.first")
    @pytest.mark.parametrize("name", ["one"])
    def test_method(self, client, expect, name):
        assert name == "one" and client != "theirs"
    @staticmethod
    @rule("mine.first")
    def test_static(client, expect):
        assert client != "theirs"
"""
    written(pytester, own, theirs, GOOD, kinds)
    outcome = run(pytester, untestable(pytester))
    outcome.stdout.fnmatch_lines(["*1 passed, 3 not testable*"])
    assert cases(pytester) == ["TestKinds::test_method[one]", "TestKinds::test_static", "test_good"]


def test_scenarios_are_chosen_by_what_reports_say(pytester: pytest.Pytester) -> None:
    written(pytester, GOOD, WRONG, SECOND, PLAIN)
    rules = (pytester.path / "rules.toml").read_text("utf-8").replace("mine.", "sky.")
    pytester.makefile(".toml", rules=rules.replace("sky.first", "earth.not-first"))
    module = (pytester.path / "test_mine.py").read_text("utf-8").replace("mine.second", "sky.second")
    pytester.makepyfile(test_mine=module.replace("mine.first", "earth.not-first"))
    assert collected(pytester, "-k", "earth.not-first") == ["test_good", "test_wrong"]
    assert collected(pytester, "-k", "sky.") == ["test_moon"]
    assert collected(pytester, "--smtp-rule=*.not-*", "--smtp-rule=helo.*") == [
        "test_good",
        "test_wrong",
        "test_plain",
    ]
    assert collected(pytester, "-m", "stage_helo and level_documented") == ["test_good", "test_wrong"]


def test_the_rules_stand_in_what_is_collected(pytester: pytest.Pytester) -> None:
    written(pytester, GOOD, SECOND, PLAIN)
    shown = run(pytester, "--collect-only")
    shown.stdout.fnmatch_lines(
        ["*= rules =*", "mine.first   test_mine.py::test_good", "mine.second  test_mine.py::test_moon"]
    )


def test_the_older_names_of_options_are_ours_where_nobody_else_has_them(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "def pytest_addoption(parser):\n    parser.addoption('--reports', default='none')\n"
    )
    written(
        pytester, GOOD, "\ndef test_theirs(pytestconfig):\n    assert pytestconfig.option.reports == 'x'\n"
    )
    pytester.makefile(".toml", profile=PROFILE)
    outcome = run(pytester, "--sut", "profile.toml", "--lean", "--reports", "x")
    outcome.stdout.fnmatch_lines(["*1 passed, 1 not testable*"])
    assert cases(pytester) == ["test_good"]
    assert not [*(pytester.path / "reports").glob("*.html")]


@pytest.mark.parametrize("plugin", ["terminal", "capture", "setuponly", "cacheprovider", "logging"])
def test_a_run_gets_by_without_parts_of_pytest(pytester: pytest.Pytester, plugin: str) -> None:
    written(pytester, GOOD)
    outcome = run(pytester, "-p", f"no:{plugin}", untestable(pytester))
    assert outcome.ret == NOTHING_TESTED
    assert cases(pytester) == ["test_good"]


TWICE = """
import os, pytest
from _pytest.runner import runtestprotocol
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    runtestprotocol(item, nextitem=nextitem, log=False)
    for report in runtestprotocol(item, nextitem=nextitem, log=False):
        item.ihook.pytest_runtest_logreport(report=report)
    return True
def pytest_collection_modifyitems(items):
    items.reverse()
"""


def test_what_is_run_again_in_another_order_is_reported_once(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(TWICE)
    thing = "\n@pytest.fixture\ndef thing():\n    return 1\n"
    written(pytester, GOOD, thing, GOOD.replace("good(", "own(thing, "))
    outcome = run(pytester, untestable(pytester))
    outcome.stdout.fnmatch_lines(["*2 not testable*"])
    assert cases(pytester) == ["test_good", "test_own"]


FORKING = """
import os, pickle, pytest
from _pytest.runner import runtestprotocol
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    reads, writes = os.pipe()
    if os.fork() == 0:
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        os.write(writes, pickle.dumps([item.config.hook.pytest_report_to_serializable(
            config=item.config, report=report) for report in reports]))
        os._exit(0)
    os.close(writes)
    os.wait()
    with open(reads, "rb") as told:
        for data in pickle.load(told):
            item.ihook.pytest_runtest_logreport(
                report=item.config.hook.pytest_report_from_serializable(config=item.config, data=data))
    return True
"""


def test_a_process_for_each_test_finds_the_outcome_or_says_why_not(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FORKING)
    thing = "\n@pytest.fixture\ndef thing():\n    return 1\n"
    written(pytester, GOOD, thing, GOOD.replace("good(", "own(thing, "))
    outcome = run(pytester, untestable(pytester))
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    outcome.stdout.fnmatch_lines(["*this scenario has fixtures of its own*", "*1 failed, *1 not testable*"])
    assert cases(pytester) == ["test_good"]


def test_workers_leave_the_scenarios_to_one_process(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    written(pytester, GOOD, SECOND, PLAIN)
    pytester.makeini("[pytest]\naddopts = -n 2")
    outcome = run(pytester, untestable(pytester))
    outcome.stdout.fnmatch_lines(["*1 passed, 2 not testable*"])
    assert cases(pytester) == ["test_good", "test_moon"]
    mistaken = run(pytester, "--smtp-sut=absent.toml")
    assert mistaken.ret == pytest.ExitCode.USAGE_ERROR
    mistaken.stderr.fnmatch_lines(["*absent.toml: there is no such file*"])
    shown = mistaken.stdout.str() + mistaken.stderr.str() + outcome.stdout.str()
    assert "INTERNALERROR" not in shown


def test_a_time_out_of_others_strikes_no_scenario(pytester: pytest.Pytester) -> None:
    pytest.importorskip("pytest_timeout")
    written(pytester, GOOD)
    outcome = run(pytester, "--timeout=0.2")
    outcome.stdout.fnmatch_lines(["*1 passed*"])


def test_the_progress_reaches_the_terminal_and_not_what_is_captured(pytester: pytest.Pytester) -> None:
    written(pytester, GOOD, WRONG)
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"TERM": "xterm"}
    command = [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest"]
    with subprocess.Popen(command, cwd=pytester.path, stdout=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
        process.wait(timeout=60)
    os.close(ours)
    assert re.search(rb"\0337  \d of 2 scenarios done, ", shown)
    assert b"Captured" not in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # so Linux tells that nobody writes to it any more
        return b""


def test_every_level_has_a_mark() -> None:
    assert {*LEVELS} == {*Level}
