"""A canary: whether an innocent client meets in the middle of a run what innocent clients met at first."""

import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from harness.outcome import Outcome, Stage
from harness.profile.tables import Override
from harness.rules import Catalogue
from harness.runs.assembly import Wish, begin, open_run
from harness.runs.baseline import Baseline, Innocent, Meeting
from harness.runs.play import Play
from harness.runs.run import MOST_TROUBLES, Run, ailing, own_address
from harness.runs.steadiness import Steadiness
from harness.smtp.endpoint import Endpoint
from harness.smtp.reply import Reply
from harness.smtp.session import Ending
from harness.smtp.transport import Tcp
from harness.world.client import Client
from harness.world.conversation import Attempt, Step
from harness.world.internet import Kind
from tests.hostile_server import HostileServer
from tests.test_baseline import Politely


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with open_run(Wish(Catalogue.below(Path("scenarios")))) as run:
        yield run


@pytest.mark.parametrize(
    ("asked_at", "unasked", "found"),
    [
        (Stage.DATA, {"trusted"}, "the server asked our DNS nothing about an innocent client"),
        (Stage.DATA, {"known"}, ""),
        (None, (), ""),
    ],
    ids=["it asked at DATA", "it asked about others", "it never asked"],
)
def test_questions_are_missed_only_where_they_were_asked_at_the_beginning(
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    asked_at: Stage | None,
    unasked: Collection[str],
    found: str,
) -> None:
    goals: list[Stage] = []

    def meet(run: Run, innocent: Innocent, *, patient: bool) -> Meeting:
        goals.append(innocent.goal)
        client = run.observer(run.world())
        return Meeting(innocent, client, Attempt(client.address, (), Ending.QUIT))

    monkeypatch.setattr("harness.runs.run.meet", meet)
    baseline = Baseline(asked_at=asked_at, unasked=frozenset(unasked))
    assert replace(run, baseline=baseline).trouble() == found
    assert {*goals} == {Stage.DATA if found else Stage.RCPT}  # as far as it asked


def test_canaries_of_several_kinds_do_not_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    """Where the greeting is held back for all, each is out for as long as that."""
    both_are_out = threading.Barrier(2)

    def meet(run: Run, innocent: Innocent, *, patient: bool) -> Meeting:
        both_are_out.wait(30.0)
        client = run.observer(run.world())
        return Meeting(innocent, client, Attempt(client.address, (), Ending.QUIT))

    monkeypatch.setattr("harness.runs.run.meet", meet)
    run = replace(run, baseline=Baseline(asked_at=None))
    kinds = [Innocent(Kind.KNOWN, run.sut.recipient, goal=goal) for goal in (Stage.RCPT, Stage.DATA)]
    with ThreadPoolExecutor(2) as pool:
        assert [*pool.map(lambda kind: run.trouble(like=kind), kinds)] == ["", ""]


def test_of_a_kind_one_canary_is_out_at_a_time(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    alone = threading.Lock()

    def meet(run: Run, innocent: Innocent, *, patient: bool) -> Meeting:
        assert alone.acquire(blocking=False), "two are out"
        client = run.observer(run.world())
        alone.release()
        return Meeting(innocent, client, Attempt(client.address, (), Ending.QUIT))

    monkeypatch.setattr("harness.runs.run.meet", meet)
    run = replace(run, baseline=Baseline(asked_at=None))
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(lambda _: run.trouble(), range(200))] == [""] * 200


def test_trouble_that_others_have_been_served_since_slows_nothing_down(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    """Whoever hung for a minute tells nothing of a server that serves those who came after it."""
    is_out, may_come_back = threading.Event(), threading.Event()
    refused = Step(Stage.RCPT, "", (Reply(REFUSED, ("text",), b"", 0.0, 0.0),), 0.0, 0.0)

    def meet(run: Run, innocent: Innocent, *, patient: bool) -> Meeting:
        client = run.observer(run.world())
        if innocent.goal is Stage.DATA:
            return Meeting(innocent, client, Attempt(client.address, (), Ending.QUIT))
        is_out.set()
        assert may_come_back.wait(30.0)
        return Meeting(innocent, client, Attempt(client.address, (refused,), Ending.QUIT), "refused", refused)

    monkeypatch.setattr("harness.runs.run.meet", meet)
    run = replace(run, baseline=Baseline(asked_at=None), steadiness=Steadiness())
    with ThreadPoolExecutor(1) as pool:
        hangs = pool.submit(run.trouble)
        assert is_out.wait(30.0)
        assert run.trouble(like=Innocent(Kind.KNOWN, run.sut.recipient, goal=Stage.DATA)) == ""
        may_come_back.set()
        assert hangs.result() != ""
    assert run.pace.rate == run.profile.server.rate


SERVED, PUT_OFF, REFUSED = 250, 451, 550


@pytest.mark.parametrize(
    ("kind", "code", "late", "trouble"),
    [
        (Kind.IPV6, SERVED, False, False),
        (Kind.IPV6, SERVED, True, True),
        (Kind.IPV6, PUT_OFF, False, True),
        (Kind.IPV6, REFUSED, False, True),
        (Kind.STRANGER, SERVED, False, True),
        (Kind.IPV6_STRANGER, SERVED, False, True),
    ],
    ids=["let through", "late", "put off", "refused", "not greylisted", "not greylisted by IPv6"],
)
def test_who_is_let_through_is_in_no_trouble_unless_the_greylist_put_such_off_before(
    monkeypatch: pytest.MonkeyPatch, run: Run, kind: Kind, code: int, late: bool, trouble: bool
) -> None:
    """A greylist that breaks down for a while, and lets mail through then, is not one that is missing."""
    met = Step(Stage.RCPT, "", (Reply(code, ("text",), b"", 0.0, 0.0),), 0.0, 0.0)
    strange = Innocent(kind, run.sut.recipient, goal=Stage.RCPT)

    def meet(run: Run, innocent: Innocent, *, patient: bool) -> Meeting:
        client = run.observer(run.world())
        deviates = innocent.kind is kind
        attempt = Attempt(client.address, (met,), Ending.QUIT)
        if deviates:
            return Meeting(innocent, client, attempt, "expected defer at rcpt", met, late)
        return Meeting(innocent, client, attempt)

    monkeypatch.setattr("harness.runs.run.meet", meet)
    run = replace(run, baseline=Baseline(asked_at=None), steadiness=Steadiness())
    for _ in range(2 * MOST_TROUBLES):
        assert bool(run.trouble(like=strange)) is trouble
    assert run.pace.rate == run.profile.server.rate  # others are served as ever
    assert run.steadiness.seen.steady is not trouble


def test_who_is_put_off_as_at_the_beginning_is_in_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that greylists known clients, too: they come again, and are let through, or are not."""
    with open_run(Wish(Catalogue.below(Path("scenarios")), mutants=["greylist.host-whitelist:off"])) as run:
        begun = begin(run)[0]
        assert begun.baseline.findings == ()
        assert begun.baseline.unasked == frozenset()
        assert begun.trouble() == ""
        assert replace(begun, baseline=Baseline()).trouble() != ""

        def never_let_through(run: Run, innocent: Innocent, *, patient: bool = True) -> Meeting:
            client = run.observer(run.world())
            met = Step(Stage.RCPT, "", (Reply(PUT_OFF, ("text",), b"", 0.0, 0.0),), 0.0, 0.0)
            attempt = Attempt(client.address, (met,), Ending.QUIT)
            return Meeting(innocent, client, attempt, "they are put off", met)

        monkeypatch.setattr("harness.runs.run.meet", never_let_through)
        assert "put off" in begun.trouble()


def test_a_greylist_that_puts_off_with_421_is_heard(run: Run) -> None:
    """Some do, and close the connection: nothing is lost by that at the stage at which they say so."""
    greylist = run.sut.greylist.model_copy(update={"codes": (421,)})
    leaving = replace(run, profile=run.profile.model_copy(update={"greylist": greylist}))
    assert not run.world().may_end
    assert leaving.world().may_end == {Stage.RCPT, Stage.DATA}
    said = Reply(421, ("4.7.1 Come again later",), b"", 0.0, 0.0)
    put_off = Attempt("198.18.0.1", (Step(Stage.RCPT, "", (said,), 0.0, 0.0),), Ending.SERVER_CLOSED)
    assert ailing(put_off, (421,)) == ""
    assert ailing(put_off, (451,)).startswith("an innocent client got no further than rcpt: 421")
    promised = Override(outcome=(Outcome.parse("defer at mail with 421"),), reason="the handbook")
    rules = run.profile.rules.model_copy(update={"expect": {"mail.no-helo": promised}})
    documented = replace(run, profile=run.profile.model_copy(update={"rules": rules}))
    assert Play(documented, run.catalogue["mail.no-helo"]).world.may_end == {Stage.MAIL}


@pytest.mark.parametrize(
    ("codes", "found"),
    [
        ((250, 250, 450), "that come 3 times in a row are refused: 450"),
        ((450, 450, 450), ""),
        ((451, 250, 250), ""),
        ((250, 250, 250), ""),
        ((451, 451, 550), "that come 3 times in a row are refused: 550"),
    ],
)
def test_some_servers_take_no_more_of_one_client_for_a_while(
    monkeypatch: pytest.MonkeyPatch, run: Run, codes: tuple[int, ...], found: str
) -> None:
    left, hosts = [*codes], set()

    def meet(run: Run, innocent: Innocent, *, patient: bool, client: Client | None = None) -> Meeting:
        client = client or run.observer(run.world())
        hosts.add(client.address)
        met = Step(Stage.MAIL, "", (Reply(left.pop(0), ("text",), b"", 0.0, 0.0),), 0.0, 0.0)
        return Meeting(innocent, client, Attempt(client.address, (met,), Ending.QUIT))

    monkeypatch.setattr("harness.runs.run.meet", meet)
    said = run.wearied(Innocent(Kind.STRANGER, run.sut.recipient), 2)
    assert found in said
    assert bool(said) is bool(found)
    assert len(hosts) == 1


@pytest.mark.parametrize(
    ("towards", "own"), [("127.0.0.9", "127.0.0.1"), ("::1", "::1"), ("240.0.0.1", None)]
)
def test_who_chooses_no_address_has_that_of_this_machine(towards: str, own: str | None) -> None:
    assert own_address(towards) == own if own else own_address(towards) != "127.0.0.1"


@pytest.mark.parametrize(("goal", "well"), [(Stage.RCPT, True), (Stage.DATA, False)])
def test_another_instance_must_serve_as_far_as_whoever_met_something_came(
    run: Run, goal: Stage, well: bool
) -> None:
    full = Politely(lambda said: b"451 4.3.0 queue file write error" if said == b"." else b"")
    like = Innocent(Kind.KNOWN, run.sut.recipient, goal=goal)
    with HostileServer([[full]]) as listening:
        elsewhere = Endpoint(Tcp(*listening.address))
        found = replace(run, steadiness=Steadiness()).trouble(elsewhere, like)
    assert (found == "") is well, found
    assert well or "was refused at data: 451 4.3.0 queue file write error" in found
