"""What the package declares of itself."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
REQUIREMENT = re.compile(r"(?P<name>[\w\[\]-]+)>=(?P<lowest>[\d.]+)(,<[\d.]+)?")


def test_the_lowest_versions_that_are_tried_are_those_that_are_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    found = [REQUIREMENT.fullmatch(line) for line in declared]
    assert all(found)
    tried = (ROOT / "tests" / "lowest.txt").read_text("utf-8").splitlines()
    assert [line for line in tried if not line.startswith("#")] == [
        f"{one['name']}=={one['lowest']}" for one in found if one
    ]
