"""How a host that is played comes to be known to the server's greylist, and what is certain of that."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.outcome import Stage
from harness.profile.tables import GreylistPart
from harness.rules import Catalogue
from harness.runs.assembly import Wish, open_run
from harness.runs.run import Run
from harness.verdicts import InconclusiveError, NotTestableError
from harness.world.client import Client
from harness.world.conversation import Attempt
from harness.world.internet import Kind


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with open_run(Wish(Catalogue.below(Path("scenarios")))) as run:
        yield run


def spoken(client: Client) -> bool:
    """Whether the greylist may put it off in a dialogue by hand."""
    with client.conversation() as talk:
        talk.connect()
        return talk.quit().awaits_greylist


def test_a_host_on_the_whitelist_is_never_put_off(run: Run) -> None:
    client = run.client(run.world(), Kind.KNOWN)
    assert not spoken(client)
    client.another_name("second")
    assert not spoken(client)  # by whichever of its names it is taken
    client.another_ptr("mx.elsewhere.example")
    assert spoken(client)


def test_a_host_that_was_put_off_and_came_again_is_known(run: Run) -> None:
    assert spoken(run.client(run.world(), Kind.STRANGER))
    known = run.client(run.world(), Kind.KNOWN)
    known.without_ptr()
    known.be_known()
    assert known.came_before
    assert not spoken(known)


def test_a_host_that_was_not_put_off_before_may_be_later(run: Run) -> None:
    client = run.client(run.world(), Kind.KNOWN)
    client.another_ptr("mx.elsewhere.example")
    client.put_off = (Stage.RCPT, 451)  # on an earlier occasion, for another recipient
    client.be_known()  # it is let through at once
    assert not client.came_before


class Clock:
    """What its owner lets pass."""

    def __init__(self) -> None:
        self.passed: list[tuple[str, float]] = []

    def advance(self, client: str, seconds: float) -> None:
        self.passed.append((client, seconds))


def host(run: Run, kind: Kind, clock: Clock | None, *parts: GreylistPart, key: str = "network") -> Client:
    """One of a greylist that goes by these parts, and by networks unless told otherwise."""
    greylist = run.profile.greylist
    assert greylist
    changed = greylist.model_copy(update={"key": key, "parts": (GreylistPart.CLIENT, *parts)})
    profile = run.profile.model_copy(update={"greylist": changed})
    run = replace(run, profile=profile)
    world = run.world()
    world.internet = replace(world.internet, profile=profile)
    world.clock = clock  # type: ignore[assignment]
    return run.client(world, kind)


def relay_host(run: Run, clock: Clock | None, *parts: GreylistPart) -> Client:
    """One of many in a network by which the greylist goes, and by these parts."""
    return host(run, Kind.TRUSTED, clock, *parts)


def taken(client: Client, meanwhile: Callable[[], object]) -> Callable[[], Attempt]:
    def once() -> Attempt:
        meanwhile()
        return client.attempt(patient=False)

    return once


def test_whom_the_greylist_may_know_by_its_neighbours_is_forgotten_first(run: Run) -> None:
    clock = Clock()
    client = relay_host(run, clock)
    client.forgotten(taken(client, lambda: None))
    ((address, seconds),) = clock.passed
    assert address == client.address
    assert seconds > client.world.sut.greylist.lifetime


def test_who_is_told_by_its_sender_is_not_known_by_its_neighbours(run: Run) -> None:
    clock = Clock()
    client = relay_host(run, clock, GreylistPart.SENDER)
    client.forgotten(taken(client, lambda: None))
    assert not clock.passed


@pytest.mark.parametrize("kind", [Kind.TRUSTED, Kind.KNOWN, Kind.STRANGER])
def test_who_bounces_has_no_sender_and_may_be_known_by_others(run: Run, kind: Kind) -> None:
    clock = Clock()
    client = host(run, kind, clock, GreylistPart.SENDER)
    client.forgotten(taken(client, lambda: None), bounces=True)
    assert [address for address, _ in clock.passed] == [client.address]


def test_an_attempt_beside_a_neighbour_that_comes_again_counts_for_nothing(run: Run) -> None:
    clock = Clock()
    client = relay_host(run, clock)
    retries, beside = client.world.internet.retries, [True, False]

    def neighbour() -> None:
        if beside.pop(0):
            with retries.coming_again(client.address):
                pass

    client.forgotten(taken(client, neighbour))
    assert len(clock.passed) == 2
    with retries.coming_again(client.address), pytest.raises(InconclusiveError, match="came again"):
        client.forgotten(taken(client, lambda: None))


def test_a_neighbour_that_comes_while_the_clock_is_moved_keeps_its_network_known(run: Run) -> None:
    class SlowClock(Clock):
        def advance(self, client: str, seconds: float) -> None:
            super().advance(client, seconds)
            if len(self.passed) == 1:
                retries.comes(neighbour.address)

    clock = SlowClock()
    client = relay_host(run, clock)
    neighbour, retries = client.another(), client.world.internet.retries
    with retries.coming_again(client.address):
        pass
    client.forgotten(taken(client, lambda: None))
    assert len(clock.passed) == 2


def test_without_a_clock_nobody_is_forgotten(run: Run) -> None:
    client = relay_host(run, None)
    with pytest.raises(NotTestableError, match=r"no \[clock\]"):
        client.forgotten(taken(client, lambda: None))


def test_a_stranger_is_forgotten_that_earlier_runs_may_have_made_known(run: Run) -> None:
    clock = Clock()
    stranger = host(run, Kind.STRANGER, clock)
    ((address, seconds),) = clock.passed
    assert address == stranger.address
    assert seconds > stranger.world.sut.greylist.lifetime
    other = stranger.another()
    assert [address for address, _ in clock.passed] == [stranger.address, other.address]


def test_without_a_clock_there_are_no_strangers_among_few(run: Run) -> None:
    with pytest.raises(NotTestableError, match=r"only \d+ networks \(/24\)"):
        host(run, Kind.STRANGER, None)


@pytest.mark.parametrize(
    ("parts", "key"),
    [
        ((GreylistPart.SENDER,), "network"),
        ((GreylistPart.SENDER_DOMAIN,), "network"),
        ((), "address"),  # of which there are many
        ((), "host"),
    ],
)
def test_a_stranger_that_no_earlier_run_has_made_known(
    run: Run, parts: tuple[GreylistPart, ...], key: str
) -> None:
    clock = Clock()
    host(run, Kind.STRANGER, clock, *parts, key=key)
    assert not clock.passed


def test_the_bounces_of_earlier_runs_are_forgotten_where_senders_count_as_well(run: Run) -> None:
    clock = Clock()
    stranger = host(run, Kind.STRANGER, clock, GreylistPart.SENDER)
    stranger.forget_earlier_runs(bounces=True)
    assert [address for address, _ in clock.passed] == [stranger.address]
    with pytest.raises(NotTestableError, match="a bounce has no sender"):
        host(run, Kind.STRANGER, None, GreylistPart.SENDER).forget_earlier_runs(bounces=True)
