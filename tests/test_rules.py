import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.rules import Catalogue, UnknownRuleError
from harness.settings import SettingsError

RULE = """
suite = "mine"
[rule."mine.first"]
stage = "rcpt"
source = "page 1"
statement = "Something holds."
expect = ["deny at rcpt", "defer at rcpt"]
needs = ["dns"]
"""


def written(folder: Path, content: str) -> Path:
    file = folder / "rules.toml"
    file.write_text(content, "utf-8")
    return file


def test_a_rule_is_read_with_all_its_facts(tmp_path: Path) -> None:
    catalogue = Catalogue.load([written(tmp_path, RULE)])
    rule = catalogue["mine.first"]
    assert (rule.suite, rule.stage, rule.source) == ("mine", "rcpt", "page 1")
    assert [str(outcome) for outcome in rule.expect] == ["deny at rcpt", "defer at rcpt"]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("deny at rcpt", "refuse at rcpt", "is no outcome"),
        (
            '"deny at rcpt"',
            '{ stage = "helo", treatment = "deny" }',
            "expect.0: must be a text in quotes (found a table)",
        ),
        ('["deny at rcpt", "defer at rcpt"]', "[]", "expect: is empty; name at least one"),
        ('["deny at rcpt", "defer at rcpt"]', "5", "expect: must be a list in brackets"),
        ("stage", "stge", "did you mean 'stage'"),
        ('"dns"', '"dsn"', "needs: unknown capability 'dsn'; did you mean 'dns'?"),
        ('source = "page 1"', "", "source: is required"),
        ("suite", "sweet", "suite"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    file = written(tmp_path, RULE.replace(old, new, 1))
    with pytest.raises(SettingsError) as caught:
        Catalogue.load([file], capabilities=["dns", "tls"])
    assert named in str(caught.value)
    assert str(file) in str(caught.value)


def test_one_id_in_two_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    files = [written(tmp_path, RULE), written(tmp_path / "a", RULE)]
    with pytest.raises(SettingsError, match="already defined"):
        Catalogue.load(files)


def test_an_unknown_rule_is_told_its_neighbour() -> None:
    catalogue = Catalogue.below(Path("scenarios"))
    with pytest.raises(UnknownRuleError, match=r"did you mean 'helo\.plain-ip'"):
        catalogue["helo.plainip"]


def test_the_command_lists_every_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {rule["id"] for rule in listed} == set(Catalogue.below(Path("scenarios")).rules)
    assert main(["rules"]) == 0
    shown = capsys.readouterr().out
    assert all(rule["id"] in shown and rule["source"].split(",")[0] in shown for rule in listed)


def test_no_rules_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", str(tmp_path)]) == 2
    assert "no rules.toml" in capsys.readouterr().err
