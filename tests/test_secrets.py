"""Secrets: whoever prints what has one in it prints dots."""

import base64
import contextlib
import copy
import dataclasses
import json
import pickle
import smtplib
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast, get_args

import pytest
from pydantic import BaseModel

from harness import settings
from harness.capabilities import commands
from harness.capabilities.imap import ImapStore
from harness.capabilities.mail_host import MailHost
from harness.capabilities.outage import CommandOutage
from harness.embedded.servers import PROFILE
from harness.profile.mail_tables import Imap
from harness.profile.model import Profile
from harness.reference_mta.authentication import Accounts
from harness.reference_mta.certificate import own_certificate, server_context
from harness.reference_mta.config import EXAMPLE, Config
from harness.reference_mta.decoys import Decoys
from harness.reference_mta.passwords import hash_password
from harness.reference_mta.protocol.sasl import Credentials
from harness.reference_mta.protocol.scram import ScramVerifier
from harness.reference_mta.verifiers import Account, Kind
from harness.runs.showing import Showing
from harness.settings import SettingsError
from harness.settings.secret import DOTS, Secret
from harness.smtp.command import Command
from harness.smtp.masking import Masker
from harness.smtp.session import Session, SessionEnded
from harness.systems.system import Parameters
from harness.verdicts import InconclusiveError
from tests.hostile_server import Hear, Reset, Say, Step
from tests.imap_server import ImapServer
from tests.smtp_dialogue import GREETING, playing

TEXT = "hunter2-of-old"
HIDDEN = Secret(TEXT)
VERIFIER = ScramVerifier(4096, TEXT.encode(), TEXT.encode(), TEXT.encode())
DECOYS = Decoys.like((), (), TEXT.encode())


def assert_unsaid(shown: str) -> None:
    """Neither the secret is there nor its base64 text, by itself or within a longer one."""
    assert TEXT not in shown
    for offset in range(3):
        inner = base64.b64encode(bytes(offset) + TEXT.encode())[4:-4]
        assert inner.decode() not in shown


def shown_with_variables(error: pytest.ExceptionInfo[BaseException]) -> str:
    return str(error.getrepr(showlocals=True, funcargs=True, truncate_locals=False))


@dataclasses.dataclass(frozen=True)
class Holder:
    secret: Secret


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{:>40}".format,
        lambda secret: f"{secret}{secret!r}{secret!s}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
        lambda secret: repr([Holder(secret), {secret: secret}]),
        lambda secret: repr(dataclasses.asdict(Holder(secret))),
        lambda secret: repr(copy.deepcopy([secret])),
        lambda secret: repr("not-" + secret + "!"),
        lambda secret: json.dumps(secret, default=str, ensure_ascii=False),
    ],
)
def test_a_secret_shows_as_dots(show: Callable[[Secret], str]) -> None:
    assert DOTS in show(HIDDEN)
    assert_unsaid(show(HIDDEN))


@pytest.mark.parametrize("write", [json.dumps, pickle.dumps, lambda secret: Secret(cast(str, [secret]))])
def test_a_secret_is_not_written_down(write: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError) as refused:
        write(HIDDEN)
    assert_unsaid(shown_with_variables(refused))


def test_secrets_are_the_same_by_their_text() -> None:
    assert Secret(TEXT) == HIDDEN
    assert {HIDDEN: 1}[Secret(TEXT)] == 1
    assert Secret("other") != HIDDEN
    assert HIDDEN != TEXT
    assert ("not-" + HIDDEN).reveal() == f"not-{TEXT}"
    assert HIDDEN.is_part_of("not-" + HIDDEN)
    assert not Secret("")


@pytest.mark.parametrize(
    "thing",
    [
        MailHost("example.net", "mail.example.net", "127.0.0.1", (HIDDEN,)),
        Parameters(password=HIDDEN, hash=HIDDEN),
        Account({Kind.SCRYPT: HIDDEN}),
        Accounts({"alice": Account({Kind.SCRYPT: HIDDEN})}, DECOYS, {"alice": HIDDEN}, {"alice": VERIFIER}),
        VERIFIER,
        DECOYS,
        Credentials("", "alice", TEXT),
        CommandOutage(["mysql", TEXT], ["mysql", TEXT]),
        Command(("ssh", TEXT)),
        Masker([HIDDEN]),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_what_holds_a_secret_does_not_show_it(thing: object) -> None:
    assert_unsaid(f"{thing} {thing!r}")


def tables(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    """Every key of a table and of those within it, with its type."""
    for name, found in model.model_fields.items():
        yield name, found
        todo = [found.annotation]
        while todo:
            kind = todo.pop()
            todo += get_args(kind)
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from tables(kind)


@pytest.mark.parametrize("model", [Profile, Config])
def test_every_key_that_is_called_so_is_a_secret(model: type[BaseModel]) -> None:
    known = [(name, found) for name, found in tables(model) if name in ("password", "secret", "hash")]
    assert known
    assert all(found.annotation is Secret and settings.UNSHOWN in found.metadata for _, found in known)


TABLES = tomllib.loads(PROFILE.read_text("utf-8"))
WORDS = ["mysql", TEXT]


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"auth": {"user": "ann", "password": [TEXT]}}, "auth.password"),
        ({"auth": {"user": "ann", "password": {"is": TEXT}}}, "auth.password"),
        ({"auth": {"user": "ann", "password": TEXT, "password_env": "HOME"}}, "auth"),
        ({"auth": TEXT}, "auth"),
        ({"auth": [{"user": "ann", "password": TEXT}]}, "auth"),
        ({"name": {"password": TEXT}}, "name"),
        ({"name": [TEXT]}, "name"),
        ({"server": {"password": TEXT}}, "server.password"),
        ({"mailbox": {"imap": {"password": [TEXT]}}}, "mailbox.imap.password"),
        ({"mailbox": {"imap": TEXT}}, "mailbox.imap"),
        ({"domain": [{"name": "a.example", "users": ["a"], "mailbox": {"imap": TEXT}}]}, "domain.0.mailbox"),
        ({"operator": {"add": TEXT, "remove": WORDS, "list": WORDS}}, "operator.add"),
        ({"operator": {"add": [[TEXT]], "remove": WORDS, "list": WORDS}}, "operator.add"),
        ({"outage": {"begin": TEXT, "end": WORDS}}, "outage.begin"),
        ({"queue": {"interval": 5, "list": TEXT}}, "queue.list"),
        ({"srs": {"domain": "a.example", "make": TEXT}}, "srs.make"),
        ({"srs": {"domain": "a.example", "make": WORDS}}, "srs"),
        ({"clock": {"kind": "faketime", "file": "x", "then": TEXT}}, "clock.then"),
        ({"clients": {"route": "command", "command": TEXT}}, "clients.command"),
        ({"clients": {"route": "command", "command": WORDS}}, "clients"),
        ({"auth": {"user": "ann", "password_env": TEXT}}, "auth: the environment has no variable"),
        ({"auth": {"user": "ann", "password_env": [TEXT]}}, "auth.password_env"),
    ],
)  # fmt: skip
def test_no_error_of_a_profile_shows_a_secret(more: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings.check("profile.toml", TABLES | more, Profile)
    assert f"profile.toml: {key}" in str(refused.value)
    told = str(refused.getrepr(style="native"))  # with the errors that it came from
    assert_unsaid(told)
    assert "ValidationError" not in told


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"auth": {"users": {"alice": TEXT}}}, "auth.users.alice: is no password hash"),
        ({"auth": {"users": {"alice": [TEXT]}}}, "auth.users.alice"),
        ({"auth": {"users": TEXT}}, "auth.users"),
        ({"auth": {"users": [TEXT]}}, "auth.users"),
        ({"srs": {"secret": [TEXT]}}, "srs.secret"),
        ({"srs": {"secret": {"file": TEXT}}}, "srs.secret"),
        ({"srs": TEXT}, "srs"),
    ],
)
def test_no_error_of_a_configuration_does(more: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings.check("mta.toml", tomllib.loads(EXAMPLE) | more, Config)
    assert f"mta.toml: {key}" in str(refused.value)
    assert_unsaid(str(refused.getrepr(style="native")))


@pytest.mark.parametrize(
    ("toml", "model", "key"),
    [
        ("auth.password = {}", Profile, "auth.password"),
        ("auth.passwrod = {}", Profile, "auth.passwrod"),
        ("auth.password_env = {}", Profile, "auth.password_env"),
        ("auth = {}", Profile, "auth"),
        ("operator.add = ['mysql', {}]", Profile, "operator.add.1"),
        (
            "domain = [{{ mailbox = {{ imap = {{ password = {} }} }} }}]",
            Profile,
            "domain.0.mailbox.imap.password",
        ),
        ("directory.other_class = [{{ password = {} }}]", Profile, "directory.other_class.0.password"),
        ("auth.users.alice = {}", Config, "auth.users.alice"),
        ("auth.users.alice = [{}]", Config, "auth.users.alice.0"),
        ("srs.secret = {}", Config, "srs.secret"),
    ],
)
@pytest.mark.parametrize("date", ["2019-12-31", "23:59:58", "2019-12-31T23:59:58Z"])
def test_a_secret_that_toml_takes_for_a_date_is_not_shown(
    toml: str, model: type[settings.Settings], key: str, date: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        settings.check("mine.toml", tomllib.loads(toml.format(date)), model)
    assert (
        str(refused.value) == f"mine.toml: {key}: what stands there is a date or a time; write it in quotes"
    )


def test_what_is_no_secret_is_still_shown() -> None:
    with pytest.raises(SettingsError, match=r'server\.port: .* \(found "smtp"\)'):
        settings.check("profile.toml", TABLES | {"server": TABLES["server"] | {"port": "smtp"}}, Profile)


def test_a_configuration_with_secrets_shows_none() -> None:
    hashed = hash_password("sesame", cost=2)
    more = {"auth": {"users": {"alice": hashed}}, "srs": {"secret": TEXT}}
    shown = repr(settings.check("mta.toml", tomllib.loads(EXAMPLE) | more, Config))
    assert hashed not in shown
    assert_unsaid(shown)


AUTHS: list[Callable[[Session], object]] = [
    lambda session: session.auth_plain("ann", HIDDEN),
    lambda session: session.auth_plain("ann", HIDDEN, initial=False),
    lambda session: session.auth_plain("ann", "not-" + HIDDEN),
    lambda session: session.login("ann", HIDDEN),
]


@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize(
    "answer", [[Reset()], [Say(b"334 \r\n"), Hear(), Reset()], [Say(b"535 5.7.8 no\r\n")]]
)
def test_no_variable_of_a_broken_login_has_it(auth: Callable[[Session], object], answer: list[Step]) -> None:
    greeted: list[Step] = [GREETING, Hear(), Say(b"250-mx.example.org\r\n250 AUTH PLAIN LOGIN\r\n")]
    with playing(*greeted, Hear(), *answer) as (session, _):
        session.open()
        session.ehlo()
        assert_unsaid(told_of(lambda: auth(session)))
        assert_unsaid(repr(vars(session)))


def told_of(act: Callable[[], object]) -> str:
    """The traceback of what an act raises, if it does, with the variables of all that it called."""
    try:
        act()
    except (SessionEnded, smtplib.SMTPException) as error:
        inner = error.__traceback__ and error.__traceback__.tb_next
        return shown_with_variables(pytest.ExceptionInfo.from_exception(error.with_traceback(inner)))
    return ""


@pytest.mark.parametrize("auth", AUTHS)
def test_debugging_smtplib_prints_none(
    auth: Callable[[Session], object], capsys: pytest.CaptureFixture[str]
) -> None:
    greeted: list[Step] = [GREETING, Hear(), Say(b"250-mx.example.org\r\n250 AUTH PLAIN LOGIN\r\n")]
    with playing(*greeted, Hear(), Say(b"535 no\r\n"), Hear(), Say(b"535 no\r\n")) as (session, _):
        session.set_debuglevel(2)
        session.open()
        session.ehlo()
        with contextlib.suppress(Exception):
            auth(session)
    shown = capsys.readouterr()
    assert_unsaid(shown.out + shown.err)


def test_no_variable_of_a_broken_imap_login_has_it(tmp_path: Path) -> None:
    chain, key = own_certificate(tmp_path, ("imap.example.org",))
    with ImapServer(server_context(chain, key), {"ann": "another"}) as server:
        access = Imap.model_validate(
            {
                "address": f"127.0.0.1:{server.port}",
                "name": "imap.example.org",
                "ca_file": tmp_path / "ca.pem",
                "password": HIDDEN,
            }
        )
        with pytest.raises(Exception, match="no such user") as refused:
            ImapStore(access).watch("ann@example.org", b"token")
    assert_unsaid(shown_with_variables(refused))
    assert any(TEXT.encode() in line for line in server.heard)  # it was told, though


@pytest.mark.parametrize("script", ["import time; time.sleep(60)", "import sys; sys.exit(3)"])
def test_no_command_is_told_whole(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PATIENCE", 0.5)
    with pytest.raises(InconclusiveError, match=r"queue\.list") as broken:
        commands.run("queue.list", [sys.executable, "-c", script, *WORDS])
    assert_unsaid(str(broken.getrepr(style="native")))


def test_what_somebody_reveals_is_masked_where_pytest_shows_it() -> None:
    showing = Showing([HIDDEN, Secret("it's \\ odd"), Secret("short")])
    blob = base64.b64encode(f"\0ann\0{TEXT}".encode()).decode()
    assert_unsaid(showing.text(f"secret = {TEXT!r}, AUTH PLAIN {blob}"))
    assert "odd" not in showing.text(repr("it's \\ odd"))
    assert showing.text("in short") == "in short"  # too short to be looked for everywhere
    assert showing.part([("title", TEXT)]) == [("title", "***")]
