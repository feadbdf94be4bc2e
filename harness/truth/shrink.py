"""From a server about which a verdict is wrong to the smallest one that shows it."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

from harness.truth.dimensions import DIMENSIONS, default, lawful
from harness.truth.draw import Draw

Shows = Callable[[list[Draw]], Iterable[tuple[Draw, bool]]]


def differences(drawn: Draw) -> list[str]:
    """The dimensions in which a server is not as by default."""
    return [name for name in DIMENSIONS if getattr(drawn, name) != default(name)]


def reduced_to(drawn: Draw, names: Iterable[str]) -> Draw:
    """The server with everything else as by default."""
    return Draw(**{name: getattr(drawn, name) for name in names})


def shrunk(drawn: Draw, shows: Shows) -> Draw:
    """A server with as few differences as can be found, in which the same still shows.

    `shows` tries several servers, side by side, and yields each with whether it does. First large parts of
    the differences are left out, then smaller ones (A. Zeller, R. Hildebrandt, Simplifying and Isolating
    Failure-Inducing Input, 2002); in the end none can be left out alone.
    """
    kept, parts = differences(drawn), 2
    while kept:
        parts = min(parts, len(kept))
        tried = [one for one in _without_a_part(drawn, kept, parts) if lawful(one)]
        found = next((one for one, does in shows(tried) if does), None) if tried else None
        if found is not None:
            kept, parts = differences(found), max(2, parts - 1)
        elif parts == len(kept):
            break
        else:
            parts *= 2
    return reduced_to(drawn, kept)


def _without_a_part(drawn: Draw, kept: list[str], parts: int) -> Iterator[Draw]:
    """Each time another part of the differences is left out; at first all of them."""
    if parts == 2:
        yield Draw()
    for number in range(parts):
        left_out = kept[number * len(kept) // parts : (number + 1) * len(kept) // parts]
        yield dataclasses.replace(
            drawn, **{name: default(name) for name in DIMENSIONS if name not in kept or name in left_out}
        )
