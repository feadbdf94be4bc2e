"""A canary: whether an innocent client meets in the middle of a run what innocent clients met at first."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.outcome import Stage
from harness.rules import Catalogue
from harness.runs.assembly import Wish, open_run
from harness.runs.baseline import Baseline, Innocent, Meeting
from harness.runs.run import Run
from harness.smtp.session import Ending
from harness.world.conversation import Attempt


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with open_run(Wish(Catalogue.below(Path("scenarios")))) as run:
        yield run


@pytest.mark.parametrize(
    ("asked_at", "found"),
    [(Stage.DATA, "the server asked our DNS nothing about an innocent client"), (None, "")],
    ids=["it asked at DATA", "it never asked"],
)
def test_questions_are_missed_only_where_they_were_asked_at_the_beginning(
    monkeypatch: pytest.MonkeyPatch, run: Run, asked_at: Stage | None, found: str
) -> None:
    goals: list[Stage] = []

    def meet(run: Run, innocent: Innocent, *, patient: bool) -> Meeting:
        goals.append(innocent.goal)
        client = run.observer(run.world())
        return Meeting(innocent, client, Attempt(client.address, (), Ending.QUIT))

    monkeypatch.setattr("harness.runs.run.meet", meet)
    assert replace(run, baseline=Baseline(asked_at=asked_at)).trouble() == found
    assert {*goals} == {asked_at or Stage.RCPT}  # as far as it asked
