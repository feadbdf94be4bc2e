"""Dialects of the reference MTA: answers of single rules, when refusals are told, pauses, limits."""

import base64
import time
from pathlib import Path

import pytest

from tests.mta_here import Spoken, play, speaking
from tests.mta_process import (
    FROM,
    LISTED_ONCE,
    LISTED_TWICE,
    NAME,
    NAMELESS,
    PASSWORD,
    STRANGER,
    TO,
    TRUSTED,
    WHITELISTED,
    Client,
)

BARE = "EHLO 192.0.2.1"
UNQUALIFIED = "EHLO host"
NOBODY = "RCPT TO:<nobody@castle.example>"
FOREIGN = "RCPT TO:<someone@elsewhere.example>"
BOGUS = {"sender": "MAIL FROM:<>", "recipient": "RCPT TO:<bruno@castle.example>"}
BROKEN = "From: <<<>>\r\n\r\nx\r\n"
STAGES = ("banner", "helo", "mail", "rcpt", "data", "end")


def last(heard: dict[str, str]) -> str:
    """The stage and the code at which a dialogue ended."""
    stage = list(heard)[-1]
    return f"{stage} {heard[stage][:3]}"


def answer(rule: str, text: str) -> str:
    return f'[answers."{rule}"]\n{text}\n'


def log_in(client: Client, state: Path, password: str = PASSWORD) -> str:
    """EHLO, STARTTLS, EHLO, AUTH of a client that has read the banner; the reply to AUTH."""
    assert client.code(f"EHLO {NAME}") == 250
    client.start_tls(state / "ca.pem")
    assert client.code(f"EHLO {NAME}") == 250
    return client.say("AUTH PLAIN " + base64.b64encode(f"\0alice\0{password}".encode()).decode())


# Answers


@pytest.mark.parametrize(
    ("rule", "client", "offence", "documented", "stage"),
    [
        ("connect.rdns-missing", NAMELESS, {}, "rcpt 451", "banner"),
        ("helo.not-fqdn", WHITELISTED, {"helo": UNQUALIFIED}, "end 250", "helo"),
        ("helo.plain-ip", WHITELISTED, {"helo": BARE}, "helo 550", "helo"),
        ("helo.reverse-match", TRUSTED, {}, "end 250", "helo"),
        ("rcpt.relay-denied", WHITELISTED, {"recipient": FOREIGN}, "rcpt 550", "rcpt"),
        ("rcpt.unknown-user", WHITELISTED, {"recipient": NOBODY}, "rcpt 550", "rcpt"),
        ("rcpt.leading-dot", WHITELISTED, {"recipient": "RCPT TO:<.a@castle.example>"}, "rcpt 550", "rcpt"),
        ("bounce.bogus", WHITELISTED, BOGUS, "rcpt 550", "rcpt"),
        ("dnsbl.one", LISTED_ONCE, {}, "rcpt 451", "rcpt"),
        ("dnsbl.two", LISTED_TWICE, {}, "rcpt 550", "rcpt"),
        ("greylist.first-defer", STRANGER, {}, "rcpt 451", "rcpt"),
        ("data.header-syntax", WHITELISTED, {"content": BROKEN}, "end 550", "end"),
    ],
)
def test_a_rule_is_answered_as_configured(
    tmp_path: Path, rule: str, client: str, offence: dict[str, str], documented: str, stage: str
) -> None:
    with speaking(tmp_path) as mta:
        assert last(mta.play(client, **offence)) == documented
    told = answer(rule, 'action = "refuse"\ncode = 569\nstatus = "5.6.9"')
    with speaking(tmp_path / "refusing", told) as mta:
        heard = mta.play(client, **offence)
        assert heard[stage].startswith(("569 5.6.9 ", "569-5.6.9 "))
        assert last(heard) == f"{stage} 569"
        innocent = TRUSTED if rule != "helo.reverse-match" else WHITELISTED
        assert last(mta.play(innocent, helo="EHLO out.bulkmail.example")) == "end 250"
