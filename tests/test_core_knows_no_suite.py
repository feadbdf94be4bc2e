"""The core knows no rule, no group and no suite by its name: all that is data of the suites."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from harness.rules import Catalogue

CATALOGUE = Catalogue.below(Path("scenarios"))
GROUPS = {rule.group.prefix for rule in CATALOGUE}
# A server with its defects; drawn servers of which the truth is known; the embedded and others with profiles.
EXEMPT = ("reference_mta", "truth", "embedded", "systems")
WORD = re.compile(r"[a-z0-9.*-]+")
TAKES_APART = {"partition", "rpartition", "split", "rsplit", "startswith", "endswith"}


def core() -> Iterator[tuple[Path, ast.AST]]:
    for file in Path("harness").rglob("*.py"):
        if file.relative_to("harness").parts[0] not in EXEMPT:
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                yield file, node


def names(text: str) -> Iterator[str]:
    """Ids of rules, patterns of a group, and names of suites in a text."""
    for word in WORD.findall(text):
        group, dot, rest = word.partition(".")
        if word.strip(".") in CATALOGUE.rules or (dot and group in GROUPS and "*" in rest):
            yield word
    if text in CATALOGUE.suites:
        yield text


def test_no_text_of_the_core_names_a_rule_a_group_or_a_suite() -> None:
    found = [
        f"{file}:{node.lineno}: {name}"
        for file, node in core()
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for name in names(node.value)
    ]
    assert found == []


def test_nobody_takes_the_id_of_a_rule_apart_to_learn_its_group() -> None:
    found = {
        str(file)
        for file, node in core()
        if isinstance(node, ast.Attribute)
        and node.attr in TAKES_APART
        and ast.unparse(node.value) in ("rule.id", "rule_id", "self.rule.id", "plan.rule.id", "one.rule.id")
    }
    assert found == {"harness/suites.py"}


def test_nobody_asks_whether_an_id_begins_as_those_of_a_group() -> None:
    found = [
        f"{file}:{node.lineno}"
        for file, node in core()
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("startswith", "removeprefix")
        and any(ast.unparse(one).strip("'\"") in {f"{group}." for group in GROUPS} for one in node.args)
    ]
    assert found == []


def test_texts_beside_the_code_name_none_either() -> None:
    for file in (*Path("harness/runs").glob("*.toml"), *Path("harness/discovery").glob("*.jinja")):
        assert [name for name in names(file.read_text("utf-8")) if name in CATALOGUE.rules] == [], file
