"""Checks of who a sender is, which a server has or not."""

from harness.grants.capability import Absent, Plain

SPF = Plain(
    "spf",
    lambda profile: profile.spf is not None,
    "the profile has no [spf]",
    absent=Absent.RULE_DOES_NOT_APPLY,
)
DKIM = Plain(
    "dkim",
    lambda profile: profile.dkim is not None,
    "the profile has no [dkim]",
    absent=Absent.RULE_DOES_NOT_APPLY,
)
