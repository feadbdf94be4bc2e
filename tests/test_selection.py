"""What of its suites a session tries: whatever leaves a scenario out makes a run of a part."""

from pathlib import Path

import pytest

from harness.pytest_plugin import catalogue_of
from harness.results.model import Caveat, CaveatKind
from harness.selection import NAME, Selection

pytest_plugins = ["pytester"]

RULE = """[rule."mine.{name}"]
stage = "helo"
source = "our handbook"
statement = "It is so."
expect = "deny at helo"
"""
SCENARIO = """
@rule("mine.{name}")
@pytest.mark.parametrize("number", [1, 2])
def test_{name}(client, expect, number):
    pass
"""
HEAD = "import pytest\nfrom harness.scenario import *\nfrom harness.scenario import rule\n"


def caveat(pytester: pytest.Pytester, *arguments: str) -> Caveat | None:
    """That of a session with two files of scenarios, one with the rules a and b, the other with c."""
    suite = pytester.mkdir("suite")
    (suite / "rules.toml").write_text('suite = "mine"\n' + "".join(RULE.format(name=one) for one in "abcd"))
    for file, names in (("test_one.py", "ab"), ("test_two.py", "c")):
        (suite / file).write_text(HEAD + "".join(SCENARIO.format(name=one) for one in names))
    with (suite / "test_two.py").open("a") as marked:
        marked.write("\npytestmark = pytest.mark.skipped\n")
    items, _ = pytester.inline_genitems("-p", "no:hypothesispytest", "-W", "ignore", *arguments)
    selection = items[0].config.pluginmanager.get_plugin(NAME)
    assert isinstance(selection, Selection)
    return selection.caveat(catalogue_of(items))


@pytest.mark.parametrize(
    "arguments", [[], ["suite"], ["."], ["suite", "-k", "test"], ["suite/../suite", "--ff"], ["--lf"]]
)
def test_a_whole_one(pytester: pytest.Pytester, arguments: list[str]) -> None:
    assert caveat(pytester, *arguments) is None


@pytest.mark.parametrize(
    ("arguments", "rules", "how"),
    [
        (["-k", "test_a"], ["mine.b", "mine.c"], "-k test_a"),
        (["-k", "test_a and 1"], ["mine.a", "mine.b", "mine.c"], "-k test_a and 1"),
        (["-m", "not skipped"], ["mine.c"], "-m not skipped"),
        (["--deselect", "suite/test_two.py"], ["mine.c"], "--deselect"),
        (["--ignore", "suite/test_two.py"], ["mine.c", "mine.d"], "--ignore"),
        (["suite/test_one.py"], ["mine.c", "mine.d"], "suite/test_one.py"),
        (
            ["suite/test_one.py::test_a[1]"],
            ["mine.a", "mine.b", "mine.c", "mine.d"],
            "suite/test_one.py::test_a[1]",
        ),
    ],
)
def test_a_part(pytester: pytest.Pytester, arguments: list[str], rules: list[str], how: str) -> None:
    said = f"a part of the scenarios was selected ({how})"
    assert caveat(pytester, *arguments) == Caveat(CaveatKind.PART, said, tuple(rules))


def test_what_failed_the_last_time(pytester: pytest.Pytester) -> None:
    cache = Path(pytester.path / ".pytest_cache" / "v" / "cache")
    cache.mkdir(parents=True)
    (cache / "lastfailed").write_text('{"suite/test_one.py::test_a[1]": true}')
    found = caveat(pytester, "--lf")
    assert found
    assert "--lf" in found.said
    assert {"mine.a", "mine.b", "mine.c"} <= {*found.rules}


def test_a_plugin_that_takes_scenarios_out_is_noticed(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_collection_modifyitems(items):\n    items[:] = items[:4]\n")
    said = "a part of the scenarios was selected (by a plugin)"
    assert caveat(pytester) == Caveat(CaveatKind.PART, said, ("mine.c",))
