"""Classification of content: spam is marked and nothing is refused, by the embedded tests and by a spamd."""

import base64
import time
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reference_mta.mail.header import fields_named, parted, without
from harness.reference_mta.mail.spam import embedded
from tests.fake_spamd import GTUBE, closed_port, fake_spamd, verdict
from tests.mta_process import FROM, PASSWORD, TRUSTED, WHITELISTED, Client, RunningMta, running_mta

ALICE = "alice@castle.example"
HAM = b"From: <a@client.example>\r\nSubject: Yes\r\nDate: x\r\nMessage-ID: <x>\r\n"
SPAM = b"\r\n" + GTUBE + b"\r\n"
FORGED = b"X-Spam-Flag: YES\r\nx-spam-status : Yes,\r\n\tscore=99\r\nX-Spam: yes\r\nX-Spam-: yes\r\n"


@pytest.fixture(scope="module")
def mta(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMta]:
    with running_mta(tmp_path_factory.mktemp("mta"), size=8_000_000) as running:
        yield running


def end_of_data(client: Client, content: bytes) -> str:
    assert client.code(FROM) == 250
    assert client.code(f"RCPT TO:<{ALICE}>") == 250
    assert client.code("DATA") == 354
    client.send(content + b".\r\n")
    return client.reply()


def delivered(mta: RunningMta, content: bytes, client: str = WHITELISTED) -> Message:
    """Send a message; what lies in the mailbox then."""
    before = set((mta.state / "mail" / ALICE / "new").glob("*"))
    with mta.connect(client) as connection:
        connection.greet()
        assert end_of_data(connection, content).startswith("250")
    (file,) = set((mta.state / "mail" / ALICE / "new").glob("*")) - before
    kept = file.read_bytes()
    assert kept.partition(b"\r\n\r\n")[2] == content.partition(b"\r\n\r\n")[2]
    return message_from_bytes(kept)


def marks(message: Message) -> dict[str, str]:
    found = [(name, value) for name, value in message.items() if name.lower().startswith("x-spam")]
    assert len(dict(found)) == len(found)
    return dict(found)


def test_ham_is_classified_and_not_marked(mta: RunningMta) -> None:
    assert marks(delivered(mta, HAM + b"\r\nHello.\r\n")) == {
        "X-Spam-Checker-Version": "smtp-harness reference MTA (GTUBE and header tests, no SpamAssassin)",
        "X-Spam-Score": "0.0",
        "X-Spam-Status": "No, score=0.0 required=5.0",
        "X-Spam-Tests": "none",
    }


def test_spam_is_marked_and_delivered(mta: RunningMta) -> None:
    assert marks(delivered(mta, HAM + SPAM)) == {
        "X-Spam-Checker-Version": "smtp-harness reference MTA (GTUBE and header tests, no SpamAssassin)",
        "X-Spam-Flag": "YES",
        "X-Spam-Level": "*" * 50,
        "X-Spam-Score": "1000.0",
        "X-Spam-Status": "Yes, score=1000.0 required=5.0",
        "X-Spam-Tests": "GTUBE",
    }


def test_a_large_message_is_classified(mta: RunningMta) -> None:
    filling = b"\r\n" + (b"x" * 70 + b"\r\n") * 100_000
    assert marks(delivered(mta, HAM + filling + SPAM))["X-Spam-Flag"] == "YES"


@pytest.mark.parametrize("body", [b"\r\nHello.\r\n", SPAM])
def test_marks_of_the_client_are_removed(mta: RunningMta, body: bytes) -> None:
    found = marks(delivered(mta, FORGED + HAM + b"X-Spam-Score: -99\r\n" + body))
    assert found.pop("X-Spam") == "yes", "another field"
    assert ("X-Spam-Flag" in found) == (body == SPAM)
    assert found["X-Spam-Status"].startswith("Yes" if body == SPAM else "No")


def test_a_relay_hosts_mail_is_not_classified(mta: RunningMta) -> None:
    assert marks(delivered(mta, FORGED + HAM + SPAM, TRUSTED)) == {"X-Spam": "yes"}


def test_an_accounts_mail_is_not_classified(mta: RunningMta) -> None:
    before = len(mta.mail(f"mail/{ALICE}"))
    with mta.connect(WHITELISTED) as client:
        client.greet()
        client.start_tls(mta.state / "ca.pem")
        client.say("EHLO mx.client.example")
        assert client.code("AUTH PLAIN") == 334
        assert client.code(plain("alice", PASSWORD)) == 235
        assert end_of_data(client, HAM + SPAM).startswith("250")
    kept = mta.mail(f"mail/{ALICE}")
    assert len(kept) == before + 1
    assert not [
        message for message in kept if b"A; " in message.partition(b"\r\n\r\n")[0] and b"X-Spam" in message
    ]


def plain(name: str, password: str) -> str:
    return base64.b64encode(f"\0{name}\0{password}".encode()).decode()


@pytest.mark.parametrize(
    ("header", "tests"),
    [
        (HAM, []),
        (b"", ["MISSING_SUBJECT", "MISSING_DATE", "MISSING_FROM", "MISSING_MID"]),
        (HAM.replace(b"Subject: Yes", b"SUBJECT: BUY THIS NOW"), ["SUBJ_ALL_CAPS"]),
        (HAM.replace(b"Subject: Yes", b"Subject: =?utf-8?q?BUY=20THIS=20NOW?="), ["SUBJ_ALL_CAPS"]),
        (HAM.replace(b"Subject: Yes", b"Subject: =?\xff?q?BUY_THIS?= NOW"), []),
        (HAM.replace(b"Message-ID", b"X-Other"), ["MISSING_MID"]),
    ],
)
def test_the_header_tests_alone_make_no_spam(header: bytes, tests: list[str]) -> None:
    judgement = embedded(header + b"\r\nHello.\r\n")
    assert list(judgement.tests) == tests
    assert judgement.score < 5


# With a spamd


SPAMD = """
[spam]
spamd = "127.0.0.1:{port}"
timeout = {timeout}
threshold = 4.0
"""


def test_a_spamd_decides(tmp_path: Path) -> None:
    with (
        fake_spamd() as spamd,
        running_mta(tmp_path, extra=SPAMD.format(port=spamd.port, timeout=10), size=8_000_000) as mta,
    ):
        assert marks(delivered(mta, HAM + SPAM)) == {
            "X-Spam-Checker-Version": "SpamAssassin 4.0.0 (2022-12-13) on scanner.example",
            "X-Spam-Flag": "YES",
            "X-Spam-Level": "*" * 50,
            "X-Spam-Score": "1000.0",
            "X-Spam-Status": "Yes, score=1000.0 required=4.0",
            "X-Spam-Tests": "GTUBE,NO_RELAYS",
        }
        ham = marks(delivered(mta, FORGED + HAM + b"\r\nHello.\r\n"))
        assert ham["X-Spam-Status"] == "No, score=-1.9 required=4.0"
        assert ham["X-Spam-Tests"] == "BAYES_00"
        large = HAM + b"\r\n" + (b"x" * 70 + b"\r\n") * 100_000 + SPAM
        assert marks(delivered(mta, large))["X-Spam-Flag"] == "YES"
        delivered(mta, HAM + SPAM, TRUSTED)
        assert len(spamd.asked) == 3
        command, message = spamd.asked[1]
    assert command == b"HEADERS SPAMC/1.5\r\n"
    assert message.startswith(
        b"Return-Path: <sender@client.example>\r\nReceived: from mx.client.example (out.bulkmail.example ["
    )
    assert message.endswith(b"X-Spam: yes\r\n" + HAM + b"\r\nHello.\r\n")


ANSWERS = {
    "silent": None,
    "nothing": b"",
    "another language": b"HTTP/1.1 200 OK\r\n\r\n",
    "an error": b"SPAMD/1.1 76 Bad header line\r\n\r\n",
    "no verdict": b"SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\n\r\n",
    "nonsense": b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; nan / 5.0\r\n\r\n",
    "too short": b"SPAMD/1.1 0 EX_OK\r\nContent-length: 9\r\nSpam: True ; 9 / 5\r\n\r\nX",
    "too much": b"SPAMD/1.1 0 EX_OK\r\nContent-length: 99999999\r\nSpam: True ; 9 / 5\r\n\r\n",
    "endless": b"SPAMD/1.1 0 EX_OK\r\n" + b"x" * 1_000_000,
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))
def test_without_a_verdict_the_message_passes_unclassified(tmp_path: Path, answer: bytes | None) -> None:
    with (
        fake_spamd(lambda message: answer) as spamd,
        running_mta(
            tmp_path, extra=SPAMD.format(port=spamd.port, timeout=0.3 if answer is None else 10)
        ) as mta,
    ):
        began = time.monotonic()
        assert marks(delivered(mta, FORGED + HAM + SPAM)) == {"X-Spam": "yes"}
        assert time.monotonic() - began < 8
        assert len(spamd.asked) == 1
        assert "no verdict, the message passes" in (tmp_path / "mta.log").read_text("utf-8")


def test_without_a_spamd_the_message_passes_unclassified(tmp_path: Path) -> None:
    with running_mta(tmp_path, extra=SPAMD.format(port=closed_port(), timeout=10)) as mta:
        assert marks(delivered(mta, HAM + SPAM)) == {}


def test_a_spamd_injects_no_header_line(tmp_path: Path) -> None:
    def hostile(message: bytes) -> bytes:
        section = b"X-Spam-Checker-Version: a\rX-Injected: yes\x00\xff\nX-Spam-Status: No, tests=A\rX: y\n"
        return b"SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: False ; 1 / 5\r\n\r\n%s" % (
            len(section),
            section,
        )

    with (
        fake_spamd(hostile) as spamd,
        running_mta(tmp_path, extra=SPAMD.format(port=spamd.port, timeout=10)) as mta,
    ):
        message = delivered(mta, HAM + b"\r\nHello.\r\n")
        assert message["X-Injected"] is None
        assert marks(message)["X-Spam-Checker-Version"] == "a?X-Injected: yes??"


def test_a_slow_spamd_holds_nobody_else_up(tmp_path: Path) -> None:
    with (
        fake_spamd(lambda message: None if GTUBE in message else verdict(message)) as spamd,
        running_mta(tmp_path, extra=SPAMD.format(port=spamd.port, timeout=60)) as mta,
        mta.connect(WHITELISTED) as waiting,
    ):
        waiting.greet()
        assert waiting.code(FROM) == 250
        assert waiting.code(f"RCPT TO:<{ALICE}>") == 250
        assert waiting.code("DATA") == 354
        waiting.send(HAM + SPAM + b".\r\n")
        assert "X-Spam-Score" in marks(delivered(mta, HAM + b"\r\nHello.\r\n"))


# Fields that only this server may add


@given(
    st.lists(st.sampled_from([b"X-Spam-Flag: YES", b"x-spam-a:b", b" folded", b"\tX-Spam-B: c", b"To: x"])),
    st.sampled_from([b"\r\n", b"\n"]),
)
def test_nothing_but_the_unwanted_fields_is_removed(lines: list[bytes], end: bytes) -> None:
    content = b"Subject: x\r\n" + b"".join(line + end for line in lines) + b"\r\nX-Spam-Flag: body\r\n"
    kept, unwanted = [], False
    for line in lines:
        unwanted = unwanted if line[:1] in b" \t" else line.lower().startswith(b"x-spam-")
        kept += [] if unwanted else [line]
    expected = b"Subject: x\r\n" + b"".join(line + end for line in kept) + b"\r\nX-Spam-Flag: body\r\n"
    if end == b"\r\n" or not lines:
        assert without(content, fields_named(("X-Spam-*",))) == expected
    else:  # a bare line feed ends no line on the wire, and does in a mailbox
        assert b"X-Spam-Flag: YES" not in without(content, fields_named(("X-Spam-*",))).split(b"\n")


def test_a_message_without_a_body_is_looked_at_as_well() -> None:
    assert without(b"To: x\r\nX-Spam-Flag: YES\r\n", fields_named(("X-Spam-*",))) == b"To: x\r\n"
    assert without(b"\r\nX-Spam-Flag: YES\r\n", fields_named(("X-Spam-*",))) == b"\r\nX-Spam-Flag: YES\r\n"
    assert parted(b"\r\nbody") == (b"", b"body")
    assert parted(b"To: x\r\n\r\nbody\r\n\r\n") == (b"To: x\r\n", b"body\r\n\r\n")
