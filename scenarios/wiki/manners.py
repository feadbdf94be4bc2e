"""Manners of a dialogue that make no difference to a rule."""

import pytest

from harness.scenario import needs

COVERED = pytest.mark.parametrize(
    "covered", [False, pytest.param(True, marks=needs("tls"))], ids=["in clear text", "under TLS"]
)
