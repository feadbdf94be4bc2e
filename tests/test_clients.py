"""How a host that is played comes to be known to the server's greylist, and what is certain of that."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.outcome import Stage
from harness.rules import Catalogue
from harness.runs.assembly import Wish, open_run
from harness.runs.run import Run
from harness.world.client import Client
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
