"""What was once said falsely of a server is not said again: the smallest server that showed it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.reference_mta.defects import find
from harness.truth.defects import showing
from harness.truth.dimensions import lawful
from tests.truth_cases import FOUND

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def said() -> dict[str, list[str]]:
    """What is wrong about each of them."""
    command = [sys.executable, "-m", "tests.truth_cases"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, list[str]] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize("name", FOUND)
def test_nothing_false_is_said(name: str, said: dict[str, list[str]]) -> None:
    assert not said[name]


@pytest.mark.parametrize("name", FOUND)
def test_there_can_be_such_a_server(name: str) -> None:
    server = FOUND[name]
    assert lawful(server.drawn)
    if server.mutant:
        assert find(server.mutant) in set(showing(server.drawn))
