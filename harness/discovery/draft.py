"""Writes down what was seen of a server as a profile.

What can be seen from outside is written down as keys; what cannot stands as a question in a comment. The
draft is a profile that the check of profiles accepts: what nothing was seen for is not claimed, and says why.
"""

import fnmatch
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import jinja2

from harness import settings
from harness.discovery.facts import GreylistSeen, Seen, Sighting
from harness.discovery.place import Place
from harness.discovery.trial import Deviation, jobs_for
from harness.offence import Offence
from harness.outcome import DIALOGUE, Stage, Treatment
from harness.printable import printable, shortened
from harness.profile.claims import undescribed, unfounded
from harness.profile.model import Profile
from harness.rules import Catalogue, Rule

TEMPLATE = "draft.toml.jinja"
LONGEST = 200  # characters of what a server said, in a comment
LONGEST_WAIT = 120.0  # seconds for a greylist, that a run may wait unless its owner says more
SLACK = 5.0  # seconds
TIME = re.compile(r"(\d+) ?(s|sec|min|h)", re.IGNORECASE)
RESTS_ON = "it rests on"
UNSEEN = {  # by what a profile must describe: what to say where nothing of it was seen
    "greylist": "no innocent client was put off; if one is, describe [greylist]",
    "dnsbl": "it asked our DNS about no list of clients; describe those that it asks as [[dnsbl]]",
    "domain.bounce_recipients": (
        "who never sends is not to be seen from outside; give a [[domain]] its bounce_recipients"
    ),
}
UNTRIED = "not looked at: the scenarios were not run"
NO_USER = "no mail got through to an ordinary user, on whom this rests: name one who gets mail with --user"


@dataclass(frozen=True)
class Override:
    """An outcome of a rule that differs from what the dialect says."""

    id: str
    outcomes: tuple[str, ...]  # any of which will do
    seen: str  # empty: nothing was, and all of them would be right


def draft(place: Place, seen: Seen, catalogue: Catalogue, found: Sequence[Deviation] | None = None) -> str:
    """The profile as far as it was seen, in TOML, with questions in comments.

    `found` is what the scenarios found with such a draft; None: they were not run, so nothing is claimed that
    rests on a rule that is not.
    """
    overrides = {
        rule: Override(rule, (str(outcome),), _seen_for(catalogue[rule], seen.sightings))
        for rule, outcome in seen.speech.overrides.items()
    }
    overrides |= {one.id: Override(one.id, one.outcomes, one.seen) for one in found or () if one.outcomes}
    remarks = [one for one in found or () if not one.outcomes]
    bare = _render(place, seen, list(overrides.values()), {}, remarks, catalogue)
    profile = settings.check("draft", tomllib.loads(bare), Profile)
    relaying = catalogue.about(Offence.RELAYING)
    was_seen = any(one.offence is Offence.RELAYING and one.outcome for one in seen.sightings)
    if relaying and not was_seen and relaying.id not in {*overrides, *(one.id for one in found or ())}:
        overrides[relaying.id] = Override(relaying.id, tuple(_refusals(profile, relaying)), "")
    without = dict(_without(profile, seen, catalogue))
    doubtful = catalogue.rules.keys() if found is None else {one.id for one in found}
    if found is None:
        without |= _not_alike(without, seen, catalogue)
        without |= {one: UNTRIED for one in _untried(profile, seen, catalogue) if one not in without}
    without |= _resting_on_nothing(without, doubtful, catalogue)
    without = {rule: why for rule, why in without.items() if profile.claims(catalogue[rule])}
    remarks = [one for one in remarks if one.id not in without]
    kept = [one for one in overrides.values() if one.id not in without]
    claimed = [rule for rule in catalogue if profile.claims(rule)]
    return _render(place, seen, kept, _by_groups(without, claimed), remarks, catalogue)


def _refusals(profile: Profile, rule: Rule) -> Iterator[str]:
    """Every way to refuse where a rule is told: for good or for now, and late where anything is."""
    (first, *_), _ = profile.expectation(rule)
    for treatment in (Treatment.DENY, Treatment.DEFER):
        yield f"{treatment} at {first.stage}"
        if profile.policy.delay:
            yield f"delay+{treatment} at {first.stage}"


def _render(
    place: Place,
    seen: Seen,
    overrides: Sequence[Override],
    without: Mapping[str, str],
    remarks: Sequence[Deviation],
    catalogue: Catalogue,
) -> str:
    greylist = seen.deferral.greylist if seen.deferral else None
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            place=place,
            seen=seen,
            overrides=overrides,
            without=without,
            remarks=remarks,
            jobs=jobs_for(seen),
            greylist=greylist,
            clock=greylist.delay + SLACK if greylist and 0 < greylist.delay <= LONGEST_WAIT else 0,
            hint=_time_named(greylist),
            answers=_answers(seen),
            dissent=list(_dissent(seen, catalogue)),
            untold=[one for one in seen.sightings if one.outcome is None] if seen.heard_out else [],
        )
    )


def environment() -> jinja2.Environment:
    """Templates for TOML: what is filled in is quoted by `tojson`, whose strings are TOML's too.

    What a server said is quoted by `words`, which keeps it on one line.
    """
    loader = jinja2.PackageLoader("harness.discovery", "")
    made = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
    made.filters["words"] = lambda text: printable(shortened(text, LONGEST))
    return made


# What is not claimed


def _without(profile: Profile, seen: Seen, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """The rules for which nothing was seen that they could rest on, each with what would do."""
    for rule in filter(profile.claims, catalogue):
        if reason := _not_looked_at(rule, profile, seen):
            yield rule.id, reason
        elif reason := next(unfounded(profile, rule), ""):
            yield rule.id, _in_other_words(rule, profile, seen) or reason
        elif rule.about_certificate and seen.face.distrusted:
            mend = f"; mend tls.{seen.face.trusting}" if seen.face.trusting else ""
            yield rule.id, f"{seen.face.distrusted}{mend}"


def _not_looked_at(rule: Rule, profile: Profile, seen: Seen) -> str:
    """Why a rule is none of what was looked at; empty when it is."""
    if rule.stage is Stage.TLS and "STARTTLS" not in seen.face.keywords:
        return seen.face.unseen or "it offers no STARTTLS"
    if rule.stage is Stage.AUTH and not seen.face.offers_auth:
        return seen.face.unseen or "it offers no AUTH, in clear text or under TLS"
    if (
        rule.offence is Offence.TOO_MANY_RECIPIENTS
        and seen.heard_out
        and not (seen.limit and seen.limit.outcome)
    ):
        return "no limit follows from naming one recipient again and again; set policy.max_recipients"
    if rule.offence is Offence.RELAYING:
        return seen.way.unheard
    if rule.offence is None and rule.stage in (Stage.TLS, Stage.AUTH):
        return ""
    if seen.heard_out:
        return ""
    no_domain = rule.offence in (Offence.OWN_NAME_GREETING, Offence.OWN_HOST_GREETING) and not seen.domains
    if no_domain and not seen.way.unheard:
        return "it took mail for no domain that was tried; name one with --domain"
    seen_early = [one for one in seen.sightings if one.offence is rule.offence]
    before_rcpt = DIALOGUE[: DIALOGUE.index(Stage.RCPT)]
    if seen_early and all(one.outcome and one.outcome.stage in before_rcpt for one in seen_early):
        return ""
    if seen.way.unheard:
        return seen.way.unheard
    if seen.way.trusted:
        return "it relays for all addresses that clients could come from, so nothing follows for strangers"
    if seen.recipient:
        return f"by the time that this was looked at innocent clients got no further than {seen.stopped}"
    return NO_USER


def _not_alike(without: Mapping[str, str], seen: Seen, catalogue: Catalogue) -> dict[str, str]:
    """The rules about offences of which one came out so and another otherwise."""
    differing = {one.offence: one for one in _dissent(seen, catalogue)}
    return {
        rule.id: f"not all such clients met the same; one that {differing[rule.offence].did} met otherwise"
        for rule in catalogue
        if rule.offence in differing and rule.id not in without
    }


def _untried(profile: Profile, seen: Seen, catalogue: Catalogue) -> Iterator[str]:
    """The rules that hold nothing against anybody, of groups of which nothing else was looked at either."""
    sighted = {one.offence for one in (*seen.sightings, *seen.lists.sightings)}
    looked_at = {rule.group.prefix for rule in catalogue if rule.offence in sighted and not rule.borrowed}
    for rule in catalogue:
        described = bool(rule.described) and not undescribed(profile, rule)
        if rule.offence is None and rule.group.prefix not in looked_at and not described:
            yield rule.id


def _resting_on_nothing(
    without: Mapping[str, str], doubtful: Collection[str], catalogue: Catalogue
) -> dict[str, str]:
    """The doubtful rules that rest on one that is not claimed."""
    resting = {}
    for rule in catalogue:
        below = [one for one in catalogue.foundations(rule) if one in without]
        if below and rule.id in doubtful and rule.id not in without:
            resting[rule.id] = f"{RESTS_ON} {below[0]}, which is not claimed"
    return resting


def _in_other_words(rule: Rule, profile: Profile, seen: Seen) -> str:
    """What there is to say of a rule that has nothing to rest on, where more is known than a check knows."""
    key = undescribed(profile, rule)
    late = all(outcome.late for outcome in profile.expectation(rule)[0])
    if key == "greylist" and seen.deferral:
        return f"whether its «{printable(shortened(seen.deferral.said, LONGEST))}» is a greylist is not known"
    if key == "dnsbl" and seen.lists.lists:
        return "how the lists count that it asks about its clients is not known"
    if key == "dnsbl" and seen.deaf:
        return seen.unasked
    if key in UNSEEN:
        return UNSEEN[key]
    if late and not seen.resolves:
        return f"a delay was not looked for: {seen.unasked}"
    if late and not seen.compared:
        return "a delay was not looked for: nothing followed from what odd clients met"
    tried = [one for one in seen.sightings if one.offence is rule.offence]
    unheard = next((one for one in tried if one.outcome is None), None)
    if late and rule.offence and unheard:
        said = printable(shortened(unheard.said, LONGEST))
        return f"nothing followed from what one met that {unheard.did}: «{said}»"
    if late and rule.offence and not tried:
        return "whether anybody is kept waiting for this was not tried; if so, set policy.delay"
    if late:
        return "nobody was kept waiting for what was tried; if somebody is, set policy.delay"
    return ""


def _by_groups(without: Mapping[str, str], claimed: Sequence[Rule]) -> dict[str, str]:
    """The same with one pattern for a group of rules that all have the same reason."""
    merged: dict[str, str] = {}
    for rule_id, reason in without.items():
        pattern = next(f"{rule.group.prefix}.*" for rule in claimed if rule.id == rule_id)
        members = [without.get(rule.id) for rule in claimed if fnmatch.fnmatchcase(rule.id, pattern)]
        own = {member for member in members if not (member and member.startswith(RESTS_ON))}
        if len(own) == 1 and None not in own:
            merged[pattern] = own.pop() or reason
        else:
            merged[rule_id] = reason
    return merged


# What is said of the rest


def _answers(seen: Seen) -> list[tuple[str, str, str]]:
    """The answers of the dialect, each with what was done and said."""
    told = []
    for offence, answer in seen.speech.answers.items():
        shown = next(
            one
            for one in (*seen.sightings, *seen.lists.sightings)
            if one.offence is offence and one.outcome and one.outcome.answer == answer
        )
        told.append((offence.value, str(answer), f"a client that {shown.did}: «{shown.said}»"))
    if Offence.RELAYING not in seen.speech.answers and not (seen.speech.delay or seen.way.unheard):
        told.append((Offence.RELAYING.value, "deny", "not seen; see rules.expect"))
    if seen.limit and seen.limit.outcome and seen.limit.outcome.treatment is not Treatment.DROP:
        told.append((Offence.TOO_MANY_RECIPIENTS.value, str(seen.limit.outcome.answer), seen.limit.said))
    return told


def _dissent(seen: Seen, catalogue: Catalogue) -> Iterator[Sighting]:
    """What came out otherwise than the answer for its kind of offence."""
    for one in seen.sightings:
        documented = catalogue.documented(one.offence)
        if documented and one.outcome:
            answer = seen.speech.answers.get(one.offence, replace(documented.answer, codes=()))
            if one.outcome.answer != answer:
                yield one


def _seen_for(rule: Rule, sightings: Sequence[Sighting]) -> str:
    return next((one.said for one in sightings if one.offence is rule.offence), "")


def _time_named(greylist: GreylistSeen | None) -> str:
    """A time in what a greylist says."""
    found = TIME.search(greylist.said.partition(" after ")[0]) if greylist else None
    return found[0] if found else ""
