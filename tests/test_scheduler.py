"""When a failure counts, when a try is repeated, and what is never a verdict."""

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fake_dns import FakeDns
from harness import settings
from harness.embedded.servers import PROFILE
from harness.grants.accounts import DIRECTORY_OUTAGE
from harness.grants.addresses import DNS
from harness.grants.capability import Tools
from harness.grants.greylist import GREYLIST_OUTAGE
from harness.grants.mail import MAILBOX
from harness.grants.outage import Outage
from harness.grants.strain import HEAVY
from harness.judge import ContradictionError, Judge, NoEvidenceError
from harness.outcome import Stage as DialogueStage
from harness.profile.dialect import Told
from harness.profile.model import Profile
from harness.profile.tables import Spf
from harness.results.model import Status
from harness.rules import Catalogue
from harness.runs.course import CaseResult, run_scenario
from harness.runs.expect import EndedError
from harness.runs.play import Play
from harness.runs.run import Run
from harness.runs.scheduler import Scheduler
from harness.runs.trial import Plan
from harness.smtp.endpoint import Endpoint
from harness.smtp.identity import Bind
from harness.smtp.reply import Reply
from harness.smtp.session import Ending
from harness.smtp.transport import Tcp
from harness.verdicts import FailedError, InconclusiveError, NotApplicableError, NotTestableError, ScenarioEnd
from harness.world.client import Client
from harness.world.conversation import Attempt, Step
from harness.world.endpoints import Endpoints, endpoints_of
from harness.world.internet import Internet, Kind
from harness.world.room import Room

RULE = "helo.plain-ip"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.below(Path("scenarios"))


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, kept from others for the length of a test."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


@pytest.fixture
def run(catalogue: Catalogue, closed_port: int) -> Run:
    content = settings.read_toml(PROFILE)
    content["server"]["port"] = closed_port
    content["dns"] = {"listen": ["127.0.0.1:5353"]}
    content["rules"] = {"without": ["absent.*"]}
    profile = settings.check(PROFILE, content, Profile)
    judge = Judge(profile.policy.delay, lambda since, until: 0.0)
    internet = Internet(FakeDns(), profile)
    return Run(profile, catalogue, internet, endpoints_of(profile, internet), judge)


def passes(play: Play) -> None:
    play.expect.proven = True


def passes_by_absence(play: Play) -> None:
    play.expect.proven = play.expect.by_absence = True


def plays(*endings: Callable[[Play], None] | Exception) -> Callable[[Play], None]:
    """A scenario that ends differently each time it is tried."""
    left = iter(endings)

    def play(play: Play) -> None:
        ending = next(left)
        if isinstance(ending, Exception):
            raise ending
        ending(play)

    return play


def outcome(run: Run, *endings: Callable[[Play], None] | Exception, rule: str = RULE) -> CaseResult:
    return run_scenario(run, Plan(run.catalogue[rule], frozenset(), plays(*endings), has_twin=False))


def scheduled(run: Run, plans: dict[str, Plan], jobs: int = 8) -> dict[str, CaseResult]:
    scheduler = Scheduler(run, jobs)
    scheduler.start(plans)
    try:
        return {key: scheduler.collect(key, plan, lambda done, of: None) for key, plan in plans.items()}
    finally:
        scheduler.stop()


FAIL, DOUBT = FailedError("it did not"), InconclusiveError("it may have")


@pytest.mark.parametrize(
    ("endings", "status", "tries"),
    [
        ([passes], Status.PASSED, 1),
        ([FAIL, FAIL], Status.FAILED, 2),
        ([AssertionError("text"), AssertionError("text")], Status.FAILED, 2),
        ([AssertionError("text"), FAIL, FAIL], Status.FAILED, 3),
        ([FAIL, passes], Status.INCONCLUSIVE, 2),
        ([DOUBT, passes], Status.PASSED, 2),
        ([DOUBT, DOUBT, DOUBT], Status.INCONCLUSIVE, 3),
        ([DOUBT, FAIL, FAIL], Status.FAILED, 3),
        ([FAIL, DOUBT, FAIL], Status.FAILED, 3),
        ([FAIL, DOUBT, DOUBT], Status.INCONCLUSIVE, 3),
        ([NotTestableError("no way")], Status.NOT_TESTABLE, 1),
        ([ZeroDivisionError("oops")], Status.INCONCLUSIVE, 1),
        ([NoEvidenceError("reset")] * 3, Status.INCONCLUSIVE, 3),
        ([NoEvidenceError("reset"), passes], Status.PASSED, 2),
        ([EndedError("it hung up"), EndedError("it hung up")], Status.FAILED, 2),
    ],
)
def test_status_of_a_sequence_of_tries(
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    endings: list[Callable[[Play], None] | Exception],
    status: Status,
    tries: int,
) -> None:
    monkeypatch.setattr(run, "trouble", lambda server, like: "")  # an innocent client is served
    came = outcome(run, *endings)
    assert (came.status, len(came.tries)) == (status, tries)
    assert bool(came.reason) == (status is not Status.PASSED)
    assert (came.error is None) == (status is Status.PASSED)


def test_the_reason_is_the_sentence_of_an_assertion(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr(run, "trouble", lambda server, like: "")
    came = outcome(run, *[AssertionError("the message came twice\nassert 2 == 1")] * 2)
    assert came.reason == "the message came twice"


def time_flies(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """So much time passes each time that a run looks at its clock."""
    moments = itertools.count(1.0, seconds)
    monkeypatch.setattr("harness.runs.run.time", SimpleNamespace(monotonic=lambda: next(moments)))


@pytest.mark.parametrize("ending", [FailedError, AssertionError])
def test_nothing_is_held_against_a_rule_while_the_innocent_suffer_too(
    monkeypatch: pytest.MonkeyPatch, run: Run, ending: type[Exception]
) -> None:
    time_flies(monkeypatch, 10.0)
    came = outcome(run, *[ending("550 at helo")] * 12)
    assert (came.status, len(came.tries)) == (Status.INCONCLUSIVE, 5)  # then it serves nobody any more
    assert "550 at helo; afterwards an innocent client got no further than connect" in came.reason


@pytest.mark.parametrize(("lost", "status"), [(0, Status.PASSED), (1, Status.INCONCLUSIVE)])
def test_a_pass_that_rests_on_an_ending_needs_two_clients_where_dialogues_are_lost(
    run: Run, lost: int, status: Status
) -> None:
    for _ in range(lost):
        run.steadiness.dialogue_ended(lost=True)
    doubts = [InconclusiveError("it may have")] * 20
    assert outcome(run, passes, *doubts, rule="rcpt.too-many").status is status  # it is to drop the client
    assert outcome(run, passes, *doubts, rule=RULE).status is Status.PASSED
    assert outcome(run, passes_by_absence, *doubts, rule=RULE).status is status


def test_a_pass_by_an_ending_that_might_have_gone_on_needs_it_twice(run: Run) -> None:
    def ends(play: Play) -> None:
        passes_by_absence(play)
        play.expect.by_ending = True

    doubts = [InconclusiveError("it may have")] * 20
    assert outcome(run, ends, *doubts).status is Status.INCONCLUSIVE
    assert outcome(run, ends, ends).status is Status.PASSED


@pytest.mark.parametrize(("jobs", "first"), [(1, "prompt"), (2, "late")])
def test_those_that_wait_begin_first_unless_one_is_played_after_the_other(
    run: Run, jobs: int, first: str
) -> None:
    begun: list[str] = []

    def noted(name: str) -> Callable[[Play], None]:
        def play(play: Play) -> None:
            begun.append(name)
            play.expect.proven = True

        return play

    rules = {"prompt": "rcpt.unknown-user", "late": "connect.rdns-missing"}
    plans = {
        name: Plan(run.catalogue[rule], frozenset(), noted(name), has_twin=False)
        for name, rule in rules.items()
    }
    scheduled(run, plans, jobs)
    assert begun[0] == first


def test_where_no_address_is_left_the_failure_is_not_lost(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def trouble(server: tuple[str, int], like: object) -> str:
        raise NotTestableError("no IPv4 address is left for another client")

    monkeypatch.setattr(run, "trouble", trouble)
    plans = {"it": Plan(run.catalogue[RULE], frozenset(), plays(*[FAIL] * 2), has_twin=False)}
    came = scheduled(run, plans)["it"]
    assert (came.status, len(came.tries)) == (Status.INCONCLUSIVE, 1)
    assert came.reason == (
        "it did not; but whether innocent clients were served cannot be told: "
        "no IPv4 address is left for another client"
    )


@pytest.mark.parametrize("jobs", [1, 8])
@pytest.mark.parametrize("thrown", [TimeoutError("of its own"), SystemExit("of its own"), GeneratorExit()])
def test_whatever_a_scenario_raises_is_told_at_its_own_item_and_nowhere_else(
    run: Run, jobs: int, thrown: BaseException
) -> None:
    def bursts(play: Play) -> None:
        raise thrown

    def doubts(play: Play) -> None:
        raise DOUBT

    plans = {
        "above": Plan(run.catalogue["greylist.early-retry"], frozenset(), doubts, has_twin=False),
        "below": Plan(run.catalogue["greylist.first-defer"], frozenset(), bursts, has_twin=False),
    }
    came = scheduled(run, plans, jobs)
    assert (came["above"].status, came["above"].reason) == (Status.INCONCLUSIVE, "it may have")
    assert came["below"].status is Status.INCONCLUSIVE
    assert came["below"].reason.startswith(f"the scenario itself is broken: {type(thrown).__name__}")
    assert came["below"].error is thrown


def test_a_fault_of_the_harness_is_an_outcome_as_well(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def breaks(*given: object) -> None:
        raise RuntimeError("oops")

    monkeypatch.setattr("harness.runs.course.evidence_of", breaks)
    came = scheduled(run, {"it": Plan(run.catalogue[RULE], frozenset(), passes, has_twin=False)})["it"]
    assert (came.status, came.reason) == (
        Status.INCONCLUSIVE,
        "the harness itself is broken: RuntimeError: oops",
    )


@pytest.mark.parametrize("jobs", [1, 8])
def test_an_interrupt_ends_the_run(run: Run, jobs: int) -> None:
    def interrupted(play: Play) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scheduled(run, {"it": Plan(run.catalogue[RULE], frozenset(), interrupted)}, jobs)


def test_who_waits_for_a_canary_shares_the_next_one(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    moments, looks = itertools.count(1.0), threading.Semaphore(0)
    all_asked = threading.Event()
    sent: list[str] = []

    def now() -> float:
        looks.release()
        return next(moments)

    def canary(client: Client, **options: object) -> Attempt:
        sent.append(client.address)
        assert all_asked.wait(10)
        return Attempt(client.address, (), Ending.QUIT)

    monkeypatch.setattr("harness.runs.run.time", SimpleNamespace(monotonic=now))
    monkeypatch.setattr(Client, "attempt", canary)
    with ThreadPoolExecutor(9) as pool:
        asked = [pool.submit(run.trouble) for _ in range(9)]
        for _ in range(9 + 1):  # everybody has asked, and one canary is out
            assert looks.acquire(timeout=10)
        all_asked.set()
        (said,) = {one.result(10) for one in asked}
        assert said.startswith("an innocent client got no further than connect")
    assert len(sent) == 4  # each that met trouble was sent once more


def test_the_server_that_is_judged_is_the_one_that_must_be_well(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    elsewhere, asked = ("127.0.0.1", 2525), []

    def refused_there(play: Play) -> None:
        client = play.new_client(Kind.KNOWN)
        client.server = elsewhere
        with client.conversation():
            raise FailedError("it did not")

    def trouble(server: Endpoint, like: object) -> str:
        asked.append(server.server)
        return "nobody is served there" if server.server == elsewhere else ""

    monkeypatch.setattr(run, "trouble", trouble)
    came = run_scenario(run, Plan(run.catalogue[RULE], frozenset(), refused_there, has_twin=False))
    assert (came.status, {*asked}) == (Status.INCONCLUSIVE, {elsewhere})
    assert came.reason == "it did not; afterwards nobody is served there"


def test_another_instance_is_asked_itself(run: Run, closed_port: int) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = int(holder.getsockname()[1])
        assert run.trouble(Endpoint(Tcp("127.0.0.1", port))).startswith(
            f"at 127.0.0.1:{port} an innocent client got no"
        )
    assert run.unusable == ""


@pytest.mark.parametrize(("port", "named"), [(2525, False), (2526, True)])
def test_who_asks_a_server_that_checks_spf_is_named_by_its_domain(
    monkeypatch: pytest.MonkeyPatch, run: Run, port: int, named: bool
) -> None:
    published: list[tuple[str, ...]] = []
    spf = Spf(mode="reject", server=("127.0.0.1", 2526))
    monkeypatch.setattr(run, "profile", run.profile.model_copy(update={"spf": spf}))
    monkeypatch.setattr(Client, "publish", lambda client, *record: published.append(record))

    def served(client: Client, **options: object) -> Attempt:
        record = (client.identity.domain, "TXT", f"v=spf1 ip4:{client.address} -all")
        assert published == ([record] if named else [])
        return Attempt(client.address, (), Ending.QUIT)

    monkeypatch.setattr(Client, "attempt", served)
    assert run.trouble(Endpoint(Tcp("127.0.0.1", port))) == ""


def test_a_server_that_serves_nobody_any_more_is_spared(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    time_flies(monkeypatch, 10.0)
    rate = run.pace.rate
    assert outcome(run, *[FailedError("550 at helo")] * 12).status is Status.INCONCLUSIVE
    assert run.pace.rate < rate
    assert "in the middle of the run an innocent client got no further than connect" in run.unusable
    untried = outcome(run, ZeroDivisionError("not called"))
    assert (untried.status, untried.tries) == (Status.INCONCLUSIVE, ())


def test_a_run_that_is_given_up_says_whose_dialogues_were_broken_off_before(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    time_flies(monkeypatch, 1.0)
    run.severed.note(RULE, [0.5])
    while not run.unusable:
        assert run.trouble_in_full().endswith(f"; just before, it broke off dialogues of {RULE}")
    assert run.given_up == f"{run.unusable}; just before, it broke off dialogues of {RULE}"


@pytest.mark.parametrize(("seconds_between", "canaries", "given_up"), [(0.5, 8, False), (10.0, 5, True)])
def test_a_run_is_given_up_when_trouble_lasts_and_not_for_a_restart(
    monkeypatch: pytest.MonkeyPatch, run: Run, seconds_between: float, canaries: int, given_up: bool
) -> None:
    time_flies(monkeypatch, seconds_between)
    for _ in range(canaries):
        assert run.trouble()
    assert bool(run.unusable) == given_up


def test_a_run_that_slowed_down_comes_back_to_its_pace(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    run = replace(run, obstacles={DNS.name: "it asks nothing"})
    rate, rates = run.pace.rate, []
    for found in ("it is refused", "", ""):
        monkeypatch.setattr(Run, "_send_canary", lambda self, server, like, found=found: found)
        for _ in range(2):
            run.trouble()
            rates.append(run.pace.rate)
    assert rates == [rate / 2, rate / 4, rate / 2, rate, rate, rate]


class NoWayFrom:
    """A route by which no client's address can be had."""

    kind = "nowhere"

    def connect(self, client_address: str, source: str, timeout: float, begun: object) -> socket.socket:
        raise OSError(99, "Cannot assign requested address")

    def close(self) -> None:
        pass


def test_who_cannot_come_from_its_address_is_not_judged(run: Run) -> None:
    def looks_at_what_never_came(play: Play) -> None:
        assert play.new_client(Kind.KNOWN).attempt().helo.keywords

    came = outcome(
        replace(run, endpoints=Endpoints(Endpoint(NoWayFrom(), Bind()))), *[looks_at_what_never_came] * 12
    )
    assert came.status is Status.INCONCLUSIVE
    assert "by route bind as 198." in came.reason
    assert "Cannot assign requested address" in came.reason


def test_a_broken_scenario_is_told_as_such(run: Run) -> None:
    came = outcome(run, ZeroDivisionError("oops"))
    assert came.reason == "the scenario itself is broken: ZeroDivisionError: oops"
    assert isinstance(came.error, ZeroDivisionError)


def test_what_the_profile_lacks_or_does_not_claim_is_not_tried(run: Run) -> None:
    assert outcome(run, rule="absent.spf-reject").status is Status.NOT_APPLICABLE
    clockless = outcome(run, rule="greylist.expired")
    assert clockless.status is Status.NOT_TESTABLE
    assert "clock" in clockless.reason
    needy = run_scenario(run, Plan(run.catalogue[RULE], frozenset({MAILBOX.name}), passes))
    assert needy.status is Status.NOT_TESTABLE


def test_an_unusable_server_makes_everything_inconclusive(run: Run) -> None:
    run.unusable = "no innocent client gets through"
    came = outcome(run)
    assert (came.status, came.reason) == (Status.INCONCLUSIVE, run.unusable)


def test_scenarios_wait_side_by_side(run: Run) -> None:
    together = threading.Barrier(20, timeout=30)

    def play(play: Play) -> None:
        together.wait()
        passes(play)

    scheduler = Scheduler(run, jobs=40)
    plan = Plan(run.catalogue[RULE], frozenset(), play)
    scheduler.start({str(number): plan for number in range(20)})
    outcomes = [scheduler.collect(str(number), plan, lambda done, of: None) for number in range(20)]
    scheduler.stop()
    assert {came.status for came in outcomes} == {Status.PASSED}


def test_what_is_doubtful_is_tried_again_when_the_others_are_done(run: Run) -> None:
    crowd_gone = threading.Event()
    tries: list[bool] = []

    def doubtful(play: Play) -> None:
        tries.append(crowd_gone.is_set())
        if len(tries) == 1:
            raise DOUBT
        passes(play)

    def slow(play: Play) -> None:
        while not tries:
            threading.Event().wait(0.001)
        crowd_gone.set()
        passes(play)

    rule = run.catalogue[RULE]
    plans = {
        "doubtful": Plan(rule, frozenset(), doubtful, has_twin=False),
        "slow": Plan(rule, frozenset(), slow, has_twin=False),
    }
    scheduler = Scheduler(run, jobs=4)
    scheduler.start(plans)
    outcomes = [scheduler.collect(key, plan, lambda done, of: None) for key, plan in plans.items()]
    scheduler.stop()
    assert [came.status for came in outcomes] == [Status.PASSED, Status.PASSED]
    assert tries == [False, True]


def test_one_job_is_the_main_thread(run: Run) -> None:
    threads: list[threading.Thread] = []

    def play(play: Play) -> None:
        threads.append(threading.current_thread())
        passes(play)

    scheduler = Scheduler(run, jobs=1)
    plan = Plan(run.catalogue[RULE], frozenset(), play)
    scheduler.start({"one": plan})
    scheduler.collect("one", plan, lambda done, of: None)
    assert threads == [threading.main_thread()] * 2  # with the offence, and without


@pytest.mark.parametrize("what", ["greylist", "directory"])
def test_what_changes_the_server_for_all_is_played_last_and_undone(
    monkeypatch: pytest.MonkeyPatch, run: Run, what: str
) -> None:
    played: list[str] = []

    class Cut:
        shared = True

        def cut(self, client: str) -> None:
            played.append("cut")

        def end(self) -> None:
            played.append("end")

    about_greylist = what == "greylist"
    need = GREYLIST_OUTAGE if about_greylist else DIRECTORY_OUTAGE
    everywhere = replace(run, tools=Tools({need: Cut()}))
    monkeypatch.setattr(everywhere, "trouble", lambda: "")
    others_begun = threading.Event()

    def other(play: Play) -> None:
        others_begun.wait(0.05)
        played.append("other")
        passes(play)

    def cuts(play: Play) -> None:
        def scenario(**given: Outage) -> None:
            others_begun.set()
            given[f"{what}_outage"].cut("192.0.2.1")
            passes(play)

        play.call(scenario, {}, (f"{what}_outage",))

    plans = {
        "cuts": Plan(run.catalogue[RULE], frozenset({need.name}), cuts, has_twin=False),
        "other": Plan(run.catalogue[RULE], frozenset(), other, has_twin=False),
    }
    scheduler = Scheduler(everywhere, jobs=4)
    scheduler.start(plans)
    outcomes = [scheduler.collect(key, plan, lambda done, of: None) for key, plan in plans.items()]
    scheduler.stop()
    assert [came.status for came in outcomes] == [Status.PASSED, Status.PASSED]
    assert played == ["other", "cut", "end"]


class Stage:
    """Notes who is on it, and with whom."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rules: list[str] = []  # in the order in which they come
        self.company: dict[str, set[str]] = {}
        self.most = 0
        self._now: list[str] = []
        self._lock = threading.Lock()

    def plan(self, rule: str, seconds: float = 0.02, *, has_twin: bool = True) -> Plan:
        def play(play: Play) -> None:
            with self._lock:
                self._now.append(rule)
                self.rules.append(rule)
                self.most = max(self.most, len(self._now))
                for one in self._now:
                    self.company.setdefault(one, set()).update(self._now)
            threading.Event().wait(seconds)
            with self._lock:
                self._now.remove(rule)
            passes(play)

        return Plan(self.run.catalogue[rule], frozenset(), play, has_twin=has_twin)


DISTURBING = ("connect.rdns-temperror", "dnsbl.fail-open", "helo.no-aaaa-stall")


def disturbing(stage: Stage) -> dict[str, Plan]:
    """Three rules that disturb, of three cases each, and three cases that do not."""
    plans = {f"{rule}-{case}": stage.plan(rule) for rule in DISTURBING for case in range(3)}
    return plans | {f"other-{number}": stage.plan(RULE) for number in range(3)}


def asked_for_innocents(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> list[int]:
    """How much was played when an innocent client went to the server, each time."""
    asked: list[int] = []

    def well() -> str:
        asked.append(len(stage.rules))
        return ""

    monkeypatch.setattr(stage.run, "trouble", well)
    return asked


def test_in_turn_each_rule_that_disturbs_comes_last_and_by_itself(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    stage = Stage(run)
    asked = asked_for_innocents(monkeypatch, stage)
    came = scheduled(run, disturbing(stage), jobs=1)
    assert stage.rules == [RULE] * 6 + [rule for rule in DISTURBING for _ in range(6)]
    assert asked == [6, 12, 18]  # an innocent client goes before each of them
    assert {one.status for one in came.values()} == {Status.PASSED}


def test_rules_that_disturb_are_played_together_when_all_others_are_over(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    stage = Stage(run)
    asked = asked_for_innocents(monkeypatch, stage)
    came = scheduled(run, disturbing(stage), jobs=32)
    assert stage.rules[:6] == [RULE] * 6
    assert len(stage.rules) == 24  # each of them once, with its twin
    assert RULE not in set().union(*(stage.company[rule] for rule in DISTURBING))
    assert asked == [6]
    assert {one.status for one in came.values()} == {Status.PASSED}


@pytest.mark.parametrize("ending", [FAIL, DOUBT])
def test_what_does_not_pass_in_company_is_judged_alone_and_by_that_alone(
    monkeypatch: pytest.MonkeyPatch, run: Run, ending: ScenarioEnd
) -> None:
    stage = Stage(run)
    asked = asked_for_innocents(monkeypatch, stage)
    plans = disturbing(stage)
    victim = DISTURBING[1]

    def minds_others(play: Play) -> None:
        stage.plan(victim).play(play)
        if len(stage.rules) <= 21:
            raise ending

    for case in range(3):
        plans[f"{victim}-{case}"] = Plan(run.catalogue[victim], frozenset(), minds_others, has_twin=False)
    came = scheduled(run, plans, jobs=32)
    assert {one.status for one in came.values()} == {Status.PASSED}
    assert {len(came[f"{victim}-{case}"].tries) for case in range(3)} == {1}
    assert set(stage.rules[21:]) == {victim}
    assert len(asked) == 2  # before all of them, and before those that are played again


def does_not_apply(play: Play) -> None:
    raise NotApplicableError("the profile has nobody of that kind")


def cannot_be_tested(play: Play) -> None:
    raise NotTestableError("the mark stands in mail that nobody can read")


@pytest.mark.parametrize(
    ("comes_to", "status", "times"),
    [
        (cannot_be_tested, Status.NOT_TESTABLE, 1),
        (does_not_apply, Status.NOT_APPLICABLE, 1),
        (passes_by_absence, Status.PASSED, 2),  # others may have been what it heard nothing for
    ],
)
def test_what_says_as_much_in_company_is_not_played_again(
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    comes_to: Callable[[Play], None],
    status: Status,
    times: int,
) -> None:
    stage = Stage(run)
    asked_for_innocents(monkeypatch, stage)
    plays_of_it = []

    def it(play: Play) -> None:
        plays_of_it.append(play)
        comes_to(play)

    plans = disturbing(stage) | {"it": Plan(run.catalogue[DISTURBING[1]], frozenset(), it, has_twin=False)}
    assert scheduled(run, plans, jobs=32)["it"].status is status
    assert len(plays_of_it) == times


def test_what_disturbs_is_played_alone_where_innocents_were_not_served_before(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    stage = Stage(run)
    answers = iter(["an innocent client was refused at helo: 451", "", "", ""])
    monkeypatch.setattr(run, "trouble", lambda: next(answers))
    came = scheduled(run, disturbing(stage), jobs=32)
    assert {rule: stage.company[rule] for rule in DISTURBING} == {rule: {rule} for rule in DISTURBING}
    assert {one.status for one in came.values()} == {Status.PASSED}


def test_what_disturbs_is_not_tried_on_a_server_that_is_disturbed(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    stage = Stage(run)
    monkeypatch.setattr(run, "trouble", lambda: "an innocent client was refused at helo: 451")
    came = scheduled(run, {"it": stage.plan(DISTURBING[0])})["it"]
    assert (came.status, stage.rules) == (Status.INCONCLUSIVE, [])
    assert came.reason == "before it was played, an innocent client was refused at helo: 451"


@pytest.mark.parametrize("jobs", [1, 2, 3, 8])
def test_no_more_plays_than_jobs_go_on_at_a_time(run: Run, jobs: int) -> None:
    stage = Stage(run)
    plans: dict[str, Plan] = {str(number): stage.plan(RULE) for number in range(10)}
    straining = replace(stage.plan(RULE, 0.1), needs=frozenset({HEAVY.name}))
    plans |= {f"straining-{number}": straining for number in range(4)}
    came = scheduled(replace(run, tools=Tools({HEAVY: True})), plans, jobs)
    assert {one.status for one in came.values()} == {Status.PASSED}
    assert stage.most in (jobs, jobs // 2 * 2)  # two and two, each with the other


@pytest.mark.parametrize("jobs", [1, 8])
@pytest.mark.parametrize("ahead", [True, False])
def test_what_a_rule_rests_on_blocks_it_however_the_two_are_played(
    monkeypatch: pytest.MonkeyPatch, run: Run, jobs: int, ahead: bool
) -> None:
    monkeypatch.setattr(run, "trouble", lambda server=None, like=None: "")

    def fails(play: Play) -> None:
        raise FAIL

    plans = {
        "below": Plan(run.catalogue["greylist.first-defer"], frozenset(), fails, has_twin=False),
        "above": Plan(run.catalogue["greylist.early-retry"], frozenset(), fails, has_twin=False),
    }
    scheduler = Scheduler(run, jobs)
    scheduler.start({key: plan for key, plan in plans.items() if ahead or key == "above"})
    came = {key: scheduler.collect(key, plan, lambda done, of: None) for key, plan in plans.items()}
    scheduler.stop()
    assert came["below"].status is Status.FAILED
    assert (came["above"].status, came["above"].blocked_by) == (Status.INCONCLUSIVE, "greylist.first-defer")


def test_what_rests_on_a_blocked_rule_is_blocked_by_the_same(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setattr(run, "trouble", lambda server=None, like=None: "")
    put_off = Step(DialogueStage.DATA, "DATA", (), 0.0, 0.0)

    def says(play: Play) -> None:
        raise ContradictionError("it was put off", put_off, in_greylist_words=True)

    def fails(play: Play) -> None:
        raise FAIL

    plans = {
        rule: Plan(run.catalogue[rule], frozenset(), ends, has_twin=False)
        for rule, ends in (
            ("mail.delay-repeated", fails),
            ("connect.rdns-missing", says),
            ("greylist.first-defer", fails),
        )
    }
    came = scheduled(run, plans)
    assert {rule: one.blocked_by for rule, one in came.items()} == {
        "mail.delay-repeated": "greylist.first-defer",
        "connect.rdns-missing": "greylist.first-defer",
        "greylist.first-defer": "",
    }


def test_what_rests_on_a_rule_is_not_to_blame_for_it(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    put_off = Step(DialogueStage.RCPT, "RCPT", (), 0.0, 0.0)
    above = run.catalogue["greylist.early-retry"]
    assert above.about_greylist
    resting = replace(above, rests_on=(RULE,))
    catalogue = replace(run.catalogue, rules=run.catalogue.rules | {above.id: resting})

    def says(play: Play) -> None:
        raise ContradictionError("it was put off", put_off, in_greylist_words=True)

    def fails(play: Play) -> None:
        raise FAIL

    plans = {
        "it": Plan(catalogue[RULE], frozenset(), says, has_twin=False),
        "above": Plan(resting, frozenset(), fails, has_twin=False),
    }
    with_that = replace(run, catalogue=catalogue)
    monkeypatch.setattr(with_that, "trouble", lambda server=None, like=None: "")
    came = scheduled(with_that, plans)
    assert (came["it"].status, came["it"].blocked_by) == (Status.FAILED, "")
    assert (came["above"].status, came["above"].blocked_by) == (Status.INCONCLUSIVE, RULE)


@pytest.mark.parametrize(("broken", "blocked_by"), [(True, "greylist.first-defer"), (False, "")])
def test_what_contradicts_a_rule_in_the_greylist_s_words_is_the_greylist_s_fault_where_it_is_broken(
    monkeypatch: pytest.MonkeyPatch, run: Run, broken: bool, blocked_by: str
) -> None:
    monkeypatch.setattr(run, "trouble", lambda server=None, like=None: "")
    put_off = Step(DialogueStage.DATA, "DATA", (), 0.0, 0.0)

    def says(play: Play) -> None:
        raise ContradictionError("it was put off", put_off, in_greylist_words=True)

    def greylists(play: Play) -> None:
        if broken:
            raise FAIL
        passes(play)

    first = run.catalogue["greylist.first-defer"]
    plans = {
        "it": Plan(run.catalogue[RULE], frozenset(), says, has_twin=False),
        "first": Plan(first, frozenset(), greylists, has_twin=False),
    }
    came = scheduled(run, plans)["it"]
    assert came.status is (Status.INCONCLUSIVE if broken else Status.FAILED)
    assert came.blocked_by == blocked_by


def test_what_disturbs_and_is_not_played_ahead_waits_for_the_others(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    stage = Stage(run)
    monkeypatch.setattr(run, "trouble", lambda: "")
    plans = {str(number): stage.plan(RULE, 0.1) for number in range(6)}
    scheduler = Scheduler(run, jobs=4)
    scheduler.start(plans)
    scheduler.collect("mine", stage.plan(DISTURBING[0]), lambda done, of: None)
    scheduler.stop()
    assert stage.rules == [RULE] * 12 + [DISTURBING[0]] * 2


def test_who_has_a_place_never_waits_for_another_and_who_comes_then_does() -> None:
    room = Room(1)
    began, left = threading.Event(), threading.Event()

    def comes_later() -> None:
        began.set()
        with room.place():
            assert left.is_set()

    with ThreadPoolExecutor(1) as pool:
        with room.place():
            with room.beside():
                later = pool.submit(comes_later)
                assert began.wait(10)
            left.set()
        later.result(10)


def test_nobody_waits_for_a_place_when_the_run_is_over() -> None:
    room = Room(1)
    with ThreadPoolExecutor(1) as pool, room.place():
        waits = pool.submit(room.place().__enter__)
        room.end()
        with pytest.raises(InconclusiveError, match="broken off"):
            waits.result(10)


def test_what_was_decided_stands_when_the_run_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setattr(run, "trouble", lambda server=None, like=None: "")

    def hangs(play: Play) -> None:
        assert run.over.wait(60)
        raise DOUBT

    def interrupted(done: int, of: int) -> None:
        if done == of - 1:
            raise KeyboardInterrupt

    rule = run.catalogue[RULE]
    plans = {
        "hangs": Plan(rule, frozenset(), hangs, has_twin=False),
        "passes": Plan(rule, frozenset(), passes, has_twin=False),
        "failed once": Plan(rule, frozenset(), plays(FAIL, FAIL), has_twin=False),
    }
    scheduler = Scheduler(run, jobs=8)
    scheduler.start(plans)
    with pytest.raises(KeyboardInterrupt):
        scheduler.collect("hangs", plans["hangs"], interrupted)
    for _ in range(2):  # what is cut short then counts nowhere
        assert {key: one.status for key, one in scheduler.decided().items()} == {"passes": Status.PASSED}
        scheduler.stop()


def test_lost_dialogues_are_laid_at_the_door_of_a_rule_that_finds_connections_ended(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setattr(run, "trouble", lambda server=None, like=None: "")

    def loses(play: Play) -> None:
        attempt = play.new_client(Kind.KNOWN).attempt()
        raise NoEvidenceError(f"there was no reply: {attempt.broken}")

    def ends(play: Play) -> None:
        raise EndedError("it hung up")

    plans = {
        rule: Plan(run.catalogue[rule], frozenset(), play, has_twin=False)
        for rule, play in {
            "delay.no-early-reject": ends,
            "rcpt.delay-repeated": loses,  # on which that one rests, and which it blocks all the same
            "rcpt.unknown-user": loses,
        }.items()
    }
    came = scheduled(run, plans)
    assert came.pop("delay.no-early-reject").status is Status.FAILED
    assert {one.blocked_by for one in came.values()} == {"delay.no-early-reject"}


def stands_when_interrupted(run: Run, rule: str, *endings: Exception, open_still: str) -> CaseResult:
    """What stands of a rule when a run is interrupted while another rule is tried again."""
    tried_again = threading.Event()

    def hangs(play: Play) -> None:
        tried_again.set()
        assert run.over.wait(60)
        raise DOUBT

    def interrupted(done: int, of: int) -> None:
        if tried_again.is_set() and done == 1:
            raise KeyboardInterrupt

    plans = {
        "open": Plan(run.catalogue[open_still], frozenset(), plays(DOUBT, hangs), has_twin=False),
        "decided": Plan(run.catalogue[rule], frozenset(), plays(*endings), has_twin=False),
    }
    scheduler = Scheduler(run, jobs=8)
    scheduler.start(plans)
    with pytest.raises(KeyboardInterrupt):
        scheduler.collect("open", plans["open"], interrupted)
    (stands,) = scheduler.decided().values()
    scheduler.stop()
    return stands


def test_a_failure_is_none_while_what_it_rests_on_is_not_decided(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setattr(run, "trouble", lambda server=None, like=None: "")
    above = stands_when_interrupted(
        run, "greylist.early-retry", FAIL, FAIL, open_still="greylist.first-defer"
    )
    assert above.status is Status.INCONCLUSIVE
    why = "it may be the fault of greylist.first-defer, which is not decided"
    assert above.reason.startswith(f"{why}; seen was: it did not; it rests on greylist.retry-accept, ")


def test_a_refusal_is_laid_at_no_door_while_an_earlier_stage_is_not_decided(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    told_at_rcpt = run.profile.dialect.model_copy(update={"told": Told.RCPT})
    run = replace(run, profile=run.profile.model_copy(update={"dialect": told_at_rcpt}))
    monkeypatch.setattr(run, "trouble", lambda server=None, like=None: "")
    reply = Reply(550, ("No",), b"550 No", 0.0, 0.0)
    refused = ContradictionError("550 No", Step(DialogueStage.RCPT, "RCPT", (reply,), 0.0, 0.0))
    later = stands_when_interrupted(run, "bounce.legal", refused, refused, open_still="helo.not-fqdn")
    assert later.status is Status.INCONCLUSIVE, later.reason
    assert later.reason.startswith("it may be the fault of helo.not-fqdn, which is not decided")


def test_an_interrupt_waits_for_nobody_who_waits(run: Run) -> None:
    def interrupted() -> None:
        with run.threads(1, "waits") as pool:
            waits.append(pool.submit(run.over.wait, 60))
            raise KeyboardInterrupt

    waits: list[Future[bool]] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert waits[0].result()
    assert run.pace.is_over
