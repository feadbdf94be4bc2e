"""SMTPUTF8 (RFC 6531): mailboxes beyond ASCII, what policy makes of them, and where their mail goes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import settings
from harness.reference_mta.protocol.paths import in_one_form, read_mailbox
from tests.mta_here import Spoken, configured, play, speaking
from tests.mta_process import TRUSTED, WHITELISTED, Client, RunningMta, running_mta
from tests.receiving_host import ReceivingHost, receiving
from tests.test_mta_sending import OUTGOING, eventually, queued

FROM = "MAIL FROM:<sender@client.example> SMTPUTF8"
CONTENT = "Subject: Grüße\r\n\r\nx\r\n"
TABLES = """
[[domain]]
name = "xn--bcher-kva.example"
users = ["j\u0061\u0308ger", "kim", "postmaster"]
"""
BOTH = "250-sink.example\r\n250-8BITMIME\r\n250 SMTPUTF8"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("j\u0061\u0308ger@castle.example", "jäger@castle.example"),
        ("x@bücher.example", "x@xn--bcher-kva.example"),
        ("x@BÜCHER.Example", "x@xn--bcher-kva.Example"),
        ("\u212aim@castle.example", "Kim@castle.example"),
        ('"j\u0061\u0308 ger"@castle.example', '"jä ger"@castle.example'),
        ("a\u037eb@castle.example", None),
        ("x@straße.example", None),
        ("x@bu\u200dcher.example", None),
        ("x@\uff42ooks.example", None),
        ("x@a\u3002example", None),
        ("x@" + "ü" * 64 + ".example", None),
        ("a@b.example", "a@b.example"),
    ],
)
def test_an_address_has_one_form(given: str, expected: str | None) -> None:
    path = read_mailbox(given)
    assert path is not None
    found = in_one_form(path)
    assert (str(found) if found else None) == expected


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoken]:
    with speaking(tmp_path_factory.mktemp("mta"), TABLES) as running:
        yield running


def test_mail_for_a_mailbox_beyond_ascii_is_kept(server: Spoken) -> None:
    for recipient in ("jäger@bücher.example", "j\u0061\u0308ger@xn--bcher-kva.example"):
        heard = server.play(WHITELISTED, sender=FROM, recipient=f"RCPT TO:<{recipient}>", content=CONTENT)
        assert heard["end"].startswith("250"), heard
    kept = list((server.state / "mail").rglob("new/*"))
    assert len({file.parent for file in kept}) == 1
    assert len(kept) == 2
    text = kept[0].read_text("utf-8")
    assert "with UTF8SMTP;" in text
    assert "Envelope-to: jäger@xn--bcher-kva.example" in text


@pytest.mark.parametrize("local_part", ["jager", "ｋｉｍ", "jäger＠elsewhere", "jӓger", "ĸim"])
def test_what_only_looks_alike_is_another_mailbox(server: Spoken, local_part: str) -> None:
    recipient = f"RCPT TO:<{local_part}@xn--bcher-kva.example>"
    heard = server.play(WHITELISTED, sender=FROM, recipient=recipient)
    assert heard["rcpt"].startswith("550 5.1.1"), heard


@pytest.mark.parametrize("local_part", ["jäger%x", "jäger|x", "ä!x", '"ä@x"', ".ä", '".ä"'])
def test_what_is_illegal_stays_so(server: Spoken, local_part: str) -> None:
    recipient = f"RCPT TO:<{local_part}@xn--bcher-kva.example>"
    heard = server.play(WHITELISTED, sender=FROM, recipient=recipient)
    assert heard["rcpt"].startswith("550 5.1.3"), heard


def test_the_extension_is_asked_for(server: Spoken) -> None:
    with server.connect(WHITELISTED) as client:
        assert "SMTPUTF8" in client.greet()
        assert client.say("MAIL FROM:<ä@client.example>").startswith("553 5.6.7")
        assert client.code("MAIL FROM:<ä@client.example> SMTPUTF8=1") == 501
        assert client.say("VRFY jäger").startswith("553 5.6.7")
        assert client.code("VRFY jäger SMTPUTF8") == 252
        assert client.code("VRFY SMTPUTF8") == 252
        assert client.code("VRFY") == 501
        assert client.code("MAIL FROM:<ä@straße.example> SMTPUTF8") == 501
        assert client.code("MAIL FROM:<ä@client.example> SMTPUTF8") == 250
        assert client.code("RCPT TO:<jäger@bücher.example>") == 250
        assert client.code("RSET") == 250
        assert client.code("MAIL FROM:<a@client.example>") == 250
        assert client.say("RCPT TO:<jäger@bücher.example>").startswith("553 5.6.7")


def test_a_sender_beyond_ascii_in_an_spf_record_s_macro_matches_nothing(tmp_path: Path) -> None:
    with speaking(tmp_path, '[spf]\nmode = "reject"') as server:
        server.dns.publish("client.example", "TXT", "v=spf1 exists:%{l}.client.example -all")
        heard = server.play(WHITELISTED, sender="MAIL FROM:<ä@client.example> SMTPUTF8")
        assert heard["mail"].startswith("550 5.7.23"), heard


def test_it_needs_8bitmime_and_can_be_switched_off(tmp_path: Path) -> None:
    with pytest.raises(settings.SettingsError, match="SMTPUTF8 needs 8BITMIME"):
        configured(tmp_path, '[extensions]\nwithout = ["8BITMIME"]')
    with (
        speaking(tmp_path, '[extensions]\nwithout = ["SMTPUTF8"]') as server,
        server.connect(WHITELISTED) as client,
    ):
        assert play(client, sender=FROM)["mail"].startswith("555")


# To other hosts


@pytest.fixture(scope="module")
def sink() -> Iterator[ReceivingHost]:
    with receiving() as host:
        yield host


@pytest.fixture(scope="module")
def mta(sink: ReceivingHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMta]:
    extra = OUTGOING.format(port=sink.port, interval=0.3, lifetime=60.0)
    with running_mta(tmp_path_factory.mktemp("mta"), extra=extra) as running:
        running.dns.publish("sink.example", "A", "127.0.0.1")
        for number in range(4):
            running.dns.publish(f"d{number}.example", "MX", "10 sink.example")
        yield running


def hand_in(client: Client, *recipients: str, sender: str, content: str = CONTENT) -> None:
    client.greet()
    assert client.code(f"MAIL FROM:<{sender}> SMTPUTF8") == 250
    for recipient in recipients:
        assert client.code(f"RCPT TO:<{recipient}>") == 250
    assert client.code("DATA") == 354
    client.send(content.encode() + b".\r\n")
    assert client.reply().startswith("250")


def test_it_goes_on_to_a_host_that_takes_it(mta: RunningMta, sink: ReceivingHost) -> None:
    sink.replies, sink.taken = {"EHLO": BOTH}, []
    with mta.connect(TRUSTED) as client:
        hand_in(client, "ä@d0.example", sender="alice@castle.example")
    sink.wait(1)
    assert sink.taken[0].mail.endswith(" BODY=8BITMIME SMTPUTF8")
    assert sink.taken[0].recipients == ["ä@d0.example"]
    eventually(lambda: not queued(mta, "ä@d0.example"))


def test_it_comes_back_from_another(mta: RunningMta, sink: ReceivingHost) -> None:
    sink.replies, sink.taken = {}, []
    plain = "Subject: x\r\n\r\nx\r\n"
    with mta.connect(TRUSTED) as client:
        hand_in(client, "ä@d1.example", "plain@d1.example", sender="alice@castle.example", content=plain)
    sink.wait(1)
    assert "SMTPUTF8" not in sink.taken[0].mail
    assert sink.taken[0].recipients == ["plain@d1.example"]
    wanted = "Final-Recipient: utf-8; ä@d1.example\r\nAction: failed\r\nStatus: 5.6.7\r\n"

    def came() -> list[str]:
        kept = (each.decode() for each in mta.mail("mail/alice@castle.example"))
        return [each for each in kept if wanted in each]

    (notice,) = eventually(came)
    assert "Content-Type: message/global-delivery-status" in notice


def test_a_header_beyond_ascii_comes_back_too(mta: RunningMta, sink: ReceivingHost) -> None:
    sink.replies, sink.taken = {}, []
    with mta.connect(TRUSTED) as client:
        hand_in(client, "plain@d2.example", sender="alice@castle.example")
    wanted = b"Final-Recipient: rfc822; plain@d2.example\r\nAction: failed\r\nStatus: 5.6.9\r\n"
    eventually(lambda: [each for each in mta.mail("mail/alice@castle.example") if wanted in each])
    assert not sink.taken
