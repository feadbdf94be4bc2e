"""From what odd clients met to a dialect: what an offence earns here, and where refusals are told."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.discovery.facts import Sighting, Speech
from harness.offence import AT_ONCE, Offence
from harness.outcome import DIALOGUE, Answer, Outcome, Stage, Treatment
from harness.profile.dialect import Dialect, Told
from harness.rules import Catalogue

NEVER_MEANT = (Offence.RELAYING, Offence.WRONG_PASSWORD)  # to be let through: what does so is broken
PAUSE_FROM = 0.5  # seconds
WHOLE_FROM = 2.0  # seconds, that were chosen as whole ones
NEARLY = 0.95  # of whole seconds: who waited as long as that waited for all of them


def speech_of(sightings: Sequence[Sighting], pause: float, catalogue: Catalogue, take: float = 0.0) -> Speech:
    """The dialect that says as much of the sightings as a dialect can, and overrides for the rest.

    Of what refusals waited the seconds that each of them may `take` are no part any more.
    """
    delay = _seconds(min((one.waited for one in sightings if one.waited), default=0.0))
    speech = Speech(_told(sightings, catalogue), _pause(pause), _seconds(take), delay)
    answers: dict[Offence, Answer] = {}
    overrides: dict[str, Outcome] = {}
    for offence in dict.fromkeys(one.offence for one in sightings):
        documented = catalogue.documented(offence)
        seen = _commonest([one.outcome for one in sightings if one.offence is offence and one.outcome])
        if (
            documented is None
            or seen is None
            or (offence in NEVER_MEANT and seen.treatment is Treatment.PASS)
        ):
            continue
        if any(one.offence is offence and one.outcome is None for one in sightings):
            continue  # of one of these nothing is known, so nothing that they all would share is documented
        if seen.answer != replace(documented.answer, codes=()):
            answers[offence] = seen.answer
        overrides |= _beyond(Dialect(told=speech.told, answers=answers), offence, seen, catalogue)
    return replace(speech, answers=answers, overrides=overrides)


def _told(sightings: Iterable[Sighting], catalogue: Catalogue) -> Told:
    """Where most kinds of offences are refused; at once unless they speak for another stage.

    However often one was tried, as lists in every company are, it has one voice for each stage.
    """
    votes: Counter[Told] = Counter()
    for offence, outcome in dict.fromkeys((one.offence, one.outcome) for one in sightings):
        documented = catalogue.documented(offence)
        if documented is None or offence in AT_ONCE or outcome is None:
            continue
        if outcome.treatment is not Treatment.PASS and documented.stage is not Stage.DATA:
            votes.update(told for told in Told if Dialect(told=told).tells(documented.stage) is outcome.stage)
    return max(Told, key=lambda told: votes[told])


def _beyond(dialect: Dialect, offence: Offence, seen: Outcome, catalogue: Catalogue) -> dict[str, Outcome]:
    """Overrides for the rules about an offence that comes out at another stage than the dialect has it."""
    if seen.treatment is Treatment.PASS and not seen.late:
        return {}
    return {
        rule.id: seen
        for rule in catalogue
        if rule.offence is offence and dialect.outcome(offence, rule.expect[0]).stage is not seen.stage
    }


def _commonest(outcomes: Sequence[Outcome]) -> Outcome | None:
    """What most clients met; where two came as often, the one that was told first in a dialogue."""
    votes = Counter(outcomes)
    return max(votes, key=lambda one: (votes[one], -DIALOGUE.index(one.stage)), default=None)


def _pause(seconds: float) -> float:
    return _seconds(seconds) if seconds >= PAUSE_FROM else 0.0


def _seconds(seconds: float) -> float:
    """As it was probably chosen: whole seconds, unless it is too short for that, or falls short of them."""
    whole = round(seconds)
    return float(whole) if seconds >= max(WHOLE_FROM, NEARLY * whole) else round(seconds, 1)
