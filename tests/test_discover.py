"""Drafting the profile of a server that nobody has described."""

import socket
import tomllib
from pathlib import Path

import pytest

from harness import settings
from harness.cli import main
from harness.discovery.discover import Place, Seen, explore
from harness.discovery.draft import Deviation, deviations, draft, outcome_of, time_to_try
from harness.mutants import BrokenRunError, run_pytest
from harness.outcome import Stage
from harness.profile.model import Profile, contradictions
from harness.profile.tables import RouteName
from harness.results.model import Status
from harness.rules import Catalogue
from tests.hostile_server import Hear, HostileServer, Say, Step
from tests.mta_process import running_mta
from tests.result_builder import case, rule, run


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.below(Path("scenarios"))


def free_port() -> int:
    """A port that is free over TCP now; the name server takes it over UDP as well."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def checked(text: str, catalogue: Catalogue) -> Profile:
    profile = settings.check("draft", tomllib.loads(text), Profile)
    assert contradictions(profile, catalogue) == []
    return profile


def test_the_reference_mta_is_drafted_as_it_is(tmp_path: Path, catalogue: Catalogue) -> None:
    resolver = ("127.0.0.1", free_port())
    with running_mta(tmp_path, delay=0.7, resolver=resolver) as mta:
        place = Place(*mta.address, resolver)
        seen = explore(place, ["attic.example", "elsewhere.example"], catalogue)
    assert seen.route is RouteName.PROXY_V2
    assert seen.held_at == (Stage.CONNECT, Stage.HELO, Stage.MAIL, Stage.RCPT)
    profile = checked(draft(place, seen), catalogue)
    assert profile.server.hostname == "mail.castle.example"
    assert profile.policy.delay == 1
    assert [(domain.name, domain.catch_all) for domain in profile.domain] == [
        ("attic.example", True),
        ("castle.example", False),
    ]
    assert [entry.zones for entry in profile.dnsbl] == [
        ("traps.blocklist.example",),
        ("reports.blocklist.example",),
    ]
    assert profile.dns is not None
    assert profile.greylist is not None
    assert profile.tls is not None
    assert "dnsbl.*" in profile.rules.without  # two lists are too few for its rules


@pytest.mark.parametrize(
    ("relayed", "proxy", "route", "networks", "trusted"),
    [
        (
            "198.18.0.0/15",
            True,
            RouteName.PROXY_V2,
            ["203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24"],
            False,
        ),
        ("127.0.0.1", False, RouteName.BIND, ["127.1.0.0/16"], False),
        ("127.0.0.0/8", False, RouteName.DIRECT, [], True),
    ],
)
def test_what_a_relay_client_meets_is_no_fact_about_strangers(
    tmp_path: Path,
    catalogue: Catalogue,
    relayed: str,
    proxy: bool,
    route: RouteName,
    networks: list[str],
    trusted: bool,
) -> None:
    resolver = ("127.0.0.1", free_port())
    with running_mta(tmp_path, resolver=resolver, relayed=relayed, proxy=proxy) as mta:
        place = Place(*mta.address, resolver)
        seen = explore(place, [], catalogue)
    text = draft(place, seen)
    profile = checked(text, catalogue)
    assert (profile.clients.route, [str(one) for one in profile.clients.networks]) == (route, networks)
    assert [(domain.name, domain.catch_all) for domain in profile.domain] == [("castle.example", False)]
    assert ("RELAYS FOR US" in text) == trusted
    assert ("# catch_all = true     # ?" in text) == trusted
    assert (f'# trusted = ["{relayed}"]' in text) != trusted
    assert (
        f"# Noticed: it relays for {relayed}, so clients come from {', '.join(networks)} here." in text
    ) != trusted


def test_what_is_left_out_says_why(catalogue: Catalogue) -> None:
    seen = Seen(RouteName.DIRECT, (), zones=("a.example", "b.example"), delay=1.0, held_at=(Stage.HELO,))
    text = draft(Place("127.0.0.1", 25, ("127.0.0.1", 53)), seen)
    assert '"dnsbl.*",  # it asked 2 block lists, the rules need three; describe more as [[dnsbl]]' in text
    assert "delay.*" not in text
    assert '"bounce.*",  # not to be seen from outside; give a [[domain]] its bounce_recipients' in text
    for line in text.partition("without = [")[2].partition("]\n")[0].splitlines():
        assert "#" in line


def test_an_override_differs_from_what_it_overrides(catalogue: Catalogue) -> None:
    failed = [
        case(Status.FAILED, observed="rcpt: 451 later after 0.10 s", reason="the twin suffers too"),
        case(Status.FAILED, observed="helo: 250 hello after 0.10 s", reason="it was let in"),
        case(Status.FAILED, observed="", reason="nothing was found"),
    ]
    expected = ["pass at rcpt or defer at rcpt", "delay+deny at helo", "pass at data"]
    rules = zip(("greylist.first-defer", "helo.plain-ip", "delivery.alias"), failed, expected, strict=True)
    found = deviations(run(*(rule(name, one, expectation=said) for name, one, said in rules)))
    assert [(one.id, one.outcome) for one in found] == [
        ("greylist.first-defer", ""),
        ("helo.plain-ip", "pass at helo"),
        ("delivery.alias", ""),
    ]
    text = draft(Place("127.0.0.1", 25, ("127.0.0.1", 53)), Seen(RouteName.DIRECT, ()), found)
    assert text.count("# [rules.expect.") == 1
    assert "it did not hold: «the twin suffers too»" in text


SCENARIOS = """
from harness.scenario import *
from harness.scenario import rule
@rule("mine.late")
def test_late(client, expect):
    attempt = client.attempt(helo=client.address, upto=Stage.HELO)
    expect(attempt, twin=client.twin().attempt(upto=Stage.HELO))
@rule("mine.prompt")
def test_prompt(client, expect):
    expect(client.attempt(), twin=client.twin().attempt())
"""


def test_how_far_a_run_is_and_when_it_is_given_up(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    facts = 'stage = "helo"\nsource = "ours"\nstatement = "x"\nneeds = ["address", "dns"]\nexpect = '
    (tmp_path / "rules.toml").write_text(
        f'suite = "mine"\n[rule."mine.late"]\n{facts}"delay+deny at helo"\n'
        f'[rule."mine.prompt"]\n{facts}"pass at rcpt"\n',
        "utf-8",
    )
    (tmp_path / "test_mine.py").write_text(SCENARIOS, "utf-8")
    run_pytest(tmp_path, tmp_path / "reports", [], progress=True)
    assert capfd.readouterr().err == "  1 of 2 scenarios done\n"
    with pytest.raises(BrokenRunError, match="was not over after 0 s"):
        run_pytest(tmp_path, tmp_path / "given-up", [], patience=0.1)


def test_how_long_it_may_take() -> None:
    assert time_to_try(Seen(RouteName.DIRECT, (), delay=20.0), 120) == 600
    assert time_to_try(Seen(RouteName.DIRECT, ()), 120) == 60


def test_a_draft_of_next_to_nothing_is_a_profile(catalogue: Catalogue) -> None:
    place = Place("127.0.0.1", 25, ("127.0.0.1", 53))
    late = tuple(rule.id for rule in catalogue if all(outcome.late for outcome in rule.expect))
    seen = Seen(RouteName.DIRECT, (), late_rules=late, notes=["it does not say its own name"])
    text = draft(place, seen)
    checked(text, catalogue)
    assert "# Noticed: it does not say its own name." in text
    assert "make this address its only resolver" in text


def test_what_a_server_says_stays_in_its_comment(catalogue: Catalogue) -> None:
    place = Place("127.0.0.1", 25, ("127.0.0.1", 53))
    seen = Seen(RouteName.DIRECT, (), hostname="mx.example.org", delay=1.0, held_at=(Stage.HELO,))
    rule = Deviation("helo.plain-ip", "delay+deny at helo", 'helo: 250 ok\n[x]\ny = "', "pass at helo")
    text = draft(place, seen, [rule])
    checked(text, catalogue)
    assert "helo: 250 ok\\n[x]" in text


@pytest.mark.parametrize(
    ("observed", "delay", "outcome"),
    [
        ("rcpt: 550 No such user after 0.02 s", 1.0, "deny at rcpt"),
        ("helo: 250 mail.castle.example after 1.01 s", 1.0, "delay at helo"),
        ("rcpt: 451 later after 0.10 s", 1.0, "defer at rcpt"),
        ("connect: 220 x after 20.40 s", 0.0, "pass at connect"),
        ("rcpt: no reply: the connection was reset", 1.0, ""),
        ("", 1.0, ""),
    ],
)
def test_what_was_seen_is_read_as_an_outcome(observed: str, delay: float, outcome: str) -> None:
    assert outcome_of(observed, delay) == outcome


def test_a_server_that_greets_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    refusing: list[Step] = [Say(b"554 go away\r\n"), Hear(), Say(b"221 bye\r\n")]
    with HostileServer([refusing] * 4) as server:
        address = f"127.0.0.1:{server.address[1]}"
        assert main(["discover", address, "--dns", f"127.0.0.1:{free_port()}"]) == 2
    said = capsys.readouterr().err
    assert "greets nobody" in said
    assert "554 go away" in said


@pytest.mark.parametrize("address", ["mail.example.org", "127.0.0.1:x", "127.0.0.1:99999"])
def test_what_is_no_address(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", address]) == 2
    assert "write 127.0.0.1" in capsys.readouterr().err


def test_no_file_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "profile.toml"
    file.write_text("mine", "utf-8")
    assert main(["discover", "127.0.0.1:9", "-o", str(file)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert file.read_text("utf-8") == "mine"
