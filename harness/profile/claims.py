"""Reads a profile, and holds what it claims against the catalogue of rules."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_origin

from harness import settings
from harness.profile.authorities import unfit_authorities
from harness.profile.deviations import BESIDE, Deviation, Expected
from harness.profile.model import Profile
from harness.rules import Catalogue, Rule

UNDELAYED = "policy.delay is 0 and a delay is promised; set the delay, or say what is earned instead"


def load(path: Path, catalogue: Catalogue) -> Profile:
    """Read a profile and hold its claims against the catalogue; raises `settings.SettingsError`.

    So it does where a file that it names for the authority of a certificate has none. The known deviations in
    an `expected.toml` beside it are added to its own.
    """
    profile = settings.read(path, Profile)
    if problems := [*contradictions(profile, catalogue), *unfit_authorities(profile)]:
        raise settings.SettingsError(path, problems)
    profile = profile.beside(catalogue)
    beside = path.parent / BESIDE
    if not beside.is_file():
        return profile
    more = settings.read(beside, Expected).deviation
    if problems := [*_unknown_deviations(profile, catalogue, more)]:
        raise settings.SettingsError(beside, problems)
    return profile.model_copy(update={"deviation": (*profile.deviation, *more)})


def contradictions(profile: Profile, catalogue: Catalogue) -> list[str]:
    """What the profile claims and cannot mean, as sentences that begin with the key.

    What it names may be of any suite that is installed; what it must describe follows from the rules that are
    to be tried. Raises `settings.SettingsError` for a suite that asks for keys which no profile has.
    """
    problems = [
        *_unknown_suites(profile, catalogue),
        *_unknown_rules(profile, catalogue),
        *_unknown_deviations(profile, catalogue, profile.deviation),
    ]
    reasons: dict[str, list[Rule]] = {}
    beside = profile.beside(catalogue)
    for rule in catalogue:
        if profile.claims(rule):
            for reason in unfounded(beside, rule):
                reasons.setdefault(reason, []).append(rule)
    how = (
        ""
        if "claim" in profile.rules.model_fields_set
        else ", as all rules are unless [rules] says otherwise"
    )
    for reason, rules in reasons.items():
        instead = f" ({_where_it_is_said(rules)})" if reason == UNDELAYED else ""
        problems.append(f"rules: {_listed([rule.id for rule in rules])} claimed{how}; but {reason}{instead}")
    return problems


def _unknown_suites(profile: Profile, catalogue: Catalogue) -> Iterator[str]:
    names = list(catalogue.known_suites)
    for key, named in (("claim", profile.suites.claim), ("without", profile.suites.without)):
        for name in named:
            if name not in names:
                near = settings.nearest(name, names)
                yield (
                    f"suites.{key}: no suite is called {name!r}; {near}; one that lies elsewhere than below "
                    "scenarios/ is known where its folder is named: pytest FOLDER, or "
                    "smtp-harness doctor PROFILE FOLDER"
                )
    for name in profile.suites.claim:
        if name in profile.suites.without:
            yield f"suites.claim: {name!r} stands under suites.without as well; leave one of them out"


def _unknown_rules(profile: Profile, catalogue: Catalogue) -> Iterator[str]:
    known = catalogue.known
    for key, patterns in (("claim", profile.rules.claim), ("without", profile.rules.without)):
        yield from (f"rules.{key}: {said}" for said in settings.misfits(patterns, list(known), "rule"))
    for rule_id in profile.rules.expect:
        if rule_id not in known:
            yield f"rules.expect.{rule_id}: unknown rule; {settings.nearest(rule_id, list(known))}"
        elif not profile.claims_suite(known[rule_id]):
            name = known[rule_id].suite
            yield (
                f"rules.expect.{rule_id}: the suite {name!r} is not claimed; claim it under suites.claim or "
                "drop the override"
            )
        elif not profile.claims(known[rule_id]):
            yield f"rules.expect.{rule_id}: the rule is not claimed; claim it or drop the override"


def _unknown_deviations(
    profile: Profile, catalogue: Catalogue, listed: tuple[Deviation, ...]
) -> Iterator[str]:
    known = catalogue.known
    for number, one in enumerate(listed):
        about = [rule for rule in known.values() if one.is_about(rule.id)]
        if not about:
            near = settings.nearest(one.rule, list(known))
            yield f"deviation.{number}.rule: {one.rule!r} matches no rule; {near}"
        elif not any(map(profile.claims, about)):
            yield (
                f"deviation.{number}.rule: {one.rule!r} is not claimed, and what is not claimed cannot fail; "
                "claim it or drop the entry"
            )


def unfounded(profile: Profile, rule: Rule) -> Iterator[str]:
    """Why the profile cannot mean that it claims a rule, each with its mend.

    Raises `settings.SettingsError` for a suite that asks for keys which no profile has.
    """
    expectation, _ = profile.expectation(rule)
    if profile.policy.delay == 0 and all(outcome.late for outcome in expectation):
        yield UNDELAYED
    if key := undescribed(profile, rule):
        pattern = f"{rule.group.prefix}.*" if rule.must_describe is None else rule.id
        yield f"{_lacks_key(key)} put {pattern} under rules.without"


def undescribed(profile: Profile, rule: Rule) -> str:
    """The first key that a profile must have to claim a rule, and has not; empty when it has them all.

    Raises `settings.SettingsError` for a suite that asks for keys which no profile has.
    """
    for key in rule.described:
        parts = key.split(".")
        for depth in range(len(parts)):
            known = settings.keys_at(Profile, tuple(parts[:depth]))
            if parts[depth] not in known:
                near = settings.nearest(parts[depth], known)
                raise settings.SettingsError(
                    rule.suite, [f"{rule.id}: must_describe has {key!r}, which no profile has; {near}"]
                )
    return next((key for key in rule.described if not _is_described(profile, key.split("."))), "")


def _is_described(found: object, keys: list[str]) -> bool:
    """Whether there is something under these keys; of several tables any one will do."""
    if not keys or found is None:
        return bool(found)
    if isinstance(found, tuple):
        return any(_is_described(one, keys) for one in found)
    return _is_described(getattr(found, keys[0]), keys[1:])


def _lacks_key(key: str) -> str:
    table, _, inner = key.partition(".")
    several = get_origin(Profile.model_fields[table].annotation) is tuple
    if inner:
        return f"no [[{table}]] has {inner}; add it or" if several else f"{key} is empty; fill it or"
    return f"there is no {f'[[{table}]]' if several else f'[{table}]'}; describe it or"


def _where_it_is_said(rules: list[Rule]) -> str:
    """The keys that say what is earned where the rules have a delay."""
    offences = dict.fromkeys(str(rule.offence) for rule in rules if rule.offence)
    others = [f'[rules.expect."{rule.id}"]' for rule in rules if not rule.offence]
    answers = [f"under [dialect.answers] as {', '.join(offences)}"] if offences else []
    return "; ".join([*answers, *([f"in {', '.join(others)}"] if others else [])])


def _listed(names: list[str]) -> str:
    first, *more = names
    return f"{first} and {len(more)} more are" if more else f"{first} is"
