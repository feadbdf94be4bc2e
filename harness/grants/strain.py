"""What a server that others share should be spared."""

from harness.grants.capability import Capability, Tool

HEAVY = Capability(
    "heavy",
    lambda _: False,  # not the profile grants it, but the user
    "it strains a shared server; run with --smtp-allow-heavy to allow it",
    Tool(make=lambda site: site.heavy or None, record=lambda allowed, _: allowed),
)
