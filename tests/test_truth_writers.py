"""The two writers: what they make of a drawn server is accepted by those who read it, and says the same."""

import tomllib
from pathlib import Path

import pytest

from harness import settings
from harness.offence import Offence
from harness.outcome import Treatment
from harness.profile.claims import contradictions
from harness.profile.dialect import Told as TellsAt
from harness.profile.model import Profile
from harness.reference_mta.config import Config
from harness.reference_mta.passwords import hash_password
from harness.rules import Catalogue
from harness.settings.secret import Secret
from harness.toml_text import toml_text
from harness.truth import profile as profile_writer
from harness.truth import server as server_writer
from harness.truth.dimensions import draw
from harness.truth.draw import OFFENCES, Answer, Draw
from harness.truth.profile import Reach, profile
from harness.truth.server import Site, configuration

SERVERS = 200
HASH = Secret(hash_password("open sesame", cost=16))
CATALOGUE = Catalogue.below(Path(__file__).parent.parent / "scenarios")


def _config(drawn: Draw, folder: Path) -> Config:
    text = configuration(drawn, Site(folder, "127.0.0.1:5353", HASH))
    return settings.check(folder / "server.toml", tomllib.loads(text), Config)


def _profile(drawn: Draw, folder: Path) -> Profile:
    text = profile(
        drawn, Reach(2525, "127.0.0.1:5353", Secret("open sesame"), folder / "mail", folder / "ca.pem")
    )
    return settings.check(folder / "profile.toml", tomllib.loads(text), Profile)


def test_both_files_are_accepted_by_their_readers(tmp_path: Path) -> None:
    for number in range(SERVERS):
        drawn = draw(5, number)
        _config(drawn, tmp_path)
        assert not contradictions(_profile(drawn, tmp_path), CATALOGUE), number


def test_both_say_the_same_of_lists_domains_and_numbers(tmp_path: Path) -> None:
    for number in range(SERVERS):
        drawn = draw(5, number)
        config, described = _config(drawn, tmp_path), _profile(drawn, tmp_path)
        assert [(one.name, one.zones, one.weight) for one in config.dnsbl] == [
            (one.name, one.zones, one.weight) for one in described.dnsbl
        ]
        assert [(one.name, one.users, one.aliases, one.bounce_recipients) for one in config.domain] == [
            (one.name, one.users, one.aliases, one.bounce_recipients) for one in described.domain
        ]
        assert config.server.delay == described.policy.delay
        assert config.server.max_recipients == described.policy.max_recipients


def test_both_writers_know_every_offence() -> None:
    assert server_writer.CHECKS.keys() == OFFENCES.keys()
    assert set(profile_writer.ANSWERS) == OFFENCES.keys()
    assert OFFENCES.keys() == {str(offence) for offence in Offence} - {"unknown_triplet"}


@pytest.mark.parametrize(
    ("answer", "action", "verdict"),
    [
        (Answer("accept", held=True), "accept", Treatment.PASS),
        (Answer("defer"), "refuse", Treatment.DEFER),
        (Answer("refuse"), "refuse", Treatment.DENY),
        (Answer("close"), "refuse", Treatment.DROP),
    ],
)
def test_an_answer_in_the_words_of_either(
    answer: Answer, action: str, verdict: Treatment, tmp_path: Path
) -> None:
    drawn = Draw(told="data", unqualified_greeting=answer, codes="status")
    configured = _config(drawn, tmp_path).answers["helo.not-fqdn"]
    promised = _profile(drawn, tmp_path).dialect.answers[Offence.UNQUALIFIED_GREETING]
    assert (configured.action, configured.held) == (action, answer.held)
    assert (promised.treatment, promised.late) == (verdict, answer.held)
    if configured.code:
        assert promised.admits(configured.code, configured.status)
    assert _profile(drawn, tmp_path).dialect.told is TellsAt.DATA


def test_toml_text_is_read_as_it_was_meant() -> None:
    content = {
        "title": 'a "quoted" one',
        "table": {"on": True, "list": ["a", 1], "helo.not-fqdn": {"code": 504, "names": ["x"]}},
        "entry": [{"name": "one", "inner": {}}, {"name": "two"}],
    }
    assert tomllib.loads(toml_text(content)) == content


def test_toml_text_leaves_out_what_stands_for_nothing() -> None:
    assert tomllib.loads(toml_text({"table": {"there": 1, "not": None}})) == {"table": {"there": 1}}
