"""The doctor: sees a sound server as sound, names what is wrong, and knows how to mend it."""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from fake_dns import FakeDns
from fake_dns.answer import Transport
from harness import settings
from harness.capabilities.mail_host import MailHost
from harness.cli import main
from harness.grants.accounts import TLS
from harness.grants.addresses import DNS
from harness.grants.greylist import GREYLIST_OPERATOR
from harness.grants.sending import SINK
from harness.judge import Judge
from harness.outcome import Stage
from harness.profile.model import Profile
from harness.rules import Catalogue
from harness.runs.assembly import Wish, begin, open_run
from harness.runs.baseline import Finding as Met
from harness.runs.checks import (
    CHECKS,
    delivers,
    leaves_room,
    logs_in,
    resolves_over_tcp,
    sees_address,
    sends,
)
from harness.runs.diagnosis import Check, Finding, Patient, State
from harness.runs.doctor import MENDS, advice, examine, of_innocents, report
from harness.runs.run import Run
from harness.settings import read_toml
from harness.settings.secret import Secret
from harness.verdicts import CameLateError
from harness.world.client import Client
from harness.world.conversation import Attempt
from harness.world.endpoints import endpoints_of
from harness.world.internet import Internet
from tests.dns_asking import Question
from tests.hostile_server import Hangup, Hear, HostileServer, Say, Stall, Visitor
from tests.test_baseline import Politely
from tests.test_judge import step


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.below(Path("scenarios"))


@pytest.fixture(scope="module")
def sound(catalogue: Catalogue) -> Iterator[Run]:
    with open_run(Wish(catalogue)) as run:
        yield begin(run)[0]


def findings(run: Run) -> dict[str, Finding]:
    return {check.look.__name__: finding for check, finding in examine(run)}


def differing(run: Run, **tables: Any) -> Run:
    """The same server, with a profile that says something else of it; innocent clients are sent again."""
    profile = run.profile.model_copy(update=tables)
    internet = replace(run.internet, profile=profile)
    return begin(replace(run, profile=profile, internet=internet))[0]


def test_a_sound_server_is_sound(sound: Run) -> None:
    said: list[str] = []
    assert report(sound, said.append, colour=False)
    assert len(said) == 2 + 2 * len(CHECKS)
    assert said[0].endswith("good  innocent clients meet what the profile says")
    users = sum(len(domain.users) for domain in sound.profile.domain)
    assert f"{users} of {users} users in 5 of 5 domains" in said[1]
    assert {finding.state for finding in findings(sound).values()} == {State.GOOD}


def test_the_profile_of_another_server(sound: Run) -> None:
    server = sound.profile.server.model_copy(update={"hostname": "mx.elsewhere.example"})
    found = findings(differing(sound, server=server))
    assert found["reachable"].mend == "another-server"
    assert "mx.elsewhere.example" in found["reachable"].saw
    assert found["logs_in"].state is State.UNKNOWN
    assert found["has_addresses"].state is State.GOOD  # which the profile alone tells
    assert CHECKS[0].title in found["logs_in"].saw


def test_a_user_that_is_not_there(sound: Run) -> None:
    first, second, *rest = sound.profile.domain
    other = second.model_copy(update={"users": ("alice", "nobody-here")})
    ((title, found),) = of_innocents(differing(sound, domain=(first, other, *rest)))
    assert (found.state, found.mend) == (State.BAD, "domains")
    assert "nobody-here@garden.example: 550" in title


def test_a_greylist_that_the_profile_does_not_know(sound: Run) -> None:
    found = dict(of_innocents(differing(sound, greylist=None)))
    assert {(one.state, one.mend) for one in found.values()} == {(State.BAD, "deferred")}
    assert any("451" in title for title in found)


def test_too_few_addresses(sound: Run) -> None:
    few = sound.profile.clients.model_copy(update={"trusted": (ip_network("203.0.113.7/32"),)})
    found = findings(differing(sound, clients=few))["has_addresses"]
    assert (found.state, found.mend) == (State.BAD, "addresses")
    assert re.search(r"clients.trusted has 1, and scenarios of \d+ rules need about \d\d;", found.saw)


def test_who_is_to_be_refused_is_greeted(sound: Run) -> None:
    greeted = sound.profile.clients.model_copy(update={"refused": (ip_network("192.0.2.0/25"),)})
    found = findings(differing(sound, clients=greeted))["turns_away"]
    assert (found.state, found.mend) == (State.BAD, "refused-hosts")
    assert re.fullmatch(r"192\.0\.2\.\d+ is greeted: «220 mail\.castle\.example .*»", found.saw)


def test_a_server_of_which_every_domain_takes_everybody(sound: Run) -> None:
    domains = tuple(domain.model_copy(update={"catch_all": True}) for domain in sound.profile.domain)
    run = differing(sound, domain=domains)
    assert State.BAD not in {finding.state for finding in findings(run).values()}
    assert [finding.state for _, finding in of_innocents(run)] == [State.GOOD]


def test_a_wrong_password(sound: Run) -> None:
    assert sound.profile.auth is not None
    auth = sound.profile.auth.model_copy(update={"password": Secret("wrong")})
    found = findings(differing(sound, auth=auth))["logs_in"]
    assert (found.state, found.mend) == (State.BAD, "credentials")
    assert "535" in found.saw


def test_a_clock_that_does_not_move(catalogue: Catalogue) -> None:
    with open_run(Wish(catalogue, mutants=["greylist.retry-accept:off"])) as run:
        found = findings(begin(run)[0])["clock_moves"]
    assert (found.state, found.mend) == (State.BAD, "clock")


def test_nobody_is_greylisted(catalogue: Catalogue) -> None:
    with open_run(Wish(catalogue, mutants=["greylist.first-defer:off"])) as run:
        run = begin(run)[0]
        ((title, found),) = of_innocents(run)
        clock = findings(run)["clock_moves"]
    assert (found.state, found.mend) == (State.BAD, "greylist")
    assert title.startswith("strange innocent clients are not greylisted at rcpt")
    assert clock.state is State.UNKNOWN


def test_a_server_that_asks_us_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = tmp_path / "profile.toml"
    with HostileServer([[Politely()]]) as server:
        profile.write_text(
            f"""
            name = "deaf"
            server = {{ address = "127.0.0.1", port = {server.address[1]}, hostname = "mx.example.org" }}
            dns = {{ listen = ["127.0.0.1:0"] }}
            policy = {{ delay = 1.0 }}
            rules = {{ claim = ["rcpt.*"] }}
            domain = [{{ name = "example.org", users = ["ann"] }}]
            """,
            "utf-8",
        )
        assert main(["doctor", str(profile)]) == 1
    shown = capsys.readouterr().out
    assert "WRONG  it sees the client address that we play, and asks our DNS" in shown
    assert "it asked our DNS nothing in a whole dialogue" in shown
    assert "nameserver 127.0.0.1" in shown


def test_nobody_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = tmp_path / "profile.toml"
    profile.write_text(
        'name = "x"\nserver = { address = "127.0.0.1", port = 9, hostname = "mx.example.org" }\n'
        'policy = { delay = 1.0 }\ndomain = [{ name = "example.org", users = ["ann"] }]\n'
        'rules = { claim = ["rcpt.*"] }\n',
        "utf-8",
    )
    assert main(["doctor", str(profile)]) == 1
    assert "nobody listens at 127.0.0.1:9" in capsys.readouterr().out


def test_mail_that_never_comes_to_a_mail_host(sound: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = sound.tools.get(SINK)
    assert sink
    nobody = MailHost("nowhere.example", "mail.nowhere.example", "127.0.0.1", patience=0.1)
    monkeypatch.setattr(sink, "open", lambda domain, held=0: nobody)
    found = findings(sound)["sends"]
    assert (found.state, found.mend) == (State.BAD, "sink")
    assert "no such message came" in found.saw


def test_mail_that_comes_late_is_nothing_to_mend(sound: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(self: object, *_: object) -> None:
        raise CameLateError("it took 26.0 s, and may take 20 s")

    monkeypatch.setattr(MailHost, "arrival", late)
    monkeypatch.setattr("harness.capabilities.mailbox.PolledMailbox.find", late)
    found = findings(sound)
    assert [found[name].state for name in ("sends", "delivers")] == [State.UNTOLD, State.UNTOLD]


@pytest.mark.parametrize(
    ("stage", "code", "mend"),
    [
        (Stage.AUTH, 535, "credentials"),
        (Stage.AUTH, 454, "put-off"),
        (Stage.RCPT, 553, "account-mail"),
        (Stage.DATA, 550, "account-mail"),
        (Stage.RCPT, 451, "deferred"),
    ],
)
def test_the_password_is_to_blame_only_for_what_it_opens(
    sound: Run, stage: Stage, code: int, mend: str
) -> None:
    account = next(one.innocent for one in sound.baseline.meetings if one.innocent.authenticated)
    said = step(stage, code)
    odd = Met("baseline.account.x", "accounts are refused", str(said), account, said)
    (_, found), *_ = of_innocents(replace(sound, baseline=replace(sound.baseline, findings=(odd,))))
    assert found.mend == mend
    assert mend in read_toml(MENDS)


def test_who_is_only_put_off_has_no_wrong_password(sound: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "authenticate", lambda *_, **__: step(Stage.AUTH, 454))
    found, said = logs_in(Patient(sound)), list[str]()
    assert (found.state, found.mend) == (State.UNTOLD, "put-off")
    monkeypatch.setattr("harness.runs.doctor.CHECKS", [Check("the account works under TLS", logs_in)])
    assert report(sound, said.append, colour=False)
    assert any("The server answers neither yes nor no" in line for line in said)


@pytest.mark.parametrize(
    ("look", "code", "state", "mend"),
    [
        (sends, 450, State.UNTOLD, "put-off"),
        (sends, 550, State.BAD, "relay"),
        (delivers, 450, State.UNTOLD, "put-off"),
        (delivers, 550, State.BAD, "innocent"),
    ],
)
def test_a_message_that_is_put_off_is_not_refused(
    sound: Run,
    monkeypatch: pytest.MonkeyPatch,
    look: Callable[[Patient], Finding],
    code: int,
    state: State,
    mend: str,
) -> None:
    attempt = Client.attempt

    def answered(client: Client, **words: Any) -> Attempt:
        return replace(attempt(client, **words), steps=(step(Stage.RCPT, code),))

    monkeypatch.setattr(Client, "attempt", answered)
    found = look(Patient(sound))
    assert (found.state, found.mend) == (state, mend)


@pytest.mark.parametrize(
    ("listen", "dns", "forward"),
    [
        (("127.0.0.5", 53), "127.0.0.5", ""),
        (("0.0.0.0", 5353), "127.0.0.1", "let [dns] listen on 53, or forward 53 to 5353"),
    ],
)
def test_advice_names_our_own_addresses(sound: Run, listen: tuple[str, int], dns: str, forward: str) -> None:
    assert sound.profile.dns is not None
    tables = {
        "server": sound.profile.server.model_copy(update={"address": "127.0.0.9"}),
        "dns": sound.profile.dns.model_copy(update={"listen": (listen,)}),
    }
    run = replace(sound, profile=sound.profile.model_copy(update=tables))
    assert "must not match 127.0.0.1" in advice("refused", run)["exim"]
    resolver = advice("resolver", run)["all"]
    assert resolver.endswith(f"must have no other resolver than {dns}.")
    assert forward in resolver
    assert ("listens on port" in resolver) is bool(forward)


PROFILE = """
name = "odd"
server = {{ address = "127.0.0.1", port = {port}, hostname = "mx.example.org", reply_timeout = 3.0 }}
policy = {{ delay = 1.0 }}
rules = {{ claim = ["rcpt.*"] }}
domain = [{{ name = "example.org", users = ["ann", "ben", "postmaster"] }}]
"""


def doctors(folder: Path, server: Politely, *more: str) -> int:
    """The doctor's exit status."""
    profile = folder / "profile.toml"
    with HostileServer([[server]]) as listening:
        profile.write_text("\n".join([PROFILE.format(port=listening.address[1]), *more]), "utf-8")
        return main(["doctor", str(profile)])


def test_everybody_is_deferred_after_an_upgrade(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tainted = Politely(lambda said: b"451 Temporary local problem" if said[:4] == b"RCPT" else b"")
    assert doctors(tmp_path, tainted, "[greylist]") == 1
    first, words, mend, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(
        "   WRONG  known innocent clients are deferred at rcpt: 451 Temporary local problem"
    )
    assert "the server says: «451 Temporary local problem" in words
    assert "put off" in mend


def test_one_user_of_many_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctors(tmp_path, Politely(lambda said: b"550 gone" if b"ben@" in said else b"")) == 1
    shown = capsys.readouterr().out
    assert (
        "WRONG  known innocent clients are refused at rcpt when they write to ben@example.org: 550" in shown
    )
    assert "mend [[domain]] users" in shown


@pytest.mark.parametrize(
    ("reply", "mend"),
    [
        (b"554 5.7.1 <x.example>: Helo command rejected: Host not found", "An innocent client is refused"),
        (b"550 5.1.1 no such user", "A user that the profile names is refused"),
        (b"550 5.2.1 mailbox disabled", "A user that the profile names is refused"),
        (b"550 no", "Whoever is written to, clients are refused at the recipient"),
    ],
)
def test_whose_doing_a_refusal_of_all_recipients_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reply: bytes, mend: str
) -> None:
    assert doctors(tmp_path, Politely(lambda said: reply if said[:4] == b"RCPT" else b"")) == 1
    title, _, first, *_ = capsys.readouterr().out.splitlines()
    assert title.startswith("   WRONG  known innocent clients are refused at rcpt")
    assert first.strip().startswith(mend)


def test_a_server_that_knows_no_ehlo_has_banned_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctors(tmp_path, Politely(lambda said: b"502 unknown" if said[:4] == b"EHLO" else b"")) == 1
    shown = capsys.readouterr().out
    assert "The server does not know EHLO, with which scenarios greet" in shown
    assert "banned" not in shown


def test_what_a_sink_lacks_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doctors(tmp_path, Politely(), "[sink]", 'networks = ["127.6.0.0/24"]')
    assert "the profile has no [sink] networks (with [dns]) at which" in capsys.readouterr().out


def test_everybody_waits_for_the_greeting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctors(tmp_path, Politely(greeting_after=1.2)) == 1
    shown = capsys.readouterr().out
    assert "WRONG  known innocent clients are kept waiting at connect" in shown
    assert "[dialect] pause" in shown


def test_nobody_waits_for_the_greeting_any_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clients = ["[clients]", 'route = "bind"', 'networks = ["127.1.2.0/24"]']
    assert doctors(tmp_path, Politely(), *clients, "[dialect]", "pause = 2.5") == 1
    shown = capsys.readouterr().out
    assert "WRONG  innocent clients are not kept waiting for the greeting" in shown
    assert "otherwise take pause out of the profile" in shown


def test_a_server_that_does_not_name_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nameless = Politely(lambda said: b"220 ESMTP 8.15.2" if said == b"" else b"")
    assert doctors(tmp_path, nameless) == 0
    shown = capsys.readouterr().out
    assert "untold  the server answers, and is the one that the profile describes" in shown
    assert "it may be mx.example.org or not" in shown


def test_no_truncated_answer_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doctors(tmp_path, Politely(), 'dns = { listen = ["127.0.0.1:0"] }')
    shown = capsys.readouterr().out
    assert "untold  it resolves over TCP too" in shown
    assert "it asked nothing to which a truncated answer was given, in a dialogue to " in shown


def test_a_dialogue_that_was_lost_shows_nothing_of_truncated_answers(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    profile, banned = tmp_path / "profile.toml", list[bytes]()
    with HostileServer([[Politely(lambda said: b"" if said else b"".join(banned))]]) as server:
        profile.write_text(
            PROFILE.format(port=server.address[1]) + 'dns = { listen = ["127.0.0.1:0"] }', "utf-8"
        )
        with open_run(Wish(catalogue, profile)) as run:
            run = begin(run)[0]
            banned.append(b"421 busy")
            found = resolves_over_tcp(Patient(run))
    assert found.state is State.UNTOLD
    assert found.saw.startswith("a dialogue was lost: 421 busy")


RULE = """
[rule."house.greeting"]
stage = "helo"
level = "must"
source = "our handbook, section 4"
statement = "Whoever greets politely is let in."
expect = "pass at helo"
"""


def test_a_suite_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "rules.toml").write_text(RULE, "utf-8")
    (folder / "suite.toml").write_text(
        'name = "ours"\ntitle = "Ours"\nabout = "what we promise"\nclaimed_by_default = false\n'
        '[group.house]\ntitle = "House"\n',
        "utf-8",
    )
    profile = tmp_path / "profile.toml"
    with HostileServer([[Politely()]]) as server:
        claim = 'suites = { claim = ["ours"], without = ["wiki"] }\n'
        profile.write_text(
            PROFILE.format(port=server.address[1]).replace('claim = ["rcpt.*"]', "") + claim, "utf-8"
        )
        assert main(["doctor", str(profile), str(folder)]) == 0
        capsys.readouterr()
        assert main(["doctor", str(profile), str(tmp_path / "nowhere")]) == 2
        assert "nowhere: no rules.toml here or below" in capsys.readouterr().err
        assert main(["doctor", str(profile)]) == 2
        assert "is known where its folder is named" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("at", "said", "mend"),
    [
        (b"STAR", b"454 4.7.0 TLS is not available", "STARTTLS is not taken, or no handshake follows"),
        (
            b"RCPT",
            b"530 5.7.0 Must issue a STARTTLS command first",
            "The server wants TLS or an account before",
        ),
    ],
)
def test_a_mend_is_for_what_was_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at: bytes, said: bytes, mend: str
) -> None:
    server = Politely(lambda command: said if command[:4] == at else b"")
    assert doctors(tmp_path, server, 'tls = { name = "mx.example.org" }') == 1
    title, words, first, *_ = capsys.readouterr().out.splitlines()
    assert title.startswith("   WRONG  known innocent clients ")
    assert said.decode() in words
    assert first.strip().startswith(mend)


@pytest.mark.parametrize(
    ("then", "state", "saw"),
    [
        (b"", State.BAD, "a truncated answer was not asked for again over TCP"),
        (b"hang up", State.UNTOLD, "a dialogue was lost: "),
    ],
)
def test_a_truncated_answer_is_not_asked_for_again(
    tmp_path: Path, catalogue: Catalogue, then: bytes, state: State, saw: str
) -> None:
    profile, asking = tmp_path / "profile.toml", list[FakeDns]()

    def resolving(command: bytes) -> bytes:
        if not asking or not command.startswith(b"EHLO"):
            return b""
        asking[0].respond(Question("1.0.0.127.in-addr.arpa", "PTR").packet(), "127.0.0.1", Transport.UDP)
        return then

    with HostileServer([[Politely(resolving)]]) as server:
        profile.write_text(
            PROFILE.format(port=server.address[1]) + 'dns = { listen = ["127.0.0.1:0"] }', "utf-8"
        )
        with open_run(Wish(catalogue, profile)) as run:
            run = begin(run)[0]
            asking.append(run.internet.dns)
            found = resolves_over_tcp(Patient(run))
    assert (found.state, found.saw[: len(saw)]) == (state, saw)


def test_no_address_is_missed_where_none_can_be_chosen(tmp_path: Path, catalogue: Catalogue) -> None:
    profile, asking = tmp_path / "profile.toml", list[FakeDns]()

    def resolving(command: bytes) -> bytes:
        if asking and command.startswith(b"EHLO"):  # about the other end of a bridge
            asking[0].respond(Question("2.0.17.172.in-addr.arpa", "PTR").packet(), "127.0.0.1", Transport.UDP)
        return b""

    with HostileServer([[Politely(resolving)]]) as server:
        profile.write_text(
            PROFILE.format(port=server.address[1]) + 'dns = { listen = ["127.0.0.1:0"] }', "utf-8"
        )
        with open_run(Wish(catalogue, profile)) as run:
            asking.append(run.internet.dns)
            run = begin(run)[0]
            found = sees_address(Patient(run))
    assert (found.state, found.without) == (State.GOOD, "")
    assert "no address can be chosen here: " in found.saw


def test_only_what_rests_on_dns_is_blocked_where_nobody_asks(tmp_path: Path, catalogue: Catalogue) -> None:
    profile = tmp_path / "profile.toml"
    with HostileServer([[Politely()]]) as server:
        profile.write_text(
            PROFILE.format(port=server.address[1]) + 'dns = { listen = ["127.0.0.1:0"] }', "utf-8"
        )
        with open_run(Wish(catalogue, profile)) as run:
            run = begin(run)[0]
    assert run.unusable == ""
    need, reason = run.obstacle([TLS.name, DNS.name]) or (None, "")
    assert need == DNS.name
    assert "it asked our DNS nothing" in reason
    assert run.obstacle([TLS.name]) is None


@pytest.mark.parametrize("listed", [False, True], ids=["no list", "a list"])
def test_who_is_told_names_and_describes_no_list_may_ask_nothing(
    tmp_path: Path, catalogue: Catalogue, listed: bool
) -> None:
    profile = tmp_path / "profile.toml"
    more = 'dns = { listen = ["127.0.0.1:0"] }\n[clients]\nroute = "xclient"\nnetworks = ["198.18.0.0/15"]\n'
    more += '[[dnsbl]]\nname = "one"\nzones = ["bl.example"]\n' if listed else ""

    def introduced(said: bytes) -> bytes:
        if said[:7] == b"XCLIENT":
            return b"220 mx.example.org go on"
        return b"250-mx.example.org\r\n250 XCLIENT NAME ADDR" if said[:4] == b"EHLO" else b""

    with HostileServer([[Politely(introduced)]]) as server:
        profile.write_text(PROFILE.format(port=server.address[1]) + more, "utf-8")
        with open_run(Wish(catalogue, profile)) as run:
            begun = begin(run)[0]
            found = sees_address(Patient(begun))
    assert "it asked our DNS nothing" in found.saw
    assert found.state is (State.BAD if listed else State.UNTOLD), found.saw
    assert begun.obstacle([DNS.name])  # no verdict rests on what nobody was seen to ask


ACCOUNT = '[auth]\nuser = "ann"\npassword = "open-sesame"\n'


@pytest.mark.parametrize("answer", [b"454 TLS is not available", b"250 fine", b"502 what"])
def test_no_password_in_clear_text(tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: bytes) -> None:
    heard: list[bytes] = []

    def welcoming(said: bytes) -> bytes:
        heard.append(said)
        return answer if said == b"STARTTLS" else b"235 welcome" if said.startswith(b"AUTH") else b""

    assert doctors(tmp_path, Politely(welcoming), ACCOUNT) == 1
    shown = capsys.readouterr().out
    assert b"STARTTLS" in heard
    assert [said for said in heard if said.startswith(b"AUTH")] == []
    assert "WRONG  the account works under TLS" in shown
    assert f"no TLS handshake took place; STARTTLS: {answer.decode()}" in shown
    _, _, mend = shown.partition("WRONG  the account works under TLS")
    assert "STARTTLS is not taken, or no handshake follows" in mend
    assert "Mend [auth] user and password" not in shown


def test_who_is_let_in_is_let_in_under_tls(sound: Run) -> None:
    assert re.search(r"is let in under TLSv1\.[23]: 235 ", findings(sound)["logs_in"].saw)


def test_a_server_that_serves_nobody_is_not_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    busy = Politely(lambda said: b"421 too busy" if said[:4] == b"MAIL" else b"")
    assert doctors(tmp_path, busy) == 1
    shown = capsys.readouterr().out
    assert "WRONG  a run can judge this server" in shown
    assert "an innocent client got no further than mail: " in shown
    assert "until that is mended nothing can be judged" in shown
    assert "look into the server's log" in shown


def test_what_is_wrong_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctors(tmp_path, Politely(lambda said: b"554 go away" if said == b"" else b"")) == 1
    assert "a run can judge this server" not in capsys.readouterr().out


def test_a_pause_that_is_neither_prompt_nor_late(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doctors(tmp_path, Politely(greeting_after=0.7))
    shown = capsys.readouterr().out
    assert "not the same each time" not in shown
    assert len(re.findall(r"the reply at connect took 0\.\d\d s", shown)) == 2  # what each of them met
    assert re.search(r"if everybody waits for the greeting, dialect\.pause = 0\.\d decides it", shown)


@pytest.mark.parametrize(
    ("later", "said"),
    [
        (b"hang up", "a later dialogue was lost: "),
        (b"220 mx.example.org", "not the same each time: "),
        (b"554 go away", "but at connect the server said 554 go away"),
    ],
)
def test_what_was_seen_each_time(tmp_path: Path, catalogue: Catalogue, later: bytes, said: str) -> None:
    profile, greeting = tmp_path / "profile.toml", [b""]
    server = Politely(lambda said: greeting[0] if said == b"" else b"", greeting_after=0.7)
    with HostileServer([[server]]) as listening:
        profile.write_text(PROFILE.format(port=listening.address[1]), "utf-8")
        with open_run(Wish(catalogue, profile)) as run:
            run = begin(run)[0]
            server.greeting_after, greeting[0] = 0.0, later
            ((_, found),) = of_innocents(run)
    assert found.state is State.UNTOLD
    assert re.search(r"the reply at connect took 0\.\d\d s", found.saw)
    assert said in found.saw


def test_the_host_of_another_name_that_ends_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Politely(lambda said: b"220 web-mx.example.org ESMTP" if said == b"" else b"")
    assert doctors(tmp_path, other) == 1
    assert "and nowhere mx.example.org" in capsys.readouterr().out


def test_a_white_list_without_a_greylist_shows_nothing(catalogue: Catalogue) -> None:
    with open_run(Wish(catalogue, mutants=["greylist.first-defer:off"])) as run:
        found = findings(begin(run)[0])["changes_lists"]
    assert found.state is State.UNTOLD
    assert "whether it is honoured cannot be told, for a stranger without it was not put off" in found.saw


def test_an_entry_that_stays(sound: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = sound.tools.get(GREYLIST_OPERATOR)
    assert operator
    monkeypatch.setattr(operator, "remove", lambda *_: None)
    found = findings(sound)["changes_lists"]
    assert (found.state, found.mend) == (State.BAD, "operator")
    assert "that was removed from the white list is still shown" in found.saw


def test_a_retry_that_is_taken_at_once_shows_no_clock(catalogue: Catalogue) -> None:
    with open_run(Wish(catalogue, mutants=["greylist.early-retry:off"])) as run:
        found = findings(begin(run)[0])["clock_moves"]
    assert found.state is State.UNTOLD
    assert "a stranger that did not wait was not put off twice" in found.saw


def test_every_finding_has_its_mend() -> None:
    known = read_toml(MENDS)
    assert {
        "reachable",
        "refused",
        "another-server",
        "innocent",
        "resolver",
        "address",
        "tcp",
        "waiting",
        "deferred",
        "domains",
        "refused-hosts",
    } <= known.keys()
    assert all(entry["all"].endswith(".") for entry in known.values())


class OneAtATime:
    """Serves a client when the one before has gone."""

    def __init__(self) -> None:
        self._turn = threading.Lock()

    def play(self, visitor: Visitor) -> None:
        with self._turn:
            visitor.socket.sendall(b"220 mx.example.org ESMTP\r\n")
            visitor.hear(b"\r\n")
            visitor.socket.sendall(b"221 bye\r\n")
            raise Hangup


def room_at(server: HostileServer, catalogue: Catalogue, jobs: int) -> Finding:
    content = {
        "name": "crowded",
        "server": {
            "address": "127.0.0.1",
            "port": server.address[1],
            "hostname": "mx.example.org",
            "reply_timeout": 0.5,
            "jobs": jobs,
            "rate": 1000.0,
        },
        "policy": {"delay": 0.1},
        "domain": [{"name": "example.org", "users": ["ann"]}],
        "rules": {"claim": ["rcpt.*"]},
    }
    profile = settings.check(Path("profile.toml"), content, Profile)
    judge = Judge(profile.policy.delay, lambda since, until: 0.0)
    internet = Internet(FakeDns(), profile)
    run = Run(profile, catalogue, internet, endpoints_of(profile, internet), judge)
    return leaves_room(Patient(run))


def test_connections_at_once_are_held_until_all_were_greeted(catalogue: Catalogue) -> None:
    with HostileServer([[OneAtATime()]]) as server:
        found = room_at(server, catalogue, jobs=4)
    assert (found.state, found.mend) == (State.BAD, "connections")
    assert found.saw.startswith("3 of 4 connections at once: ")


def test_who_is_turned_away_alone_as_well_is_not_one_of_too_many(catalogue: Catalogue) -> None:
    with HostileServer([[Say(b"554 5.7.1 you are banned\r\n"), Hear(), Say(b"221 bye\r\n")]]) as server:
        found = room_at(server, catalogue, jobs=3)
    assert (found.state, found.mend) == (State.BAD, "refused")
    assert "3 of 3 connections at once: 554 5.7.1 you are banned; and one that came alone after" in found.saw


def test_a_server_that_greets_nobody_any_more_has_shown_no_limit(catalogue: Catalogue) -> None:
    with HostileServer([[Stall()]]) as server:
        found = room_at(server, catalogue, jobs=3)
    assert (found.state, found.mend) == (State.BAD, "reachable")
    assert "3 of 3 connections at once: " in found.saw
    assert "; and one that came alone after them: no reply: " in found.saw


def test_more_connections_than_were_tried_are_not_said_to_be_there(catalogue: Catalogue) -> None:
    with HostileServer([[Say(b"220 mx.example.org\r\n"), Hear(), Say(b"221 bye\r\n")]]) as server:
        few, many = (room_at(server, catalogue, jobs) for jobs in (3, 150))
    assert (few.state, few.saw) == (State.GOOD, "3 connections at once were greeted and held")
    assert many.state is State.GOOD
    assert many.saw == (
        "100 connections at once were greeted and held; server.jobs is 150, and more than 100 were not tried"
    )


def test_a_deferral_that_is_neither_prompt_nor_late(sound: Run) -> None:
    met = next(one for one in sound.baseline.meetings if one.attempt.rcpt.code == 451)
    slow = replace(met.attempt.rcpt, seconds=0.7 * sound.profile.policy.delay)
    steps = tuple(slow if step == met.attempt.rcpt else step for step in met.attempt.steps)
    odd = replace(met, attempt=replace(met.attempt, steps=steps), deviation="it took its time")
    (told,) = of_innocents(replace(sound, baseline=replace(sound.baseline, meetings=(odd,))))
    assert f"dialect.refusals_take = {slow.seconds:.1f} decides it" in told[1].saw


def test_connections_that_are_lost_once_are_no_limit(catalogue: Catalogue) -> None:
    class LosesTheFirst(Politely):
        def play(self, visitor: Visitor) -> None:
            if not self.visits:
                self.visits.append(1)
                raise Hangup
            super().play(visitor)

    with HostileServer([[LosesTheFirst()]]) as server:
        found = room_at(server, catalogue, jobs=3)
    assert found.state is State.UNTOLD
    assert found.saw.startswith("not the same each time: 1 of 3 connections at once")


def test_a_dialogue_that_was_stopped_is_no_whole_one(tmp_path: Path, catalogue: Catalogue) -> None:
    profile = tmp_path / "profile.toml"
    closed = Politely(lambda said: b"530 5.7.0 log in first" if said[:4] == b"MAIL" else b"")
    with HostileServer([[closed]]) as server:
        profile.write_text(
            PROFILE.format(port=server.address[1]) + 'dns = { listen = ["127.0.0.1:0"] }', "utf-8"
        )
        with open_run(Wish(catalogue, profile)) as run:
            found = sees_address(Patient(begin(run)[0]))
    assert found.state is State.UNKNOWN
    assert "530 5.7.0 log in first" in found.saw
