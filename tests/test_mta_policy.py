"""Corners of the reference MTA's policy that a stranger could try to get round, over real connections."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import settings
from harness.reference_mta.config import Config
from harness.reference_mta.greylist import Greylist, Times, Triplet
from harness.reference_mta.passwords import hash_password
from tests.mta_process import (
    CONFIGURATION,
    FROM,
    MESSAGE,
    NAME,
    STRANGER,
    TO,
    TRUSTED,
    WHITELISTED,
    Client,
    RunningMta,
    running_mta,
)


@pytest.fixture(scope="module")
def mta(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMta]:
    with running_mta(tmp_path_factory.mktemp("mta")) as running:
        yield running


def end_of_data(client: Client, content: bytes = MESSAGE) -> str:
    assert client.code("DATA") == 354
    client.send(content + b".\r\n")
    return client.reply()


@pytest.mark.parametrize("also", [[], ["RCPT TO:<x@elsewhere.example>"]])
def test_a_refused_recipient_gets_no_bounce_past_the_greylist(mta: RunningMta, also: list[str]) -> None:
    with mta.connect(STRANGER) as client:
        client.greet()
        client.say("MAIL FROM:<>")
        assert client.code(TO) == 250
        assert [client.code(command) for command in also] == [550] * len(also)
        assert end_of_data(client).startswith("451")


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "::ffff:0:0/96", "::ffff:0.0.0.0/97"])
def test_relaying_for_everybody_is_no_configuration(tmp_path: Path, network: str) -> None:
    content = CONFIGURATION.format(
        proxy="true",
        delay=0,
        idle=60,
        size=70000,
        state=tmp_path,
        dns="127.0.0.1:53",
        hash=hash_password("x", cost=16),
        relayed=network,
        greylist="",
    )
    file = tmp_path / "mta.toml"
    file.write_text(content, "utf-8")
    with pytest.raises(settings.SettingsError, match="relay"):
        settings.read(file, Config)


@pytest.mark.parametrize(
    ("sender", "recipient"),
    [
        (FROM, "nobody@castle.example"),  # its recipients are not verified
        ("MAIL FROM:<>", "bruno@castle.example"),  # nor are its bounces
    ],
)
def test_a_relay_host_is_believed(mta: RunningMta, sender: str, recipient: str) -> None:
    with mta.connect(TRUSTED) as client:
        client.greet()
        client.say(sender)
        assert client.code(f"RCPT TO:<{recipient}>") == 250


def test_header_syntax_holds_for_a_relay_host_too(mta: RunningMta) -> None:
    with mta.connect(TRUSTED) as client:
        client.greet()
        client.say(FROM)
        client.code(TO)
        assert end_of_data(client, b"From: <broken@@x..y\r\n\r\nx\r\n").startswith("550")


@pytest.mark.parametrize(
    "value",
    [b"(" * 900, b"a:" * 400, b'"' * 901, b"[" * 900, b"=?utf-8?q?a?= " * 60, b"<" * 900, b"<@a," * 200],
    ids=["comments", "groups", "quotes", "literals", "encoded words", "angles", "routes"],
)
def test_a_hostile_header_is_refused(mta: RunningMta, value: bytes) -> None:
    with mta.connect(WHITELISTED) as client:
        client.greet()
        client.say(FROM)
        client.code(TO)
        content = b"From: " + value + b"\r\n" + (b" " + value + b"\r\n") * 60 + b"\r\nx\r\n"
        assert end_of_data(client, content).startswith("550")


@pytest.mark.parametrize(
    ("sender", "domain"),
    [(FROM, "castle.example"), (FROM, "mail.castle.example"), ("MAIL FROM:<>", "castle.example")],
)
def test_there_is_a_postmaster_everywhere(mta: RunningMta, sender: str, domain: str) -> None:
    with mta.connect(WHITELISTED) as client:
        client.greet()
        client.say(sender)
        assert client.code(f"RCPT TO:<postmaster@{domain}>") == 250


@pytest.mark.parametrize(
    "line", ["NOOP", "RSET", "MAIL", "DATA", "FOO", "HELP", "VRFY alice", "EXPN x", "QUIT"]
)
def test_every_reply_has_the_status_code_that_ehlo_promises(mta: RunningMta, line: str) -> None:
    with mta.connect(STRANGER) as client:
        assert "ENHANCEDSTATUSCODES" in client.greet()
        assert re.match(r"\d{3}[ -]\d\.\d+\.\d+ ", client.say(line))


def test_the_last_reply_of_a_drop_arrives_though_input_is_unread(mta: RunningMta) -> None:
    with mta.connect(WHITELISTED) as client:
        client.greet()
        client.say(FROM)
        client.send((TO + "\r\n").encode() * 21 + b"NOOP\r\n" * 30000)
        codes = [client.reply()[:3] for _ in range(21)]
        assert codes == ["250"] * 20 + ["550"]


def test_what_was_told_in_clear_text_is_forgotten_after_starttls(mta: RunningMta) -> None:
    with mta.connect(STRANGER) as client:
        client.reply()
        client.say("EHLO unqualified")
        client.start_tls(mta.state / "ca.pem")
        assert client.code(FROM) >= 500
        client.say(f"EHLO {NAME}")
        assert client.code(FROM) == 250


def test_expired_triplets_are_forgotten(tmp_path: Path) -> None:
    now = [1e6]
    store = Greylist(tmp_path / "triplets", Times(60, 600, 6000), lambda: now[0])
    for number in range(5000):
        now[0] += 1
        triplet = Triplet.of("192.0.2.1", f"s{number}@x.example", "r@y.example")
        store.note(triplet, store.look(triplet))
    assert len(store.entries("grey")) < 5000
    store.close()


# The certificate


def test_a_mutants_certificate_does_not_outlive_the_mutant(tmp_path: Path) -> None:
    with running_mta(tmp_path, mutation="tls.certificate:weak-expired"):
        pass
    with running_mta(tmp_path) as mta, mta.connect(STRANGER) as client:
        client.greet()
        client.start_tls(mta.state / "ca.pem")


def test_a_certificate_is_kept_as_long_as_it_serves(tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        with running_mta(tmp_path):
            made.append((tmp_path / "state" / "chain.pem").read_bytes())
    assert made[0] == made[1]


def test_another_name_gets_another_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_mta(tmp_path):
        before = (tmp_path / "state" / "chain.pem").read_bytes()
    monkeypatch.setattr(
        "tests.mta_process.CONFIGURATION", f'{CONFIGURATION}\n[tls]\nnames = ["new.example"]\n'
    )
    with running_mta(tmp_path):
        assert (tmp_path / "state" / "chain.pem").read_bytes() != before
