"""Known deviations: they excuse the failures that they tell, and no others, and never outlive them."""

import datetime
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from harness.profile.claims import load
from harness.profile.deviations import Deviation, unknown_cases
from harness.results.model import Status
from harness.results.store import newest
from harness.rules import Catalogue
from harness.runs.course import CaseResult
from harness.runs.deviations import held_against
from harness.settings import SettingsError, check
from harness.verdicts import FailedError
from tests.serverless import session
from tests.test_profile import GOOD

pytest_plugins = ["pytester"]

TODAY = datetime.date(2026, 3, 1)
FAILED = CaseResult(
    Status.FAILED,
    "it was let through",
    "deny at rcpt",
    came="pass at rcpt",
    error=FailedError("it was let through"),
)
PASSED = CaseResult(Status.PASSED, "", "deny at rcpt", came="deny at rcpt")


def listed(**more: object) -> Deviation:
    facts = {"rule": "a.one", "reason": "it never did", "source": "issue 7"} | more
    return check("expected.toml", facts, Deviation)


def come(outcome: CaseResult, *entries: Deviation, rule: str = "a.one", case: str = "one [x]") -> CaseResult:
    return held_against(entries, rule, case, outcome, TODAY)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"rule": "a.*"},
        {"case": "one [x]"},
        {"case": "one [*"},
        {"observed": "pass at rcpt"},
        {"until": "2026-03-01"},
    ],
)
def test_what_fails_as_it_is_listed_is_known(more: dict[str, object]) -> None:
    found = come(FAILED, listed(**more))
    assert found.status is Status.KNOWN_DEVIATION
    assert found.reason == "it never did (issue 7); seen was: it was let through"


@pytest.mark.parametrize("more", [{"rule": "a.on"}, {"case": "one"}, {"case": "one [y]"}, {"case": "o*e"}])
def test_another_rule_or_case_is_none_of_it(more: dict[str, object]) -> None:
    assert come(FAILED, listed(**more)) is FAILED
    assert come(PASSED, listed(**more)) is PASSED


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"observed": "defer at rcpt"}, "comes to «defer at rcpt», and this came to «pass at rcpt»"),
        ({"observed": "delay at rcpt"}, "comes to «delay at rcpt», and this came to «pass at rcpt»"),
        ({"innocents": True}, "is that innocent clients are hit"),
        ({"until": "2026-02-28"}, "until 2026-02-28, and that is over: the entry is stale"),
    ],
)
def test_a_failure_of_another_kind_or_day_stays_one(more: dict[str, object], said: str) -> None:
    found = come(FAILED, listed(**more))
    assert found.status is Status.FAILED
    assert found.reason.startswith("it was let through; ")
    assert said in found.reason
    assert str(found.error) == found.reason


def test_that_innocents_are_hit_is_excused_by_an_entry_that_says_so_alone() -> None:
    hit = CaseResult(Status.FAILED, "it hits the innocent twin, too", hits_innocents=True)
    assert come(hit, listed()).status is Status.FAILED
    assert come(hit, listed(innocents=True)).status is Status.KNOWN_DEVIATION


def test_a_failure_without_evidence_of_what_it_came_to_is_not_the_one_that_is_listed() -> None:
    found = come(CaseResult(Status.FAILED, "mail never came"), listed(observed="pass at rcpt"))
    assert found.status is Status.FAILED
    assert "nothing of which there is evidence" in found.reason


@pytest.mark.parametrize(
    "more", [{}, {"case": "one [x]"}, {"until": "2026-02-28"}, {"observed": "pass at rcpt"}]
)
def test_what_holds_though_it_is_listed_is_stale(more: dict[str, object]) -> None:
    found = come(PASSED, listed(**more))
    assert found.status is Status.STALE
    assert "it holds, and is listed as a known deviation (it never did)" in found.reason
    assert str(found.error) == found.reason


@pytest.mark.parametrize("status", [Status.INCONCLUSIVE, Status.NOT_TESTABLE, Status.NOT_APPLICABLE])
def test_what_proves_nothing_stays_as_it_is(status: Status) -> None:
    nothing = CaseResult(status, "nobody knows")
    assert come(nothing, listed()) is nothing


def test_one_of_several_entries_is_enough() -> None:
    entries = listed(observed="defer at rcpt"), listed(observed="pass at rcpt", reason="sometimes")
    assert come(FAILED, *entries).reason.startswith("sometimes")


def test_a_case_that_no_rule_has_is_told_its_neighbour() -> None:
    cases = {"a.one": ["one [x]", "one [y]"], "a.two": ["two"]}
    assert unknown_cases([listed(case="one [x]"), listed(), listed(rule="b.one", case="z")], cases) == []
    (problem,) = unknown_cases([listed(case="one [xx]")], cases)
    assert problem == "the known deviation of a.one: no case is called 'one [xx]'; did you mean 'one [x]'?"


ENTRY = """
[[deviation]]
rule = "helo.plain-ip"
reason = "it never did"
source = "issue 7"
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "plain-ip",
            "plane-ip",
            "deviation.0.rule: 'helo.plane-ip' matches no rule; did you mean 'helo.plain-ip'",
        ),
        ("helo.plain-ip", "dnsbl.one", "deviation.0.rule: 'dnsbl.one' is not claimed"),
        ('source = "issue 7"', "", "deviation.0.source: is required and missing"),
        ("[[deviation]]", '[[deviation]]\nuntil = "soon"', "'soon' is no day; write it as"),
        ("[[deviation]]", '[[deviation]]\nobserved = "refused"', "is no outcome"),
        ("[[deviation]]", "[[deviation]]\nobserved = 5", "0.observed: must be a text in quotes (found 5)"),
        ("[[deviation]]", '[[deviation]]\nobserved = "deny at rcpt with 550"', "leave codes out"),
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_mistakes_in_the_list_are_named(
    tmp_path: Path, old: str, new: str, said: str, *, beside: bool
) -> None:
    catalogue = Catalogue.below(Path("scenarios"))
    profile, expected = tmp_path / "staging.toml", tmp_path / "expected.toml"
    profile.write_text(GOOD + ("" if beside else ENTRY), "utf-8")
    if beside:
        expected.write_text(ENTRY, "utf-8")
    assert [one.rule for one in load(profile, catalogue).deviation] == ["helo.plain-ip"]
    file = expected if beside else profile
    head, separator, entry = file.read_text("utf-8").rpartition("[[deviation]]")
    file.write_text(head + (separator + entry).replace(old, new), "utf-8")
    with pytest.raises(SettingsError) as caught:
        load(profile, catalogue)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)


RULE = """
[rule."mine.{name}"]
stage = "helo"
source = "our handbook, section 3"
statement = "A greeting with a bare address is refused."
expect = "delay+deny at helo"
"""
HEAD = "from harness.scenario import FailedError, rule\n"
HOLDS = """
@rule("mine.{name}")
def test_{name}(expect):
    expect.proven = True
"""
FAILS = """
@rule("mine.{name}")
def test_{name}(expect):
    expect.came = "pass at helo"
    raise FailedError("it was let through")
"""
HITS = """
@rule("mine.{name}")
def test_{name}(offence, expect):
    expect.proven = True
    if not offence:
        raise FailedError("it was refused")
"""
ENTRIES: dict[str, dict[str, object]] = {
    "known": {"case": "known", "observed": "pass at helo"},
    "stale": {},
    "other": {"observed": "defer at helo"},
    "hit": {},
    "unknown": {"case": "unknwon"},
}


def run(pytester: pytest.Pytester, scenarios: dict[str, str], *arguments: str) -> pytest.RunResult:
    """A run of scenarios, each of a rule of its own, with the entries of those that have one."""
    pytester.makefile(".toml", rules='suite = "mine"' + "".join(RULE.format(name=name) for name in scenarios))
    pytester.makepyfile(test_mine=HEAD + "".join(text.format(name=name) for name, text in scenarios.items()))
    entries: list[dict[str, object]] = [
        {"rule": f"mine.{name}", "reason": "it never did", "source": "issue 7"} | entry
        for name, entry in ENTRIES.items()
        if name in scenarios
    ]
    return session(pytester, *arguments, deviations=entries)


def statuses(pytester: pytest.Pytester) -> dict[str, str]:
    data = json.loads(newest(pytester.path / "reports").read_text("utf-8"))
    return {rule["id"].removeprefix("mine."): rule["status"] for rule in data["rules"]}


def test_a_run_with_a_list(pytester: pytest.Pytester) -> None:
    scenarios = {"good": HOLDS, "bad": FAILS, "known": FAILS, "stale": HOLDS, "other": FAILS, "hit": HITS}
    found = run(pytester, scenarios, "--junitxml=out.xml")
    assert found.ret == pytest.ExitCode.TESTS_FAILED
    assert statuses(pytester) == {
        "good": "passed",
        "bad": "failed",
        "known": "known_deviation",
        "stale": "stale",
        "other": "failed",
        "hit": "failed",
    }
    found.stdout.fnmatch_lines(["*stale mine.stale (documented)*", "*known deviation mine.known*"])
    cases = {case.get("name"): case for case in ElementTree.parse(pytester.path / "out.xml").iter("testcase")}
    told = {str(name): [one.tag for one in case if one.tag != "properties"] for name, case in cases.items()}
    failed = ("test_bad", "test_stale", "test_other", "test_hit")
    assert told == {"test_good": [], "test_known": ["skipped"]} | {name: ["failure"] for name in failed}
    page = newest(pytester.path / "reports").with_suffix(".html").read_text("utf-8")
    assert 'data-status="known_deviation"' in page
    assert 'data-status="stale"' in page


def test_a_run_in_which_all_that_fails_is_known_is_a_success(pytester: pytest.Pytester) -> None:
    assert run(pytester, {"good": HOLDS, "known": FAILS}).ret == pytest.ExitCode.OK
    assert statuses(pytester) == {"good": "passed", "known": "known_deviation"}


def test_one_that_is_stale_fails_the_run(pytester: pytest.Pytester) -> None:
    found = run(pytester, {"good": HOLDS, "stale": HOLDS})
    assert found.ret == pytest.ExitCode.TESTS_FAILED
    found.stdout.fnmatch_lines(["*it holds, and is listed as a known deviation*"])


def test_an_entry_for_a_case_that_there_is_not_ends_the_run(pytester: pytest.Pytester) -> None:
    found = run(pytester, {"unknown": FAILS})
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(["*mine.unknown: no case is called 'unknwon'; did you mean 'unknown'?*"])
