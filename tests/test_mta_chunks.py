"""Chunks and binary content (RFC 3030) with a live server: into mailboxes, and on to other hosts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import settings
from tests.mta_here import configured, speaking
from tests.mta_process import FROM, NAME, TRUSTED, WHITELISTED, Client, RunningMta, running_mta
from tests.receiving_host import ReceivingHost, receiving
from tests.test_mta_sending import OUTGOING, bounce_about, eventually, parts, queued

BINARY = f"{FROM} BODY=BINARYMIME"
CONTENT = b"Subject: bytes\r\n\r\n\0\n\r.\n\xff" + b"x" * 2000
BOTH = "250-sink.example\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 BINARYMIME"
LOCAL = "RCPT TO:<alice@castle.example>"


@pytest.fixture(scope="module")
def sink() -> Iterator[ReceivingHost]:
    with receiving() as host:
        yield host


@pytest.fixture(scope="module")
def mta(sink: ReceivingHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMta]:
    extra = OUTGOING.format(port=sink.port, interval=0.3, lifetime=60.0)
    with running_mta(tmp_path_factory.mktemp("mta"), extra=extra) as running:
        running.dns.publish("sink.example", "A", "127.0.0.1")
        for number in range(3):
            running.dns.publish(f"d{number}.example", "MX", "10 sink.example")
        yield running


def hand_in(client: Client, *recipients: str, sender: str = BINARY, content: bytes = CONTENT) -> str:
    client.greet()
    assert client.code(sender) == 250
    for recipient in recipients:
        assert client.code(recipient) == 250
    half = len(content) // 2
    client.send(b"BDAT %d\r\n%b" % (half, content[:half]))
    assert client.reply().startswith("250 2.0.0 ")
    client.send(b"BDAT %d LAST\r\n%b" % (len(content) - half, content[half:]))
    return client.reply()


def test_binary_content_is_kept_to_the_byte(mta: RunningMta) -> None:
    with mta.connect(WHITELISTED) as client:
        assert hand_in(client, LOCAL).startswith("250")
    assert any(kept.endswith(CONTENT) for kept in mta.mail("mail/alice@castle.example"))


def test_a_message_in_chunks_is_judged_as_any_other(mta: RunningMta) -> None:
    with mta.connect(WHITELISTED) as client:
        said = hand_in(client, LOCAL, sender=FROM, content=b"From: @@\r\n\r\nx\r\n")
        assert said.startswith("550 5.6.0"), said
        assert client.code("DATA") == 503, "whatever becomes of it, the next message begins with MAIL"
        assert hand_in_again(client).startswith("250")


def hand_in_again(client: Client) -> str:
    assert client.code(FROM) == 250
    assert client.code(LOCAL) == 250
    client.send(b"BDAT 14 LAST\r\nSubject: x\r\n\r\n")
    return client.reply()


def test_binary_content_goes_on_to_a_host_that_takes_it(mta: RunningMta, sink: ReceivingHost) -> None:
    sink.replies, sink.taken = {"EHLO": BOTH}, []
    with mta.connect(TRUSTED) as client:
        assert hand_in(client, "RCPT TO:<one@d0.example>").startswith("250")
    sink.wait(1)
    assert sink.taken[0].mail.endswith(" BODY=BINARYMIME")
    assert sink.taken[0].content.endswith(CONTENT)
    eventually(lambda: not queued(mta, "one@d0.example"))


@pytest.mark.parametrize(
    ("number", "content", "listed", "keyword"),
    [
        (1, CONTENT, "250-sink.example\r\n250-CHUNKING\r\n250 8BITMIME", "BINARYMIME"),
        (2, b"Subject: x\r\n\r\n\xc3\xa4\r\n", "250 sink.example", "8BITMIME"),
    ],
    ids=["binary", "8-bit"],
)
def test_what_a_host_does_not_take_comes_back(
    mta: RunningMta, sink: ReceivingHost, number: int, content: bytes, listed: str, keyword: str
) -> None:
    sink.replies, sink.taken = {"EHLO": listed}, []
    with mta.connect(TRUSTED) as client:
        sender = "MAIL FROM:<alice@castle.example> BODY=BINARYMIME"
        assert (
            hand_in(client, f"RCPT TO:<one@d{number}.example>", sender=sender, content=content)[:3] == "250"
        )
    notice = bounce_about(mta, f"one@d{number}.example")
    status = parts(notice)[1].as_string()
    assert "Status: 5.6.3" in status
    assert keyword in status
    assert not sink.taken


def test_extensions_can_be_switched_off(tmp_path: Path) -> None:
    tables = '[extensions]\nwithout = ["CHUNKING", "BINARYMIME", "PIPELINING"]'
    with speaking(tmp_path, tables) as server, server.connect(WHITELISTED) as client:
        listed = client.greet().split("\n")
        assert "250-8BITMIME" in listed
        assert not any(word in line for line in listed for word in ("CHUNK", "BINARY", "PIPE"))
        assert client.code("BDAT 0 LAST") == 502
        assert client.code(BINARY) == 501


def test_an_mbox_keeps_nothing_binary(tmp_path: Path) -> None:
    with speaking(tmp_path, '[delivery]\nformat = "mbox"') as server, server.connect(WHITELISTED) as client:
        assert client.reply()
        listed = client.say(f"EHLO {NAME}")
        assert "CHUNKING" in listed
        assert "BINARYMIME" not in listed


@pytest.mark.parametrize(
    ("tables", "listed"),
    [
        ("[server]\nmax_recipients = 7", "LIMITS RCPTMAX=7"),
        ('[extensions]\nwithout = ["LIMITS"]', ""),
        ('[answers."rcpt.too-many"]\naction = "accept"', ""),
    ],
)
def test_limits_are_told_that_hold(tmp_path: Path, tables: str, listed: str) -> None:
    with speaking(tmp_path, tables) as server, server.connect(WHITELISTED) as client:
        told = [line[4:] for line in client.greet().split("\n") if "LIMITS" in line]
        assert told == ([listed] if listed else [])


@pytest.mark.parametrize("without", ['["CHUNKING"]', '["CHUNKS"]'])
def test_what_cannot_be_offered_is_told(tmp_path: Path, without: str) -> None:
    with pytest.raises(settings.SettingsError, match="without"):
        configured(tmp_path, f"[extensions]\nwithout = {without}")
