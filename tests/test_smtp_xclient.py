"""XCLIENT: a server is told whose connection it gets; what it says to that is never held against a rule."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fake_dns import FakeDns
from harness import settings
from harness.embedded.servers import PROFILE
from harness.grants.addresses import REVERSE_LOOKUP
from harness.judge import Judge
from harness.profile.model import Profile
from harness.profile.tables import RouteName
from harness.results.model import Status
from harness.rules import Catalogue
from harness.runs.baseline import look
from harness.runs.course import run_scenario
from harness.runs.doctor import examine
from harness.runs.play import Play
from harness.runs.run import Run
from harness.runs.trial import Plan
from harness.smtp.endpoint import Endpoint
from harness.smtp.identity import XClient
from harness.smtp.session import Ending, Session, SessionEnded
from harness.smtp.transport import Tcp
from harness.verdicts import NotTestableError
from harness.world.endpoints import endpoints_of
from harness.world.internet import Internet, Kind
from tests.hostile_server import Hear, HostileServer, Reset, Say, Step
from tests.smtp_dialogue import BYE, CLIENT, GREETING, OK, PATIENT, events

OFFER = Say(b"250-mx.example.org\r\n250-PIPELINING\r\n250 XCLIENT NAME ADDR PORT PROTO HELO REVERSE_NAME\r\n")
OFFERED: list[Step] = [GREETING, Hear(), OFFER, Hear()]
INTRODUCED: list[Step] = [*OFFERED, Say(b"220 mx.example.org once more\r\n")]
REFUSED: list[Step] = [*OFFERED, Say(b"550 5.7.0 Error: insufficient authorization\r\n"), *BYE]
RULE = "helo.plain-ip"


@contextlib.contextmanager
def playing(
    *steps: Step, client: str = CLIENT, name: str = "mx.c1.example"
) -> Iterator[tuple[Session, HostileServer]]:
    with HostileServer([steps]) as server:
        session = Session(
            Endpoint(Tcp(*server.address), XClient(lambda address: name)), client, reply_timeout=PATIENT
        )
        try:
            yield session, server
        finally:
            session.close()


@pytest.mark.parametrize(
    ("client", "name", "said"),
    [
        (CLIENT, "mx.c1.example", b"ADDR=192.0.2.7 NAME=mx.c1.example REVERSE_NAME=mx.c1.example"),
        (
            "2001:db8::7",
            "mx.c1.example",
            b"ADDR=IPV6:2001:db8::7 NAME=mx.c1.example REVERSE_NAME=mx.c1.example",
        ),
        (CLIENT, "", b"ADDR=192.0.2.7 NAME=[UNAVAILABLE] REVERSE_NAME=[UNAVAILABLE]"),
    ],
    ids=["IPv4", "IPv6", "without a name"],
)
def test_the_client_is_introduced(client: str, name: str, said: bytes) -> None:
    with playing(*INTRODUCED, *BYE, client=client, name=name) as (session, server):
        greeting = session.open()
        session.quit_politely()
    assert server.heard == [b"EHLO xclient.invalid\r\n", b"XCLIENT " + said + b"\r\n", b"QUIT\r\n"]
    assert greeting.text == "mx.example.org once more"
    assert session.replies[0] is greeting, "what came before belongs to no stage of the client's dialogue"
    assert session.connected_at == pytest.approx(greeting.at - greeting.seconds)
    assert session.ending is Ending.QUIT


def test_what_is_not_offered_is_not_said() -> None:
    offer = Say(b"250-mx.example.org\r\n250 XCLIENT ADDR\r\n")
    with playing(GREETING, Hear(), offer, Hear(), GREETING, *BYE) as (session, server):
        session.open()
    assert server.heard[1] == b"XCLIENT ADDR=192.0.2.7\r\n"


@pytest.mark.parametrize(
    "answer", ["554 5.7.1 Client host rejected", "550 5.7.25 no PTR", "450 4.7.1 not now"]
)
def test_a_client_that_is_refused_has_its_greeting(answer: str) -> None:
    with playing(*OFFERED, Say(f"{answer}\r\n".encode()), *BYE) as (session, _):
        assert f"{session.open().code} {session.replies[0].text}" == answer
        assert session.connected


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([Say(b"554 no service for you\r\n")], "the server refuses our own address: 554 no service for you"),
        ([GREETING, Hear(), OK], "the server does not offer us XCLIENT"),
        ([GREETING, Hear(), Say(b"502 what?\r\n")], "EHLO was answered 502 what?"),
        ([GREETING, Hear(), Say(b"250-mx\r\n250 XCLIENT NAME\r\n")], "XCLIENT has no ADDR, only NAME"),
        (REFUSED, "does not take XCLIENT from us: 550 5.7.0 Error: insufficient authorization"),
        ([*OFFERED, Say(b"550 no\r\n")], "does not take XCLIENT from us: 550 no"),
        ([*OFFERED, Say(b"501 5.5.4 Bad ADDR syntax\r\n")], "501 5.5.4 Bad ADDR syntax"),
        ([*OFFERED, Say(b"421 4.3.0 later\r\n")], "421 4.3.0 later"),
        ([GREETING, Hear()], "the server closed the connection at EHLO"),
        ([*OFFERED, Reset()], "the connection was reset at"),
        ([Say(b"hello?\r\n")], "is no reply"),
    ],
)
def test_a_client_that_cannot_be_introduced(steps: list[Step], reason: str) -> None:
    with playing(*steps) as (session, _):
        with pytest.raises(SessionEnded) as ended:
            session.open()
        assert ended.value.ending is session.ending is Ending.NOT_INTRODUCED
        assert reason in ended.value.reason
        assert reason in events(session)
        assert not session.connected


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.below(Path("scenarios"))


def run_against(
    server: HostileServer, catalogue: Catalogue, rule: str = RULE, outcome: str = "deny at rcpt"
) -> Run:
    content = settings.read_toml(PROFILE)
    content["server"]["port"] = server.address[1]
    content["clients"]["route"] = "xclient"
    content["dns"] = {"listen": ["127.0.0.1:5353"]}
    content["policy"]["delay"] = 0
    content["rules"] = {"claim": [rule], "expect": {rule: {"outcome": outcome, "reason": "as it says"}}}
    del content["greylist"]
    profile = settings.check(PROFILE, content, Profile)
    internet = Internet(FakeDns(), profile)
    judge = Judge(0.0, lambda since, until: 0.0)
    return Run(profile, catalogue, internet, endpoints_of(profile, internet), judge, side_by_side=False)


def greets_badly(play: Play) -> None:
    client = play.new_client(Kind.KNOWN)
    play.expect(client.attempt(helo=client.address if play.offence else client.host))


def trusts_too_early(play: Play) -> None:
    attempt = play.new_client(Kind.KNOWN).attempt()
    assert attempt.helo.keywords, "a scenario that looks at an answer which never came"


SERVED: list[Step] = [*INTRODUCED, Hear(), OK, Hear(), OK, Hear(), OK, *BYE]
TURNED_AWAY: list[Step] = [*INTRODUCED, Hear(), OK, Hear(), OK, Hear(), Say(b"554 5.7.1 no name\r\n"), *BYE]


@pytest.mark.parametrize(
    ("play", "scripts"),
    [(greets_badly, [*[REFUSED, SERVED] * 2, REFUSED]), (trusts_too_early, [REFUSED])],
    ids=["its twin is served", "it fails by itself"],
)
def test_who_is_not_introduced_is_not_judged(
    catalogue: Catalogue, play: Callable[[Play], None], scripts: list[list[Step]]
) -> None:
    with HostileServer(scripts) as server:
        run = run_against(server, catalogue)
        came = run_scenario(run, Plan(catalogue[RULE], frozenset(), play))
    assert came.status is Status.INCONCLUSIVE
    assert "does not take XCLIENT from us" in came.reason


def test_the_doctor_knows_the_mend(catalogue: Catalogue) -> None:
    with HostileServer([REFUSED]) as server:
        run = run_against(server, catalogue)
        finding = next(examine(replace(run, baseline=look(run))))[1]
    assert finding.mend == "introduction"
    assert "insufficient authorization" in finding.saw


def test_a_verdict_that_comes_later_is_waited_for(catalogue: Catalogue) -> None:
    with HostileServer([TURNED_AWAY, SERVED]) as server:
        run = run_against(server, catalogue)
        came = run_scenario(run, Plan(catalogue[RULE], frozenset(), greets_badly))
    assert (came.status, came.reason) == (Status.PASSED, "")
    assert came.observed.startswith("rcpt: 554 5.7.1 no name")


def test_nothing_is_said_of_lookups_that_the_server_does_not_make(catalogue: Catalogue) -> None:
    with HostileServer([SERVED]) as server:
        run = run_against(server, catalogue)
        client = run.client(run.world(), Kind.KNOWN)
        with pytest.raises(NotTestableError, match="does not look it up"):
            client.without_ptr()
    assert "name another route" in REVERSE_LOOKUP.lacking(run.profile)
    other = run.profile.model_copy(
        update={"clients": run.profile.clients.model_copy(update={"route": RouteName.BIND})}
    )
    assert REVERSE_LOOKUP.lacking(replace(run, profile=other).profile) == ""
