"""Endpoints: every transport with every identity, TLS from the start, and how a profile describes them."""

import contextlib
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fake_dns import FakeDns
from harness import settings
from harness.grants.addresses import REVERSE_LOOKUP
from harness.judge import Judge
from harness.profile.model import Profile
from harness.rules import Catalogue
from harness.runs.play import Play
from harness.runs.run import Run
from harness.smtp.command import Command
from harness.smtp.ending import Ending
from harness.smtp.endpoint import CombinationError, Endpoint
from harness.smtp.identity import PROXY_V2_SIGNATURE, Argument, Bind, Identity, Own, ProxyV1, ProxyV2, XClient
from harness.smtp.session import Session, SessionEnded
from harness.smtp.transport import Tcp, Transport, UnixSocket
from harness.verdicts import NotTestableError
from harness.world.client import message
from harness.world.endpoints import endpoints_of
from harness.world.internet import Internet, Kind
from tests.certificate_file import self_signed
from tests.mta_here import speaking
from tests.mta_process import PASSWORD
from tests.smtp_dialogue import PATIENT, events
from tests.test_smtp_routes import here

CLIENT = "127.9.8.7"
NAME = "mx.example.org"
IDENTITIES: list[Identity] = [Own(), Bind(), ProxyV1(), ProxyV2(), XClient(lambda _: "c.example")]
TRANSPORTS = ["IPv4", "IPv6", "unix"]


@dataclass
class Door:
    """A small server: takes one client, notes what it hears before and after a handshake, and answers."""

    listening: socket.socket
    tls: ssl.SSLContext | None = None
    before: bytes = b""  # what came ahead of the handshake, or of the greeting
    heard: bytes = b""
    peer: Any = None

    def serve(self, identity: Identity) -> None:
        visitor, self.peer = self.listening.accept()
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: visitor.close())
            self.before = _header(visitor, identity)
            if self.tls:
                visitor = self.tls.wrap_socket(visitor, server_side=True)
            visitor.sendall(b"220 mx.example.org\r\n")
            while data := _heard(visitor):
                self.heard += data
                greets_again = data.startswith(b"XCLIENT")
                answers = {b"EHLO": b"250-mx\r\n250 XCLIENT ADDR NAME\r\n", b"QUIT": b"221 bye\r\n"}
                visitor.sendall(b"220 again\r\n" if greets_again else answers.get(data[:4], b"250 ok\r\n"))


def _heard(visitor: socket.socket) -> bytes:
    try:
        return visitor.recv(4096)
    except ConnectionResetError:  # a client that wants no more of it
        return b""


def _header(visitor: socket.socket, identity: Identity) -> bytes:
    """What PROXY has, and not a byte more."""
    found = b""
    while isinstance(identity, ProxyV1) and not found.endswith(b"\r\n"):
        found += visitor.recv(1)
    while isinstance(identity, ProxyV2) and len(found) < 28:
        found += visitor.recv(28 - len(found))
    return found


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path_factory.mktemp("tls")))
    return context


@contextlib.contextmanager
def listening(kind: str, folder: Path) -> Iterator[tuple[socket.socket, Transport]]:
    if kind == "unix":
        with socket.socket(socket.AF_UNIX) as there:
            there.bind(str(folder / "s"))
            there.listen()
            yield there, UnixSocket(str(folder / "s"))
        return
    host, family = ("::1", socket.AF_INET6) if kind == "IPv6" else ("127.0.0.1", socket.AF_INET)
    if not here(host):
        pytest.skip("this machine has no IPv6")
    with socket.create_server((host, 0), family=family) as there:
        yield there, Tcp(*there.getsockname()[:2])


@pytest.mark.parametrize("covered", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda one: one.name)
@pytest.mark.parametrize("kind", TRANSPORTS)
def test_each_transport_with_each_identity(
    kind: str, identity: Identity, covered: bool, tmp_path: Path, certificate: ssl.SSLContext
) -> None:
    client = "::1" if kind == "IPv6" and isinstance(identity, Bind) else CLIENT
    with listening(kind, tmp_path) as (there, transport):
        if kind == "unix" and isinstance(identity, Bind):
            with pytest.raises(CombinationError, match="knows no addresses"):
                Endpoint(transport, identity)
            return
        if isinstance(identity, Bind) and not here(client):
            pytest.skip("loopback is 127.0.0.1 alone here")
        endpoint = Endpoint(transport, identity, NAME if covered else "", "door")
        door = Door(there, certificate if covered else None)
        serving = threading.Thread(target=door.serve, args=(identity,), daemon=True)
        serving.start()
        with Session(endpoint, client, reply_timeout=PATIENT) as session:
            greeting = session.open()
            assert session.encrypted is covered
            session.command("NOOP")
        serving.join()
    introduced = isinstance(identity, XClient)
    assert greeting.text == ("again" if introduced else NAME)
    assert door.heard.endswith(b"NOOP\r\nQUIT\r\n")
    assert (b"XCLIENT ADDR=127.9.8.7 NAME=c.example" in door.heard) is introduced
    if isinstance(identity, Bind):
        assert door.peer[0] == client
    if isinstance(identity, ProxyV1):
        assert door.before.startswith(b"PROXY TCP4 127.9.8.7 ")
    if isinstance(identity, ProxyV2):
        assert door.before.startswith(PROXY_V2_SIGNATURE + b"\x21\x11\x00\x0c" + bytes([127, 9, 8, 7]))
    special = ["door", *(["unix socket"] if kind == "unix" else []), *(["TLS from the start"] * covered)]
    told = f"connected to {transport} ({', '.join(special)}) by route {identity.name} as {client}"
    assert told in events(session)
    assert ("TLSv1" in events(session)) is covered


def test_a_handshake_that_comes_to_nothing_ends_the_session(tmp_path: Path) -> None:
    with listening("IPv4", tmp_path) as (there, transport):
        door = Door(there)  # that speaks in clear text
        serving = threading.Thread(target=door.serve, args=(Own(),), daemon=True)
        serving.start()
        session = Session(Endpoint(transport, tls_name=NAME), CLIENT, reply_timeout=PATIENT)
        with pytest.raises(SessionEnded, match="the TLS handshake failed"):
            session.open()
        serving.join()
    assert session.ending is Ending.TLS_FAILED
    assert not session.encrypted


def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    session = Session(Endpoint(UnixSocket(str(tmp_path / "none"))), CLIENT, reply_timeout=PATIENT)
    with pytest.raises(SessionEnded, match=r"there is no way to .*none \(unix socket\) by route direct"):
        session.open()


COMMAND = Command((sys.executable, "{client}"))


@pytest.mark.parametrize(
    ("transport", "identity", "tls", "reason"),
    [
        (COMMAND, Own(), "", "told of a client by its argument"),
        (COMMAND, ProxyV2(), "", "told of a client by its argument"),
        (Tcp("127.0.0.1", 25), Argument(), "", "goes with a command"),
        (UnixSocket("/s"), Argument(), "", "goes with a command"),
        (COMMAND, Argument(), NAME, "no TLS begins"),
        (UnixSocket("/s"), Bind(), "", "knows no addresses"),
    ],
)
def test_what_does_not_go_together(transport: Transport, identity: Identity, tls: str, reason: str) -> None:
    with pytest.raises(CombinationError, match=reason):
        Endpoint(transport, identity, tls)


def described(*endpoints: dict[str, Any], tables: dict[str, Any] | None = None, **clients: Any) -> Profile:
    content = {
        "name": "mine",
        "server": {"address": "127.0.0.1", "port": 2525, "hostname": NAME},
        "clients": clients or {"route": "proxy-v2", "networks": ["198.18.0.0/15"]},
        "policy": {"delay": 0},
        "domain": [{"name": "here.example", "users": ["ann"]}],
        "endpoint": list(endpoints),
        **(tables or {}),
    }
    return settings.check("mine.toml", content, Profile)


SUBMISSIONS = {"name": "submissions", "port": 465, "tls": "implicit"}
LMTP = {"name": "lmtp", "socket": "/run/lmtp", "route": "direct"}
DRY = {"name": "dry", "command": ["exim4", "-bh", "{client}"]}


def test_a_profile_has_several_endpoints() -> None:
    profile = described(
        SUBMISSIONS, LMTP, DRY, {"name": "other", "address": "::1", "port": 25, "route": "xclient"}
    )
    found = endpoints_of(profile, Internet(FakeDns(), profile))
    assert found.first == Endpoint(Tcp("127.0.0.1", 2525), ProxyV2())
    assert found["submissions"] == Endpoint(Tcp("127.0.0.1", 465), ProxyV2(), NAME, "submissions")
    assert found["lmtp"] == Endpoint(UnixSocket("/run/lmtp"), Own(), name="lmtp")
    assert isinstance(found["dry"].transport, Command)
    assert str(found["other"]) == "[::1]:25 (other)"
    found.close()


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"name": "a", "socket": "/s", "route": "bind"}, "endpoint: a: a unix socket knows no addresses"),
        ({"name": "a", "port": 25, "route": "command"}, "endpoint: a: a command is told of a client"),
        ({**DRY, "tls": "implicit"}, "endpoint: dry: a command speaks on its standard input"),
        ({**DRY, "route": "proxy-v1"}, "endpoint: dry: a command is told of a client"),
        ({"name": "a", "command": ["exim4"]}, r"\{client\} must stand in it"),
        ({**DRY, "delays": "(a{99999999999999})"}, r"delays: .* is no regular expression"),
        ({"name": "a"}, "a: give one of port, socket and command"),
        ({"name": "a", "port": 25, "socket": "/s"}, "a: give one of port, socket and command"),
        ({"name": "a", "socket": "/s", "address": "::1"}, "a: an address goes with a port"),
        ({"name": "a", "socket": "run/s"}, "is no path of a unix socket"),
        ({"name": "a", "socket": "/" + "s" * 107}, "of 107 bytes at most"),
        ({"name": "a", "port": 25, "route": "bind"}, "clients.networks: 198.18.0.0/15 is not of this host"),
        ({"name": "A b", "port": 25}, "endpoint.0.name"),
        ({"name": "a", "port": 25, "tls": "always"}, "endpoint.0.tls"),
    ],
)
def test_what_a_profile_cannot_mean_is_refused_when_it_is_read(table: dict[str, Any], reason: str) -> None:
    with pytest.raises(settings.SettingsError, match=reason):
        described(table)


def test_no_two_endpoints_have_one_name_and_no_address_is_chosen_without_networks() -> None:
    with pytest.raises(settings.SettingsError, match="endpoint: 'submissions' is there twice"):
        described(SUBMISSIONS, SUBMISSIONS)
    with pytest.raises(settings.SettingsError, match="endpoint: submissions: route proxy-v1 can choose"):
        described({**SUBMISSIONS, "route": "proxy-v1"}, route="direct")


@pytest.fixture
def run() -> Run:
    catalogue = Catalogue.below(Path("scenarios"))
    other = {"name": "other", "port": 2526, "route": "xclient"}
    profile = described(SUBMISSIONS, LMTP, DRY, other)
    internet = Internet(FakeDns(), profile)
    judge = Judge(0.0, lambda since, until: 0.0)
    return Run(profile, catalogue, internet, endpoints_of(profile, internet), judge, side_by_side=False)


def test_a_scenario_asks_for_a_client_at_an_endpoint(run: Run) -> None:
    play = Play(run, run.catalogue["rcpt.unknown-user"])
    client = play.new_client(Kind.KNOWN, endpoint="submissions")
    assert client.reached_at == run.endpoints["submissions"]
    assert client.another().reached_at == client.reached_at
    assert play.new_client(Kind.KNOWN).reached_at == run.endpoints.first
    client.server = ("127.0.0.1", 9)  # another instance, which has no such endpoint
    assert client.reached_at == Endpoint(Tcp("127.0.0.1", 9), ProxyV2())


def test_a_client_of_a_scenario_sends_at_the_submissions_of_the_reference_mta(tmp_path: Path) -> None:
    listener = "[[listener]]\nport = 0\ntls = 'implicit'\nsubmission = true\n"
    with speaking(tmp_path, listener) as mta:
        catalogue = Catalogue.below(Path("scenarios"))
        account = {"auth": {"user": "alice", "password": PASSWORD}}
        profile = described(SUBMISSIONS | {"port": mta.further[0][1]}, tables=account)
        internet, judge = Internet(FakeDns(), profile), Judge(0.0, lambda since, until: 0.0)
        endpoints = endpoints_of(profile, internet)
        run = Run(profile, catalogue, internet, endpoints, judge, side_by_side=False)
        client = Play(run, catalogue["rcpt.unknown-user"]).new_client(Kind.KNOWN, endpoint="submissions")
        with client.conversation() as talk:
            assert talk.connect().code == 220
            assert client.authenticate(talk, "alice", PASSWORD).code == 503  # it has not greeted
            assert client.log_in(talk).code == 235
            assert talk.mail("alice@castle.example").code == 250
            assert talk.rcpt("bruno@castle.example").code == 250
            assert talk.data(message(client, "bruno@castle.example")).code == 250
        endpoints.close()
        (kept,) = mta.mail("bruno@castle.example")
    assert f"[{client.address}]" in kept
    assert " with ESMTPSA;" in kept


@pytest.mark.parametrize(
    ("needs", "endpoint", "reason"),
    [
        (
            {"address"},
            "submission",
            r"no \[\[endpoint\]\] with the name submission; it describes submissions",
        ),
        ({"address"}, "lmtp", "address is not to be had at the endpoint lmtp, by route direct"),
        ({"trusted-address"}, "lmtp", "trusted-address is not to be had"),
        ({"mailbox"}, "dry", "the endpoint dry is a command, a dry run that delivers nothing"),
        (
            {"reverse-lookup"},
            "other",
            "reverse-lookup is not to be had at the endpoint other, by route xclient",
        ),
    ],
)
def test_where_an_endpoint_is_not_described_or_shows_too_little_nothing_is_testable(
    run: Run, needs: set[str], endpoint: str, reason: str
) -> None:
    rule = replace(next(iter(run.catalogue)), needs=frozenset(needs))
    with pytest.raises(NotTestableError, match=reason):
        Play(run, rule).new_client(Kind.KNOWN, endpoint=endpoint)
    of_case = Play(run, replace(rule, needs=frozenset()), needs=frozenset(needs))
    with pytest.raises(NotTestableError, match=reason):
        of_case.new_client(Kind.KNOWN, endpoint=endpoint)


def test_names_are_looked_up_at_one_endpoint_and_told_at_another(run: Run) -> None:
    assert REVERSE_LOOKUP.lacking(run.profile) == ""
    play = Play(run, replace(next(iter(run.catalogue)), needs=frozenset()))
    play.new_client(Kind.KNOWN).without_ptr()
    with pytest.raises(NotTestableError, match="told its client's name"):
        play.new_client(Kind.KNOWN, endpoint="other").without_ptr()
