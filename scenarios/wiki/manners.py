"""Manners of a dialogue that make no difference to a rule."""

import pytest

from harness.scenario import Kind, needs

COVERED = pytest.mark.parametrize(
    "covered", [False, pytest.param(True, marks=needs("tls"))], ids=["in clear text", "under TLS"]
)
WHOEVER = pytest.mark.parametrize(
    "who", [Kind.KNOWN, Kind.ORDINARY], ids=["a known host", "a host that waits"]
)
