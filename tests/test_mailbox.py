"""Finding what was delivered: Maildir, mbox, and IMAP against a small server and a real one."""

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.capabilities.imap import ImapStore
from harness.capabilities.mailbox import INBOX, Delivered, PolledMailbox
from harness.capabilities.maildir import MaildirStore, MboxStore, split
from harness.profile.mail_tables import Imap
from harness.reference_mta.certificate import own_certificate, server_context
from harness.verdicts import FailedError, InconclusiveError, NeverCameError
from tests.imap_server import ImapServer
from tests.ports import free_port

ANN = "ann@example.org"
TOKEN = "c7-abcdef"
MESSAGE = b"To: ann@example.org\r\nMessage-ID: <c7-abcdef@mx>\r\nX-Mark: one\r\n\ttwo\r\n\r\nHello.\r\n"
DOVECOT = shutil.which("dovecot", path="/usr/sbin:/usr/bin:/sbin")


def put(folder: Path, content: bytes = MESSAGE, name: str = "1.x.host", part: str = "new") -> Path:
    for place in {"tmp", part}:
        (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / "tmp" / name).write_bytes(content)
    return (folder / "tmp" / name).rename(folder / part / name)


# A message


def test_a_message_shows_its_header_and_body() -> None:
    found = Delivered(ANN, INBOX, "somewhere", MESSAGE)
    assert found.headers("x-mark") == ["one two"]
    assert found.headers("X-Absent") == []
    assert found.body == b"Hello.\n"


# Maildir


def maildir(root: Path, patience: float = 5.0) -> PolledMailbox:
    return PolledMailbox(MaildirStore(str(root / "{domain}" / "{user}")), patience=patience)


@pytest.mark.parametrize("folder", [INBOX, ".Junk", ".Lists.news"])
@pytest.mark.parametrize("part", ["new", "cur"])
def test_a_message_is_found_in_every_folder(tmp_path: Path, folder: str, part: str) -> None:
    file = put(tmp_path / "example.org" / "ann" / folder, part=part)
    found = maildir(tmp_path).find(ANN, TOKEN)
    assert (found.folder, found.where, found.content) == (folder, str(file), MESSAGE)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("7bit", b".x\n=1B\x1b\n"),
        ("quoted-printable", b"=2Ex\r\n=3D1B=1B\r\n"),
        ("base64", b"LngKPTFCGwo=\n"),
    ],
)
def test_what_was_encoded_since_is_still_in_a_message(encoding: str, body: bytes) -> None:
    head = f"Subject: x\nContent-Transfer-Encoding: {encoding}\n\n".encode()
    found = Delivered(ANN, INBOX, "here", head + body)
    assert found.has(b".x\n=1B\x1b\n")
    assert not found.has(b"..x")


def test_a_message_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    root = tmp_path / "example.org" / "ann"
    put(root, b"another message", "0.x.host")
    timer = threading.Timer(0.1, put, (root,))
    timer.start()
    assert maildir(tmp_path).find(ANN, TOKEN).content == MESSAGE


def test_a_message_that_never_comes_is_told_as_that(tmp_path: Path) -> None:
    put(tmp_path / "example.org" / "ann", b"another message")
    with pytest.raises(NeverCameError, match="accepted and not delivered"):
        maildir(tmp_path, patience=0.1).find(ANN, TOKEN)


def test_a_message_that_comes_too_late_proves_nothing(tmp_path: Path) -> None:
    timer = threading.Timer(1.3, put, (tmp_path / "example.org" / "ann",))
    timer.start()
    with pytest.raises(InconclusiveError, match=r"to its mailbox, longer than mailbox.patience = 1"):
        maildir(tmp_path, patience=1.0).find(ANN, TOKEN)


@pytest.mark.parametrize("function", ["os.scandir", "pathlib.Path.open"])
def test_a_maildir_that_cannot_be_read_is_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def closed(path: str, *_: str) -> Iterator[str]:
        raise PermissionError(13, "Permission denied", path)

    put(tmp_path / "example.org" / "ann")
    with monkeypatch.context() as patched:
        patched.setattr(function, closed)  # root may read everything
        with pytest.raises(InconclusiveError, match="let this user read it"):
            maildir(tmp_path).find(ANN, TOKEN)


def test_a_half_written_message_does_not_count(tmp_path: Path) -> None:
    put(tmp_path / "example.org" / "ann", part="tmp")
    assert maildir(tmp_path).copies(ANN, TOKEN) == []


def test_a_message_that_is_written_where_it_lies_is_found_and_counts_once(tmp_path: Path) -> None:
    file = put(tmp_path / "example.org" / "ann", b"")
    watch = MaildirStore(str(tmp_path / "{domain}" / "{user}")).watch(ANN, TOKEN.encode())
    counts = []
    for size in (0, 10, len(MESSAGE) - 3, len(MESSAGE)):
        file.write_bytes(MESSAGE[:size])
        counts.append(len(watch.look()))
    assert counts == [0, 0, 1, 0]


def test_every_copy_counts_and_a_moved_one_counts_once(tmp_path: Path) -> None:
    root = tmp_path / "example.org" / "ann"
    first = put(root)
    put(root / ".Junk", name="2.x.host")
    watch = MaildirStore(str(tmp_path / "{domain}" / "{user}")).watch(ANN, TOKEN.encode())
    assert len(watch.look()) == 2
    (root / "cur").mkdir()
    first = first.rename(root / "cur" / "1.x.host:2,S")
    assert watch.look() == []
    first.rename(root / ".Junk" / "new" / "1.x.host")
    assert watch.look() == []
    assert len(maildir(tmp_path).copies(ANN, TOKEN)) == 2


def test_what_others_have_seen_and_is_there_no_more_is_no_copy(tmp_path: Path) -> None:
    root, mailbox = tmp_path / "example.org" / "ann", maildir(tmp_path)
    file, other = put(root), put(root, name="2.x.host")
    assert len(mailbox.copies(ANN, TOKEN)) == 2
    (root / ".Junk" / "cur").mkdir(parents=True)
    file = file.rename(root / ".Junk" / "cur" / f"{file.name}:2,S")
    other.unlink()
    assert [(one.folder, one.where) for one in mailbox.copies(ANN, TOKEN)] == [(".Junk", str(file))]
    assert mailbox.find(ANN, TOKEN).folder == ".Junk"


def test_a_message_that_moves_while_it_is_read_is_found_where_it_lies_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "example.org" / "ann"
    put(root)
    (root / "cur").mkdir()
    opens = Path.open

    def moved_before(path: Path, mode: str) -> object:
        monkeypatch.setattr(Path, "open", opens)
        path.rename(root / "cur" / path.name)
        return opens(path, mode)

    monkeypatch.setattr(Path, "open", moved_before)
    assert maildir(tmp_path).find(ANN, TOKEN).where == str(root / "cur" / "1.x.host")


def test_many_who_look_at_a_time_each_find_their_own_message(tmp_path: Path) -> None:
    root, mailbox = tmp_path / "example.org" / "ann", maildir(tmp_path)
    with ThreadPoolExecutor(20) as pool:
        searches = [pool.submit(mailbox.find, ANN, f"token-{number}.") for number in range(20)]
        for number in range(20):
            put(root, f"Subject: token-{number}.\n\n".encode(), name=f"{number}.x.host")
        found = [search.result().content for search in searches]
    assert found == [f"Subject: token-{number}.\n\n".encode() for number in range(20)]


@pytest.mark.parametrize("kept", [0, 10, 1 << 20])
def test_who_looks_later_sees_what_others_have_read_and_what_has_grown_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr("harness.capabilities.maildir.KEPT", kept)
    store = MaildirStore(str(tmp_path / "{domain}" / "{user}"))
    put(tmp_path / "example.org" / "ann", b"Subject: another\n\n")
    growing = put(tmp_path / "example.org" / "ann", MESSAGE[:10], name="2.x.host")

    def looks() -> list[bytes]:
        return [found.content for found in store.watch(ANN, TOKEN.encode()).look()]

    assert looks() == []
    growing.write_bytes(MESSAGE)
    assert looks() == looks() == [MESSAGE]


@pytest.mark.parametrize("recipient", ["../ann@example.org", "a/b@example.org", "ann@..", "ann"])
def test_an_address_does_not_lead_out_of_the_mailbox(tmp_path: Path, recipient: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of a path"):
        maildir(tmp_path).find(recipient, TOKEN)


# mbox


def mbox(root: Path, patience: float = 5.0) -> PolledMailbox:
    return PolledMailbox(MboxStore(str(root / "{user}")), patience=patience)


def in_mbox(content: bytes) -> bytes:
    """As RFC 4155 has it, From_ lines quoted."""
    text = content.replace(b"\r\n", b"\n")
    return b"From x@y Thu Jan  1 12:00:00 2026\n" + re.sub(rb"(?m)^(>*From )", rb">\1", text) + b"\n"


BODIES = st.lists(
    st.sampled_from([b"From me\n", b">From him\n", b">>From her\n", b"Fromage\n", b"\n", b"text\n", b"> x\n"])
)


@given(st.lists(BODIES, max_size=4))
def test_what_is_put_into_an_mbox_comes_out_of_it(bodies: list[list[bytes]]) -> None:
    messages = [b"Subject: x\n\n" + b"".join(body) for body in bodies]
    found, rest = split(b"".join(in_mbox(message) for message in messages))
    assert (found, rest) == (messages, b"")


@given(st.binary(max_size=200))
def test_no_file_is_too_strange_for_the_reader(data: bytes) -> None:
    found, rest = split(data)
    assert len(b"".join(found)) + len(rest) <= len(data)


def test_an_mbox_that_cannot_be_read_is_not_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path, *_: str) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", closed)
    with pytest.raises(InconclusiveError, match="let this user read it"):
        mbox(tmp_path).find(ANN, TOKEN)


def test_an_mbox_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.capabilities.maildir.LARGEST", 256)
    others = [in_mbox(b"Subject: another\n\n" + b"x" * size + b"\n") for size in (10, 300, 700, 20)]
    (tmp_path / "ann").write_bytes(b"".join([*others, in_mbox(MESSAGE), *others, in_mbox(MESSAGE)]))
    assert len(mbox(tmp_path).copies(ANN, TOKEN)) == 2


def test_an_mbox_is_read_as_it_grows(tmp_path: Path) -> None:
    file = tmp_path / "ann"
    watch = MboxStore(str(tmp_path / "{user}")).watch(ANN, TOKEN.encode())
    assert watch.look() == []
    whole = in_mbox(b"Subject: another\n\nHello.\n") + in_mbox(MESSAGE)
    cut = whole.index(b"Message-ID")
    for end in (cut, len(whole) - len(b"Hello.\n\n")):  # within the header, and right behind its empty line
        file.write_bytes(whole[:end])
        assert watch.look() == []
    file.write_bytes(whole)
    assert watch.look() == []  # it may still be growing
    (found,) = watch.look()
    assert found.content == MESSAGE.replace(b"\r\n", b"\n")
    assert watch.look() == []


@pytest.mark.parametrize("content", [MESSAGE, in_mbox(MESSAGE).rstrip(b"\n")], ids=["start", "end"])
def test_what_has_no_border_in_an_mbox_is_there_and_no_message(tmp_path: Path, content: bytes) -> None:
    """It did not merely fail to come: somebody wrote it wrongly."""
    (tmp_path / "ann").write_bytes(content)
    with pytest.raises(FailedError, match="not between a From_ line and an empty line") as caught:
        mbox(tmp_path, patience=0.1).find(ANN, TOKEN)
    assert not isinstance(caught.value, NeverCameError)


def test_copies_in_an_mbox(tmp_path: Path) -> None:
    (tmp_path / "ann").write_bytes(2 * in_mbox(MESSAGE) + in_mbox(b"Subject: x\n\nother\n"))
    assert len(mbox(tmp_path).copies(ANN, TOKEN)) == 2
    assert mbox(tmp_path).find(ANN, TOKEN).body == b"Hello.\n"


def test_a_domain_may_keep_its_mail_otherwise(tmp_path: Path) -> None:
    put(tmp_path / "example.org" / "ann")
    (tmp_path / "ann").write_bytes(in_mbox(MESSAGE))
    both = PolledMailbox(
        MaildirStore(str(tmp_path / "{domain}" / "{user}")),
        {"example.net": MboxStore(str(tmp_path / "{user}"))},
    )
    assert both.find(ANN, TOKEN).where != both.find("ann@Example.NET", TOKEN).where


# IMAP


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("certificate")
    chain, key = own_certificate(folder, ("imap.example.org",))
    return folder / "ca.pem", chain, key


@pytest.fixture
def server(certificate: tuple[Path, Path, Path]) -> Iterator[ImapServer]:
    with ImapServer(server_context(*certificate[1:]), {"ann": "sesame"}) as server:
        yield server


def access(server: ImapServer, certificate: tuple[Path, Path, Path], **other: object) -> Imap:
    table: dict[str, object] = {
        "address": f"127.0.0.1:{server.port}",
        "name": "imap.example.org",
        "ca_file": certificate[0],
        "user": "{user}",
        "password": "sesame",
    }
    return Imap.model_validate(table | other)


def test_a_message_is_found_by_imap(server: ImapServer, certificate: tuple[Path, Path, Path]) -> None:
    server.folders = {"INBOX": [b"another"], "Junk": [MESSAGE], 'A "quoted" one': []}
    found = PolledMailbox(ImapStore(access(server, certificate))).find(ANN, TOKEN)
    assert (found.folder, found.content) == ("Junk", MESSAGE)
    assert found.where == "imap://imap.example.org/Junk;UID=1"


def test_a_folder_that_shows_what_lies_elsewhere_has_no_copies(
    server: ImapServer, certificate: tuple[Path, Path, Path]
) -> None:
    server.folders = {
        name: [MESSAGE] for name in ("All Mail", "Starred", "Important", "INBOX", "Junk", "all")
    }
    server.uses = {"All Mail": "\\All", "Starred": "\\Flagged", "Important": "\\Important", "Junk": "\\Junk"}
    copies = PolledMailbox(ImapStore(access(server, certificate))).copies(ANN, TOKEN)
    assert [one.folder for one in copies] == [INBOX, "Junk", "all"]


@pytest.mark.parametrize(
    ("namespaces", "found"),
    [
        ("", ["", "Junk", "shared.ben.INBOX", "~ben.INBOX"]),
        ('(("" ".")) NIL NIL', ["", "Junk", "shared.ben.INBOX", "~ben.INBOX"]),
        ('(("" ".")("INBOX." ".")) (("~" ".")) (("#a\\"(" ".")("shared." "."))', ["", "Junk"]),
    ],
    ids=["untold", "none of others", "of others, and shared"],
)
def test_what_lies_with_others_is_no_copy_of_the_user(
    server: ImapServer, certificate: tuple[Path, Path, Path], namespaces: str, found: list[str]
) -> None:
    server.namespaces = namespaces
    server.folders |= {name: [MESSAGE] for name in ("INBOX", "Junk", "shared.ben.INBOX", "~ben.INBOX")}
    copies = PolledMailbox(ImapStore(access(server, certificate))).copies(ANN, TOKEN)
    assert sorted(one.folder for one in copies) == found


def test_imap_waits_for_a_message(server: ImapServer, certificate: tuple[Path, Path, Path]) -> None:
    server.folders = {"INBOX": [b"another"]}
    timer = threading.Timer(0.2, lambda: server.folders["INBOX"].append(MESSAGE))
    timer.start()
    mailbox = PolledMailbox(ImapStore(access(server, certificate)), patience=5.0)
    assert mailbox.find(ANN, TOKEN).folder == INBOX
    assert len(mailbox.copies(ANN, TOKEN)) == 1


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"password": "wrong-one"}, "no such user"),
        ({"name": "imap.example.net"}, "certificate"),
        ({"ca_file": None}, "certificate"),
        ({"address": "127.0.0.1:1"}, "refused"),
    ],
)
def test_imap_that_does_not_work_is_no_verdict(
    server: ImapServer, certificate: tuple[Path, Path, Path], other: dict[str, object], said: str
) -> None:
    with pytest.raises(InconclusiveError, match=said) as caught:
        PolledMailbox(ImapStore(access(server, certificate, **other))).find(ANN, TOKEN)
    assert "mailbox.imap" in str(caught.value)
    assert "wrong-one" not in str(caught.value)


def test_imap_in_clear_text_gets_no_password(certificate: tuple[Path, Path, Path]) -> None:
    with ImapServer(None, {"ann": "sesame"}) as server:
        with pytest.raises(InconclusiveError):
            PolledMailbox(ImapStore(access(server, certificate))).find(ANN, TOKEN)
        assert not any(b"LOGIN" in line for line in server.heard)


def test_an_imap_server_that_announces_too_much_is_left(
    server: ImapServer, certificate: tuple[Path, Path, Path]
) -> None:
    server.folders = {"INBOX": [MESSAGE]}
    server.boasts = 1 << 40
    with pytest.raises(InconclusiveError, match="announces"):
        PolledMailbox(ImapStore(access(server, certificate))).find(ANN, TOKEN)


@pytest.mark.skipif(DOVECOT is None or os.geteuid() != 0, reason="needs dovecot, and root for its users")
def test_a_real_dovecot(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    ca, chain, key = certificate
    port = free_port()
    put(tmp_path / "mail" / "ann" / ".Junk")
    (tmp_path / "users").write_text("ann:{PLAIN}sesame\n", "ascii")
    config = tmp_path / "dovecot.conf"
    config.write_text(
        f"""
        base_dir = {tmp_path}/run
        log_path = {tmp_path}/log
        protocols = imap
        ssl = required
        ssl_cert = <{chain}
        ssl_key = <{key}
        default_internal_user = nobody
        default_login_user = nobody
        default_internal_group = nogroup
        service imap-login {{
          chroot =
          inet_listener imap {{
            port = 0
          }}
          inet_listener imaps {{
            address = 127.0.0.1
            port = {port}
            ssl = yes
          }}
        }}
        mail_location = maildir:{tmp_path}/mail/%n
        passdb {{
          driver = passwd-file
          args = {tmp_path}/users
        }}
        userdb {{
          driver = static
          args = uid=65534 gid=65534 home={tmp_path}/mail/%n
        }}
        """,
        "ascii",
    )
    subprocess.run(["chown", "-R", "nobody:nogroup", str(tmp_path / "mail")], check=True)
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    process = subprocess.Popen([str(DOVECOT), "-F", "-c", str(config)])
    try:
        _wait_for(port)
        table = {
            "address": f"127.0.0.1:{port}",
            "name": "imap.example.org",
            "ca_file": ca,
            "user": "{user}",
            "password": "sesame",
        }
        found = PolledMailbox(ImapStore(Imap.model_validate(table))).find(ANN, TOKEN)
        assert (found.folder, found.content) == ("Junk", MESSAGE)
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            with closing(socket.create_connection(("127.0.0.1", port), 1)):
                return
        except OSError:
            assert time.monotonic() < deadline, "dovecot does not listen"
            time.sleep(0.05)
