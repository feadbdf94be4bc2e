"""The doctor: sees a sound server as sound, names what is wrong, and knows how to mend it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from harness.capabilities.mail_host import MailHost
from harness.cli import main
from harness.rules import Catalogue
from harness.runs.assembly import Wish, open_run
from harness.runs.doctor import CHECKS, MENDS, Finding, State, examine, report
from harness.runs.run import Run
from harness.settings import read_toml
from tests.hostile_server import Hear, HostileServer, Say, Step


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.below(Path("scenarios"))


@pytest.fixture(scope="module")
def sound(catalogue: Catalogue) -> Iterator[Run]:
    with open_run(Wish(catalogue)) as run:
        yield run


def findings(run: Run) -> dict[str, Finding]:
    return {check.look.__name__: finding for check, finding in examine(run)}


def differing(run: Run, **tables: Any) -> Run:
    """The same server, with a profile that says something else of it."""
    return replace(run, profile=run.profile.model_copy(update=tables))


def test_a_sound_server_is_sound(sound: Run) -> None:
    said: list[str] = []
    assert report(sound, said.append, colour=False)
    assert len(said) == 2 * len(CHECKS)
    assert {finding.state for finding in findings(sound).values()} == {State.GOOD}


def test_the_profile_of_another_server(sound: Run) -> None:
    server = sound.profile.server.model_copy(update={"hostname": "mx.elsewhere.example"})
    found = findings(differing(sound, server=server))
    assert found["reachable"].mend == "another-server"
    assert "mx.elsewhere.example" in found["reachable"].saw
    assert found["logs_in"].state is State.UNKNOWN
    assert CHECKS[0].title in found["logs_in"].saw


def test_a_user_that_is_not_there(sound: Run) -> None:
    first, second, *rest = sound.profile.domain
    other = second.model_copy(update={"users": ("nobody-here",)})
    found = findings(differing(sound, domain=(first, other, *rest)))["accepts_its_domains"]
    assert (found.state, found.mend) == (State.BAD, "domains")
    assert "nobody-here@garden.example: 550" in found.saw


def test_a_greylist_that_the_profile_does_not_know(sound: Run) -> None:
    unknowing = differing(sound, greylist=None)
    internet = replace(unknowing.internet, profile=unknowing.profile)
    found = findings(replace(unknowing, internet=internet))["accepts_its_domains"]
    assert (found.state, found.mend) == (State.BAD, "deferred")
    assert "451" in found.saw


def test_too_few_addresses(sound: Run) -> None:
    few = sound.profile.clients.model_copy(update={"trusted": (ip_network("203.0.113.7/32"),)})
    found = findings(differing(sound, clients=few))["has_addresses"]
    assert (found.state, found.mend) == (State.BAD, "addresses")
    assert re.search(r"clients.trusted has 1, and scenarios of \d+ rules need about \d\d;", found.saw)


def test_every_domain_seems_to_take_everybody(sound: Run) -> None:
    domains = tuple(domain.model_copy(update={"catch_all": True}) for domain in sound.profile.domain)
    found = findings(differing(sound, domain=domains))
    assert "a server that relays for our address may take them all from us" in found["reachable"].saw


def test_a_wrong_password(sound: Run) -> None:
    assert sound.profile.auth is not None
    auth = sound.profile.auth.model_copy(update={"password": "wrong"})
    found = findings(differing(sound, auth=auth))["logs_in"]
    assert (found.state, found.mend) == (State.BAD, "credentials")
    assert "535" in found.saw


@pytest.mark.parametrize(
    ("mutant", "check", "mend"),
    [
        ("greylist.first-defer:off", "clock_moves", "greylist"),
        ("greylist.retry-accept:off", "clock_moves", "clock"),
    ],
)
def test_a_foundation_that_is_broken(catalogue: Catalogue, mutant: str, check: str, mend: str) -> None:
    with open_run(Wish(catalogue, mutants=[mutant] if mutant else [])) as run:
        found = findings(run)[check]
    assert (found.state, found.mend) == (State.BAD, mend)


def test_a_server_that_asks_us_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    polite: list[Step] = [Say(b"220 mx.example.org\r\n")]
    for _ in range(3):
        polite += [Hear(), Say(b"250 fine\r\n")]
    polite += [Hear(), Say(b"221 bye\r\n")]
    profile = tmp_path / "profile.toml"
    with HostileServer([polite]) as server:
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
    monkeypatch.setattr("harness.runs.doctor.SENT_WITHIN", 0.1)
    assert sound.tools.sink is not None
    nobody = MailHost("nowhere.example", "mail.nowhere.example", "127.0.0.1")
    monkeypatch.setattr(sound.tools.sink, "open", lambda domain, held=0: nobody)
    found = findings(sound)["sends"]
    assert (found.state, found.mend) == (State.BAD, "sink")
    assert "no such message came" in found.saw


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
    } <= known.keys()
    assert all(entry["all"].endswith(".") for entry in known.values())
