"""Drafting the profile of servers of many kinds, lawful and not, that nobody has described."""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fake_dns import listing_name, reverse_name
from harness.cli import main
from harness.discovery.discover import DiscoveryError, Place, Telling
from harness.discovery.draft import draft
from harness.discovery.trial import try_rules
from harness.offence import Offence
from harness.profile.tables import RouteName
from harness.pytest_runs.commanded import BrokenRunError, run_pytest
from harness.reference_mta.certificate import own_certificate, server_context
from harness.results.model import Status
from harness.rules import Catalogue
from harness.smtp.host_name import host_name
from tests.dns_asking import Question
from tests.hostile_server import Hear, HostileServer, Say, StartTls, Step, Visitor
from tests.ports import free_port
from tests.test_baseline import Politely
from tests.test_discover import (
    ALICE,
    ANN,
    NO_GREYLIST,
    explored,
    impatient,
    no_dns,
    reference,
)

__all__ = ["impatient"]

ANSWERED = 5.0  # seconds within which a name server has answered


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.below(Path("scenarios"))


def test_a_deferral_of_everybody_is_no_greylist(catalogue: Catalogue) -> None:
    tainted = Politely(lambda said: b"451 4.3.0 Temporary lookup failure" if said[:4] == b"RCPT" else b"")
    with HostileServer([[tainted]]) as server:
        found = explored(server.address, no_dns(), catalogue, users=(ANN,), wait=0.5)
    assert found.profile.greylist is None
    assert "451 4.3.0 Temporary lookup failure" in found.text
    assert [domain.users for domain in found.profile.domain] == [("ann",)]  # by her owner's word
    assert not found.profile.claims(catalogue["rcpt.unknown-user"])


def test_a_greylist_that_says_so_is_described_with_a_question(catalogue: Catalogue) -> None:
    words = b"450 4.2.0 Greylisted, see http://postgrey.example/ and come back in 300 seconds"
    with HostileServer([[Politely(lambda said: words if said[:4] == b"RCPT" else b"")]]) as server:
        found = explored(server.address, no_dns(), catalogue, users=(ANN,))
    assert found.profile.greylist is not None
    assert found.profile.greylist.codes == (450,)
    assert "it speaks of 300 s" in found.text


def test_a_server_that_asks_another_dns(catalogue: Catalogue) -> None:
    refusing = Politely(lambda said: b"550 no relaying" if said.endswith(b"elsewhere.example>") else b"")
    with HostileServer([[refusing]]) as server:
        found = explored(server.address, no_dns(), catalogue, users=(ANN,))
    assert found.profile.dns is None
    assert found.profile.policy.delay == 0
    assert "not looked at: it asked our DNS nothing" in found.text
    assert "nobody was kept waiting" not in found.text
    assert not found.profile.claims(catalogue["connect.rdns-missing"])
    assert str(found.profile.dialect.answers[Offence.RELAYING]) == "deny"
    assert any("nothing is said of names, lists and delays" in line for line in found.told)


def test_a_server_that_knows_no_ehlo(catalogue: Catalogue) -> None:
    old = Politely(
        lambda said: (
            b"502 unknown" if said[:4] == b"EHLO" else b"250 old.example.org" if said[:4] == b"HELO" else b""
        )
    )
    with HostileServer([[old]]) as server:
        found = explored(server.address, no_dns(), catalogue, users=(ANN,))
    assert found.profile.server.hostname == "old.example.org"
    assert found.seen.recipient == ANN
    assert any("clients greet with HELO" in line for line in found.told)
    assert "# Noticed: it does not know EHLO, with which scenarios greet" in found.text


def test_a_server_that_demands_tls(catalogue: Catalogue) -> None:
    words = b"530 5.7.0 Must issue a STARTTLS command first"
    with HostileServer([[Politely(lambda said: words if said[:4] == b"MAIL" else b"")]]) as server:
        found = explored(server.address, no_dns(), catalogue, users=(ANN,))
    assert "it takes no mail in clear text without more: «mail: 530 5.7.0 Must issue a STARTTLS" in found.text
    assert found.seen.sightings == () or all(one.outcome is None for one in found.seen.sightings)


def test_a_server_that_demands_tls_at_the_recipient(catalogue: Catalogue) -> None:
    words = b"530 5.7.0 Must issue a STARTTLS command first"
    with HostileServer([[Politely(lambda said: words if said[:4] == b"RCPT" else b"")]]) as server:
        found = explored(server.address, no_dns(), catalogue, users=(ANN,))
    assert "it takes no mail in clear text without more: «rcpt: 530 5.7.0" in found.text
    assert "is not taken" not in found.text
    assert [domain.users for domain in found.profile.domain] == [("ann",)]  # by her owner's word
    assert all(one.outcome is None for one in found.seen.sightings if one.offence is Offence.RELAYING)


def test_a_server_that_demands_a_login_of_who_relays(catalogue: Catalogue) -> None:
    words = b"530 SMTP authentication is required."
    demands = Politely(lambda said: words if b"TO:<" in said and b"@example.org>" not in said else b"")
    with HostileServer([[demands]]) as server:
        found = explored(server.address, no_dns(), catalogue, users=(ANN,))
    assert found.seen.recipient == ANN
    assert any(
        f"wants more before it takes mail for postmaster@unknown.example: rcpt: {words.decode()}" in one
        for one in found.told
    )
    assert "no mail in clear text" not in found.text


def test_that_mail_for_others_wants_a_login_says_nothing_of_mail_for_its_own(catalogue: Catalogue) -> None:
    demands = Politely(lambda said: b"530 log in first" if foreign(said) else b"")
    with HostileServer([[demands]]) as server:
        found = explored(server.address, no_dns(), catalogue)
    assert "no mail in clear text" not in found.text
    assert "its postmaster is taken" in found.text


def test_where_our_dns_cannot_listen_nobody_could_ask(catalogue: Catalogue) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as taken, HostileServer([[Politely(foreign)]]) as server:
        taken.bind(("127.0.0.1", 0))
        dns = taken.getsockname()
        found = explored(server.address, dns, catalogue, users=(ANN,))
    why = f"nobody could ask our DNS: 127.0.0.1 port {dns[1]} (UDP): another program listens there"
    assert found.told[0].startswith(why)
    assert f"# Noticed: {why}" in found.text
    assert f"# [dns]                # ? {why}" in found.text
    assert "name another with --dns" in found.text
    assert "it asked" not in found.text
    assert not any("it asked" in line for line in found.told)


def test_a_user_who_is_named_twice_is_one(catalogue: Catalogue) -> None:
    with HostileServer([[Politely(foreign)]]) as server:
        found = explored(server.address, no_dns(), catalogue, users=(ANN, ANN, "Ann@Example.org"))
    assert [domain.users for domain in found.profile.domain] == [("ann", "postmaster")]


def test_what_was_seen_is_drafted_where_the_run_of_the_scenarios_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise BrokenRunError("it left no result")

    monkeypatch.setattr("harness.discovery.trial.try_rules", breaks)
    file = tmp_path / "draft.toml"
    with HostileServer([[Politely(foreign)]]) as server:
        dns = f"127.0.0.1:{free_port()}"
        address = f"127.0.0.1:{server.address[1]}"
        assert main(["discover", address, "--dns", dns, "--user", ANN, "--wait", "0", "-o", str(file)]) == 0
    text = file.read_text("utf-8")
    assert "# Noticed: the run of the scenarios came to nothing: it left no result." in text
    assert "not looked at: the scenarios were not run" in text


def test_a_server_that_bans_who_comes_often(catalogue: Catalogue) -> None:
    server = Politely()
    server.answers = lambda said: (
        foreign(said) or (b"554 5.7.1 you are banned" if not said and len(server.visits) > 9 else b"")
    )
    with HostileServer([[server]]) as listening:
        found = explored(listening.address, no_dns(), catalogue, users=(ANN,))
    stopped = "# Noticed: innocent clients do not get through by now, as they did at first "
    assert stopped in found.text
    assert "connect: 554 5.7.1 you are banned" in found.text
    assert not found.seen.heard_out  # so the scenarios are not run
    assert found.seen.sightings == ()  # nor is it bothered any more
    assert "waited longer than innocent ones" not in found.text
    assert "innocent clients got no further than connect: 554" in found.text
    for unseen in ("helo.plain-ip", "rcpt.unknown-user", "greylist.first-defer"):
        assert not found.profile.claims(catalogue[unseen])


def test_lists_that_are_asked_where_no_address_can_be_chosen(catalogue: Catalogue) -> None:
    dns = no_dns()
    with HostileServer([[Asking(foreign, resolver=dns, zone="traps.bl.example")]]) as server:
        found = explored(server.address, dns, catalogue, users=(ANN,))
    assert '# zones = ["traps.bl.example"]' in found.text
    assert "for no client's address can be chosen: how does it count" in found.text
    assert "how the lists count that it asks about its clients is not known" in found.text
    assert "about no list" not in found.text
    assert "threshold" not in found.text  # nobody was refused for being on one


@dataclass
class Asking(Politely):
    """Polite, unless told otherwise, and asks DNS for each client's name, and for the one in its greeting."""

    resolver: tuple[str, int] = ("127.0.0.1", 9)
    zone: str = ""  # of a list, about every client

    def play(self, visitor: Visitor) -> None:
        polite = self.answers

        def answer(said: bytes) -> bytes:
            if said[:4] in (b"EHLO", b"HELO"):
                self._ask(said[5:].decode(), "A")
            return polite(said)

        address = visitor.socket.getpeername()[0]
        self._ask(reverse_name(address), "PTR")
        if self.zone:
            self._ask(listing_name(address, self.zone), "A")
        Politely(answer, self.greeting_after).play(visitor)

    def _ask(self, name: str, record_type: str) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as asking, contextlib.suppress(OSError):
            asking.settimeout(ANSWERED)
            asking.connect(self.resolver)
            asking.send(Question(name, record_type).packet())
            asking.recv(512)  # as every server does before it goes on


def foreign(said: bytes) -> bytes:
    """No relaying; that alone is what every server refuses."""
    relaying = said.startswith(b"RCPT") and b"@example.org>" not in said
    return b"550 no relaying" if relaying or b"%" in said or b"!" in said else b""


def unless(start: bytes, reply: bytes) -> Callable[[bytes], bytes]:
    """The same, but for one command."""
    return lambda said: reply if said.startswith(start) else foreign(said)


@pytest.mark.parametrize(
    ("answers", "pause", "passed"),
    [
        (unless(b"EHLO", b"502 unknown"), 0.0, ()),
        (unless(b"MAIL", b"530 5.7.0 Must issue a STARTTLS command first"), 0.0, ()),
        (unless(b"RCPT", b"451 4.3.0 Temporary lookup failure"), 0.0, ()),
        (unless(b"RCPT", b"450 4.2.0 Greylisted, come back in 300 seconds"), 0.0, ()),
        (unless(b".", b"451 4.7.1 later"), 0.0, ()),
        (foreign, 0.6, ("helo.plain-ip", "helo.own-domain")),
        (unless(b"EHLO [", b"550 no literals"), 0.0, ("helo.ip-literal", "helo.not-fqdn")),
        (unless(b"EHLO localbox", b"550 no dot"), 0.0, ("helo.ip-literal", "helo.dns-mismatch")),
    ],
    ids=["HELO", "TLS first", "deferral", "greylist", "deferral at DATA", "pause", "literals", "one name"],
)
def test_the_run_with_the_draft_of_an_odd_server_has_no_false_verdict(
    tmp_path: Path,
    catalogue: Catalogue,
    monkeypatch: pytest.MonkeyPatch,
    answers: Callable[[bytes], bytes],
    pause: float,
    passed: tuple[str, ...],
) -> None:
    monkeypatch.setattr("harness.discovery.reach.NETWORKS", ("127.3.0.0/16", "2001:db8::/32"))
    file, dns = tmp_path / "draft.toml", no_dns()
    scenarios = Path("scenarios/wiki/test_helo.py")
    with HostileServer([[Asking(answers, pause, resolver=dns)]]) as server:
        found = explored(server.address, dns, catalogue, users=(ANN,))
        assert found.profile.dns is not None
        place = Place(*server.address, dns)
        file.write_text(found.text, "utf-8")
        if found.seen.heard_out:
            deviating = try_rules(
                lambda before: draft(place, found.seen, catalogue, before), scenarios, catalogue, 60
            )
            file.write_text(draft(place, found.seen, catalogue, deviating), "utf-8")
        result = run_pytest(scenarios, tmp_path / "reports", [f"--sut={file}"])
    assert [(one.id, one.reason) for one in result.rules if one.status is Status.FAILED] == []
    assert {*passed} <= {one.id for one in result.rules if one.status is Status.PASSED}


def test_a_pause_for_everybody(catalogue: Catalogue) -> None:
    with HostileServer([[Politely(greeting_after=0.6)]]) as server:
        found = explored(server.address, no_dns(), catalogue)
    assert found.profile.dialect.pause == 0.6


@pytest.mark.parametrize("relaying", ["deny", "delay+deny"])
def test_a_tarpit_on_all_refusals(tmp_path: Path, catalogue: Catalogue, relaying: str) -> None:
    held = "true" if relaying == "delay+deny" else "false"
    tables = f"""
        [server]
        delay = 0.7
        {NO_GREYLIST}
        [speech]
        refusal_pause = 0.6
        [answers."rcpt.relay-denied"]
        action = "refuse"
        held = {held}
        [answers."helo.not-fqdn"]
        action = "refuse"
    """
    with reference(tmp_path, tables) as (address, dns):
        profile = explored(address, dns, catalogue, users=(ALICE,)).profile
    assert profile.dialect.refusals_take == pytest.approx(0.6, abs=0.1)
    assert profile.policy.delay == pytest.approx(0.7, abs=0.1)
    assert [str(one) for one in profile.expectation(catalogue["rcpt.relay-denied"])[0]] == [
        f"{relaying} at rcpt"
    ]
    assert str(profile.dialect.answers[Offence.UNQUALIFIED_GREETING]) == "deny"
    for delayed in ("helo.plain-ip", "helo.ip-literal"):
        assert profile.expectation(catalogue[delayed])[0] == catalogue[delayed].expect


def test_tls_from_the_start(tmp_path: Path, catalogue: Catalogue) -> None:
    context = server_context(*own_certificate(tmp_path, ("mx.example.org",)))
    script: list[Step] = [StartTls(context), Say(b"220 mx.example.org\r\n"), Hear()]
    with (
        HostileServer([script]) as server,
        pytest.raises(DiscoveryError, match=r"speaks TLS from the start, .*220 mx\.example\.org"),
    ):
        explored(server.address, no_dns(), catalogue)


def test_the_addresses_that_are_routed_here_are_bound(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.discovery.reach.NETWORKS", ("127.3.0.0/16", "2001:db8::/32"))
    with HostileServer([[Politely()]]) as server:
        found = explored(server.address, no_dns(), catalogue)
    assert found.told[1].startswith("way in: bind; it says «220 mx.example.org")


@dataclass
class LateForStrangers(Politely):
    """Greets its own host at once, and lets all others wait."""

    def play(self, visitor: Visitor) -> None:
        late = visitor.socket.getpeername()[0] != "127.0.0.1"
        Politely(greeting_after=0.6 if late else 0.0).play(visitor)


def test_a_way_on_which_strangers_wait_is_waited_for(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.discovery.reach.NETWORKS", ("127.3.0.0/16", "2001:db8::/32"))
    with HostileServer([[LateForStrangers()]]) as server:
        found = explored(server.address, no_dns(), catalogue)
    assert found.told[1].startswith("way in: bind; it says «220 mx.example.org")


@pytest.mark.parametrize(
    ("relayed", "proxy", "route", "networks", "trusted"),
    [
        (
            "198.18.0.0/15",
            "true",
            RouteName.PROXY_V2,
            ["203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24"],
            False,
        ),
        ("127.0.0.1", "false", RouteName.BIND, ["127.1.0.0/16"], False),
        ("127.0.0.0/8", "false", RouteName.DIRECT, [], True),
    ],
)
def test_what_a_relay_client_meets_is_no_fact_about_strangers(
    tmp_path: Path,
    catalogue: Catalogue,
    relayed: str,
    proxy: str,
    route: RouteName,
    networks: list[str],
    trusted: bool,
) -> None:
    tables = f'{NO_GREYLIST}[server]\nproxy_protocol = {proxy}\n[relay]\nfrom_hosts = ["{relayed}"]\n'
    with reference(tmp_path, tables) as (address, dns):
        found = explored(address, dns, catalogue, users=(ALICE,))
    clients = found.profile.clients
    assert (clients.route, [str(one) for one in clients.networks]) == (route, networks)
    assert [(domain.name, domain.catch_all) for domain in found.profile.domain] == [("castle.example", False)]
    assert ("RELAYS FOR US" in found.text) == trusted
    assert (f'# trusted = ["{relayed}"]' in found.text) != trusted
    assert (f"# Noticed: it relays for {relayed}, so clients come from " in found.text) != trusted
    assert found.profile.claims(catalogue["rcpt.relay-denied"])
    assert found.profile.claims(catalogue["rcpt.unknown-user"]) != trusted


def test_a_foreign_recipient_that_is_taken_is_no_relaying_unless_the_message_is(catalogue: Catalogue) -> None:
    with HostileServer([[Politely(lambda said: b"550 relaying denied" if said == b"." else b"")]]) as server:
        found = explored(server.address, no_dns(), catalogue)
    assert "RELAYS" not in found.text
    assert "whether it takes the mail shows only at the end of a message: name a --user" in found.text
    assert '"rcpt.*",  # it took a foreign recipient (somebody@elsewhere.example); whether it' in found.text
    assert not found.profile.claims(catalogue["rcpt.relay-denied"])
    assert Offence.RELAYING not in found.profile.dialect.answers


@dataclass
class OffersToStrangers(Politely):
    """Relays for its own host, to which it offers nothing."""

    def play(self, visitor: Visitor) -> None:
        stranger = visitor.socket.getpeername()[0] != "127.0.0.1"
        offer = b"250-mx.example.org\r\n250 AUTH PLAIN"
        answers = unless(b"EHLO", offer) if stranger else lambda said: b""
        Politely(answers).play(visitor)


def test_what_a_server_offers_is_what_it_offers_to_strangers(catalogue: Catalogue) -> None:
    with HostileServer([[OffersToStrangers()]]) as server:
        found = explored(server.address, no_dns(), catalogue)
    assert found.profile.clients.route is RouteName.BIND
    assert found.seen.face.keywords == {"AUTH": "PLAIN"}


def test_a_server_that_greets_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    refusing: list[Step] = [Say(b"554 go away\r\n"), Hear(), Say(b"221 bye\r\n")]
    with HostileServer([refusing]) as server:
        address = f"127.0.0.1:{server.address[1]}"
        assert main(["discover", address, "--dns", f"127.0.0.1:{free_port()}"]) == 2
    said = capsys.readouterr().err
    assert "greets nobody" in said
    assert "direct: connect: 554 go away" in said
    assert "TLS from the start: no" in said


def test_a_server_that_greets_and_takes_no_ehlo(catalogue: Catalogue) -> None:
    refusing = Politely(lambda said: b"550 bad name" if said[1:4] == b"HLO" or said[:4] == b"HELO" else b"")
    with (
        HostileServer([[refusing]]) as server,
        pytest.raises(
            DiscoveryError, match="greets, and takes neither EHLO nor HELO; direct: helo: 550 bad name"
        ),
    ):
        explored(server.address, no_dns(), catalogue)


@pytest.mark.parametrize(
    ("answer", "banner", "name"),
    [
        ("mx.example.org Hello mx.client.example", "ESMTP", "mx.example.org"),
        ("Hello mx.client.example", "mx.example.org ESMTP Sendmail 8.15.2", "mx.example.org"),
        ("fine", "ESMTP Sendmail 8.15.2/8.15.2", ""),
        ("[192.0.2.1] greets you", "ESMTP 4.96", ""),
        ("fine", "<MX.Example.ORG>, Postfix", "mx.example.org"),
    ],
)
def test_what_a_server_calls_itself(answer: str, banner: str, name: str) -> None:
    assert host_name(answer, banner, ["mx.client.example"]) == name


def test_long_looks_say_how_long_they_will_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.discovery.place.TOLD_EVERY", 0.05)
    told: list[str] = []
    telling = Telling(told.append)
    clock = telling.clock(0.2)
    telling.over("waiting", lambda one: clock.advance(one, 0.2), ["everybody"], lasts=10.0)
    assert told[0] == "  waiting: 0 of 1, about 10 s left"


def test_whoever_is_stopped_waits_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.discovery.place.TOLD_EVERY", 0.05)

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    telling = Telling(interrupt)
    clock = telling.clock(600.0)
    with pytest.raises(KeyboardInterrupt):
        telling.over("waiting", lambda one: clock.advance(one, 600.0), ["everybody", "others"], at_once=1)
