"""What DNS lists weigh, worked out from what clients on them met."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.discovery.weights import Group, Met, Weights, companies, differences, weigh


def met(truth: Weights, on: frozenset[str], *, noticed: bool) -> Met:
    total = truth.sum(on)
    if total >= truth.threshold:
        return Met.REFUSAL
    return Met.NOTICE if noticed and total > 0 else Met.NOTHING


def trials(truth: Weights, *, noticed: bool) -> dict[frozenset[str], Met]:
    zones = [zone for group in truth.of for zone in group]
    return {on: met(truth, on, noticed=noticed) for on in companies(zones)}


@pytest.mark.parametrize("noticed", [True, False])
@pytest.mark.parametrize(
    ("weights", "threshold"),
    [
        ({("traps",): 3, ("reports",): 2, ("policy",): 1, ("white",): -2}, 3),
        ({("traps",): 1, ("http", "misc", "smtp", "socks"): 1, ("reports",): 1}, 2),
        ({("a",): 1, ("b",): 1, ("c",): 1, ("d",): 1}, 3),
        ({("a",): 1, ("b",): 1}, 1),
        ({("a",): 2, ("b", "c"): 1, ("d",): 1, ("white",): -2}, 2),
    ],
)
def test_weights_that_are_found_again(weights: Mapping[Group, int], threshold: int, noticed: bool) -> None:
    truth = Weights(weights, threshold)
    assert weigh(trials(truth, noticed=noticed)) == truth


@given(
    st.lists(st.sampled_from([-2, -1, 1, 1, 1, 2, 3]), min_size=1, max_size=4),
    st.integers(1, 3),
    st.booleans(),
)
def test_whatever_is_found_explains_what_was_seen(numbers: list[int], threshold: int, noticed: bool) -> None:
    truth = Weights({(f"z{number}",): weight for number, weight in enumerate(numbers)}, threshold)
    seen = trials(truth, noticed=noticed)
    found = weigh(seen)
    assert found is not None
    assert {on: met(found, on, noticed=Met.NOTICE in seen.values()) for on in seen} == seen


def test_what_no_weights_explain() -> None:
    ab, a, b = frozenset("ab"), frozenset("a"), frozenset("b")
    c, abc = frozenset("c"), frozenset("abc")
    seen = {a: Met.REFUSAL, b: Met.REFUSAL, ab: Met.NOTHING, c: Met.NOTICE, abc: Met.NOTHING}
    assert weigh(seen) is None


def test_a_list_that_makes_no_difference_weighs_nothing() -> None:
    truth = Weights({("a",): 1, ("silent",): 0}, 1)
    seen = trials(truth, noticed=False)
    assert weigh(seen) == Weights({("a",): 1}, 1)
    assert list(differences(seen, "silent")) == []
    assert next(differences(seen, "a")) == frozenset()
