"""The reference MTA over real connections: framing, PROXY, STARTTLS, limits, and where mail goes."""

import ipaddress
import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.reference_mta.config import Config
from harness.reference_mta.defects.kinds import treated
from harness.reference_mta.policy.checks import deny
from harness.reference_mta.policy.transaction import Transaction
from tests.mta_here import serving_here
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
    connected,
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


@pytest.mark.parametrize(
    "content",
    [
        b"From: <a@client.example>\r\n\r\n\n.\nMAIL FROM:<b@client.example>\n.\r\nend\r\n",
        b"From: <a@client.example>\r\n\r\n\r.\rMAIL FROM:<b@client.example>\r\r\n",
        b"X-A: a\rAuthentication-Results: mail.castle.example; dkim=pass\r\n\r\nbody\r\n",
        b"From: <a@client.example>\r\n\r\n\n.\r\nend\r\n",
        b"From: <a@client.example>\r\n\r\nx\r\r\n",
        b"From: <a@client.example>\r\n\r\n\n\r\n",
    ],
)
def test_a_bare_cr_or_lf_ends_nothing_and_is_refused(mta: RunningMta, client: Client, content: bytes) -> None:
    before = mta.mail("mail/bruno@castle.example")
    assert deliver(client, "bruno@castle.example", content=content).startswith("550 5.6.0 ")
    assert client.code("NOOP") == 250, "nothing of the message was taken for commands"
    assert mta.mail("mail/bruno@castle.example") == before
    assert client.code(TO) == 503
    assert deliver(client, "bruno@castle.example").startswith("250")


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


def test_a_message_may_take_longer_than_a_client_may_be_silent(tmp_path: Path) -> None:
    with running_mta(tmp_path, idle=1.0) as mta, mta.connect(WHITELISTED) as client:
        client.greet()
        for line in (FROM, "RCPT TO:<slow@attic.example>"):
            assert client.code(line) == 250
        assert client.code("DATA") == 354
        for _ in range(8):
            client.send(b"a line\r\n")
            time.sleep(0.2)
        client.send(b".\r\n")
        assert client.reply().startswith("250")


def test_a_message_that_stops_in_the_middle_is_hung_up_on(tmp_path: Path) -> None:
    with running_mta(tmp_path, idle=0.3) as mta, mta.connect(WHITELISTED) as client:
        client.greet()
        for line in (FROM, "RCPT TO:<slow@attic.example>"):
            assert client.code(line) == 250
        assert client.code("DATA") == 354
        client.send(b"a line\r\n")
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


LINES = {
    "nothing": (b"", b""),
    "a dot": (b"..\r\n", b".\r\n"),
    "dots": (b"...\r\n.\t\r\nx.\r\n..\r\n", b"..\r\n\t\r\nx.\r\n.\r\n"),
    "an empty line": (b"\r\n", b"\r\n"),
    "dots at the ends of lines": (b"A sentence.\r\n" * 4000, b"A sentence.\r\n" * 4000),
    "empty lines": (b"\r\n" * 30_000, b"\r\n" * 30_000),
    "the longest lines": ((b"x" * 998 + b"\r\n") * 65, (b"x" * 998 + b"\r\n") * 65),
    "a stuffed longest line": (b".." + b"x" * 997 + b"\r\n", b"." + b"x" * 997 + b"\r\n"),
}


@pytest.mark.parametrize(("sent", "kept"), LINES.values(), ids=list(LINES))
def test_a_message_is_kept_line_by_line(mta: RunningMta, sent: bytes, kept: bytes) -> None:
    marker = f"{len(sent)}-{len(kept)}@attic.example"
    with mta.connect(WHITELISTED) as client:
        client.greet()
        deliver(client, marker, content=sent)
        deliver(client, marker, content=b"Subject: body\r\n\r\n" + sent)
        assert client.code("NOOP") == 250
    found = {re.split(rb"\r\n\tby .*\r\n", text, maxsplit=1)[1] for text in mta.mail(f"mail/{marker}")}
    assert found == {kept, b"Subject: body\r\n\r\n" + kept}


@pytest.mark.parametrize("pause", [0, 1, 2, 3, 4])
def test_a_message_may_come_in_pieces_with_commands_behind_it(
    mta: RunningMta, client: Client, pause: int
) -> None:
    for line in (FROM, "RCPT TO:<pieces@attic.example>"):
        assert client.code(line) == 250
    assert client.code("DATA") == 354
    content = MESSAGE + b"x" * 990 + b"\r\n" + b"y.\r\n.\r\nNOOP\r\nVRFY x\r\n"
    cut = content.index(b"\r\n.\r\n") + pause
    client.send(content[:cut])
    time.sleep(0.05)
    client.send(content[cut:])
    assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "252"]
    assert mta.mail("mail/pieces@attic.example")[-1].endswith(b"x\r\ny.\r\n")


def test_many_short_lines_take_no_more_memory_than_long_ones(tmp_path: Path) -> None:
    with running_mta(tmp_path, size=8_000_000) as mta, mta.connect(WHITELISTED) as client:
        client.greet()
        deliver(client, "alice@castle.example")
        before = peak_memory(mta)
        assert deliver(client, "alice@castle.example", content=b"\r\n" * 1_000_000).startswith("250")
        assert peak_memory(mta) - before < 40_000


def peak_memory(mta: RunningMta) -> int:
    """The most memory that the server has had, in kB."""
    status = Path(f"/proc/{mta.process.pid}/status").read_text("utf-8")
    return int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.parametrize("length", [999, 5000, 69_000])
def test_a_line_that_is_too_long_is_refused(mta: RunningMta, client: Client, length: int) -> None:
    content = MESSAGE + b"x" * length + b"\r\n"
    assert deliver(client, "long@attic.example", content=content).startswith("500 5.5.2")
    assert client.code(TO) == 503
    assert deliver(client, "alice@castle.example").startswith("250")


def test_a_message_that_is_too_large_is_refused_whole(mta: RunningMta, client: Client) -> None:
    large = MESSAGE + b"x" * 70 + b"\r\n"
    assert client.code(f"{FROM} SIZE=70001") == 552
    for size, code in ((70_001, "552"), (70_000, "250")):
        filling = b"x" * (size - len(MESSAGE) - 69_002) + b"\r\n" + (b"y" * 688 + b"\r\n") * 100
        for sent in (filling, filling.replace(b"\ny", b"\n..")):  # the second dot counts, the first does not
            assert deliver(client, "largest@attic.example", content=MESSAGE + sent).startswith(code)
    assert deliver(client, "large@attic.example", content=large * 700).startswith("552")
    assert client.code(TO) == 503
    assert mta.mail("mail/large@attic.example") == []
    assert deliver(client, "large@attic.example").startswith("250")


def test_no_address_leads_out_of_the_state_directory(mta: RunningMta, client: Client) -> None:
    assert client.code(FROM) == 250
    for recipient in ('"../../x"@attic.example', '"../x"@attic.example', ".x@attic.example"):
        assert client.code(f"RCPT TO:<{recipient}>") == 550
    assert client.code("RSET") == 250
    longest = "x" * 300
    assert deliver(client, '"a..b"@attic.example', f"{longest}@attic.example").startswith("250")
    assert {path.name for path in mta.state.iterdir()} <= {
        "ca.pem",
        "chain.pem",
        "greylist.sqlite",
        "greylist.sqlite-shm",
        "greylist.sqlite-wal",
        "key.pem",
        "mail",
        "queue.waker",
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


def test_after_an_error_of_the_server_the_next_message_begins_anew(tmp_path: Path) -> None:
    def raising(transaction: Transaction) -> str:
        raise ArithmeticError

    config = Config.model_validate(
        {
            "server": {"hostname": "mail.castle.example", "state": tmp_path, "port": 0, "delay": 0},
            "dns": {"server": "127.0.0.1:9", "timeout": 0.1},
            "relay": {"from_hosts": ["127.0.0.1"]},
            "domain": [{"name": "castle.example", "users": ["alice"]}],
        }
    )
    faulty = treated("data.header-syntax", "off", "", lambda check: deny(raising))
    with serving_here(config, faulty) as address, connected(address) as client:
        client.greet()
        assert deliver(client, "alice@castle.example", content=b"From: <<<>>\r\n").startswith("451 4.3.0")
        assert client.code(TO) == 503
        assert deliver(client, "alice@castle.example").startswith("250")


# Nothing that a stranger chooses becomes a line of ours


def test_a_name_in_a_greeting_injects_nothing(mta: RunningMta) -> None:
    with mta.connect(WHITELISTED) as client:
        assert client.reply().startswith("220")
        assert client.say("EHLO x.example\rX-Injected: yes\r250 ok").startswith("500")
        assert client.say("EHLO x.example\tX-Injected:").startswith("501")
        assert client.say("EHLO x.example;\u00e9X-Injected:").startswith(
            "250-mail.castle.example greets x.example;?"
        )
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
