"""Servers that are laid out otherwise: domains of every kind, accounts, relay hosts, or none of them."""

from pathlib import Path

import pytest

from tests.mta_here import log_in, send, speaking
from tests.mta_process import FROM, NAME, STRANGER, TRUSTED, WHITELISTED

REST = """
[[domain]]
name = "castle.example"
users = ["alice"]
aliases = { "*" = ["alice"] }

[[domain]]
name = "attic.example"
users = ["bruno"]
aliases = { "*" = ["bruno"], info = ["bruno"] }
"""
CATCH_ALL = """
[[domain]]
name = "castle.example"
catch_all = true

[[domain]]
name = "attic.example"
users = ["bruno"]
catch_all = true
"""
ONE_USER = """
[[domain]]
name = "castle.example"
users = ["alice"]
"""
BOTH = """
[[domain]]
name = "castle.example"
users = ["alice"]
aliases = { "*" = ["alice"] }
catch_all = true
"""


@pytest.mark.parametrize(
    ("domains", "taken", "refused"),
    [
        (
            REST,
            {
                "alice@castle.example": "alice@castle.example",
                "anybody@castle.example": "alice@castle.example",
                "info@attic.example": "bruno@attic.example",
                "postmaster@attic.example": "bruno@attic.example",
            },
            [".a@castle.example", "a@elsewhere.example"],
        ),
        (
            CATCH_ALL,
            {
                "anybody@castle.example": "anybody@castle.example",
                "postmaster@attic.example": "postmaster@attic.example",
            },
            ["a%b@castle.example", "a@elsewhere.example"],
        ),
        (
            ONE_USER,
            {
                "alice@castle.example": "alice@castle.example",
                "postmaster@castle.example": "postmaster@castle.example",
            },
            ["bruno@castle.example", "alice@attic.example"],
        ),
        (BOTH, {"anybody@castle.example": "alice@castle.example"}, ["a@attic.example"]),
    ],
    ids=["rest", "catch-all", "one user", "both"],
)
def test_domains_of_every_kind_take_what_they_have(
    tmp_path: Path, domains: str, taken: dict[str, str], refused: list[str]
) -> None:
    with speaking(tmp_path, domains) as mta, mta.connect(WHITELISTED) as client:
        client.greet()
        for recipient, mailbox in taken.items():
            before = len(mta.mail(mailbox))
            assert send(client, recipient=f"RCPT TO:<{recipient}>")["end"].startswith("250")
            assert len(mta.mail(mailbox)) == before + 1
        assert client.code(FROM) == 250
        for recipient in refused:
            assert client.code(f"RCPT TO:<{recipient}>") == 550


@pytest.mark.parametrize("domains", [REST, CATCH_ALL, ONE_USER, BOTH])
@pytest.mark.parametrize("name", ["castle.example", "mail.castle.example"])
def test_the_servers_names_are_its_own_in_every_layout(tmp_path: Path, domains: str, name: str) -> None:
    with speaking(tmp_path, domains) as mta:
        assert mta.play(WHITELISTED, helo=f"EHLO {name}")["helo"].startswith("550")
        assert mta.play(WHITELISTED, helo=f"EHLO {NAME}")["helo"].startswith("250")


def test_accounts_do_without_relay_hosts(tmp_path: Path) -> None:
    elsewhere = "RCPT TO:<someone@elsewhere.example>"
    with speaking(tmp_path, "[relay]\nfrom_hosts = []\n") as mta:
        assert mta.play(TRUSTED, recipient=elsewhere)["rcpt"].startswith("550")
        with mta.connect(STRANGER) as client:
            client.reply()
            assert log_in(client, mta.state).startswith("235")
            assert send(client, recipient=elsewhere)["end"].startswith("250")


def test_relay_hosts_do_without_accounts(tmp_path: Path) -> None:
    elsewhere = "RCPT TO:<someone@elsewhere.example>"
    with speaking(tmp_path, without="auth") as mta:
        assert mta.play(TRUSTED, recipient=elsewhere)["end"].startswith("250")
        assert mta.play(STRANGER, recipient=elsewhere)["rcpt"].startswith("550")
        with mta.connect(STRANGER) as client:
            client.reply()
            assert log_in(client, mta.state).startswith("535")


def test_there_may_be_neither(tmp_path: Path) -> None:
    with speaking(tmp_path, "[relay]\nfrom_hosts = []\n", without="auth") as mta:
        assert mta.play(WHITELISTED)["end"].startswith("250")
        assert mta.play(TRUSTED, recipient="RCPT TO:<a@elsewhere.example>")["rcpt"].startswith("550")


# Accounts that have senders of their own

OWN = '[auth.senders]\nalice = ["Alice@castle.example", "info@castle.example"]\n'


@pytest.mark.parametrize(
    ("tables", "sender", "told"),
    [
        (OWN, "alice@castle.example", ""),
        (OWN, "ALICE@Castle.example", ""),
        (OWN, "info@castle.example", ""),
        (OWN, "", ""),
        (OWN, "bruno@castle.example", "rcpt 553 5.7.1"),
        (OWN, "alice@elsewhere.example", "rcpt 553 5.7.1"),
        ("", "bruno@castle.example", ""),
        (OWN + '[speech]\ntold = "message"\n', "bruno@castle.example", "end 553 5.7.1"),
        (OWN + '[speech]\ntold = "message"\n', "alice@castle.example", ""),
        ("[auth.senders]\nalice = []\n", "alice@castle.example", "rcpt 553 5.7.1"),
        ("[auth.senders]\nalice = []\n", "", ""),
    ],
)
def test_an_account_may_have_senders_of_its_own(tmp_path: Path, tables: str, sender: str, told: str) -> None:
    with speaking(tmp_path, tables) as mta, mta.connect(STRANGER) as client:
        client.reply()
        assert log_in(client, mta.state).startswith("235")
        for recipient in ("alice@castle.example", "someone@elsewhere.example"):
            heard = send(client, sender=f"MAIL FROM:<{sender}>", recipient=f"RCPT TO:<{recipient}>")
            stage, words = list(heard.items())[-1]
            assert f"{stage} {words}".startswith(told or "end 250 ")
            client.say("RSET")


def test_strangers_may_use_what_belongs_to_an_account(tmp_path: Path) -> None:
    with speaking(tmp_path, OWN) as mta:
        for client in (WHITELISTED, TRUSTED):
            assert mta.play(client, sender="MAIL FROM:<other@castle.example>")["end"].startswith("250")
