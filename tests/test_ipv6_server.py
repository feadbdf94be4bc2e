"""A server at ::1, with a name server at ::1: by routes that choose an address, and by one that does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.embedded.process import running
from harness.results.model import Status
from harness.rules import Catalogue
from harness.runs.assembly import Wish, begin, open_run
from harness.runs.course import run_scenario
from harness.runs.doctor import report
from harness.runs.play import Play
from harness.runs.result_builder import ResultBuilder
from harness.runs.trial import Plan
from harness.world.internet import Kind
from tests.ports import free_port

CONFIGURATION = """\
[server]
hostname = "mail.castle.example"
listen = "::1"
port = 0
delay = 0
proxy_protocol = {proxy}
state = "state"

[dns]
server = "[::1]:{dns}"

[[domain]]
name = "castle.example"
users = ["alice", "bob", "postmaster"]

[greylist]
whitelist_hosts = ["*.bulkmail.example"]
"""

PROFILE = """\
name = "six"

[server]
address = "::1"
port = {port}
hostname = "mail.castle.example"
scan = 0
rate = 100

[clients]
route = "{route}"
{networks}

[dns]
listen = ["[::1]:{dns}"]

[policy]
delay = 0

[[domain]]
name = "castle.example"
users = ["alice", "bob", "postmaster"]

[dialect.answers]
relaying = "deny"
unknown_user = "deny"

[greylist]
delay = 60
whitelist_hosts = ["*.bulkmail.example"]

[rules]
claim = ["rcpt.unknown-user", "rcpt.relay-denied"]
"""

NETWORKS = 'networks = ["198.18.0.0/15", "2001:db8::/32"]'


def port_of_this_machine() -> int:
    try:
        return free_port("::1")
    except OSError:
        pytest.skip("this machine has no ::1")


@pytest.fixture(params=["proxy-v1", "proxy-v2", "direct"])
def profile(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    route, dns = request.param, port_of_this_machine()
    chosen = route != "direct"
    config, file = tmp_path / "mta.toml", tmp_path / "six.toml"
    config.write_text(CONFIGURATION.format(proxy=str(chosen).lower(), dns=dns), "utf-8")
    with running([config]) as (mta,):
        content = PROFILE.format(port=mta.port, route=route, networks=NETWORKS if chosen else "", dns=dns)
        file.write_text(content, "utf-8")
        yield file


def test_a_server_at_its_own_loopback_address_is_judged(profile: Path) -> None:
    catalogue = Catalogue.below(Path("scenarios"))
    lines: list[str] = []
    with open_run(Wish(catalogue, profile)) as opened:
        run, facts = begin(opened)
        assert report(run, lines.append, colour=False), "\n".join(lines)
        outcome = run_scenario(
            run, Plan(catalogue["rcpt.unknown-user"], frozenset(), unknown_user, has_twin=True)
        )
        expected = Status.PASSED if run.profile.clients.networks else Status.NOT_TESTABLE
        assert outcome.status is expected, outcome.reason
        kept = ResultBuilder.begin(facts).finish(run)
    assert kept.sut_address.startswith("[::1]:")


def unknown_user(play: Play) -> None:
    sut = play.run.sut
    client = play.new_client(Kind.KNOWN)
    play.expect(client.attempt(recipient=sut.unknown_recipient if play.offence else sut.recipient))
