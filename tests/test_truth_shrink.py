"""Shrinking: of a server with many differences those stay without which it does not show."""

from collections.abc import Iterator

from harness.truth.dimensions import draw, lawful
from harness.truth.draw import Answer, Draw
from harness.truth.shrink import differences, reduced_to, shrunk

HELD = Answer("accept", held=True)


def _showing(*names: str, of: Draw) -> "_Needs":
    return _Needs({name: getattr(of, name) for name in names})


class _Needs:
    """Shows where the dimensions have these values; counts the servers that it was asked about."""

    def __init__(self, values: dict[str, object]) -> None:
        self.values = values
        self.asked = 0

    def __call__(self, tried: list[Draw]) -> Iterator[tuple[Draw, bool]]:
        for one in tried:
            self.asked += 1
            yield one, all(getattr(one, name) == value for name, value in self.values.items())


def test_only_what_is_needed_stays() -> None:
    drawn = draw(1, 3)
    alone = [name for name in differences(drawn) if lawful(reduced_to(drawn, (name,)))]
    needed = alone[3], alone[-2]
    needs = _showing(*needed, of=drawn)
    assert shrunk(drawn, needs) == reduced_to(drawn, needed)
    assert needs.asked < 60


def test_what_shows_everywhere_shows_in_the_default_server() -> None:
    needs = _Needs({})
    assert shrunk(draw(1, 3), needs) == Draw()


def test_a_server_that_must_be_whole_stays_whole() -> None:
    drawn = Draw(told="data", delay=1.0, bounce=Answer("close"))
    assert shrunk(drawn, _showing("told", "delay", "bounce", of=drawn)) == drawn


def test_only_lawful_servers_are_tried() -> None:
    """Without a delay nothing is held, so the answer cannot go back to the document's alone."""
    drawn = Draw(delay=0.0, relaying=Answer("refuse"))
    tried: list[Draw] = []

    def shows(some: list[Draw]) -> Iterator[tuple[Draw, bool]]:
        tried.extend(some)
        return ((one, False) for one in some)

    assert shrunk(drawn, shows) == drawn
    assert Draw(delay=0.0) not in tried
