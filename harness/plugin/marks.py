"""The marks of a scenario, and those by which `pytest -m` chooses scenarios."""

from enum import StrEnum

import pytest

from harness.outcome import Stage

# Each a `harness.rules.Level`, which takes longer to read.
LEVELS = ("must", "should", "may", "security", "documented", "optional")
MARKS = (
    "rule(id): the documented rule that this scenario proves or refutes",
    "each(name, ...): try every thing of that name that the profile describes",
    "needs(capability, ...): what this case needs beyond its rule",
    *(f"stage_{stage}: scenarios of rules at this stage" for stage in Stage),
    *(f"level_{level}: scenarios of rules of this level" for level in LEVELS),
)


def stage_mark(stage: Stage) -> pytest.MarkDecorator:
    """Of all scenarios at a stage."""
    return _mark("stage", stage)


def level_mark(level: StrEnum) -> pytest.MarkDecorator:
    """Of all scenarios at a level."""
    return _mark("level", level)


def _mark(kind: str, value: StrEnum) -> pytest.MarkDecorator:
    mark: pytest.MarkDecorator = getattr(pytest.mark, f"{kind}_{value}")
    return mark
