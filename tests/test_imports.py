"""Who imports whom, as docs/architecture.md has it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

OURS = {"harness", "fake_dns", "scenarios", "tests", "bench"}
GROUND = {"settings", "printable", "offence", "outcome", "wording", "verdicts", "rules", "suites"}


def imported(file: Path) -> Iterator[str]:
    """The modules of ours that a file imports, wherever in it, for types as well."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [f"{module}.{one.name}" for one in node.names] if module == "harness" else [module]
        yield from (name for name in names if name.partition(".")[0] in OURS)


def rooms(folder: str) -> set[str]:
    """What the modules below a folder import: rooms of `harness` by their names, all else by its package."""
    found: set[str] = set()
    for file in Path(folder).rglob("*.py"):
        for name in imported(file):
            package, _, rest = name.partition(".")
            found.add(rest.partition(".")[0] if package == "harness" else f"{package}/")
    return found - {Path(folder).name}


def importers(room: str) -> set[str]:
    """Who imports a room of `harness`: rooms and modules beside it."""
    inner = {
        (file.relative_to("harness").parts[0]).removesuffix(".py")
        for file in Path("harness").rglob("*.py")
        if any(f"{name}.".startswith(f"harness.{room}.") for name in imported(file))
    }
    return inner - {room}


def test_the_name_server_stands_alone() -> None:
    assert rooms("fake_dns") <= {"fake_dns/"}


@pytest.mark.parametrize(
    ("room", "below"),
    [
        ("reference_mta", {"settings"}),
        ("smtp", {"settings", "wording", "printable"}),
        ("profile", {*GROUND, "smtp"}),
        ("capabilities", {*GROUND, "smtp", "profile", "fake_dns/"}),
        ("world", {*GROUND, "smtp", "profile", "capabilities", "fake_dns/"}),
        ("grants", {*GROUND, "smtp", "profile", "capabilities", "world", "embedded", "fake_dns/"}),
        (
            "runs",
            {
                *GROUND,
                "grants",
                "smtp",
                "profile",
                "capabilities",
                "world",
                "judge",
                "results",
                "embedded",
                "fake_dns/",
            },
        ),
        ("results", {"outcome", "settings", "wording", "printable"}),
    ],
)
def test_a_room_stands_on_those_below_it(room: str, below: set[str]) -> None:
    assert rooms(f"harness/{room}") <= below


def test_the_reference_mta_is_brought_up_and_broken_and_nothing_else() -> None:
    assert importers("reference_mta") == {"embedded", "commands", "mutants", "truth"}


def test_nobody_stands_on_the_outermost() -> None:
    assert importers("commands") == {"cli"}
    assert importers("cli") == {"__main__"}
    assert importers("plugin") == {"pytest_plugin", "pytest_runs"}
    assert importers("pytest_plugin") == set()


def test_scenarios_know_the_public_face_alone() -> None:
    names = {name for file in Path("scenarios").rglob("*.py") for name in imported(file)}
    assert {name for name in names if not name.startswith("scenarios.")} == {"harness.scenario"}
