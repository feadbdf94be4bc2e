"""Drafting the profile of a server that nobody has described."""

import contextlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fake_dns import FakeDns
from harness import settings
from harness.cli import main
from harness.discovery.dialect import speech_of
from harness.discovery.discover import Known, Place, Telling, explore
from harness.discovery.draft import draft
from harness.discovery.facts import (
    Deferral,
    Face,
    GreylistSeen,
    HostedDomain,
    RecipientLimit,
    Seen,
    Sighting,
    Speech,
    Way,
)
from harness.discovery.recipients import verified_first_unless_shown
from harness.discovery.trial import Deviation, deviations, time_to_try, try_rules
from harness.offence import Offence
from harness.outcome import Outcome, Stage, Treatment
from harness.profile.claims import contradictions
from harness.profile.dialect import Asks, Told
from harness.profile.model import Profile
from harness.profile.tables import RouteName
from harness.pytest_runs.commanded import BrokenRunError, run_pytest
from harness.results.model import Status, Try
from harness.rules import Catalogue
from tests.dns_asking import answers
from tests.mta_here import configured, serving_here
from tests.ports import free_port
from tests.result_builder import case, dialogue, reply, rule, run

ALICE = "alice@castle.example"
ANN = "ann@example.org"
NO_GREYLIST = '[greylist]\nexempt = ["alice", "postmaster"]\n'


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.below(Path("scenarios"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers on this machine need no second to say whether they answer, and their greylists are punctual."""
    monkeypatch.setattr("harness.discovery.reach.HEAD_START", 0.3)
    monkeypatch.setattr("harness.discovery.reach.GRACE", 0.1)
    monkeypatch.setattr("harness.discovery.dialogues.RATE", 500.0)
    monkeypatch.setattr("harness.world.client.GREYLIST_SLACK", 0.1)
    monkeypatch.setattr("harness.discovery.greylist.GREYLIST_SLACK", 0.1)


@dataclass
class Explored:
    """What discovery made of a server."""

    seen: Seen
    text: str
    profile: Profile
    told: list[str] = field(default_factory=list)


def explored(
    address: tuple[str, int],
    dns: tuple[str, int],
    catalogue: Catalogue,
    *,
    users: tuple[str, ...] = (),
    domains: tuple[str, ...] = (),
    wait: float = 0.0,
) -> Explored:
    told: list[str] = []
    place = Place(*address, dns)
    seen = explore(place, Known(domains, users, wait), catalogue, Telling(told.append))
    text = draft(place, seen, catalogue)
    return Explored(seen, text, checked(text, catalogue), told)


def checked(text: str, catalogue: Catalogue) -> Profile:
    profile = settings.check("draft", tomllib.loads(text), Profile)
    assert contradictions(profile, catalogue) == []
    return profile


@contextlib.contextmanager
def reference(folder: Path, tables: str) -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    """The address of the reference MTA, and where it asks DNS."""
    resolver = ("127.0.0.1", free_port())
    with serving_here(configured(folder, tables, dns=resolver), None) as address:
        yield address, resolver


def no_dns() -> tuple[str, int]:
    """Where nobody asks."""
    return ("127.0.0.1", free_port())


# Servers of many kinds


def test_the_reference_mta_is_drafted_as_it_is(tmp_path: Path, catalogue: Catalogue) -> None:
    with reference(tmp_path, f"[server]\ndelay = 0.7\n{NO_GREYLIST}") as (address, dns):
        found = explored(address, dns, catalogue, users=(ALICE,), domains=("attic.example", "other.example"))
    profile = found.profile
    assert profile.clients.route is RouteName.PROXY_V2
    assert [str(one) for one in profile.clients.networks] == ["198.18.0.0/15", "2001:db8::/32"]
    assert profile.server.hostname == "mail.castle.example"
    assert profile.policy.delay == pytest.approx(0.7, abs=0.1)
    assert profile.policy.max_recipients == 20
    assert [(domain.name, domain.users) for domain in profile.domain] == [
        ("castle.example", ("alice", "postmaster"))
    ]
    assert profile.dialect.told is Told.AT_ONCE
    assert profile.dialect.pause == 0
    assert [(entry.zones, entry.weight) for entry in profile.dnsbl] == [
        (("traps.blocklist.example",), 1),
        (("reports.blocklist.example",), 1),
    ]
    assert profile.dialect.asks is Asks.IN_ORDER
    assert profile.dns is not None
    for claimed in ("dnsbl.two", "helo.plain-ip", "connect.rdns-missing", "rcpt.relay-denied"):
        assert profile.claims(catalogue[claimed])
        assert profile.expectation(catalogue[claimed]) == (catalogue[claimed].expect, "")
    assert "other.example: its postmaster is not taken: 550" in found.text


def test_a_dialect_is_drafted(tmp_path: Path, catalogue: Catalogue) -> None:
    tables = f"""
        {NO_GREYLIST}
        [speech]
        told = "rcpt"
        banner_pause = 0.6
        [answers."helo.not-fqdn"]
        action = "refuse"
        code = 504
        [answers."helo.ip-literal"]
        action = "accept"
        [[dnsbl]]
        name = "strong"
        zones = ["strong.bl.example"]
        weight = 2
        [[dnsbl]]
        name = "white"
        zones = ["white.bl.example"]
        weight = -2
        [[dnsbl]]
        name = "group"
        zones = ["one.bl.example", "other.bl.example"]
        [[dnsbl]]
        name = "weak"
        zones = ["weak.bl.example"]
    """
    with reference(tmp_path, tables) as (address, dns):
        profile = explored(address, dns, catalogue, users=(ALICE,)).profile
    assert profile.dialect.told is Told.RCPT
    assert profile.dialect.pause == pytest.approx(0.6, abs=0.3)  # on a busy machine
    assert profile.policy.delay == 0
    assert profile.dialect.answers[Offence.UNQUALIFIED_GREETING].treatment is Treatment.DENY
    assert str(profile.dialect.answers[Offence.ADDRESS_LITERAL_GREETING]) == "pass"
    assert str(profile.dialect.answers[Offence.RELAYING]) == "deny"
    assert profile.dialect.threshold == 2
    assert [(entry.zones, entry.weight) for entry in profile.dnsbl] == [
        (("strong.bl.example",), 2),
        (("white.bl.example",), -2),
        (("one.bl.example", "other.bl.example"), 1),
        (("weak.bl.example",), 1),
    ]


def test_lists_that_count_certain_answers_are_weighed(tmp_path: Path, catalogue: Catalogue) -> None:
    lists = {
        "traps": (3, "127.0.0.2"),
        "reports": (2, "127.0.0.2"),
        "policy": (1, "127.0.0.10"),
        "white": (-2, "127.0.5.1"),
    }
    tables = f"{NO_GREYLIST}[dnsbl_policy]\nthreshold = 3\n"
    for name, (weight, answer) in lists.items():
        tables += f'[[dnsbl]]\nname = "{name}"\nzones = ["{name}.bl.example"]\n'
        tables += f'weight = {weight}\nanswers = ["{answer}"]\n'
    with reference(tmp_path, tables) as (address, dns):
        profile = explored(address, dns, catalogue, users=(ALICE,)).profile
    assert profile.dialect.threshold == 3
    drafted = {one.zones[0]: (one.weight, [str(net) for net in one.answers]) for one in profile.dnsbl}
    assert drafted == {
        "traps.bl.example": (3, []),
        "reports.bl.example": (2, []),
        "policy.bl.example": (1, ["127.0.0.10/32"]),
        "white.bl.example": (-2, ["127.0.5.1/32"]),
    }


def test_three_lists_that_are_asked_at_once(tmp_path: Path, catalogue: Catalogue) -> None:
    lists = "\n".join(f'[[dnsbl]]\nname = "{name}"\nzones = ["{name}.bl.example"]' for name in "abcd")
    tables = f'{NO_GREYLIST}{lists}\n[dnsbl_policy]\nthreshold = 3\norder = "parallel"\n'
    with reference(tmp_path, tables) as (address, dns):
        profile = explored(address, dns, catalogue, users=(ALICE,)).profile
    assert profile.dialect.threshold == 3
    assert profile.dialect.asks is Asks.AT_ONCE
    assert [entry.weight for entry in profile.dnsbl] == [1, 1, 1, 1]


def test_a_greylist_that_knows_innocent_hosts_by_name(tmp_path: Path, catalogue: Catalogue) -> None:
    tables = '[greylist]\ndelay = 0.5\nwhitelist_hosts = ["mx.*"]\n'
    with reference(tmp_path, tables) as (address, dns):
        found = explored(address, dns, catalogue, users=(ALICE,), wait=1.0)
    nameless = next(one for one in found.seen.sightings if one.did == "has no PTR record")
    assert str(nameless.outcome) == "pass at data"
    assert "when it tried again after 1 s; at first rcpt: 451" in nameless.said


def test_a_refusal_after_the_message_is_heard(tmp_path: Path, catalogue: Catalogue) -> None:
    with reference(tmp_path, f'{NO_GREYLIST}[speech]\ntold = "message"\n') as (address, dns):
        profile = explored(address, dns, catalogue, users=(ALICE,)).profile
    assert profile.dialect.told is Told.DATA
    assert profile.expectation(catalogue["helo.plain-ip"])[0] == (Outcome(Treatment.DENY, Stage.DATA),)
    assert profile.claims(catalogue["rcpt.relay-denied"])
    assert [domain.catch_all for domain in profile.domain] == [False]


def test_the_run_with_a_draft_contradicts_nothing(tmp_path: Path, catalogue: Catalogue) -> None:
    tables = f"""
        {NO_GREYLIST}
        [speech]
        told = "rcpt"
        [answers."helo.plain-ip"]
        action = "accept"
    """
    with reference(tmp_path, tables) as (address, dns):
        found = explored(address, dns, catalogue, users=(ALICE,))
        file = tmp_path / "draft.toml"
        place, scenarios = Place(*address, dns), Path("scenarios/wiki/test_helo.py")
        deviating = try_rules(
            lambda before: draft(place, found.seen, catalogue, before), scenarios, catalogue, 60
        )
        file.write_text(draft(place, found.seen, catalogue, deviating), "utf-8")
        result = run_pytest(scenarios, tmp_path / "reports", [f"--sut={file}"])
    assert deviating == []
    statuses = {one.id: one.status for one in result.rules}
    assert statuses["helo.plain-ip"] is Status.PASSED
    assert (
        statuses["helo.plain-ip-sticky"] is Status.NOT_APPLICABLE
    )  # who may greet so is not remembered for it
    assert [one.id for one in result.rules if one.status is Status.FAILED] == []
    assert result.findings == ()


def test_without_a_user_nothing_is_said_of_what_shows_only_there(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    with reference(tmp_path, f'{NO_GREYLIST}[speech]\ntold = "rcpt"\n') as (address, dns):
        found = explored(address, dns, catalogue)
    assert found.profile.dialect.answers.keys() <= {Offence.RELAYING, Offence.NO_GREETING}
    assert found.profile.claims(catalogue["rcpt.relay-denied"])
    for unknown in ("helo.plain-ip", "rcpt.unknown-user", "dnsbl.one", "connect.rdns-confirmed"):
        assert not found.profile.claims(catalogue[unknown])
    assert "name one who gets mail with --user" in found.text
    assert "# catch_all" not in found.text  # an invented user was refused


def test_a_greylist_is_one_when_a_retry_is_taken(tmp_path: Path, catalogue: Catalogue) -> None:
    tables = '[greylist]\ndelay = 1\ncode = 450\nunit = "network"\nexempt = ["postmaster"]\n'
    with reference(tmp_path, tables) as (address, dns):
        found = explored(address, dns, catalogue, users=(ALICE,), wait=2.0)
    greylist = found.profile.greylist
    assert greylist is not None
    assert greylist.codes == (450,)
    assert 0.8 <= greylist.delay <= 1.2
    assert greylist.key == "network"
    assert greylist.exempt_recipients == ("postmaster",)
    assert found.profile.clock is not None
    assert found.profile.claims(catalogue["greylist.first-defer"])
    assert str(found.profile.dialect.answers[Offence.RELAYING]) == "deny"  # heard out after the wait


def test_a_greylist_that_nobody_waited_for_is_a_question(tmp_path: Path, catalogue: Catalogue) -> None:
    with reference(tmp_path, "") as (address, dns):
        found = explored(address, dns, catalogue, users=(ALICE,), wait=0.5)
    assert found.profile.greylist is None
    assert (
        "# [greylist]           # ? an innocent client that wrote to alice@castle.example was" in found.text
    )
    assert not found.profile.claims(catalogue["greylist.first-defer"])
    assert found.seen.recipient == ""


# The draft


def seen_of(**facts: object) -> Seen:
    return Seen(**{"way": Way(RouteName.DIRECT, ()), **facts})  # type: ignore[arg-type]


PLACE = Place("127.0.0.1", 25, ("127.0.0.1", 53))


def test_a_draft_of_next_to_nothing_is_a_profile(catalogue: Catalogue) -> None:
    text = draft(PLACE, seen_of(notes=("it does not say its own name",)), catalogue)
    profile = checked(text, catalogue)
    assert "# Noticed: it does not say its own name." in text
    assert "make this address its only resolver" in text
    assert [rule.id for rule in catalogue if profile.claims(rule)] == ["rcpt.relay-denied"]


@pytest.mark.parametrize(
    ("key", "mend"), [("ca_file", "; mend tls.ca_file"), ("name", "; mend tls.name"), ("", "")]
)
def test_a_certificate_is_mended_by_the_key_that_it_is_about(
    catalogue: Catalogue, key: str, mend: str
) -> None:
    face = Face("mx.example.org", {"STARTTLS": ""}, distrusted="it is not accepted", trusting=key)
    text = draft(PLACE, seen_of(recipient=ANN, face=face), catalogue, [])
    assert f'"tls.certificate",  # it is not accepted{mend}\n' in text


def test_what_is_left_out_says_why(catalogue: Catalogue) -> None:
    text = draft(PLACE, seen_of(resolves=True, recipient=ANN), catalogue)
    checked(text, catalogue)
    assert (
        '"dnsbl.*",  # it asked our DNS about no list of clients; describe those that it asks as [[dnsbl]]'
        in text
    )
    assert '"greylist.*",  # no innocent client was put off; if one is, describe [greylist]' in text
    for line in text.partition("without = [")[2].partition("]\n")[0].splitlines():
        assert "#" in line


@pytest.mark.parametrize(
    ("speech", "outcomes"),
    [
        (Speech(), ["deny at rcpt", "defer at rcpt"]),
        (Speech(delay=1.0), ["deny at rcpt", "delay+deny at rcpt", "defer at rcpt", "delay+defer at rcpt"]),
    ],
    ids=["nobody waits", "some wait"],
)
def test_any_refusal_of_mail_for_others_will_do_where_none_was_seen(
    catalogue: Catalogue, speech: Speech, outcomes: list[str]
) -> None:
    text = draft(PLACE, seen_of(recipient=ANN, speech=speech), catalogue, [])
    expected, reason = checked(text, catalogue).expectation(catalogue["rcpt.relay-denied"])
    assert [str(one) for one in expected] == outcomes
    assert reason == "not seen by discover: any refusal will do"


def test_an_override_differs_from_what_it_overrides(catalogue: Catalogue) -> None:
    failed = [
        case(Status.FAILED, observed="rcpt: 451 later after 0.10 s", reason="the twin suffers too"),
        case(Status.FAILED, observed="helo: 250 hello after 0.10 s", came="pass at data"),
        case(Status.FAILED, came="pass at rcpt", reason="it took foreign mail"),
        case(Status.FAILED, came="deny at connect", reason="innocents are refused"),
    ]
    expected = ["defer at rcpt", "delay+deny at helo", "delay+deny at rcpt", "pass at connect"]
    ids = ("greylist.first-defer", "helo.plain-ip", "rcpt.relay-denied", "connect.rdns-confirmed")
    rules = zip(ids, failed, expected, strict=True)
    found = deviations(run(*(rule(name, one, expectation=said) for name, one, said in rules)), catalogue)
    assert [(one.id, one.outcomes) for one in found] == [
        ("greylist.first-defer", ()),
        ("helo.plain-ip", ("pass at data",)),
        ("rcpt.relay-denied", ()),
        ("connect.rdns-confirmed", ()),
    ]
    text = draft(PLACE, seen_of(recipient=ANN, speech=Speech(delay=1.0)), catalogue, found)
    profile = checked(text, catalogue)
    assert profile.rules.expect.keys() == {"helo.plain-ip"}
    assert "it did not hold: «it took foreign mail»" in text


def test_what_came_out_differently_each_time_is_no_override(catalogue: Catalogue) -> None:
    taken, refused, deferred = (
        dialogue(reply("connect"), reply("rcpt", code), label="client") for code in (250, 550, 451)
    )
    for first, second, outcomes in (
        (taken, taken, ("pass at data",)),
        (refused, taken, ()),
        (refused, deferred, ()),
    ):
        tries = tuple(Try(Status.FAILED, "it came out otherwise", (one,)) for one in (first, second))
        failed = case(Status.FAILED, came="pass at data", tries=tries)
        (found,) = deviations(run(rule("helo.plain-ip", failed)), catalogue)
        assert found.outcomes == outcomes
        text = draft(PLACE, seen_of(recipient=ANN), catalogue, [found])
        assert ("helo.plain-ip" in checked(text, catalogue).rules.expect) is bool(outcomes)


def test_cases_that_differ_are_all_described(catalogue: Catalogue) -> None:
    cases = [case(Status.FAILED, came="pass at data"), case(Status.PASSED, came="deny at rcpt")]
    found = deviations(run(rule("rcpt.illegal-chars", *cases, expectation="deny at rcpt")), catalogue)
    assert found[0].outcomes == ("pass at data", "deny at rcpt")
    text = draft(PLACE, seen_of(recipient=ANN), catalogue, found)
    (expected, other), _ = checked(text, catalogue).expectation(catalogue["rcpt.illegal-chars"])
    assert (str(expected), str(other)) == found[0].outcomes
    assert "it came out differently from case to case" in text


def test_what_came_out_differently_is_not_claimed_without_a_closer_look(catalogue: Catalogue) -> None:
    refused, passed = Outcome(Treatment.DENY, Stage.RCPT), Outcome(Treatment.PASS, Stage.DATA)
    sightings = (
        Sighting(Offence.ILLEGAL_RECIPIENT, "put a % into the recipient", refused, "rcpt: 550 no"),
        Sighting(Offence.ILLEGAL_RECIPIENT, "put a dot in front of the recipient", passed, "data: 250 ok"),
    )
    seen = seen_of(recipient=ANN, sightings=sightings)
    assert not checked(draft(PLACE, seen, catalogue), catalogue).claims(catalogue["rcpt.leading-dot"])
    assert checked(draft(PLACE, seen, catalogue, []), catalogue).claims(catalogue["rcpt.leading-dot"])
    assert "# ? a client that put a dot in front of the recipient came" in draft(PLACE, seen, catalogue)


def test_a_server_that_reads_messages_at_leisure(catalogue: Catalogue) -> None:
    assert checked(draft(PLACE, seen_of(reading=0.79), catalogue), catalogue).server.scan == 1.6
    assert checked(draft(PLACE, seen_of(reading=0.01), catalogue), catalogue).server.scan is None


def test_each_kind_of_offence_has_one_voice_in_where_refusals_are_told(catalogue: Catalogue) -> None:
    at_rcpt, at_data = (Outcome(Treatment.DENY, stage) for stage in (Stage.RCPT, Stage.DATA))
    kinds = (Offence.RELAYING, Offence.UNKNOWN_USER, Offence.ILLEGAL_RECIPIENT)
    listed = [Sighting(Offence.LISTED_ENOUGH, f"is on {number} lists", at_data, "") for number in range(9)]
    speech = speech_of([*(Sighting(kind, "", at_rcpt, "") for kind in kinds), *listed], 0.0, catalogue)
    assert speech.told is Told.AT_ONCE
    assert "rcpt.relay-denied" not in speech.overrides
    assert speech.overrides["dnsbl.two"] == at_data


def test_what_a_dialect_cannot_say_is_an_override(catalogue: Catalogue) -> None:
    refused = Outcome(Treatment.DENY, Stage.CONNECT)
    sightings = (Sighting(Offence.LISTED, "is on a list", refused, "connect: 554 listed"),)
    speech = Speech(overrides={"rcpt.unknown-user": Outcome(Treatment.DENY, Stage.DATA)})
    text = draft(PLACE, seen_of(recipient=ANN, sightings=sightings, speech=speech), catalogue)
    profile = checked(text, catalogue)
    assert profile.expectation(catalogue["rcpt.unknown-user"])[0] == (Outcome(Treatment.DENY, Stage.DATA),)


def test_of_what_came_to_nothing_it_is_not_said_that_nobody_waited(catalogue: Catalogue) -> None:
    refused = Sighting(Offence.RELAYING, "writes", Outcome(Treatment.DENY, Stage.RCPT), "rcpt: 550 no")
    lost = Sighting(
        Offence.UNCONFIRMED_GREETING, "greets with a name that leads nowhere", None, "helo: 421 later"
    )
    seen = seen_of(recipient=ANN, resolves=True, sightings=(refused, lost))
    text = draft(PLACE, seen, catalogue)
    checked(text, catalogue)
    said = f"nothing followed from what one met that {lost.did}: «helo: 421 later»"
    assert f'"helo.dns-mismatch",  # {said}' in text


def test_whoever_takes_everybody_is_asked_whether_that_bounces_later(catalogue: Catalogue) -> None:
    hosted = HostedDomain("example.org", ("ann",), True, "data: 250 taken")
    text = draft(PLACE, seen_of(recipient=ANN, domains=(hosted,)), catalogue)
    assert checked(text, catalogue).domain[0].catch_all
    assert "catch_all = true       # ? it took an invented user: «data: 250 taken»; if it bounces" in text


def test_what_a_server_says_stays_in_its_comment(catalogue: Catalogue) -> None:
    found = [Deviation("helo.plain-ip", "delay+deny at helo", 'helo: 250 ok\n[x]\ny = "', ("pass at helo",))]
    face = Face(hostname="mx.example.org", closed="530 no\n[x]")
    seen = seen_of(recipient=ANN, face=face, speech=Speech(delay=1.0), notes=("it said\n[y]",))
    text = draft(PLACE, seen, catalogue, found)
    checked(text, catalogue)
    assert "helo: 250 ok\\\\n[x]" in text
    assert "# Noticed: it said\\n[y]." in text


# Its command


SCENARIOS = """
from harness.scenario import *
from harness.scenario import rule
@rule("mine.late")
def test_late(client, offence, expect):
    expect(client.attempt(helo=client.address if offence else client.host))
@rule("mine.prompt")
def test_prompt(client, expect):
    expect(client.attempt())
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
    assert capfd.readouterr().err.startswith("  1 of 2 scenarios done, about ")
    with pytest.raises(BrokenRunError, match="was not over after 0 s"):
        run_pytest(tmp_path, tmp_path / "given-up", [], patience=0.1)


def test_how_long_it_may_take() -> None:
    assert time_to_try(seen_of(speech=Speech(delay=20.0)), 120) == 600
    assert time_to_try(seen_of(), 120) == 60


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["mail.example.org"], "ADDRESS: 'mail.example.org' is no IP address; write "),
        (["127.0.0.1:x"], "ADDRESS: '127.0.0.1:x' is no address and port; write "),
        (["127.0.0.1:99999"], "ADDRESS: '127.0.0.1:99999' has no port from 1 to 65535; write "),
        (["127.0.0.1:0"], "ADDRESS: '127.0.0.1:0' has no port from 1 to 65535; write "),
        (["127.0.0.1", "--dns", "127.0.0.1:0"], "--dns: '127.0.0.1:0' has no port from 1 to 65535; write "),
        (["127.0.0.1", "--domain", 'é"]'], "--domain: 'é\"]' is not ASCII; write its xn-- form"),
        (["127.0.0.1", "--domain", "\udcff"], r"--domain: '\udcff' is not in UTF-8; write it in UTF-8"),
        (
            ["127.0.0.1", "--user", "alice@castle.example\r\nRSET"],
            r"--user: 'alice@castle.example\r\nRSET' is no",
        ),
        (["127.0.0.1", "--user", "x@"], "--user: 'x@' is no mail address; write it whole"),
        (["127.0.0.1", "--user", "x@[127.0.0.1]"], "--user: '[127.0.0.1]' has the label"),
        (["127.0.0.1", "--user", "a b"], "--user: 'a b' has a blank or a line end; leave it out"),
        (
            ["127.0.0.1", "--user", "", "--domain", "castle.example"],
            "--user: is empty; write what belongs there",
        ),
    ],
)
def test_what_nobody_can_be_is_told_before_anybody_is_called(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def called(*everything: object) -> None:
        raise AssertionError(f"somebody was called: {everything}")

    monkeypatch.setattr("harness.discovery.discover.explore", called)
    try:
        status = main(["discover", *words])
    except SystemExit as ending:  # of what cannot be a word of a command at all
        status = int(str(ending.code))
    said = capsys.readouterr().err
    assert status == 2
    assert named in said
    assert said.startswith("smtp-harness")
    assert said.count("\n") == 1


def test_a_user_without_a_domain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", "127.0.0.1:9", "--user", "ann"]) == 2
    assert "in which domain? write ann@example.org" in capsys.readouterr().err


def test_no_file_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "profile.toml"
    file.write_text("mine", "utf-8")
    assert main(["discover", "127.0.0.1:9", "-o", str(file)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert file.read_text("utf-8") == "mine"


def test_what_nobody_looked_at_is_not_claimed_where_the_scenarios_were_not_run(catalogue: Catalogue) -> None:
    face = Face("mx.example.org", {"STARTTLS": "", "AUTH": "PLAIN LOGIN"})
    seen = seen_of(recipient=ANN, face=face, resolves=True)
    unseen, tried = draft(PLACE, seen, catalogue), draft(PLACE, seen, catalogue, [])
    for rule_id in ("auth.login-not-offered", "tls.starttls-offered", "absent.sender-callout"):
        assert not checked(unseen, catalogue).claims(catalogue[rule_id])
        assert checked(tried, catalogue).claims(catalogue[rule_id])
    assert '"absent.*",  # not looked at: the scenarios were not run' in unseen


def test_what_the_scenarios_did_not_tell_is_said(catalogue: Catalogue) -> None:
    rest = case(Status.INCONCLUSIVE, reason="a dialogue was lost")
    found = deviations(run(rule("helo.plain-ip", rest, expectation="deny at helo")), catalogue)
    text = draft(PLACE, seen_of(recipient=ANN, speech=Speech(delay=1.0)), catalogue, found)
    checked(text, catalogue)
    assert "# ? helo.plain-ip: deny at helo is expected, and nothing followed from what was seen: «" in text


@pytest.mark.parametrize("outcome", [None, Outcome(Treatment.DEFER, Stage.RCPT)])
def test_one_recipient_that_is_taken_again_and_again_is_no_limit(
    catalogue: Catalogue, outcome: Outcome | None
) -> None:
    limit = RecipientLimit(101 if outcome is None else 5, outcome, "250 taken")
    text = draft(PLACE, seen_of(recipient=ANN, limit=limit), catalogue, [])
    profile = checked(text, catalogue)
    assert profile.policy.max_recipients == (20 if outcome is None else 5)
    assert profile.claims(catalogue["rcpt.too-many"]) is (outcome is not None)
    assert Offence.TOO_MANY_RECIPIENTS not in profile.dialect.answers or outcome


@pytest.mark.parametrize(("catch_all", "first"), [(False, True), (True, False), (None, False)])
def test_a_greylist_comes_first_only_where_somebody_is_unknown(catch_all: bool | None, first: bool) -> None:
    greylist = GreylistSeen(451, "later", delay=60.0, before_verification=True)
    domains = [HostedDomain("example.org", ("ann",), catch_all), HostedDomain("example.net", ("ben",), False)]
    seen = verified_first_unless_shown(Deferral(ANN, "later", greylist), domains)
    assert seen is not None
    assert seen.greylist is not None
    assert seen.greylist.before_verification is first


def test_a_look_takes_place_in_the_world_of_a_run(
    tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a name of the server's own is refused for want of an address, and that is taken for a rule."""
    worlds: list[FakeDns] = []

    def world() -> FakeDns:
        worlds.append(FakeDns())
        return worlds[-1]

    monkeypatch.setattr("harness.discovery.discover.FakeDns", world)
    with reference(tmp_path, NO_GREYLIST) as (address, dns):
        explored(address, dns, catalogue, domains=("attic.example",))
    (seen,) = worlds
    for name in ("mail.castle.example", "castle.example", "attic.example"):
        assert answers(seen, name, "A") == [address[0]]
    assert answers(seen, "castle.example", "MX") == ["10 mail.castle.example."]
    assert answers(seen, "elsewhere.example", "MX") == ["10 mx.elsewhere.example."]
