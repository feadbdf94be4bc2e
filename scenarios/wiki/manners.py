"""Manners of a dialogue that make no difference to a rule."""

import pytest

from harness.scenario import Before, Kind, needs

COVERED = pytest.mark.parametrize(
    "covered", [False, pytest.param(True, marks=needs("tls"))], ids=["in clear text", "under TLS"]
)
WHOEVER = pytest.mark.parametrize(  # some servers spare hosts that their greylist spares of all else as well
    "who",
    [Kind.KNOWN, pytest.param(Kind.ORDINARY, marks=needs("clock"))],
    ids=["a known host", "a host that waits"],
)
LATER = pytest.mark.parametrize(  # some checks are made once a connection, or what they rest on is forgotten
    "before",
    [Before.GIVEN_UP, Before.SENT],
    ids=["after RSET", "after a message"],
)
