"""The reference MTA over real connections: framing, PROXY, STARTTLS, limits, and where mail goes."""

import ipaddress
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mta_process import (
    FROM,
    LISTED_ONCE,
    LISTED_TWICE,
    MESSAGE,
    NAME,
    NAMELESS,
    STRANGER,
    TO,
    TRUSTED,
    WHITELISTED,
    Client,
    RunningMta,
    running_mta,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.fixture(scope="module")
def mta(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMta]:
    with running_mta(tmp_path_factory.mktemp("mta")) as running:
        yield running


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMta]:
    with running_mta(tmp_path_factory.mktemp("direct"), proxy=False) as running:
        yield running


@pytest.fixture
def client(mta: RunningMta) -> Iterator[Client]:
    """A client that is not greylisted, greeted and ready for MAIL."""
    with mta.connect(WHITELISTED) as connection:
        connection.greet()
        yield connection


def deliver(client: Client, *recipients: str, content: bytes = MESSAGE) -> str:
    assert client.code(FROM) == 250
    for recipient in recipients:
        assert client.code(f"RCPT TO:<{recipient}>") == 250
    assert client.code("DATA") == 354
    client.send(content + b".\r\n")
    return client.reply()


# The PROXY protocol


def proxy_v2(source: str, command: int = 0x21) -> bytes:
    address = ipaddress.ip_address(source)
    family = 0x11 if address.version == 4 else 0x21
    body = address.packed * 2 + struct.pack("!HH", 40000, 25)
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


@pytest.mark.parametrize(
    ("header", "source"),
    [
        (f"PROXY TCP4 {STRANGER} 192.0.2.25 40000 25\r\n".encode(), STRANGER),
        (b"PROXY TCP6 2001:db8::7 2001:db8::25 40000 25\r\n", "2001:db8::7"),
        (proxy_v2(STRANGER), STRANGER),
        (proxy_v2("2001:db8::7"), "2001:db8::7"),
    ],
    ids=["v1 over IPv4", "v1 over IPv6", "v2 over IPv4", "v2 over IPv6"],
)
def test_a_proxy_header_says_who_connects(mta: RunningMta, header: bytes, source: str) -> None:
    before = len(mta.dns.queries(reverse(source)))
    with mta.connect() as client:
        client.send(header)
        assert client.reply().startswith("220 mail.castle.example")
    assert len(mta.dns.queries(reverse(source))) == before + 1


def reverse(address: str) -> str:
    return ipaddress.ip_address(address).reverse_pointer


@pytest.mark.parametrize(
    "header",
    [
        b"EHLO mx.client.example\r\n",
        b"PROXY UNKNOWN\r\n",
        b"PROXY TCP4 999.0.2.7 192.0.2.25 40000 25\r\n",
        b"PROXY TCP4 mx.client.example 192.0.2.25 40000 25\r\n",
        proxy_v2(STRANGER, command=0x20),
        proxy_v2(STRANGER, command=0x31),
        SIGNATURE + struct.pack("!BBH", 0x21, 0x31, 216) + b"/tmp/client".ljust(108, b"\0") * 2,
    ],
    ids=["none", "unknown", "bad address", "a name", "local", "version 3", "unix"],
)
def test_without_a_usable_proxy_header_there_is_no_dialogue(mta: RunningMta, header: bytes) -> None:
    with mta.connect() as client:
        client.send(header)
        assert client.reply() == ""


@pytest.mark.parametrize(
    "header", [f"PROXY TCP4 {TRUSTED} 192.0.2.25 40000 25\r\n".encode(), proxy_v2(TRUSTED)]
)
def test_an_unexpected_proxy_header_has_no_effect(direct: RunningMta, header: bytes) -> None:
    with direct.connect() as client:
        client.send(header + b"\r\nNOOP\r\n")
        assert client.reply().startswith("220 ")
        while (reply := client.reply()).startswith("500"):
            continue
        assert reply.startswith("250")
        client.say(f"EHLO {NAME}")
        assert client.code(FROM) == 250
        assert client.code("RCPT TO:<someone@elsewhere.example>") == 550
    assert not direct.dns.queries(reverse(TRUSTED))


# Lines


def test_a_bare_line_feed_ends_no_command(client: Client) -> None:
    client.send(f"{FROM}\n{TO}\r\nNOOP\r\n".encode())
    assert client.reply().startswith("500")
    assert client.reply().startswith("250")
    assert client.say(TO).startswith("503"), "the first line must not have been taken for MAIL"


def test_a_bare_line_feed_ends_no_message(mta: RunningMta, client: Client) -> None:
    smuggled = b"From: <a@client.example>\r\n\r\n\n.\nMAIL FROM:<b@client.example>\n.\r\nend\r\n"
    before = len(mta.mail("mail/bruno@castle.example"))
    assert deliver(client, "bruno@castle.example", content=smuggled).startswith("250")
    assert client.code("NOOP") == 250
    kept = mta.mail("mail/bruno@castle.example")
    assert len(kept) == before + 1
    assert any(message.endswith(b"end\r\n") for message in kept)


def test_an_endless_line_is_refused_and_the_next_is_read(client: Client) -> None:
    assert client.code("NOOP " + "x" * 200_000) == 500
    assert client.code("NOOP") == 250


@pytest.mark.parametrize(
    "line", ["", " ", "\0", "é", "é é", "NOOP \udcff", "EXPN", "HELO", "MAIL", "RCPT", "X" * 600]
)
def test_nonsense_is_answered_and_survived(client: Client, line: str) -> None:
    assert client.say(line)[:3].isdigit()
    assert client.code("NOOP") == 250


def test_one_client_leaves_the_limits_of_another_alone(mta: RunningMta) -> None:
    long = "NOOP " + "x" * 900
    with mta.connect(WHITELISTED) as first:
        first.greet()
        assert first.code(long) == 250
        with mta.connect(STRANGER) as second:
            second.greet()
            assert second.code(long) == 250
            assert first.code(long) == 250
        assert first.code(f"EHLO {NAME}") == 250
        assert first.code(long) == 250


def test_a_held_back_reply_keeps_what_was_sent_meanwhile(tmp_path: Path) -> None:
    with running_mta(tmp_path, delay=0.05) as mta, mta.connect(NAMELESS) as client:
        client.send(f"EHLO host\r\n{FROM}\r\n{TO}\r\nRSET\r\nQUIT\r\n".encode())
        codes = [client.reply()[:3] for _ in range(6)]
        assert codes == ["220", "250", "250", "451", "250", "221"]
        assert client.reply() == ""


def test_who_leaves_while_held_back_harms_nobody(tmp_path: Path) -> None:
    with running_mta(tmp_path, delay=0.05) as mta:
        for _ in range(20):
            with mta.connect(NAMELESS):
                pass
        with mta.connect(NAMELESS) as client:
            assert client.reply().startswith("220")
        log = tmp_path / "mta.log"
    assert log.read_text("utf-8") == ""


def test_who_says_nothing_is_hung_up_on(tmp_path: Path) -> None:
    with running_mta(tmp_path, idle=0.3) as mta, mta.connect(STRANGER) as client:
        assert client.reply().startswith("220")
        assert client.reply().startswith("421 4.4.2 ")
        assert client.reply() == ""


# STARTTLS


def test_state_is_forgotten_after_starttls(mta: RunningMta, client: Client) -> None:
    assert client.code(FROM) == 250
    client.start_tls(mta.state / "ca.pem")
    assert client.code(TO) == 503
    assert client.code(FROM) == 503, "who has not greeted under TLS is unknown"
    assert "STARTTLS" not in client.say(f"EHLO {NAME}")
    assert client.code(FROM) == 250


def test_a_second_starttls_is_out_of_sequence(mta: RunningMta, client: Client) -> None:
    client.start_tls(mta.state / "ca.pem")
    client.say(f"EHLO {NAME}")
    assert client.code("STARTTLS") == 503
    assert client.code("NOOP") == 250


def test_clear_text_behind_starttls_is_not_run(mta: RunningMta, client: Client) -> None:
    client.send(b"STARTTLS\r\nNOOP\r\n")
    assert client.reply().startswith("220")
    client.wrap(mta.state / "ca.pem")
    assert client.say(f"EHLO {NAME}").startswith("250-mail.castle.example greets")


def test_starttls_takes_no_argument(client: Client) -> None:
    assert client.code("STARTTLS now") == 501
    assert client.code(FROM) == 250


# Recipients


def test_the_recipient_after_the_last_ends_the_connection(client: Client) -> None:
    assert client.code(FROM) == 250
    for _ in range(20):
        assert client.code(TO) == 250
    client.send(f"{TO}\r\nNOOP\r\n".encode())
    assert client.reply().startswith("550 5.5.3")
    assert client.reply() == ""


def test_a_new_message_has_a_new_count(client: Client) -> None:
    for _ in range(2):
        assert client.code(FROM) == 250
        for _ in range(20):
            assert client.code(TO) == 250
        assert client.code("RSET") == 250


@pytest.mark.parametrize(
    "recipient",
    ["<>", "<@>", "alice@castle.example", "<alice@castle.example", "<a b>c", "<\0@castle.example>"],
)
def test_what_is_no_recipient_is_refused(mta: RunningMta, recipient: str) -> None:
    with mta.connect(TRUSTED) as client:
        client.greet()
        assert client.code(FROM) == 250
        assert 500 <= client.code(f"RCPT TO:{recipient}") < 560


# Where mail goes


def test_a_message_is_on_disk_when_it_is_accepted(mta: RunningMta, client: Client) -> None:
    before = len(mta.mail("mail/alice@castle.example"))
    assert deliver(client, "alice@castle.example").startswith("250")
    kept = mta.mail("mail/alice@castle.example")
    assert len(kept) == before + 1
    assert kept[-1].endswith(MESSAGE)
    assert kept[-1].startswith(
        b"Return-path: <sender@client.example>\r\nEnvelope-to: alice@castle.example\r\n"
    )
    assert b"\r\nReceived: from mx.client.example (out.bulkmail.example [198" in kept[-1]
    assert not list((mta.state / "mail/alice@castle.example/tmp").iterdir())


def test_a_recipient_named_twice_gets_one_message(mta: RunningMta, client: Client) -> None:
    deliver(client, "twice@attic.example", "twice@attic.example", "other@attic.example")
    assert len(mta.mail("mail/twice@attic.example")) == 1
    assert len(mta.mail("mail/other@attic.example")) == 1


def test_dots_are_unstuffed_and_nothing_else_is_changed(mta: RunningMta, client: Client) -> None:
    content = b"Subject: bytes\r\n\r\n..\r\n..one\r\n\xff\x80\0\r\n \r\n"
    assert deliver(client, "bytes@attic.example", content=content).startswith("250")
    (kept,) = mta.mail("mail/bytes@attic.example")
    assert kept.endswith(b"Subject: bytes\r\n\r\n.\r\n.one\r\n\xff\x80\0\r\n \r\n")


def test_a_message_that_is_too_large_is_refused_whole(mta: RunningMta, client: Client) -> None:
    large = MESSAGE + b"x" * 70 + b"\r\n"
    assert client.code(f"{FROM} SIZE=70001") == 552
    assert deliver(client, "large@attic.example", content=large * 700).startswith("552")
    assert mta.mail("mail/large@attic.example") == []
    assert deliver(client, "large@attic.example").startswith("250")


def test_no_address_leads_out_of_the_state_directory(mta: RunningMta, client: Client) -> None:
    assert client.code(FROM) == 250
    for recipient in ("../../x@attic.example", '"../x"@attic.example', ".x@attic.example"):
        assert client.code(f"RCPT TO:<{recipient}>") == 550
    assert client.code("RSET") == 250
    longest = "x" * 300
    assert deliver(client, "a..b@attic.example", f"{longest}@attic.example").startswith("250")
    assert {path.name for path in mta.state.iterdir()} <= {
        "ca.pem",
        "chain.pem",
        "greylist.sqlite",
        "greylist.sqlite-shm",
        "greylist.sqlite-wal",
        "key.pem",
        "mail",
        "queue.bell",
        "queue.sqlite",
        "queue.sqlite-shm",
        "queue.sqlite-wal",
    }


def test_mail_that_cannot_be_kept_is_put_off(tmp_path: Path) -> None:
    with running_mta(tmp_path) as mta:
        (mta.state / "mail").write_text("in the way", "utf-8")
        with mta.connect(WHITELISTED) as client:
            client.greet()
            assert deliver(client, "alice@castle.example").startswith("452 4.3.1")
            (mta.state / "mail").unlink()
            assert deliver(client, "alice@castle.example").startswith("250")


# Nothing that a stranger chooses becomes a line of ours


def test_a_name_in_a_greeting_injects_nothing(mta: RunningMta) -> None:
    with mta.connect(WHITELISTED) as client:
        assert client.reply().startswith("220")
        reply = client.say("EHLO x.example\rX-Injected: yes\r250 ok")
        assert "\r" not in reply
        assert "X-Injected: yes" not in reply
        assert deliver(client, "greeted@attic.example").startswith("250")
    (kept,) = mta.mail("mail/greeted@attic.example")
    header = kept.partition(b"\r\n\r\n")[0]
    assert b"\r" not in header.replace(b"\r\n", b"")
    assert b"\r\nX-Injected" not in header


def test_a_block_lists_text_injects_no_reply(mta: RunningMta) -> None:
    with mta.connect(LISTED_TWICE) as client:
        client.greet()
        assert client.code(FROM) == 250
        reply = client.say(TO)
        assert all(line[:3] == "550" for line in reply.split("\n"))
        assert "traps.blocklist.example" in reply
        assert "reports.blocklist.example" in reply
        assert client.reply() == ""


def test_a_block_lists_text_injects_no_header(mta: RunningMta) -> None:
    triplet = {"client": LISTED_ONCE, "sender": "sender@client.example", "recipient": "listed@attic.example"}
    assert mta.ask(op="greylist", action="add", list="white", **triplet) == {"ok": True}
    with mta.connect(LISTED_ONCE) as client:
        client.greet()
        assert deliver(client, "listed@attic.example").startswith("250")
    (kept,) = mta.mail("mail/listed@attic.example")
    lines = kept.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert any(line.startswith(b"X-") and b"traps.blocklist.example" in line for line in lines)
    assert not any(line.startswith(b"X-Injected") for line in lines)
    assert all(32 <= byte < 127 or byte == 9 for line in lines for byte in line)
