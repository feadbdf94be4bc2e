"""The server is looked at twice: what it says otherwise each time is no change when it does so again."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from fake_dns import FakeDns
from harness import settings
from harness.embedded.servers import PROFILE
from harness.judge import Judge
from harness.profile.model import Profile
from harness.results.model import ServerFacts
from harness.rules import Catalogue
from harness.runs.run import Run
from harness.runs.server_facts import server_facts
from harness.world.endpoints import endpoints_of
from harness.world.internet import Internet
from tests.hostile_server import Hear, HostileServer, Say, Step


def server_that(joke: bytes, size: bytes) -> list[Step]:
    return [
        Say(b"220 mx.example.org " + joke + b"\r\n"),
        Hear(),
        Say(b"250-mx.example.org\r\n250-PIPELINING\r\n250 SIZE " + size + b"\r\n"),
        Hear(),
        Say(b"221 bye\r\n"),
    ]


def looked_at(*scripts: Sequence[Step]) -> ServerFacts:
    with HostileServer([*scripts]) as server:
        content = settings.read_toml(PROFILE)
        content["server"] |= {"port": server.address[1], "reply_timeout": 30}
        content["clients"] = {"route": "direct"}
        content["dns"] = {"listen": ["127.0.0.1:5353"]}
        profile = settings.check(PROFILE, content, Profile)
        judge = Judge(profile.policy.delay, lambda since, until: 0.0)
        catalogue = Catalogue.below(Path("scenarios"))
        internet = Internet(FakeDns(), profile)
        return server_facts(Run(profile, catalogue, internet, endpoints_of(profile, internet), judge))


@pytest.mark.parametrize(
    ("second", "varying"),
    [
        ((b"knock knock", b"1000"), ()),
        ((b"who is there", b"1000"), ("greeting",)),
        ((b"knock knock", b"2000"), ("ehlo", "keywords.SIZE")),
    ],
)
def test_what_is_another_on_the_second_connection_is_named(
    second: tuple[bytes, bytes], varying: tuple[str, ...]
) -> None:
    facts = looked_at(server_that(b"knock knock", b"1000"), server_that(*second))
    assert facts.varying == varying
    assert "PIPELINING" in facts.keywords


def test_a_look_that_was_lost_says_nothing() -> None:
    facts = looked_at([], server_that(b"knock knock", b"1000"))
    assert (facts.greeting, facts.varying) == ("mx.example.org knock knock", ())
