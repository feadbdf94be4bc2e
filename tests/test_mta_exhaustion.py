"""The reference MTA without descriptors or room on the disk: a line, a later try, and no mail lost."""

import contextlib
import errno
import os
import re
import resource
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.reference_mta.mail import maildir
from harness.reference_mta.mail.filters import Filters
from tests.mta_here import speaking
from tests.mta_process import (
    FROM,
    MESSAGE,
    PATIENCE,
    TO,
    TRUSTED,
    WHITELISTED,
    Client,
    RunningMta,
    running_mta,
)

ELSEWHERE = "RCPT TO:<friend@elsewhere.example>"
FILE_SIZE, FILES = resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE


@contextlib.contextmanager
def limited(process: int, what: int, most: int) -> Iterator[None]:
    """A process has no more of something for as long as the context lasts."""
    before = resource.prlimit(process, what)
    resource.prlimit(process, what, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process, what, before)


def deliver(client: Client, recipient: str = TO) -> str:
    """The reply to a message of a client that has greeted."""
    for line in (FROM, recipient):
        assert client.code(line) == 250
    assert client.code("DATA") == 354
    client.send(MESSAGE + b".\r\n")
    return client.reply()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def descriptors(mta: RunningMta) -> int:
    return len(list(Path(f"/proc/{mta.process.pid}/fd").iterdir()))


def log_of(mta: RunningMta) -> str:
    said = (mta.state.parent / "mta.log").read_text("utf-8")
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("said", [b"", b"EHLO mx.client.example\r\n"], ids=["nothing", "a greeting"])
def test_who_leaves_while_dns_is_asked_about_him_leaves_nothing_behind(tmp_path: Path, said: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with running_mta(tmp_path, proxy=False, resolver=silent.getsockname()) as mta:
            used = descriptors(mta)
            for _ in range(6):
                with socket.create_connection(mta.address, timeout=PATIENCE) as client:
                    client.sendall(said)
                    silent.recv(512)  # the question about it
            eventually(lambda: descriptors(mta) <= used)


def test_without_descriptors_clients_wait_and_the_log_does_not_grow(tmp_path: Path) -> None:
    with running_mta(tmp_path, steered=False, options=["-q"]) as mta, contextlib.ExitStack() as stack:
        used = descriptors(mta)
        with limited(mta.process.pid, FILES, used + 4):
            clients = [stack.enter_context(mta.connect(WHITELISTED)) for _ in range(40)]
            first, *others = clients
            first.greet()
            for client in others[:3]:
                client.greet()
            eventually(lambda: "no connection can be accepted" in log_of(mta))
            refusal = deliver(first)
            assert refusal.startswith("452 4.3.1")
            for client in clients[1:4]:
                client.close()
            for client in clients[4:7]:  # in their places
                client.greet()
            for client in clients[4:]:
                client.close()
            eventually(lambda: descriptors(mta) == used + 1)
            assert deliver(first).startswith("250")
        assert len(mta.mail("mail/alice@castle.example")) == 1
    said = log_of(mta)
    told = [line for line in said.splitlines() if "no connection can be accepted" in line]
    assert len(told) <= 2  # and what was left out of it
    assert said.count("\n") <= 4
    tries = re.search(r"([\d,]+) more lines", told[-1])
    assert tries is None or int(tries[1].replace(",", "")) < 1000  # a few a second, and no busy loop


@pytest.mark.parametrize(("recipient", "kept"), [(TO, "inbox"), (ELSEWHERE, "queue")])
def test_without_room_mail_is_put_off_and_taken_later(tmp_path: Path, recipient: str, kept: str) -> None:
    with running_mta(tmp_path, steered=False) as mta, mta.connect(TRUSTED) as client:
        client.greet()
        with limited(mta.process.pid, FILE_SIZE, 0):
            for _ in range(3):
                assert deliver(client, recipient).startswith("452 4.3.1")
            assert mta.mail("mail/alice@castle.example") == []
        assert deliver(client, recipient).startswith("250")
    said = log_of(mta)
    assert "could not be written" in said  # the log had no room either
    place = (
        "in the inbox of alice@castle.example" if kept == "inbox" else "queued for <friend@elsewhere.example>"
    )
    assert said.count(place) == 1


def test_a_greylist_without_room_decides_nothing_and_is_told_once(tmp_path: Path) -> None:
    with running_mta(tmp_path, steered=True) as mta, mta.connect("192.0.2.7") as client:
        client.greet()
        assert client.code(FROM) == 250
        with limited(mta.process.pid, FILE_SIZE, 4096):  # enough for the log
            for name in ("alice", "bruno", "postmaster"):
                assert client.code(f"RCPT TO:<{name}@castle.example>") == 250
        assert client.code(TO) == 451
    told, counted = log_of(mta).splitlines()
    assert "the greylist cannot be asked, so it decides nothing: " in told
    assert counted.endswith(": 2 more lines were left out")


@pytest.mark.parametrize(("number", "reply"), [(errno.ENOSPC, "452 4.3.1"), (errno.EACCES, "250 2.0.0")])
def test_a_message_goes_to_the_inbox_only_where_its_folder_is_at_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reply: str
) -> None:
    (tmp_path / "filters").mkdir()
    (tmp_path / "filters" / "alice@castle.example").write_text(
        'if body contains "line" then save Folder', "utf-8"
    )
    create = maildir._create

    def troubled(file: Path) -> int:
        if ".Folder" in file.parts:
            raise OSError(number, os.strerror(number))
        return create(file)

    monkeypatch.setattr(maildir, "_create", troubled)
    tables = f'[delivery]\nfilters = "{tmp_path}/filters"'
    with speaking(tmp_path, tables) as server:
        assert server.play(TRUSTED)["end"].startswith(reply)
        assert len(server.mail("alice@castle.example")) == reply.startswith("250")


def test_a_filter_that_cannot_be_read_for_now_is_not_taken_for_a_broken_one(tmp_path: Path) -> None:
    (tmp_path / "alice@castle.example").write_text('if body contains "x" then save y', "utf-8")
    filters = Filters(tmp_path)
    with limited(os.getpid(), FILES, 3), pytest.raises(OSError, match="Too many open files"):
        filters.of("alice@castle.example")
    assert filters.of("alice@castle.example").rules
