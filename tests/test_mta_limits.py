"""The reference MTA's limits on clients, and mailboxes as its grammar has them."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mta_here import Spoken, send, speaking
from tests.mta_process import FROM, MESSAGE, NAME, PATIENCE, STRANGER, TRUSTED, WHITELISTED

LIMITS = "[limits]\nhops = 2\nidle_commands = 10\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoken]:
    with speaking(tmp_path_factory.mktemp("limits"), LIMITS) as spoken:
        yield spoken


def test_one_client_has_so_many_connections_at_once(tmp_path: Path) -> None:
    with speaking(tmp_path, "[limits]\nconnections_of_client = 2\n") as server:
        with server.connect(STRANGER) as first, server.connect(STRANGER) as second:
            assert first.reply().startswith("220")
            assert second.reply().startswith("220")
            with server.connect(STRANGER) as third:
                assert third.reply().startswith("421 4.7.0 ")
                assert third.reply() == ""
            with server.connect(WHITELISTED) as other:
                assert other.reply().startswith("220")
        deadline = time.monotonic() + PATIENCE
        greeting = ""
        while not greeting.startswith("220"):  # as soon as the server has seen that they are gone
            assert time.monotonic() < deadline
            with server.connect(STRANGER) as again:
                greeting = again.reply()


def test_all_clients_together_have_so_many_connections(tmp_path: Path) -> None:
    with (
        speaking(tmp_path, "[limits]\nconnections = 2\n") as server,
        server.connect(STRANGER) as one,
        server.connect(WHITELISTED) as other,
    ):
        assert one.reply().startswith("220")
        assert other.reply().startswith("220")
        with server.connect(TRUSTED) as last:
            assert last.reply().startswith("421 4.3.2 ")
            assert last.reply() == ""
        assert other.code("NOOP") == 250


def test_a_client_that_brings_no_mail_is_sent_away(server: Spoken) -> None:
    with server.connect(STRANGER) as client:
        client.greet()
        for _ in range(8):
            assert client.code("RSET") == 250
        assert client.code("NOOP") == 250
        assert client.reply().startswith("421 4.7.0 ")
        assert client.reply() == ""


def test_a_message_in_a_loop_is_refused(server: Spoken) -> None:
    content = "Received: by a.example\r\n" * 3 + MESSAGE.decode()
    assert server.play(WHITELISTED, content=content)["end"].startswith("554 5.4.6 ")
    assert server.play(WHITELISTED, content=content.partition("\n")[2])["end"].startswith("250")


def test_quotes_that_are_not_needed_make_no_other_mailbox(server: Spoken) -> None:
    before = len(server.mail("alice@castle.example"))
    assert server.play(WHITELISTED, recipient='RCPT TO:<"al\\ice"@castle.example>')["end"].startswith("250")
    assert len(server.mail("alice@castle.example")) == before + 1


def test_a_bare_postmaster_takes_bounces(server: Spoken) -> None:
    heard = server.play(STRANGER, sender="MAIL FROM:<>", recipient="RCPT TO:<Postmaster>")
    assert heard["rcpt"].startswith("250")
    refused = server.play(STRANGER, sender="MAIL FROM:<>", recipient="RCPT TO:<bruno@mail.castle.example>")
    assert refused["rcpt"].startswith("550")


def test_whom_nothing_is_asked_about_local_parts_is_held_to_the_grammar(server: Spoken) -> None:
    for name in (".alice", "alice@castle.example"):
        recipient = f"RCPT TO:<{name}@castle.example>"
        assert server.play(TRUSTED, recipient=recipient)["rcpt"].startswith("501 5.1.3 ")
        assert server.play(STRANGER, recipient=recipient)["rcpt"].startswith("550 ")


def test_a_greeting_that_is_refused_leaves_the_message_as_it_was(server: Spoken) -> None:
    with server.connect(WHITELISTED) as client:
        client.greet()
        assert client.code(FROM) == 250
        assert client.code(f"EHLO {WHITELISTED}") == 550
        assert client.code("RCPT TO:<alice@castle.example>") == 250
        assert client.code(f"EHLO {NAME}") == 550, "for it has greeted with a bare address"
        assert client.code("DATA") == 354
        client.send(MESSAGE + b".\r\n")
        assert client.reply().startswith("250")


def test_a_web_client_is_not_served(server: Spoken) -> None:
    with server.connect(WHITELISTED) as client:
        assert client.reply().startswith("220")
        client.send(f"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO {NAME}\r\n{FROM}\r\n".encode())
        assert client.reply().startswith("500 5.5.1 ")
        assert client.reply() == ""


def test_who_may_authenticate_may_name_a_sender_of_his_own(server: Spoken) -> None:
    with server.connect(WHITELISTED) as client:
        client.greet()
        assert client.code(f"{FROM} AUTH=<>") == 555
        client.start_tls(server.state / "ca.pem")
        assert "AUTH" in client.say(f"EHLO {NAME}")
        heard = send(client, sender=f"{FROM} AUTH=<> BODY=8BITMIME SIZE=100")
        assert heard["end"].startswith("250")


def test_commands_in_one_write_are_answered_in_order(server: Spoken) -> None:
    with server.connect(WHITELISTED) as client:
        lines = [
            f"EHLO {NAME}",
            FROM,
            "RCPT TO:<nobody@castle.example>",
            "RCPT TO:<alice@castle.example>",
            "DATA",
        ]
        client.send("".join(f"{line}\r\n" for line in lines).encode() + MESSAGE + b".\r\nQUIT\r\n")
        heard = [client.reply()[:3] for _ in range(8)]
        assert heard == ["220", "250", "250", "550", "250", "354", "250", "221"]
        assert client.reply() == ""
