"""What stands in mailboxes after the 250: whose copy it is, the header lines, Maildir and mbox."""

import fcntl
import mailbox
import os
import re
import threading
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from harness.reference_mta.mail.maildir import MaildirCopy
from harness.reference_mta.mail.mbox import MboxCopy
from harness.reference_mta.mail.storage import deliver as deliver_all
from tests.mta_process import FROM, TRUSTED, WHITELISTED, Client, RunningMta, running_mta

DOMAINS = """
[[domain]]
name = "hall.example"
users = ["alice", "bruno"]
aliases = { info = ["alice"], team = ["alice", "bruno"], far = ["Friend@elsewhere.example"] }

[[domain]]
name = "yard.example"
users = ["alice", "carla"]
aliases = { info = ["carla"], "*" = ["alice@hall.example"] }

[[domain]]
name = "files.example"
format = "mbox"
users = ["dora", "emil", "fritz", "gerda", "hugo"]
aliases = { both = ["dora", "alice@hall.example"] }
"""
HEADER = b"From: <sender@client.example>\r\nTo: Somebody <else@client.example>\r\n"


@pytest.fixture(scope="module")
def mta(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMta]:
    with running_mta(tmp_path_factory.mktemp("mta"), extra=DOMAINS) as running:
        yield running


@pytest.fixture
def client(mta: RunningMta) -> Iterator[Client]:
    with mta.connect(WHITELISTED) as connection:
        connection.greet()
        yield connection


def deliver(
    client: Client, *recipients: str, body: bytes = b"", sender: str = FROM, header: bytes = HEADER
) -> str:
    """Send a message; the reply to its end."""
    assert client.code(sender) == 250
    for recipient in recipients:
        assert client.code(f"RCPT TO:<{recipient}>") == 250, recipient
    assert client.code("DATA") == 354
    client.send(header + b"\r\n" + body + b"\r\n.\r\n")
    return client.reply()


def having(mta: RunningMta, user: str, token: bytes) -> list[bytes]:
    """Messages in a user's Maildir."""
    return [message for message in mta.mail(f"mail/{user}") if token in message]


# Aliases


@pytest.mark.parametrize(
    ("recipient", "users"),
    [
        ("Info@hall.example", {"alice@hall.example"}),
        ("team@hall.example", {"alice@hall.example", "bruno@hall.example"}),
        ("info@yard.example", {"carla@yard.example"}),
        ("alice@yard.example", {"alice@yard.example"}),
        ("anybody@yard.example", {"alice@hall.example"}),
    ],
)
def test_an_alias_reaches_its_users_and_nobody_else(
    mta: RunningMta, client: Client, recipient: str, users: set[str]
) -> None:
    token = b"token-" + recipient.encode()
    assert deliver(client, recipient, body=token).startswith("250")
    reached = {folder.name for folder in (mta.state / "mail").iterdir() if having(mta, folder.name, token)}
    assert reached == users
    for user in users:
        (message,) = having(mta, user, token)
        assert b"\r\nTo: Somebody <else@client.example>\r\n" in message
        assert b"\r\nEnvelope-to: %s\r\n" % recipient.encode() in message


def test_without_a_catch_all_the_rest_is_refused(client: Client) -> None:
    assert client.code(FROM) == 250
    assert client.say("RCPT TO:<anybody@hall.example>").startswith("550 5.1.1")
    assert client.code("RCPT TO:<anybody@yard.example>") == 250


# Header lines


def test_a_copy_says_for_whom_it_is_and_for_nobody_else(mta: RunningMta, client: Client) -> None:
    recipients = ("info@hall.example", "bruno@hall.example", "team@hall.example", "carla@yard.example")
    assert deliver(client, *recipients, body=b"token-trace").startswith("250")
    (alice,) = having(mta, "alice@hall.example", b"token-trace")
    (carla,) = having(mta, "carla@yard.example", b"token-trace")
    lines = alice.split(b"\r\n")
    assert lines[0] == b"Return-path: <sender@client.example>"
    assert lines[1:3] == [b"Envelope-to: info@hall.example,", b"\tteam@hall.example"]
    name, _, date = lines[3].partition(b": ")
    assert name == b"Delivery-date"
    assert parsedate_to_datetime(date.decode()).year > 2000
    assert b"\r\nEnvelope-to: carla@yard.example\r\nDelivery-date: " in carla
    assert b"hall.example" not in carla.replace(b"mail.castle.example", b"")


def test_the_null_sender_stands_in_the_return_path(mta: RunningMta) -> None:
    with mta.connect(TRUSTED) as client:
        client.greet()
        deliver(client, "bruno@hall.example", body=b"token-null", sender="MAIL FROM:<>")
    (message,) = having(mta, "bruno@hall.example", b"token-null")
    assert message.startswith(b"Return-path: <>\r\n")


def test_nobody_else_writes_these_header_lines(mta: RunningMta, client: Client) -> None:
    forged = (
        b"RETURN-PATH:  <forged@client.example>\r\nX-One: 1\r\nEnvelope-To :\r\n forged@client.example\r\n"
    )
    kept = b"X-Two: Return-path: kept\r\n"
    body = b"Return-path: kept\r\ntoken-forged"
    deliver(client, "bruno@hall.example", body=body, header=forged + HEADER + kept)
    (message,) = having(mta, "bruno@hall.example", b"token-forged")
    header, _, rest = message.partition(b"\r\n\r\n")
    assert b"forged@" not in header
    assert header.endswith(b"X-One: 1\r\n" + HEADER + kept[:-2])
    assert rest == body + b"\r\n"


# mbox


def messages(mta: RunningMta, user: str) -> list[str]:
    """The messages of a user's mbox as Python's own reader finds them."""
    found = mailbox.mbox(mta.state / "mail" / user, create=False)
    return [found.get_bytes(key).decode() for key in found.iterkeys()]


def test_an_mbox_holds_messages_one_after_the_other(mta: RunningMta, client: Client) -> None:
    for number in range(3):
        assert deliver(client, "dora@files.example", body=b"token-%d" % number).startswith("250")
    found = messages(mta, "dora@files.example")
    assert len(found) == 3
    for number, message in enumerate(found):
        assert message.startswith("Return-path: <sender@client.example>\nEnvelope-to: dora@files.example\n")
        assert message.endswith(f"\n\ntoken-{number}\n")
    raw = (mta.state / "mail/dora@files.example").read_bytes()
    assert re.match(
        rb"From sender@client\.example [A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\n", raw
    )
    assert b"\r" not in raw


def test_from_lines_are_quoted_so_that_it_can_be_undone(mta: RunningMta, client: Client) -> None:
    body = (
        b"From here on\r\n>From there\r\n>>From afar\r\nFromage\r\n From\r\nfrom x\r\n\r\nFrom a@b Thu\r\nend"
    )
    assert deliver(client, "emil@files.example", body=body).startswith("250")
    (message,) = messages(mta, "emil@files.example")
    quoted = message.partition("\n\n")[2]
    assert quoted == (
        ">From here on\n>>From there\n>>>From afar\nFromage\n From\nfrom x\n\n>From a@b Thu\nend\n"
    )
    assert re.sub("(?m)^>(?=>*From )", "", quoted) == body.decode().replace("\r\n", "\n") + "\n"


@pytest.mark.parametrize("torn", [b"", b"\n", b"\nhalf a li", b"\n\nbody\n", b"\n\nbody\n\n"])
def test_what_a_kill_left_half_written_swallows_nothing(mta: RunningMta, client: Client, torn: bytes) -> None:
    file = mta.state / "mail/fritz@files.example"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"From x Thu Jan  1 00:00:00 2026\nSubject: torn" + torn)
    assert deliver(client, "fritz@files.example", body=b"whole").startswith("250")
    first, second = messages(mta, "fritz@files.example")
    assert first.startswith("Subject: torn")
    assert second.endswith("\n\nwhole\n")


def test_a_locked_mbox_is_waited_for(mta: RunningMta, client: Client) -> None:
    file = mta.state / "mail/gerda@files.example"
    file.parent.mkdir(exist_ok=True)
    with file.open("a+b") as reader:
        fcntl.lockf(reader, fcntl.LOCK_EX)
        replies: list[str] = []
        waiting = threading.Thread(
            target=lambda: replies.append(deliver(client, "gerda@files.example", body=b"later"))
        )
        waiting.start()
        with mta.connect(WHITELISTED) as other:
            other.greet()
            assert deliver(other, "bruno@hall.example", body=b"meanwhile").startswith("250"), "not held up"
        assert replies == []
        assert file.stat().st_size == 0
    waiting.join()
    assert replies[0].startswith("250")
    assert len(messages(mta, "gerda@files.example")) == 1


def test_all_copies_are_kept_or_none(mta: RunningMta, client: Client) -> None:
    deliver(client, "dora@files.example", body=b"before")
    before = (mta.state / "mail/dora@files.example").read_bytes()
    (mta.state / "mail/hugo@files.example").mkdir()
    reply = deliver(client, "both@files.example", "hugo@files.example", body=b"token-none")
    assert reply.startswith("452 4.3.1")
    assert (mta.state / "mail/dora@files.example").read_bytes() == before
    assert not having(mta, "alice@hall.example", b"token-none")
    assert not list((mta.state / "mail/alice@hall.example/tmp").glob("*"))
    (mta.state / "mail/hugo@files.example").rmdir()
    assert deliver(client, "both@files.example", "hugo@files.example", body=b"token-all").startswith("250")
    assert "token-all" in messages(mta, "dora@files.example")[-1]
    assert "token-all" in messages(mta, "hugo@files.example")[-1]
    assert having(mta, "alice@hall.example", b"token-all")


def test_one_broken_mailbox_spoils_no_other_message(tmp_path: Path) -> None:
    with running_mta(tmp_path, extra=DOMAINS) as mta:
        (mta.state / "mail" / "hugo@files.example").mkdir(parents=True)
        replies: dict[str, str] = {}
        users = [f"{user}@files.example" for user in ("hugo", "dora", "emil", "fritz", "gerda")] * 4
        names = [f"{user}#{number}" for number, user in enumerate(users)]
        threads = [
            threading.Thread(
                target=lambda user, name: replies.update({name: send_one(mta, user)}), args=(user, name)
            )
            for user, name in zip(users, names, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {name for name, reply in replies.items() if not reply.startswith("250")} == {
            name for name in names if name.startswith("hugo")
        }
        for user in ("dora", "emil", "fritz", "gerda"):
            assert len(messages(mta, f"{user}@files.example")) == 4


def send_one(mta: RunningMta, user: str) -> str:
    with mta.connect(WHITELISTED) as client:
        client.greet()
        return deliver(client, user, body=b"at once")


@pytest.mark.parametrize("form", ["maildir", "mbox"])
def test_names_are_on_disk_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    folder = tmp_path / "mail" / "alice@hall.example"
    synced: list[int] = []
    wait = os.fsync

    def noting(file: int) -> None:
        synced.append(os.fstat(file).st_ino)
        wait(file)

    monkeypatch.setattr(os, "fsync", noting)
    copies = [
        MaildirCopy(folder, b"", HEADER) if form == "maildir" else MboxCopy(folder, HEADER) for _ in range(2)
    ]
    expected = [tmp_path, tmp_path / "mail", *([folder, folder / "new"] if form == "maildir" else [])]
    for copy in copies:
        assert deliver_all([[copy]]) == [None]
        assert {path.stat().st_ino for path in expected} <= {*synced}
        synced.clear()
        expected = [folder / "new"] if form == "maildir" else [folder]


def test_a_folder_that_cannot_be_synced_is_told_with_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = (MaildirCopy(tmp_path / name, b"", HEADER) for name in ("broken", "sound"))
    monkeypatch.setattr(broken, "changed", lambda: [tmp_path / "gone"])
    ((error),) = deliver_all([[broken, sound]])
    assert error is not None
    assert error.copy is broken
    assert list((tmp_path / "sound" / "new").iterdir()) == []
