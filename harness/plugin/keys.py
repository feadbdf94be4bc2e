"""What is kept for one pytest session, or for one of its items, and under which key."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.plugin.selection import Selection
    from harness.runs.assembly import Embedded
    from harness.runs.course import CaseResult
    from harness.world.sut import Sut

SESSION = "smtp-harness-scenarios"  # the name of the plugin of one session
SELECTION: "pytest.StashKey[Selection]" = pytest.StashKey()  # what was collected, and what is left of it
OUTCOME: "pytest.StashKey[CaseResult]" = pytest.StashKey()  # of an item
SUT: "pytest.StashKey[Sut]" = pytest.StashKey()  # as its profile describes it; cases for each thing need it
MISTAKE: pytest.StashKey[str] = pytest.StashKey()  # why there is no SUT
EMBEDDED: "pytest.StashKey[Embedded]" = pytest.StashKey()  # what is judged without a profile, if not ours
LEFT: pytest.StashKey[bool] = pytest.StashKey()  # whether the workers of pytest-xdist have left scenarios
