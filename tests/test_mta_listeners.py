"""Further ports of the reference MTA: TLS from the first octet, and mail of accounts alone."""

import base64
import json
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.reference_mta.service import ListenError
from harness.settings import SettingsError
from tests.mta_here import Spoken, configured, send, serving_at, speaking
from tests.mta_process import (
    FROM,
    LISTED_TWICE,
    NAME,
    NAMELESS,
    PASSWORD,
    STRANGER,
    TRUSTED,
    WHITELISTED,
    Client,
    connected,
    running_mta,
)

TABLES = """
[[listener]]
port = 0
submission = true

[[listener]]
port = 0
tls = "implicit"
submission = true

[[listener]]
port = 0
tls = "implicit"
"""
SLOW = "[server]\ndelay = 600\n[speech]\nbanner_pause = 600\n"  # longer than anybody waits here
SUBMISSION, SUBMISSIONS, COVERED = range(3)
LOG_IN = "AUTH PLAIN " + base64.b64encode(f"\0alice\0{PASSWORD}".encode()).decode()
ELSEWHERE = "RCPT TO:<someone@elsewhere.example>"
BRIEF = 0.5  # seconds: waited out


@pytest.fixture(scope="module")
def mta(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoken]:
    with speaking(tmp_path_factory.mktemp("mta"), TABLES) as running:
        yield running


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoken]:
    """One that holds strangers back, at every port but those for accounts."""
    with speaking(tmp_path_factory.mktemp("slow"), SLOW + TABLES) as running:
        yield running


@pytest.fixture
def submission(slow: Spoken) -> Iterator[Client]:
    """A client that two lists have, at the port for accounts; it has read the greeting."""
    with slow.connect(LISTED_TWICE, further=SUBMISSION) as client:
        assert client.reply().startswith("220 ")
        yield client


@pytest.fixture
def covered(slow: Spoken) -> Iterator[Client]:
    """The same at the port for accounts that begins with TLS."""
    with slow.connect(NAMELESS, further=SUBMISSIONS) as client:
        client.wrap(slow.state / "ca.pem")
        assert client.reply().startswith("220 ")
        yield client


def everything(client: Client) -> bytes:
    """All that comes until the server's end; fails where that does not come in time."""
    read = b""
    while piece := client.receive():
        read += piece
    return read


def is_alert(data: bytes) -> bool:
    """Whether it is nothing, or a record of TLS that says what is wrong (RFC 8446 §5.1)."""
    return not data or (data[0] == 21 and len(data) == 5 + int.from_bytes(data[3:5]))


# Submission


@pytest.mark.parametrize("name", ["bare", "[192.0.2.11]", "mail.castle.example", "192.0.2.11"])
def test_an_account_sends_from_anywhere_at_once(slow: Spoken, submission: Client, name: str) -> None:
    assert submission.code(f"EHLO {name}") == 250
    submission.start_tls(slow.state / "ca.pem")
    listed = submission.say(f"EHLO {name}")
    assert "250 AUTH PLAIN" in listed.split("\n")
    assert submission.code(LOG_IN) == 235
    before = set(slow.mail("bruno@castle.example"))
    assert send(submission, recipient="RCPT TO:<bruno@castle.example>")["end"].startswith("250")
    (message,) = set(slow.mail("bruno@castle.example")) - before
    assert " with ESMTPSA;" in message
    assert "X-DNSbl-Warning" not in message
    assert submission.code(FROM) == 250
    assert submission.code(ELSEWHERE) == 250


@pytest.mark.parametrize("client", [STRANGER, WHITELISTED, TRUSTED])
def test_nobody_else_sends_there(mta: Spoken, client: str) -> None:
    with mta.connect(client, further=SUBMISSION) as connection:
        connection.greet()
        for sender in (FROM, "MAIL FROM:<>"):
            assert connection.say(sender) == "530 5.7.0 Log in first"
            assert connection.code(ELSEWHERE) == 503
        connection.start_tls(mta.state / "ca.pem")
        assert connection.code(f"EHLO {NAME}") == 250
        assert connection.say(FROM) == "530 5.7.0 Log in first"
        assert connection.code("AUTH PLAIN AGFsaWNlAHdyb25n") == 535
        assert connection.say(FROM) == "530 5.7.0 Log in first"
        assert connection.code(LOG_IN) == 235
        assert connection.code(FROM) == 250


def test_passwords_are_not_taken_in_clear_text_there(submission: Client) -> None:
    assert "AUTH" not in submission.say(f"EHLO {NAME}")
    assert submission.code(LOG_IN) == 538


def test_the_first_port_takes_mail_from_other_servers_as_before(mta: Spoken) -> None:
    assert mta.play(WHITELISTED)["end"].startswith("250")
    with mta.connect(TRUSTED) as client:
        client.greet()
        assert client.code(FROM) == 250
        assert client.code(ELSEWHERE) == 250


# TLS from the first octet


def test_tls_is_on_before_the_greeting(covered: Client) -> None:
    listed = covered.say(f"EHLO {NAME}")
    assert "STARTTLS" not in listed
    assert "250 AUTH PLAIN" in listed.split("\n")
    assert covered.code("STARTTLS") == 503
    assert covered.code(LOG_IN) == 235
    assert covered.code(FROM) == 250
    assert covered.code(ELSEWHERE) == 250


def test_mail_from_other_servers_may_be_covered_as_well(mta: Spoken) -> None:
    with mta.connect(WHITELISTED, further=COVERED) as client:
        client.wrap(mta.state / "ca.pem")
        client.greet()
        assert send(client)["end"].startswith("250")
        assert " with ESMTPS;" in mta.mail("alice@castle.example")[-1]


def test_strangers_are_held_to_the_rules_under_tls_too(mta: Spoken) -> None:
    with mta.connect(WHITELISTED, further=COVERED) as client:
        client.wrap(mta.state / "ca.pem")
        client.greet()
        assert client.code(FROM) == 250
        assert client.code(ELSEWHERE) == 550


@pytest.mark.parametrize("said", [b"EHLO mx.client.example\r\n", b"GET / HTTP/1.0\r\n\r\n", b"PROXY "])
def test_clear_text_gets_no_answer_of_smtp(mta: Spoken, said: bytes) -> None:
    with mta.connect(STRANGER, further=SUBMISSIONS) as client:
        client.send(said)
        assert is_alert(everything(client))


def test_who_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    with speaking(tmp_path, f"[server]\nidle_timeout = {BRIEF}\n{TABLES}") as mta:
        for said in (b"", b"\r\n", b"\x16\x03\x01"):  # the last is a handshake that goes no further
            with mta.connect(STRANGER, further=SUBMISSIONS) as client:
                client.send(said)
                assert is_alert(everything(client))
        with mta.connect(STRANGER, further=SUBMISSIONS) as client:
            client.wrap(mta.state / "ca.pem")
            assert client.reply().startswith("220 ")
            assert client.reply().startswith("421 4.4.2 ")


def test_what_comes_in_one_piece_with_the_proxy_header_is_the_handshake(mta: Spoken) -> None:
    """Two versions of the header, with the first message of TLS right behind it in the same write."""
    tcp = struct.pack("!4s4sHH", *map(socket.inet_aton, (STRANGER, "192.0.2.25")), 40000, 465)
    binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(tcp)) + tcp
    for header in (f"PROXY TCP4 {STRANGER} 192.0.2.25 40000 465\r\n".encode(), binary):
        with connected(mta.further[SUBMISSIONS]) as client:
            come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
            context = ssl.create_default_context(cafile=str(mta.state / "ca.pem"))
            tls = context.wrap_bio(come, go, server_hostname="mail.castle.example")
            said = header
            while True:
                try:
                    greeting = tls.read()
                    break
                except ssl.SSLWantReadError:
                    client.send(said + go.read())
                    said = b""
                    piece = client.receive()
                    assert piece
                    come.write(piece)
            assert greeting.startswith(b"220 mail.castle.example ")


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"EHLO x\r\n", b"\x16\x03\x01\x02\0\x01"])
def test_who_does_not_say_where_he_comes_from_is_hung_up_on(mta: Spoken, header: bytes) -> None:
    with connected(mta.further[SUBMISSIONS]) as client:
        client.send(header)
        assert everything(client) == b""


@pytest.mark.parametrize("begun", [b"", b"PROX", b"PROXY TCP4 192.0.2.7 "])
def test_who_ends_before_he_has_said_so_is_gone(mta: Spoken, begun: bytes) -> None:
    with connected(mta.further[SUBMISSIONS]) as client:
        client.send(begun)
        client.end()
        assert everything(client) == b""


def test_without_proxies_the_client_is_who_it_is(tmp_path: Path) -> None:
    tables = "[server]\nproxy_protocol = false\n[relay]\nfrom_hosts = ['127.0.0.0/8']\n"
    config = configured(tmp_path, tables + TABLES)
    with serving_at(config) as addresses, connected(addresses[1 + COVERED]) as client:
        client.wrap(config.server.state / "ca.pem")
        client.greet()
        assert client.code(FROM) == 250
        assert client.code(ELSEWHERE) == 250


def test_all_ports_together_have_so_many_connections(tmp_path: Path) -> None:
    """Also while TLS has not begun; and there is no handshake for who is too many."""
    config = configured(tmp_path, "[server]\nproxy_protocol = false\n[limits]\nconnections = 1\n" + TABLES)
    with serving_at(config) as (first, submission, submissions, _), connected(submissions) as one:
        for place in (first, submission):
            with connected(place) as other:
                assert other.reply().startswith("421 4.3.2 ")
        with connected(submissions) as other:
            assert everything(other) == b""
        one.wrap(config.server.state / "ca.pem")
        assert one.reply().startswith("220 ")


def test_one_client_has_so_many_connections_to_all_ports_together(tmp_path: Path) -> None:
    limits = "[limits]\nconnections_of_client = 1\n"
    with speaking(tmp_path, limits + TABLES) as mta, mta.connect(WHITELISTED) as one:
        assert one.reply().startswith("220")
        with mta.connect(WHITELISTED, further=SUBMISSION) as again:
            assert again.reply().startswith("421 4.7.0 ")
        with mta.connect(WHITELISTED, further=SUBMISSIONS) as again:
            assert everything(again) == b""
        assert one.code("NOOP") == 250


# The configuration


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ("tls = 'implicit'", "listener.0.port: is required"),
        ("port = 70000", "listener.0.port"),
        ("port = 465\ntls = 'always'", "listener.0.tls"),
        ("port = 465\nsubmision = true", "listener.0.submision: unknown key; did you mean 'submission'"),
        ("port = 465\naddress = 'mx.example'", "listener.0.address: 'mx.example' is no IP address"),
        (
            "port = 465\naddress = '192.0.2.1'",
            "listener.0.address: 192.0.2.1 is not loopback; set allow_public",
        ),
        ("port = 465\n[[listener]]\nport = 465", "listener.1.port: 465 is there twice; choose another port"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, table: str, named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        configured(tmp_path, f"[[listener]]\n{table}\n")
    assert named in str(caught.value)


def test_a_port_may_be_at_several_addresses(tmp_path: Path) -> None:
    config = configured(tmp_path, "[[listener]]\nport = 465\n[[listener]]\nport = 465\naddress = '::1'\n")
    assert [each.address for each in config.listener] == [None, "::1"]


@pytest.mark.parametrize("quietly", [False, True])
def test_the_server_says_where_it_listens(tmp_path: Path, quietly: bool) -> None:
    extra = "[[listener]]\nport = 0\nsubmission = true\ntls = 'implicit'\n[[listener]]\nport = 0\n"
    with running_mta(tmp_path, extra=extra, steered=quietly, options=["--quiet"]) as mta:
        if quietly:
            further = json.loads(mta.ready)["further"]
            ports = [place["port"] for place in further]
        else:
            _, one, other = mta.ready.rpartition(";")[0].split(", 127.0.0.1:")
            assert one.endswith(" (submission, implicit TLS)")
            ports = [int(one.partition(" ")[0]), int(other)]
        assert len(set(ports)) == 2
        with connected(("127.0.0.1", ports[0]), STRANGER) as client:
            client.wrap(mta.state / "ca.pem")
            assert client.reply().startswith("220 ")


def test_a_further_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = configured(tmp_path, f"[[listener]]\nport = {port}\n")
        message = rf"^listener\.0: port {port}: .*choose another port"
        with pytest.raises(ListenError, match=message), serving_at(config):
            pass
