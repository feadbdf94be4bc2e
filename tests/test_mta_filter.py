"""The user's filter: its language, what its conditions see, and that no message is lost by it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import settings
from harness.reference_mta.__main__ import main
from harness.reference_mta.mail.filter import Condition, Filter, Rule
from harness.reference_mta.mail.filter_language import parse
from harness.reference_mta.mail.header import decoded
from tests.mta_process import FROM, LISTED_ONCE, WHITELISTED, Client, RunningMta, running_mta

RULES = """\
# the wiki's filter
if header X-Spam-Status contains "Yes" or header X-Spam-Flag defined then save Spam
if header To contains "debian-news@lists.example" then save Lists.debian-news
if body contains "foobar" then save Foobar
if header X-DNSbl-Warning defined then save Junk.DNSbl-Warning
"""
EXTRA = """
[delivery]
filters = "{filters}"

[[domain]]
name = "files.example"
format = "mbox"
users = ["dora"]
"""
ALICE = "alice@castle.example"
BRUNO = "bruno@castle.example"
DORA = "dora@files.example"
LINE = "x" * 90 + "\r\n "


# The language


def read(text: str) -> Filter:
    return parse(text, Path("filter"))


def test_a_filter_is_read() -> None:
    rules = read(RULES).rules
    assert rules[0] == Rule(
        (Condition("x-spam-status", "contains", "yes"), Condition("x-spam-flag", "defined")), "Spam"
    )
    assert [rule.folder for rule in rules] == ["Spam", "Lists.debian-news", "Foobar", "Junk.DNSbl-Warning"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("IF Body CONTAINS Word THEN SAVE Box", Rule((Condition("", "contains", "word"),), "Box")),
        ('if header or is "or" then save x', Rule((Condition("or", "is", "or"),), "x")),
        (
            'if body contains "if # \\"a\\\\b\\"" then save x',
            Rule((Condition("", "contains", 'if # "a\\b"'),), "x"),
        ),
        ('if header Subject is "" then save inbox', Rule((Condition("subject", "is", ""),), "")),
        ("\t if header To defined then save a-b_c.D9 \r", Rule((Condition("to", "defined"),), "a-b_c.D9")),
    ],
)
def test_a_rule_is_read(text: str, rule: Rule) -> None:
    assert read(text).rules == (rule,)


@pytest.mark.parametrize(
    ("line", "mend"),
    [
        ("save Spam", "does not begin with if; write: if CONDITION"),
        ("if", "a condition is missing or unknown; there are: header NAME contains TEXT"),
        ("if subject contains x then save y", "a condition is missing or unknown"),
        ("if header then", "header then goes on with none of contains, is, defined"),
        ("if header", "names no header field; write: header NAME defined"),
        ("if header To: contains x then save y", "write it without a colon"),
        ("if header To matches x then save y", "goes on with none of contains, is, defined"),
        ("if header To contains", "has no text behind contains"),
        ('if header To contains "" then save y', "an empty text is contained in every message"),
        ("if header To is", "has no text behind is"),
        ("if body is x then save y", "body contains TEXT"),
        ("if body contains x", "has no `or`, or `then save`"),
        ("if body contains x and body contains y then save z", "has no `or`, or `then save`"),
        ("if body contains x or then save y", "a condition is missing or unknown"),
        ("if body contains x then deliver y", "has no `or`, or `then save`"),
        ("if body contains x then save", "names no folder"),
        ("if body contains x then save y z", "begin another line for the next rule"),
        ('if body contains "x then save y', "cannot be read from '\"x then save y'"),
        ('if body contains "x"y then save z', "put a text in double quotes"),
        ('if body contains "a\\b" then save y', "put a text in double quotes"),
        ("if body contains x then save ../y", "'../y' is no folder; use letters"),
        ("if body contains x then save /etc/y", "is no folder"),
        ("if body contains x then save .Spam", "is no folder"),
        ("if body contains x then save Spam.", "is no folder"),
        ("if body contains x then save a..b", "is no folder"),
        ("if body contains x then save ..", "is no folder"),
        ('if body contains x then save ""', "is no folder"),
        ('if body contains x then save "a b"', "is no folder"),
        ("if body contains x then save Müll", "is no folder"),
        ("if body contains x then save a\0", "is no folder"),
        (f"if body contains x then save {'y' * 101}", "100 characters at most"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_its_mend(line: str, mend: str) -> None:
    with pytest.raises(settings.SettingsError) as caught:
        read(f"# first\n\n{line}\nif body contains y then save z\nif")
    first, last = str(caught.value).split("\n")
    assert first.startswith("filter: line 3: ")
    assert mend in first
    assert last.startswith("filter: line 5: ")


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(condition: Condition) -> str:
    subject = f"header {condition.field}" if condition.field else "body"
    return f"{subject} {condition.test}" + (
        "" if condition.test == "defined" else f" {quoted(condition.text)}"
    )


NAMES = st.text("abcdefghijklmnopqrstuvwxyz-_or\"'\\#", min_size=1).filter(lambda name: '"' not in name)
TEXTS = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1).map(str.lower)
CONDITIONS = st.one_of(
    st.builds(Condition, NAMES, st.just("defined")),
    st.builds(Condition, NAMES, st.just("is"), TEXTS.map(str.strip)),
    st.builds(Condition, NAMES | st.just(""), st.just("contains"), TEXTS),
)
FOLDERS = st.from_regex(r"[A-Za-z0-9_-]{1,9}(\.[A-Za-z0-9_-]{1,9}){0,3}", fullmatch=True).filter(
    lambda name: name.upper() != "INBOX"
)


@given(st.lists(st.builds(Rule, st.lists(CONDITIONS, min_size=1, max_size=4).map(tuple), FOLDERS)))
def test_what_is_written_is_what_is_read(rules: list[Rule]) -> None:
    lines = [f"if {' or '.join(map(written, rule.conditions))} then save {rule.folder}" for rule in rules]
    assert read("\n".join(lines)).rules == tuple(rules)


WORDS = st.sampled_from(
    ["if", "or", "then", "save", "header", "body", "contains", "is", "defined", "To", '"', "x"]
)


@given(st.lists(st.lists(WORDS | st.text(max_size=5), max_size=12).map(" ".join), max_size=5).map("\n".join))
def test_any_text_is_a_filter_or_has_mistakes_by_line_and_every_folder_is_safe(text: str) -> None:
    rules: tuple[Rule, ...] = ()
    problems: list[str] = []
    try:
        rules = read(text).rules
    except settings.SettingsError as error:
        problems = error.problems
    assert all(problem.startswith("line") for problem in problems)
    assert all("/" not in rule.folder and not rule.folder.startswith(".") for rule in rules)


# The command


def test_the_command_checks_a_filter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / ALICE
    file.write_text(RULES, "utf-8")
    assert main(["check-filter", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: 4 rules, nothing wrong\n"
    file.write_bytes(b"if body contains x then save y\n\nif body contains \xff then save y")
    assert main(["check-filter", str(file)]) == 2
    assert f"{file}: line 3: the byte 0xff is not UTF-8; save the file as UTF-8" in capsys.readouterr().err
    file.write_text("if body contains x then svae y", "utf-8")
    assert main(["check-filter", str(file)]) == 2
    assert f"{file}: line 1: has no `or`" in capsys.readouterr().err
    for path, said in ((tmp_path, "is a folder and no file"), (tmp_path / "none", "there is no such file")):
        assert main(["check-filter", str(path)]) == 2
        assert said in capsys.readouterr().err


# At work


@pytest.fixture(scope="module")
def filters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filters")
    for user in (ALICE, DORA):
        (folder / user).write_text(RULES, "utf-8")
    return folder


@pytest.fixture(scope="module")
def mta(tmp_path_factory: pytest.TempPathFactory, filters: Path) -> Iterator[RunningMta]:
    with running_mta(tmp_path_factory.mktemp("mta"), extra=EXTRA.format(filters=filters)) as running:
        yield running


@pytest.fixture
def client(mta: RunningMta) -> Iterator[Client]:
    with mta.connect(WHITELISTED) as connection:
        connection.greet()
        yield connection


def send(client: Client, *recipients: str, header: str = "", body: str = "") -> None:
    assert client.code(FROM) == 250
    for recipient in recipients:
        assert client.code(f"RCPT TO:<{recipient}>") == 250, recipient
    assert client.code("DATA") == 354
    client.send(f"From: <sender@client.example>\r\n{header}\r\n{body}\r\n.\r\n".encode())
    assert client.reply().startswith("250")


def folders_with(mta: RunningMta, user: str, token: str) -> list[str]:
    """The folders of a Maildir in which messages with the token lie, one for each message."""
    root = mta.state / "mail" / user
    return [
        str(file.parent.parent.relative_to(root))
        for file in root.rglob("new/*")
        if token.encode() in file.read_bytes()
    ]


@pytest.mark.parametrize(
    ("header", "body", "folder"),
    [
        ("To: Some List <Debian-News@lists.example>\r\n", "", ".Lists.debian-news"),
        ("To: <a@lists.example>,\r\n\t<debian-news@\r\n lists.example>\r\n", "", "."),
        ("To: <a@lists.example>,\r\n\t<debian-news@lists.example>\r\n", "", ".Lists.debian-news"),
        ("To: <a@lists.example>\r\nTo: <debian-news@lists.example>\r\n", "", ".Lists.debian-news"),
        ("Cc: <debian-news@lists.example>\r\n", "", "."),
        ("To: =?utf-8?q?debian=2Dnews?=@lists.example\r\n", "", "."),
        ("To: =?utf-8?q?debian-news=40lists=2Eexample?= <x@lists.example>\r\n", "", ".Lists.debian-news"),
        ("To: =?no-charset?q?x?= <debian-news@lists.example>\r\n", "", ".Lists.debian-news"),
        (
            f"To: {LINE * 10}=?utf-8?q?debian-news=40lists=2Eexample?= <x@y.example>\r\n",
            "",
            ".Lists.debian-news",
        ),
        (f"To: {LINE * 11}=?utf-8?q?debian-news=40lists=2Eexample?= <x@y.example>\r\n", "", "."),
        (f"To: =?utf-8?q?{LINE * 11}?= <debian-news@lists.example>\r\n", "", ".Lists.debian-news"),
        ("To: =?\xfc?q?x?= <debian-news@lists.example>\r\n", "", ".Lists.debian-news"),
        ("", "it is FooBar!", ".Foobar"),
        ("Subject: foobar\r\n", "", "."),
        ("", "é" * 494 + "foobar", ".Foobar"),
        ("", "é" * 495 + "foobar", "."),
        ("", "x\r\n" * 247 + "foobar", ".Foobar"),
        ("", "x\r\n" * 248 + "foobar", "."),
        ("To: <debian-news@lists.example>\r\n", "foobar", ".Lists.debian-news"),
        ("", "", "."),
    ],
)
def test_a_message_is_kept_in_one_folder(
    mta: RunningMta, client: Client, header: str, body: str, folder: str
) -> None:
    token = f"token-{os.urandom(6).hex()}"
    send(client, ALICE, BRUNO, header=header + f"Message-ID: <{token}@client.example>\r\n", body=body)
    assert folders_with(mta, ALICE, token) == [folder]
    assert folders_with(mta, BRUNO, token) == ["."], "he has no filter"


def test_what_a_stranger_writes_as_encoded_words_is_read_in_no_time() -> None:
    assert decoded(["=?utf-8?q?=C3=BC?=", "=?a?q?x" * 10_000_000]) == ["ü", "=?a?q?x" * 10_000_000]
    assert decoded(["=?utf-8?q?x?="] * 1_000_000)[-1] == "=?utf-8?q?x?=", "counted together"


@given(st.text(), st.sampled_from("qb"), st.text())
def test_what_cannot_be_read_stays_as_it_stands(charset: str, encoding: str, text: str) -> None:
    for value in (f"=?{charset}?{encoding}?{text}?=", f"=?utf-8?{encoding}?{text}"):
        assert len(decoded([value, "other"])) == 2


def test_a_maildir_folder_is_known_as_one(mta: RunningMta, client: Client) -> None:
    send(client, ALICE, body="foobar")
    assert (mta.state / "mail" / ALICE / ".Foobar" / "maildirfolder").is_file()
    assert not (mta.state / "mail" / ALICE / "maildirfolder").exists()


def test_a_folder_of_an_mbox_lies_beside_it(mta: RunningMta, client: Client) -> None:
    send(client, DORA, body="foobar")
    send(client, DORA, body="another")
    assert (mta.state / "mail" / f"{DORA}:Foobar").read_bytes().endswith(b"\n\nfoobar\n\n")
    assert (mta.state / "mail" / DORA).read_bytes().endswith(b"\n\nanother\n\n")


def test_a_block_lists_warning_is_filtered(mta: RunningMta) -> None:
    triplet = {"client": LISTED_ONCE, "sender": "sender@client.example", "recipient": ALICE}
    assert mta.ask(op="greylist", action="add", list="white", **triplet) == {"ok": True}
    with mta.connect(LISTED_ONCE) as client:
        client.greet()
        send(client, ALICE, body="token-listed")
        send(client, ALICE, header="To: <debian-news@lists.example>\r\n", body="token-listed-list")
    assert folders_with(mta, ALICE, "token-listed\r\n") == [".Junk.DNSbl-Warning"]
    assert folders_with(mta, ALICE, "token-listed-list") == [".Lists.debian-news"]


def test_a_filter_is_read_again_when_it_has_changed(mta: RunningMta, client: Client, filters: Path) -> None:
    own = filters / BRUNO
    for word in ("Apples", "Quince"):  # of one length
        own.write_text(f"if body contains token-{word} then save {word}\n", "utf-8")
        send(client, BRUNO, body=f"token-{word}")
        assert folders_with(mta, BRUNO, f"token-{word}") == [f".{word}"]
    own.unlink()
    send(client, BRUNO, body="token-Quince again")
    assert folders_with(mta, BRUNO, "token-Quince again") == ["."]


def break_by_syntax(file: Path) -> None:
    file.write_text("if body contains token then svae X\n", "utf-8")


def break_by_encoding(file: Path) -> None:
    file.write_bytes(b"if body contains token then save X\n# \xff\n")


def break_by_size(file: Path) -> None:
    file.write_text("if body contains token then save X\n" * 4000, "utf-8")


def break_by_kind(file: Path) -> None:
    file.mkdir()


def break_by_pipe(file: Path) -> None:
    os.mkfifo(file)


def break_by_loop(file: Path) -> None:
    file.symlink_to(file)


@pytest.mark.parametrize(
    "break_it",
    [break_by_syntax, break_by_encoding, break_by_size, break_by_kind, break_by_pipe, break_by_loop],
)
def test_a_broken_filter_loses_nothing(tmp_path: Path, break_it: Callable[[Path], None]) -> None:
    folder = tmp_path / "filters"
    folder.mkdir()
    break_it(folder / ALICE)
    with (
        running_mta(tmp_path, extra=EXTRA.format(filters=folder)) as mta,
        mta.connect(WHITELISTED) as client,
    ):
        client.greet()
        send(client, ALICE, body="token")
        assert folders_with(mta, ALICE, "token") == ["."]
        said = (tmp_path / "mta.log").read_text("utf-8")
    assert str(folder / ALICE) in said
    assert "inbox" in said


def test_a_filter_that_may_not_be_read_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / ALICE).write_text("if body contains token then save X\n", "utf-8")
    (tmp_path / ALICE).chmod(0)
    with (
        running_mta(tmp_path, extra=EXTRA.format(filters=tmp_path)) as mta,
        mta.connect(WHITELISTED) as client,
    ):
        client.greet()
        send(client, ALICE, body="token")
        readable = os.access(tmp_path / ALICE, os.R_OK)  # by root
        assert folders_with(mta, ALICE, "token") == [".X" if readable else "."]
        (tmp_path / ALICE).chmod(0o600)
        send(client, ALICE, body="token mended")
        assert folders_with(mta, ALICE, "token mended") == [".X"]


@pytest.mark.parametrize("user", [ALICE, DORA])
def test_a_folder_that_cannot_be_used_loses_nothing(tmp_path: Path, user: str) -> None:
    (tmp_path / user).write_text("if body contains token then save X\n", "utf-8")
    with (
        running_mta(tmp_path, extra=EXTRA.format(filters=tmp_path)) as mta,
        mta.connect(WHITELISTED) as client,
    ):
        root = mta.state / "mail"
        (root / user).parent.mkdir()
        if user == DORA:
            (root / f"{user}:X").mkdir()
        else:
            (root / user).mkdir()
            (root / user / ".X").write_text("in the way", "utf-8")
        client.greet()
        send(client, user, body="token")
        if user == DORA:
            assert b"token" in (root / user).read_bytes()
        else:
            assert folders_with(mta, user, "token") == ["."]
        assert "a message goes to the inbox" in (tmp_path / "mta.log").read_text("utf-8")


def test_a_folder_that_cannot_be_used_is_no_concern_of_other_mailboxes(tmp_path: Path) -> None:
    for user in (ALICE, DORA):
        (tmp_path / user).write_text("if body contains token then save X\n", "utf-8")
    with (
        running_mta(tmp_path, extra=EXTRA.format(filters=tmp_path)) as mta,
        mta.connect(WHITELISTED) as client,
    ):
        root = mta.state / "mail"
        (root / f"{DORA}:X").mkdir(parents=True)
        client.greet()
        send(client, DORA, ALICE, body="token")
        assert b"token" in (root / DORA).read_bytes()
        assert folders_with(mta, ALICE, "token") == [".X"]
