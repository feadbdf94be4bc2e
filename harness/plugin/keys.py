"""What is kept for one pytest session, or for one of its items, and under which key."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    pass

SESSION = "smtp-harness-scenarios"  # the name of the plugin of one session
OUTCOME = pytest.StashKey["Outcome"]()  # of an item
SUT = pytest.StashKey["Sut"]()  # as its profile describes it; what has cases for each thing needs it first
EMBEDDED = pytest.StashKey["Embedded"]()  # what is judged without a profile, if not the reference MTA
MISTAKE = pytest.StashKey[str]()  # why there is no SUT
