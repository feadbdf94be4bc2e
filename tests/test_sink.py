"""The mail hosts of everybody else: their manners, what they note, and what DNS says of them."""

import ipaddress
import smtplib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from fake_dns import FakeDns
from harness.capabilities.mail_host import MOST_BYTES, MOST_DIALOGUES, MailHost, Manner
from harness.capabilities.sink import Sink
from harness.outcome import Stage
from harness.settings.hosts import Network
from harness.verdicts import FailedError, InconclusiveError, NotTestableError
from tests.dns_asking import answers
from tests.ports import free_port

PATIENCE = 5.0  # seconds for something that must happen
TEXT = b"Message-ID: <token-1@x>\r\n\r\nHello.\r\n..with a dot\r\n"


def networks(*texts: str) -> list[Network]:
    return [ipaddress.ip_network(text) for text in texts]


@pytest.fixture
def dns() -> FakeDns:
    return FakeDns()


@pytest.fixture
def sink(dns: FakeDns) -> Iterator[Sink]:
    with Sink(dns, networks("127.0.0.1/32"), free_port(), secrets=["sesame"]) as sink:
        yield sink


@pytest.fixture
def host(sink: Sink) -> MailHost:
    return sink.open("far.example")


def call(sink: Sink, host: MailHost) -> smtplib.SMTP:
    client = smtplib.SMTP(timeout=PATIENCE)
    client.connect(host.address, sink.port)
    return client


def send(sink: Sink, host: MailHost, text: bytes = TEXT) -> None:
    with call(sink, host) as client:
        client.ehlo("mx.here.example")
        client.sendmail("ann@here.example", ["ben@far.example", "eva@far.example"], text)


def test_mail_is_taken_and_noted(sink: Sink, host: MailHost) -> None:
    send(sink, host)
    arrival = host.arrival("token-1", PATIENCE)
    assert (arrival.sender, arrival.helo, arrival.client) == (
        "ann@here.example",
        "mx.here.example",
        "127.0.0.1",
    )
    assert arrival.recipients == ("ben@far.example", "eva@far.example")
    assert arrival.content == TEXT
    assert arrival.message["Message-ID"] == "<token-1@x>"
    dialogue = host.dialogue(1, PATIENCE)
    lines = [line.data for line in dialogue.record]
    assert lines[0] == b"220 mail.far.example ESMTP\r\n"
    assert b"...with a dot\r\n" in lines  # to the byte, as it went over the line
    assert lines[-1].startswith(b"221")
    times = [line.at for line in dialogue.record]
    assert times == sorted(times)
    assert dialogue.mentions("BEN@far.example")
    assert host.about("eva@far.example") == (dialogue,)
    assert host.about("nobody@far.example") == ()


def test_the_null_sender_is_empty(sink: Sink, host: MailHost) -> None:
    with call(sink, host) as client:
        client.sendmail("", ["ben@far.example"], TEXT)
    assert host.arrival("token-1", PATIENCE).sender == ""


def test_secrets_are_not_recorded(sink: Sink, host: MailHost) -> None:
    send(sink, host, TEXT + b"my password is sesame\r\n")
    said = b"".join(line.data for line in host.dialogue(1, PATIENCE).record)
    assert b"sesame" not in said
    assert b"my password is ***" in said


def test_dns_names_the_host_while_it_is_there(dns: FakeDns, sink: Sink, host: MailHost) -> None:
    assert answers(dns, "far.example", "MX") == ["10 mail.far.example."]
    assert answers(dns, "mail.far.example") == ["127.0.0.1"]
    assert answers(dns, "1.0.0.127.in-addr.arpa", "PTR") == ["mail.far.example."]
    sink.close(host)
    assert answers(dns, "far.example", "MX") == []
    assert answers(dns, "1.0.0.127.in-addr.arpa", "PTR") == []
    with pytest.raises(OSError, match="refused"):
        call(sink, host)


# Manners


def reply_at(sink: Sink, host: MailHost, stage: Stage, patience: float = PATIENCE) -> tuple[int, bytes]:
    """What a caller is told at a stage; smtplib's exceptions have the reply."""
    client = smtplib.SMTP(timeout=patience)
    code, words = client.connect(host.address, sink.port)
    steps: dict[Stage, Callable[[], tuple[int, bytes]]] = {
        Stage.CONNECT: lambda: (code, words),
        Stage.HELO: lambda: client.ehlo("mx.here.example"),
        Stage.MAIL: lambda: client.mail("ann@here.example"),
        Stage.RCPT: lambda: client.rcpt("ben@far.example"),
        Stage.DATA: lambda: client.data(TEXT),
    }
    try:
        for each, act in steps.items():
            answer = act()
            if each is stage:
                return answer
        raise AssertionError(stage)
    finally:
        client.close()


STAGES = [Stage.CONNECT, Stage.HELO, Stage.MAIL, Stage.RCPT, Stage.DATA]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("reply", ["451 4.3.0 Come back later", "554 5.7.1 Not you"])
def test_a_host_says_what_it_is_told_to(sink: Sink, host: MailHost, stage: Stage, reply: str) -> None:
    host.says(stage, reply)
    assert reply_at(sink, host, stage) == (int(reply[:3]), reply[4:].encode())
    assert host.arrived("token-1") == ()
    host.takes_mail()
    send(sink, host)
    assert len(host.arrived("token-1")) == 1


def test_after_a_refusing_greeting_only_quit_is_understood(sink: Sink, host: MailHost) -> None:
    host.says(Stage.CONNECT, "554 No")
    client = smtplib.SMTP(timeout=PATIENCE)
    client.connect(host.address, sink.port)
    assert client.docmd("EHLO x")[0] == 503
    assert client.docmd("QUIT")[0] == 221
    assert host.dialogue(1, PATIENCE).helo == ""


@pytest.mark.parametrize("stage", STAGES)
def test_a_host_closes_without_a_word(sink: Sink, host: MailHost, stage: Stage) -> None:
    host.closes(stage)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        reply_at(sink, host, stage)
    assert host.dialogue(1, PATIENCE).ended


@pytest.mark.parametrize("stage", STAGES)
def test_a_host_hangs(sink: Sink, host: MailHost, stage: Stage) -> None:
    host.hangs(stage)
    with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected)):
        reply_at(sink, host, stage, patience=0.1)
    assert host.dialogue(1, PATIENCE).ended
    assert host.arrived("token-1") == ()


def test_a_manner_may_be_about_somebody(sink: Sink, host: MailHost) -> None:
    host.says(Stage.RCPT, "550 No", about="ben@")
    host.says(Stage.MAIL, "450 Later", about="eva@")
    with call(sink, host) as client:
        client.ehlo("x")
        client.mail("ann@here.example")
        assert [client.rcpt(f"{name}@far.example")[0] for name in ("zoe", "ben")] == [250, 550]
    host.takes_mail(about="ben@")
    with call(sink, host) as client:
        client.ehlo("x")
        assert client.mail("eva@here.example")[0] == 450
        assert client.mail("ben@here.example")[0] == 250  # another transaction, in which she has no part
    with call(sink, host) as client:
        client.ehlo("x")
        client.mail("ann@here.example")
        assert client.rcpt("ben@far.example")[0] == 250


@pytest.mark.parametrize(("stage", "about"), [(Stage.TLS, ""), (Stage.DELIVERY, ""), (Stage.CONNECT, "x")])
def test_there_are_no_other_manners(stage: Stage, about: str) -> None:
    with pytest.raises(ValueError, match="no such manner"):
        Manner(stage, about=about)


# Waiting


def test_an_arrival_is_waited_for(sink: Sink, host: MailHost) -> None:
    timer = threading.Timer(0.1, send, (sink, host))
    timer.start()
    assert host.arrival("token-1", PATIENCE).recipients
    timer.join()


def test_what_comes_late_is_no_verdict(sink: Sink, host: MailHost) -> None:
    timer = threading.Timer(1.4, send, (sink, host))
    timer.start()
    with pytest.raises(InconclusiveError, match=r"the message took .* may take 1 s"):
        host.arrival("token-1", 0.5, runs=2)
    timer.join()


def test_what_does_not_come_fails_the_server(sink: Sink, host: MailHost) -> None:
    with pytest.raises(FailedError, match=r"mail\.far\.example.* within 0\.1 s"):
        host.arrival("token-1", 0.05)
    send(sink, host)
    with pytest.raises(FailedError, match=r"2 dialogues were to be held .* there were 1"):
        host.dialogue(2, 0.05)
    with pytest.raises(FailedError, match="there were 0"):
        host.dialogue(1, 0.05, about="somebody else")


def test_a_dialogue_counts_when_it_has_ended(sink: Sink, host: MailHost) -> None:
    with call(sink, host):
        with pytest.raises(FailedError):
            host.dialogue(1, 0.05)
        assert len(host.dialogues) == 1
    assert host.dialogue(1, PATIENCE).ended


# Limits


def test_a_flood_is_recorded_within_reason(sink: Sink, host: MailHost) -> None:
    line = b"x" * 998 + b"\r\n"
    send(sink, host, TEXT + line * (2 * MOST_BYTES // len(line)))
    record = host.dialogue(1, PATIENCE).record
    assert sum(len(one.data) for one in record) < MOST_BYTES + (1 << 17)
    assert any(b"not recorded" in one.data for one in record)


def test_dialogues_are_limited(sink: Sink, host: MailHost) -> None:
    for _ in range(MOST_DIALOGUES):
        assert host.begin("127.0.0.1") is not None
    with pytest.raises((ConnectionResetError, smtplib.SMTPServerDisconnected)):
        call(sink, host)
    assert len(host.dialogues) == MOST_DIALOGUES


def test_strange_bytes_do_no_harm(sink: Sink, host: MailHost) -> None:
    with socket.create_connection((host.address, sink.port), PATIENCE) as connection:
        connection.sendall(bytes(range(256)) + b"\r\n\xff\xfe\r\nQUIT\r\n")
        while connection.recv(4096):
            pass
    send(sink, host)
    assert host.arrival("token-1", PATIENCE)


# Addresses


def test_there_are_no_more_hosts_than_addresses(sink: Sink, host: MailHost) -> None:
    with pytest.raises(NotTestableError, match=r"2 mail hosts are needed.*sink\.networks has 1"):
        sink.open("two.example", held=1)


def test_an_address_is_given_back(sink: Sink, host: MailHost) -> None:
    threading.Timer(0.1, sink.close, (host,)).start()
    other = sink.open("two.example")  # waits for it
    send(sink, other)
    assert other.arrival("token-1", PATIENCE)
    assert host.dialogues == ()


def test_an_address_that_cannot_be_had_is_told(dns: FakeDns) -> None:
    with (
        Sink(dns, networks("198.51.100.0/24"), free_port()) as sink,
        pytest.raises(NotTestableError, match=r"198\.51"),
    ):
        sink.open("far.example")


def test_an_address_that_is_kept_is_given_to_nobody(dns: FakeDns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.capabilities.sink.ROOM_WITHIN", 0.05)
    with Sink(dns, networks("127.0.0.1/32"), free_port(), kept=["127.0.0.1"]) as sink:
        assert sink.shared("far.example", "127.0.0.1").address == "127.0.0.1"
        with pytest.raises(InconclusiveError, match="are in use"):
            sink.open("two.example")


def test_a_shared_host_is_one_for_all(sink: Sink) -> None:
    one = sink.shared("far.example", "127.0.0.1")
    assert sink.shared("far.example", "127.0.0.1") is one
    assert one.shared


def test_the_only_address_is_shared_by_nobody(sink: Sink) -> None:
    with pytest.raises(NotTestableError, match="has one address"):
        sink.shared("far.example")


def test_every_host_has_an_address_of_its_own(dns: FakeDns) -> None:
    try:
        with socket.socket() as probe:
            probe.bind(("127.64.0.1", 0))
    except OSError:
        pytest.skip("only 127.0.0.1 can be bound here")
    with Sink(dns, networks("127.64.0.0/24"), free_port()) as sink:
        hosts = [sink.open(f"d{number}.example") for number in range(10)]
        for host in hosts:
            send(sink, host, TEXT.replace(b"token-1", host.domain.encode()))
        assert len({host.address for host in hosts}) == 10
        for host in hosts:
            assert host.arrived(host.domain)
            assert len(host.dialogues) == 1
