"""What DNS lists weigh, from who was refused: the smallest weights and threshold that explain everything.

A group of zones counts once. What was not seen to make a difference weighs nothing.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

HIGHEST = 6  # threshold that is reckoned with
LEAST_HIGHEST = 3  # weight that is reckoned with, whatever the threshold


class Met(Enum):
    """What a client on some lists met."""

    NOTHING = "what innocent clients meet"
    NOTICE = "a delay, or whatever else those meet that are listed and not refused"
    REFUSAL = "a refusal"


Group = tuple[str, ...]  # zones that count once
Trials = Mapping[frozenset[str], Met]  # by the zones that a client was on


@dataclass(frozen=True)
class Weights:
    """What each group of zones weighs, and how much is enough for a refusal."""

    of: Mapping[Group, int]
    threshold: int

    def sum(self, on: Iterable[str]) -> int:
        """Of the lists that name a client."""
        named = set(on)
        return sum(weight for group, weight in self.of.items() if named & {*group})

    def explains(self, on: frozenset[str], met: Met, *, noticed: bool) -> bool:
        """Whether a client on these zones meets that; with `noticed` a smaller sum above 0 shows as well."""
        total = self.sum(on)
        if (total >= self.threshold) is not (met is Met.REFUSAL):
            return False
        return not noticed or met is Met.REFUSAL or (total > 0) is (met is Met.NOTICE)


def weigh(trials: Trials) -> Weights | None:
    """The smallest threshold, and then the smallest weights; None when no weights explain the trials."""
    zones = [
        zone
        for zone in sorted(frozenset[str]().union(*trials))
        if next(differences(trials, zone), None) is not None
    ]
    noticed = Met.NOTICE in trials.values()
    for threshold in range(1, HIGHEST + 1):
        for groups in _groupings(zones, trials):
            if found := _smallest(groups, threshold, trials, noticed=noticed):
                return found
    return None


def companies(zones: Sequence[str], most: int = 3) -> list[frozenset[str]]:
    """The combinations that tell weights from each other: up to so many zones, and all of them."""
    sizes = range(1, min(most, len(zones)) + 1)
    found = [frozenset(one) for size in sizes for one in itertools.combinations(zones, size)]
    return list(dict.fromkeys([*found, frozenset(zones)]))


def differences(trials: Trials, zone: str) -> Iterator[frozenset[str]]:
    """The company in which it makes a difference to be on a zone as well, the smallest first."""
    for on in sorted({frozenset[str](), *(one - {zone} for one in trials)}, key=len):
        with_it = trials.get(on | {zone})
        if with_it is not None and with_it is not trials.get(on, Met.NOTHING):
            yield on


def _groupings(zones: Sequence[str], trials: Trials) -> Iterator[list[Group]]:
    """Each zone by itself, and then those in groups that can be told from no other member."""
    yield [(zone,) for zone in zones]
    groups: list[list[str]] = []
    for zone in zones:
        group = next((one for one in groups if all(_alike(zone, other, trials) for other in one)), None)
        if group:
            group.append(zone)
        else:
            groups.append([zone])
    if len(groups) < len(zones):
        yield [tuple(group) for group in groups]


def _alike(one: str, other: str, trials: Trials) -> bool:
    """Whether two zones together are no more than one, and do the same in whatever company."""
    alone = trials.get(frozenset({one}))
    if (
        trials.get(frozenset({one, other}), alone) is not alone
        or next(differences(trials, one), None) is None
    ):
        return False
    for on, met in trials.items():
        if one in on and other not in on and trials.get((on - {one}) | {other}, met) is not met:
            return False
    return True


def _smallest(groups: Sequence[Group], threshold: int, trials: Trials, *, noticed: bool) -> Weights | None:
    """The weights of the least sum, if there are any."""
    best: tuple[int, dict[Group, int]] | None = None
    rank = {zone: number for number, group in enumerate(groups) for zone in group}
    due: list[list[tuple[frozenset[str], Met]]] = [[] for _ in groups]  # decided once that group has a weight
    for on, met in trials.items():
        if counting := [rank[zone] for zone in on if zone in rank]:
            due[max(counting)].append((on, met))
    most = max(2 * threshold, LEAST_HIGHEST)
    choices = sorted(range(-most, most + 1), key=lambda weight: (abs(weight), -weight))

    def assign(number: int, weights: dict[Group, int], cost: int) -> None:
        nonlocal best
        if best and cost >= best[0]:
            return
        if number == len(groups):
            best = (cost, dict(weights))
            return
        for weight in choices:
            weights[groups[number]] = weight
            so_far = Weights(weights, threshold)
            if all(so_far.explains(on, met, noticed=noticed) for on, met in due[number]):
                assign(number + 1, weights, cost + abs(weight))
            del weights[groups[number]]

    assign(0, {}, 0)
    return Weights(best[1], threshold) if best else None
