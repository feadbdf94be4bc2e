"""Covering arrays: few rows in which every pair of values occurs, with exclusions.

Built greedily, a row at a time, from a pair that has not occurred yet (D. Cohen, S. Dalal, M. Fredman,
G. Patton, The AETG System, 1997). That is what covertable does as well; forty dimensions of up to eleven
values take it minutes, and this a second.
"""

import itertools
import random
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

CANDIDATES = 2  # rows of which the one is kept that has the most new pairs
CHANCES = 20  # to complete a row from a pair before the pair counts as impossible

Value = Hashable
Row = dict[str, Value]
Spot = tuple[str, int]  # a dimension, and the number of one of its values


@dataclass(frozen=True)
class Exclusion:
    """Values of one dimension that do not go together with values of another."""

    one: str
    these: frozenset[Value]
    other: str
    those: frozenset[Value]

    def forbids(self, row: Mapping[str, Value]) -> bool:
        """Whether a row has one of each."""
        return row.get(self.one) in self.these and row.get(self.other) in self.those


class Space:
    """Dimensions, the values of each, and what excludes what."""

    def __init__(
        self, dimensions: Mapping[str, Sequence[Value]], exclusions: Sequence[Exclusion] = ()
    ) -> None:
        """Every dimension has at least one value, and none of them twice."""
        self.dimensions = dimensions
        self.exclusions = exclusions
        self._enemies: dict[Spot, set[Spot]] = {}
        number = {name: {value: i for i, value in enumerate(values)} for name, values in dimensions.items()}
        for exclusion in exclusions:
            ours = [(exclusion.one, number[exclusion.one][value]) for value in exclusion.these]
            theirs = [(exclusion.other, number[exclusion.other][value]) for value in exclusion.those]
            for one, other in itertools.product(ours, theirs):
                self._enemies.setdefault(one, set()).add(other)
                self._enemies.setdefault(other, set()).add(one)

    def lawful(self, row: Mapping[str, Value]) -> bool:
        """Whether nothing in a row excludes something else in it."""
        return not any(exclusion.forbids(row) for exclusion in self.exclusions)

    def pairs(self) -> Iterator[tuple[Spot, Spot]]:
        """Every pair of values of different dimensions that nothing excludes."""
        for one, other in itertools.combinations(self.dimensions, 2):
            for i, j in itertools.product(
                range(len(self.dimensions[one])), range(len(self.dimensions[other]))
            ):
                if (other, j) not in self._enemies.get((one, i), ()):
                    yield (one, i), (other, j)

    def at_random(self, chance: random.Random) -> Row:
        """A lawful row, each value drawn from those that what was drawn before it allows."""
        while (spots := self._complete({}, chance, {})) is None:
            pass
        return self._row(spots)

    def cover(self, chance: random.Random) -> list[Row]:
        """Lawful rows in which every pair occurs that can occur at all."""
        missing: dict[Spot, set[Spot]] = {}
        for one, other in self.pairs():
            missing.setdefault(one, set()).add(other)
            missing.setdefault(other, set()).add(one)
        rows: list[Row] = []
        order = list(self.pairs())
        chance.shuffle(order)
        for one, other in order:
            if other not in missing[one]:
                continue
            found = [self._from_pair(one, other, chance, missing) for _ in range(CANDIDATES)]
            best = max((spots for spots in found if spots), key=lambda s: _news(s, missing), default=None)
            if best is None:
                continue  # no row has both, whatever else it has
            for this, that in itertools.permutations(best.items(), 2):
                missing[this].discard(that)
            rows.append(self._row(best))
        return rows

    def _row(self, spots: Mapping[str, int]) -> Row:
        return {name: self.dimensions[name][spots[name]] for name in self.dimensions}

    def _from_pair(
        self, one: Spot, other: Spot, chance: random.Random, missing: Mapping[Spot, set[Spot]]
    ) -> dict[str, int] | None:
        for _ in range(CHANCES):
            spots = self._complete(dict((one, other)), chance, missing)
            if spots:
                return spots
        return None

    def _complete(
        self, spots: dict[str, int], chance: random.Random, missing: Mapping[Spot, set[Spot]]
    ) -> dict[str, int] | None:
        """A whole row, each further value the one with the most new pairs; None when it comes to no end."""
        rest = [name for name in self.dimensions if name not in spots]
        chance.shuffle(rest)
        taken = set(spots.items())
        for name in rest:
            numbers = list(range(len(self.dimensions[name])))
            chance.shuffle(numbers)
            allowed = [i for i in numbers if not (self._enemies.get((name, i), set()) & taken)]
            if not allowed:
                return None
            best = max(allowed, key=lambda i: len(missing.get((name, i), set()) & taken))
            spots[name] = best
            taken.add((name, best))
        return spots


def _news(spots: Mapping[str, int], missing: Mapping[Spot, set[Spot]]) -> int:
    """How many pairs of a row have not occurred yet."""
    taken = set(spots.items())
    return sum(len(missing.get(spot, set()) & taken) for spot in taken)
