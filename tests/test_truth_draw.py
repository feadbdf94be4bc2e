"""Drawn servers: every pair of values occurs, and a number always means the same server."""

import dataclasses
import itertools
import random
from typing import Any

from harness.truth.cover import Exclusion, Space
from harness.truth.dimensions import DIMENSIONS, EXCLUSIONS, covering, draw, lawful, told
from harness.truth.draw import Answer, Draw

SPACE = {"one": (1, 2, 3), "two": ("a", "b"), "three": (False, True), "four": (None, 5)}


def test_every_pair_of_values_occurs_that_can_occur() -> None:
    seen = {
        ((one, getattr(drawn, one)), (other, getattr(drawn, other)))
        for drawn in covering(7)
        for one, other in itertools.combinations(DIMENSIONS, 2)
    }
    missing = [
        (first, second)
        for one, other in itertools.combinations(DIMENSIONS, 2)
        for first in ((one, value) for value in DIMENSIONS[one])
        for second in ((other, value) for value in DIMENSIONS[other])
        if (first, second) not in seen and not _is_excluded(dict((first, second)))
    ]
    assert not missing


def test_each_drawn_server_is_lawful() -> None:
    assert all(lawful(draw(3, number)) for number in range(600))


def test_the_same_number_is_the_same_server() -> None:
    first = [draw(11, number) for number in (0, 5, 400, 401)]
    covering.cache_clear()
    assert [draw(11, number) for number in (401, 400, 5, 0)] == first[::-1]
    assert draw(12, 400) != first[2]


def test_every_field_is_a_dimension_and_begins_with_its_default() -> None:
    assert {field.name for field in dataclasses.fields(Draw)} == DIMENSIONS.keys()
    assert all(getattr(Draw(), name) == values[0] for name, values in DIMENSIONS.items())
    assert lawful(Draw())


def test_what_is_not_as_by_default_is_told() -> None:
    drawn = Draw(told="rcpt", bounce=Answer("close", held=True))
    assert told(drawn) == "told='rcpt', bounce=held+close"


def test_a_covering_array_has_all_pairs_but_those_that_are_excluded() -> None:
    exclusion = Exclusion("one", frozenset({1, 2}), "two", frozenset({"b"}))
    rows = Space(SPACE, [exclusion]).cover(random.Random(1))
    assert not any(exclusion.forbids(row) for row in rows)
    for one, other in itertools.combinations(SPACE, 2):
        wanted: set[tuple[Any, Any]] = set(itertools.product(SPACE[one], SPACE[other]))
        if (one, other) == ("one", "two"):
            wanted -= {(1, "b"), (2, "b")}
        assert {(row[one], row[other]) for row in rows} == wanted


def test_a_pair_that_no_row_can_have_is_left_out() -> None:
    """Each value of the third excludes one of the two, so they never meet."""
    exclusions = [
        Exclusion("one", frozenset({1}), "three", frozenset({True})),
        Exclusion("two", frozenset({"a"}), "three", frozenset({False})),
    ]
    rows = Space(SPACE, exclusions).cover(random.Random(1))
    assert not any(row["one"] == 1 and row["two"] == "a" for row in rows)
    assert any(row["one"] == 1 and row["two"] == "b" for row in rows)


def _is_excluded(pair: dict[str, Any]) -> bool:
    return any(exclusion.forbids(pair) for exclusion in EXCLUSIONS)
