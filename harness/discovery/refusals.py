"""How long a server holds back every refusal by itself, and what is left for what a client did."""

from collections.abc import Sequence
from dataclasses import replace

from harness.discovery.comparison import HELD_FROM
from harness.discovery.facts import Sighting
from harness.offence import Offence
from harness.outcome import Treatment

PLAIN = {Offence.UNKNOWN_USER, Offence.RELAYING}  # what nearly every server refuses
ALIKE = 0.1  # of a wait; two that differ by less are the same


def refusals_take(sightings: Sequence[Sighting]) -> float:
    """Seconds that each refusal waited; 0 where one came at once, or where nothing shows that all wait.

    Mail to an unknown user and to a foreign domain must have been refused, nothing sooner than the first of
    them, and something else as late as that.
    """
    refused = [one for one in sightings if one.outcome and one.outcome.treatment is not Treatment.PASS]
    if not {one.offence for one in refused} >= PLAIN:
        return 0.0
    least = min(one.waited for one in refused)
    alike = {one.offence for one in refused if one.waited - least < _apart(least)}
    return least if Offence.UNKNOWN_USER in alike and len(alike) > 1 else 0.0


def without(sighting: Sighting, seconds: float) -> Sighting:
    """What a refusal waited beyond what each one takes; nothing else changes."""
    outcome = sighting.outcome
    if not seconds or outcome is None or outcome.treatment is Treatment.PASS:
        return sighting
    left = sighting.waited - seconds
    waited = left if left >= _apart(seconds) else 0.0
    return replace(sighting, outcome=replace(outcome, late=waited > 0), waited=waited)


def _apart(seconds: float) -> float:
    """By how much waits of about so many seconds must differ at least to be two."""
    return max(HELD_FROM, ALIKE * seconds)
