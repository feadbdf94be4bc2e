"""Reasons and tables are sentences: never blank, and one thing is no «1 things»."""

import ast
from pathlib import Path

import pytest

from harness.cli import main
from harness.wording import counted, named

SCENARIOS = sorted(Path("scenarios").rglob("*.py"))
FEWEST_WORDS = 3  # of a reason


def test_how_many() -> None:
    assert [counted(number, "rule") for number in (0, 1, 2)] == ["0 rules", "1 rule", "2 rules"]
    assert [counted(number, "copy", "copies") for number in (1, 2)] == ["1 copy", "2 copies"]


def test_a_list_of_nothing_is_a_word() -> None:
    assert named(["a", 1]) == "a, 1"
    assert named([]) == "nothing"
    assert named([], "missing") == "missing"


def test_one_rule_is_no_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = '[rule."a.b"]\nstage = "helo"\nsource = "here"\nstatement = "So."\nexpect = "deny at helo"\n'
    (tmp_path / "rules.toml").write_text(f'suite = "mine"\n{entry}', "utf-8")
    assert main(["rules", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("\n1 rule at 1 stage\n")


@pytest.mark.parametrize("file", SCENARIOS, ids=str)
def test_every_assertion_of_a_scenario_says_what_it_means(file: Path) -> None:
    """Its text is the whole reason in the report: a value alone, such as `[]`, says nothing to a reader."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Assert):
            assert node.msg is not None, f"{file}:{node.lineno}: an assertion without a reason"
            if isinstance(node.msg, ast.Constant | ast.JoinedStr):
                words = " ".join(_texts(node.msg)).split()
                assert len(words) >= FEWEST_WORDS, f"{file}:{node.lineno}: {words}"
            else:
                assert isinstance(node.msg, ast.Name), f"{file}:{node.lineno}: a value and no sentence"


def _texts(node: ast.Constant | ast.JoinedStr) -> list[str]:
    parts = [node] if isinstance(node, ast.Constant) else node.values
    return [str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts]
