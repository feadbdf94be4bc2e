"""Suites: each a folder of its own, side by side or alone."""

import json
from pathlib import Path

import pytest

from harness.grants.registry import CAPABILITIES
from harness.plugin.keys import SESSION
from harness.plugin.session import ScenarioPlugin
from harness.profile.claims import load
from harness.profile.model import Profile
from harness.results.store import newest
from harness.rules import Catalogue
from harness.settings import SettingsError
from harness.suites import rules_files
from tests import serverless
from tests.test_profile import GOOD

pytest_plugins = ["pytester"]

SCENARIOS = Path(__file__).parent.parent / "scenarios"
SUITE = """
name = "letters"
title = "The letter of the law"
about = "what a standard demands"
claimed_by_default = {claimed}
chapters = "groups"

[group.session]
title = "What a session keeps"
needs = ["dns"]

[group.reply]
title = "How replies are made"
must_describe = {describe}
"""
RULE = """
[rule."{name}"]
stage = "helo"
source = "section 1"
statement = "{name} is so."
expect = "pass at helo"
level = "{level}"
needs = ["address"]
{more}
"""
SCENARIO = """
@rule("{name}")
def test_{function}(expect):
    expect.proven = True
"""
HEAD = "from harness.scenario import rule\n"


def entry(name: str, level: str = "must", more: str = "") -> str:
    return RULE.format(name=name, level=level, more=more)


def letters(folder: Path, *, claimed: bool = True, describe: str = "[]") -> Path:
    """A suite with a folder for one group and a file for another; the rules of each rest on the other's."""
    suite = folder / "letters"
    (suite / "session").mkdir(parents=True)
    (suite / "suite.toml").write_text(SUITE.format(claimed=str(claimed).lower(), describe=describe), "utf-8")
    rests = 'rests_on = ["reply.one"]'
    (suite / "session" / "rules.toml").write_text(entry("session.one", more=rests), "utf-8")
    (suite / "reply.rules.toml").write_text(entry("reply.one", "should"), "utf-8")
    one, two = (
        SCENARIO.format(name=name, function=name.replace(".", "_")) for name in ("session.one", "reply.one")
    )
    (suite / "session" / "test_session.py").write_text(HEAD + one, "utf-8")
    (suite / "test_reply.py").write_text(HEAD + two, "utf-8")
    return suite


def mine(folder: Path, *names: str) -> Path:
    """A suite without a `suite.toml`."""
    suite = folder / "mine"
    suite.mkdir(parents=True)
    (suite / "rules.toml").write_text(
        'suite = "mine"\n' + "".join(entry(name, "may") for name in names), "utf-8"
    )
    tests = [SCENARIO.format(name=name, function=name.replace(".", "_")) for name in names]
    (suite / "test_mine.py").write_text(HEAD + "".join(tests), "utf-8")
    return suite


def session(pytester: pytest.Pytester, *arguments: str) -> ScenarioPlugin:
    items, _ = pytester.inline_genitems("-p", "no:hypothesispytest", "-W", "ignore", *arguments)
    plugin = items[0].config.pluginmanager.get_plugin(SESSION)
    assert isinstance(plugin, ScenarioPlugin)
    return plugin


def test_rules_are_spread_over_files_and_have_what_their_group_says(tmp_path: Path) -> None:
    catalogue = Catalogue.below(letters(tmp_path))
    rule = catalogue["session.one"]
    assert (rule.suite, rule.group.title, rule.chapter) == (
        "letters",
        "What a session keeps",
        "What a session keeps",
    )
    assert rule.needs == {"address", "dns"}
    assert catalogue.foundations(rule) == ("reply.one",)
    assert catalogue.suites["letters"].about == "what a standard demands"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("suite.toml", "[group.reply]", "[group.rely]", "rule.reply.one: no group of"),
        ("suite.toml", "[group.reply]", "[group.rely]", "did you mean 'rely'?"),
        (
            "suite.toml",
            '["dns"]',
            '["dsn"]',
            "group.session.needs: unknown capability 'dsn'; did you mean",
        ),
        ("suite.toml", 'title = "The', 'titel = "The', "titel: unknown key; did you mean 'title'"),
        ("suite.toml", '"letters"', '"The Letters"', "name: "),
        ("reply.rules.toml", "\n", 'suite = "lettres"\n', "suite: is 'lettres'"),
        ("reply.rules.toml", '"reply.one"', '"session.one"', "already defined by suite letters; rename one"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    suite = letters(tmp_path)
    content = (suite / file).read_text("utf-8")
    (suite / file).write_text(content.replace(old, new, 1), "utf-8")
    with pytest.raises(SettingsError) as caught:
        Catalogue.below(suite, CAPABILITIES.names)
    assert said in str(caught.value)


def test_a_rule_without_any_suite_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(entry("a.one"), "utf-8")
    with pytest.raises(SettingsError, match=r"suite: is required and missing; add it, or a suite\.toml"):
        Catalogue.below(tmp_path)


def test_two_suites_of_one_name(tmp_path: Path) -> None:
    letters(tmp_path / "a")
    other = letters(tmp_path / "b")
    with pytest.raises(SettingsError, match=r"name: 'letters' is a suite of .*a/letters/suite\.toml already"):
        Catalogue.load([tmp_path / "a" / "letters" / "reply.rules.toml", other / "session" / "rules.toml"])


def test_together_and_alone(pytester: pytest.Pytester) -> None:
    letters(pytester.path / "suites")
    mine(pytester.path / "suites", "own.one")
    together = session(pytester, "suites")
    assert [*together.catalogue.suites] == ["letters", "mine"]
    assert together.selection.caveat(together.catalogue) is None
    alone = session(pytester, "suites/letters")
    assert [*alone.catalogue.rules] == ["session.one", "reply.one"]
    assert alone.selection.caveat(alone.catalogue) is None
    part = session(pytester, "suites/letters/session").selection.caveat(alone.catalogue)
    assert part
    assert part.rules == ("reply.one",)
    assert alone.catalogue.known.keys() > Catalogue.below(SCENARIOS).rules.keys()


def test_levels_choose(pytester: pytest.Pytester) -> None:
    letters(pytester.path / "suites")
    mine(pytester.path / "suites", "own.one")
    chosen = session(pytester, "suites", "--smtp-level", "must", "--smtp-level=may")
    assert {one.rule.id for one in chosen.scenarios.values()} == {"session.one", "own.one"}
    part = chosen.selection.caveat(chosen.catalogue)
    assert part
    assert "--smtp-level must, --smtp-level may" in part.said
    marked = session(pytester, "suites", "-m", "level_should")
    assert {one.rule.id for one in marked.scenarios.values()} == {"reply.one"}


def test_ids_that_collide_and_levels_that_are_none_are_told(pytester: pytest.Pytester) -> None:
    letters(pytester.path / "suites")
    mine(pytester.path / "suites", "session.one")
    found = pytester.runpytest("-p", "no:hypothesispytest", "suites", "--collect-only")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(["*rule.session.one: already defined by suite letters; rename one*"])
    found = pytester.runpytest(
        "-p", "no:hypothesispytest", "suites/mine", "--collect-only", "--smtp-level=muts"
    )
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(["*--smtp-level muts: did you mean 'must'?*"])


def loaded(folder: Path, content: str, catalogue: Catalogue) -> Profile:
    file = folder / "staging.toml"
    file.write_text(content, "utf-8")
    return load(file, catalogue)


def test_a_profile_is_checked_against_all_that_is_installed(tmp_path: Path) -> None:
    own, others = rules_files(mine(tmp_path, "own.one")), rules_files(SCENARIOS)
    catalogue = Catalogue.load(own, others)
    loaded(tmp_path, GOOD, catalogue)
    with pytest.raises(SettingsError, match=r"matches no rule; did you mean"):
        loaded(tmp_path, GOOD.replace('"greylist.*"', '"greylst.*"'), catalogue)
    # what is not to be tried need not be described
    loaded(tmp_path, GOOD.replace('"dnsbl.*", ', ""), catalogue)


def test_a_suite_is_claimed_by_default_or_by_a_profile(tmp_path: Path) -> None:
    catalogue = Catalogue.load(rules_files(letters(tmp_path, claimed=False)), rules_files(SCENARIOS))
    rule, other = catalogue["session.one"], catalogue.known["helo.plain-ip"]
    silent = loaded(tmp_path, GOOD, catalogue)
    assert (silent.claims(rule), silent.claims(other)) == (False, True)
    table = '[suites]\nclaim = ["letters"]\nwithout = ["wiki"]\n[rules]\n'
    head, _, _ = GOOD.partition("[rules]")
    claiming = loaded(tmp_path, head + table, catalogue)
    assert (claiming.claims(rule), claiming.claims(other)) == (True, False)
    for old, new, said in (
        ('["letters"]', '["lettres"]', "suites.claim: no suite is called 'lettres'; did you mean 'letters'?"),
        ('without = ["wiki"]', 'without = ["letters"]', "stands under suites.without as well"),
        (
            "[rules]\n",
            '[rules.expect."helo.plain-ip"]\noutcome = "deny at rcpt"\nreason = "so it is"\n',
            "the suite 'wiki' is not claimed",
        ),
    ):
        with pytest.raises(SettingsError) as caught:
            loaded(tmp_path, head + table.replace(old, new), catalogue)
        assert said in str(caught.value)


def test_what_a_suite_asks_of_a_profile(tmp_path: Path) -> None:
    catalogue = Catalogue.below(letters(tmp_path / "a", describe='["tls.ca_file"]'))
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, GOOD.partition("[rules]")[0], catalogue)
    assert "reply.one is claimed" in str(caught.value)
    assert "but tls.ca_file is empty; fill it or put reply.* under rules.without" in str(caught.value)
    wrong = Catalogue.below(letters(tmp_path / "b", describe='["tls.cafile"]'))
    with pytest.raises(SettingsError, match=r"which no profile has; did you mean 'ca_file'\?"):
        loaded(tmp_path, GOOD.partition("[rules]")[0], wrong)


def test_reports_show_suites_groups_and_levels(pytester: pytest.Pytester) -> None:
    letters(pytester.path / "suites")
    mine(pytester.path / "suites", "own.one")
    found = serverless.session(pytester, "suites", "--junitxml=out.xml")
    assert found.ret == pytest.ExitCode.OK
    found.stdout.fnmatch_lines(
        ["The letter of the law", "What a session keeps*1*", "mine", "helo*1*", "all*3*"], consecutive=False
    )
    file = newest(pytester.path / "reports")
    data = json.loads(file.read_text("utf-8"))
    assert [(one["name"], one["title"]) for one in data["suites"]] == [
        ("letters", "The letter of the law"),
        ("mine", "mine"),
    ]
    assert {rule["id"]: rule["level"] for rule in data["rules"]} == {
        "session.one": "must",
        "reply.one": "should",
        "own.one": "may",
    }
    page = file.with_suffix(".html").read_text("utf-8")
    assert '<span class="suite">The letter of the law</span> What a session keeps' in page
    assert "(must)" in page
    assert 'name="level" value="must"' in (pytester.path / "out.xml").read_text("utf-8")
