"""LOGIN, CRAM-MD5 and SCRAM-SHA-256 on the reference MTA, and what the configuration says of them."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import settings
from harness.reference_mta.__main__ import main
from harness.reference_mta.authentication import Accounts
from harness.reference_mta.config import Config
from harness.reference_mta.decoys import KEY, kept_key
from harness.reference_mta.passwords import cost_of
from harness.reference_mta.protocol.scram import ScramVerifier
from harness.reference_mta.tables.server import Auth
from harness.reference_mta.verifiers import Kind, Mechanism, kind_of, made, read_scram, scram_text
from harness.settings.secret import Secret
from tests.mta_here import Spoken, configured, serving_here, speaking
from tests.mta_process import FROM, NAME, PASSWORD, STRANGER, TRUSTED, Client, connected
from tests.scram_client import ScramClient

ELSEWHERE = "RCPT TO:<someone@elsewhere.example>"
ITERATIONS = 4096
DERIVED = hashlib.scrypt(PASSWORD.encode(), salt=b"salt of alice", n=16, r=8, p=1, dklen=32)
HASH = f"scrypt$16${base64.b64encode(b'salt of alice').decode()}${base64.b64encode(DERIVED).decode()}"
SHARED = made(PASSWORD, Mechanism.CRAM_MD5)
SCRAM = scram_text(ScramVerifier.of(PASSWORD, b"salt of alice", ITERATIONS))
OF_BRUNO = scram_text(ScramVerifier.of(PASSWORD, b"salt of bruno", ITERATIONS))
ALL = '["SCRAM-SHA-256", "CRAM-MD5", "LOGIN", "PLAIN"]'
TABLES = f"""
[auth]
mechanisms = {ALL}

[auth.users]
alice = ["{HASH}", "{SHARED}", "{SCRAM}"]
hashed = "{HASH}"
bruno = ["{OF_BRUNO}"]
"""
WRONG = "535 5.7.8 Name or password is wrong"


def spelt(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def read(reply: str) -> bytes:
    """What a challenge says."""
    assert reply.startswith("334 "), reply
    return base64.b64decode(reply.removeprefix("334 "), validate=True)


@pytest.fixture(scope="module")
def mta(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoken]:
    with speaking(tmp_path_factory.mktemp("mta"), TABLES) as running:
        yield running


@pytest.fixture
def clear(mta: Spoken) -> Iterator[Client]:
    """A greeted client without TLS."""
    with mta.connect(STRANGER) as client:
        client.greet()
        yield client


@pytest.fixture
def covered(mta: Spoken, clear: Client) -> Client:
    """A greeted client under TLS."""
    clear.start_tls(mta.state / "ca.pem")
    assert clear.code(f"EHLO {NAME}") == 250
    return clear


def by_login(client: Client, user: str, password: str) -> str:
    assert read(client.say("AUTH LOGIN")) == b"Username:"
    assert read(client.say(spelt(user))) == b"Password:"
    return client.say(spelt(password))


def by_cram(client: Client, user: str, password: str) -> str:
    challenge = read(client.say("AUTH CRAM-MD5"))
    return client.say(spelt(f"{user} {hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()}"))


def by_scram(client: Client, user: str, password: str, acts_for: str = "") -> str:
    scram = ScramClient(user, password, acts_for)
    answer = read(client.say(f"AUTH SCRAM-SHA-256 {spelt(scram.first())}"))
    reply = client.say(spelt(scram.final(answer)))
    if not reply.startswith("334"):
        return reply
    assert read(reply) == scram.expected  # the server has shown that it knows the password as well
    return client.say("")


WAYS = (by_login, by_cram, by_scram)


def test_mechanisms_are_listed_as_the_configuration_has_them(covered: Client, clear: Client) -> None:
    listed = covered.say(f"EHLO {NAME}").split("\n")
    assert "250 AUTH SCRAM-SHA-256 CRAM-MD5 LOGIN PLAIN" in listed


@pytest.mark.parametrize("way", WAYS)
def test_the_right_password_opens_the_way_out(covered: Client, way: object) -> None:
    assert callable(way)
    assert way(covered, "alice", PASSWORD).startswith("235 ")
    assert covered.code(FROM) == 250
    assert covered.code(ELSEWHERE) == 250


@pytest.mark.parametrize("way", WAYS)
def test_unknown_wrong_and_unserved_get_the_same_reply(covered: Client, way: object) -> None:
    assert callable(way)
    others = {"nobody": PASSWORD, "alice": "wrong", "ALICE": PASSWORD}
    others["bruno" if way is by_login else "hashed"] = PASSWORD
    if way is by_cram:
        others["bruno"] = PASSWORD
    assert {way(covered, user, password) for user, password in others.items()} == {WRONG}
    assert covered.code(FROM) == 250
    assert covered.code(ELSEWHERE) == 550


def test_an_account_is_served_by_what_it_has(covered: Client) -> None:
    assert by_login(covered, "bruno", PASSWORD) == WRONG
    assert by_scram(covered, "bruno", PASSWORD).startswith("235 ")


@pytest.mark.parametrize(("acts_for", "code"), [("alice", "235"), ("bruno", "535"), ("ALICE", "535")])
def test_nobody_acts_for_somebody_else(covered: Client, acts_for: str, code: str) -> None:
    assert by_scram(covered, "alice", PASSWORD, acts_for)[:3] == code
    assert covered.code(FROM) == 250
    assert covered.code(ELSEWHERE) == (250 if code == "235" else 550)


def test_a_name_may_come_with_login(covered: Client) -> None:
    assert read(covered.say(f"AUTH login {spelt('alice')}")) == b"Password:"
    assert covered.code(spelt(PASSWORD)) == 235


def test_an_empty_name_may_come_with_login(covered: Client) -> None:
    assert read(covered.say("AUTH LOGIN =")) == b"Password:"
    assert covered.say(spelt(PASSWORD)) == WRONG


def test_empty_lines_are_empty_answers(covered: Client) -> None:
    assert read(covered.say("AUTH LOGIN")) == b"Username:"
    assert read(covered.say("")) == b"Password:"
    assert covered.say("") == WRONG


def test_scram_may_wait_for_the_prompt(covered: Client) -> None:
    assert covered.say("AUTH SCRAM-SHA-256") == "334 "
    scram = ScramClient("alice", PASSWORD, flag="y")
    answer = read(covered.say(spelt(scram.first())))
    assert read(covered.say(spelt(scram.final(answer)))) == scram.expected
    assert covered.code("") == 235


@pytest.mark.parametrize("initial", ["=", "*", spelt(f"alice {'0' * 32}")])
def test_where_the_server_begins_nothing_comes_with_the_command(covered: Client, initial: str) -> None:
    assert covered.code(f"AUTH CRAM-MD5 {initial}") == 501
    assert by_cram(covered, "alice", PASSWORD).startswith("235 ")


def test_a_client_gives_up_at_every_step(covered: Client) -> None:
    scram = ScramClient("alice", PASSWORD)
    steps = {
        "LOGIN": ["AUTH LOGIN", spelt("alice")],
        "CRAM-MD5": ["AUTH CRAM-MD5"],
        "SCRAM-SHA-256": ["AUTH SCRAM-SHA-256", spelt(scram.first())],
    }
    for lines in steps.values():
        for number in range(len(lines)):
            for line in lines[: number + 1]:
                assert covered.code(line) == 334
            assert covered.code("*") == 501
            assert covered.code("NOOP") == 250
    answer = read(covered.say(f"AUTH SCRAM-SHA-256 {spelt(scram.first())}"))
    assert covered.code(spelt(scram.final(answer))) == 334
    assert covered.code("*") == 501  # whoever does not believe the server's proof
    assert covered.code(FROM) == 250
    assert covered.code(ELSEWHERE) == 550


def test_a_digest_is_not_taken_again(mta: Spoken, covered: Client) -> None:
    challenge = read(covered.say("AUTH CRAM-MD5"))
    response = spelt(f"alice {hmac.new(PASSWORD.encode(), challenge, hashlib.md5).hexdigest()}")
    assert covered.code("*") == 501
    assert read(covered.say("AUTH CRAM-MD5")) != challenge
    assert covered.say(response) == WRONG


def test_channels_are_bound_to_nothing(covered: Client) -> None:
    first = ScramClient("alice", PASSWORD, flag="p=tls-exporter").first()
    assert covered.code(f"AUTH SCRAM-SHA-256 {spelt(first)}") == 501
    assert covered.code(f"AUTH SCRAM-SHA-256-PLUS {spelt(first)}") == 504


def test_long_answers_are_read(covered: Client) -> None:
    """12,288 octets without the line end (RFC 4954 §4); one group of base64 more is too long."""
    assert covered.code("AUTH LOGIN") == 334
    assert covered.code("A" * 12288) == 334
    assert covered.say("A" * 12288) == WRONG
    assert covered.code("AUTH LOGIN") == 334
    assert covered.code("A" * 12292) == 500
    assert covered.code("NOOP") == 250


@pytest.mark.parametrize("command", ["AUTH LOGIN", "AUTH CRAM-MD5", "AUTH SCRAM-SHA-256"])
def test_nothing_is_taken_in_clear_text(clear: Client, command: str) -> None:
    assert clear.code(command) == 538


def test_what_somebody_is_not_told_is_the_same_every_time(covered: Client) -> None:
    """A salt that changes, or is of another length, would say that there is no such account."""
    answers = {}
    for user in ("nobody", "hashed", "alice"):
        first = spelt(ScramClient(user, "").first())
        told = []
        for _ in range(2):
            told.append(read(covered.say(f"AUTH SCRAM-SHA-256 {first}")).split(b","))
            assert covered.code("*") == 501
        assert told[0][0] != told[1][0]
        assert told[0][1:] == told[1][1:]
        answers[user] = told[0]
    assert len({answer[1] for answer in answers.values()}) == 3
    assert len({len(answer[1]) for answer in answers.values()}) == 1
    assert {answer[2] for answer in answers.values()} == {b"i=4096"}


def test_no_password_alone_is_offered_unless_told(tmp_path: Path) -> None:
    with speaking(
        tmp_path, f'auth = {{ mechanisms = ["SCRAM-SHA-256"], users = {{ alice = "{SCRAM}" }} }}'
    ) as mta:
        with mta.connect(STRANGER) as client:
            client.greet()
            client.start_tls(mta.state / "ca.pem")
            assert client.say(f"EHLO {NAME}").endswith("\n250 AUTH SCRAM-SHA-256")
            for other in ("PLAIN", "LOGIN", "CRAM-MD5"):
                assert client.code(f"AUTH {other}") == 504
            assert by_scram(client, "alice", PASSWORD).startswith("235 ")
        assert (mta.state / KEY).stat().st_mode & 0o777 == 0o600


def test_all_of_them_can_be_switched_off(tmp_path: Path) -> None:
    config = configured(tmp_path, without="auth").model_copy(update={"auth": Auth(mechanisms=())})
    with serving_here(config, None) as address, connected(address, TRUSTED) as client:
        client.greet()
        client.start_tls(config.server.state / "ca.pem")
        assert "AUTH" not in client.say(f"EHLO {NAME}")
        assert client.code("AUTH PLAIN") == 504


# Decoys


def test_decoys_outlive_the_server_and_fit_nothing(tmp_path: Path) -> None:
    key = kept_key(tmp_path)
    assert kept_key(tmp_path) == key
    (tmp_path / KEY).write_bytes(b"short")
    assert kept_key(tmp_path) != key
    config = configured(tmp_path, TABLES)
    first, again, other = (Accounts.of(config, one).verifier_of("nobody") for one in (key, key, b"another"))
    assert first == again
    assert first.salt != other.salt
    assert first.iterations == ITERATIONS
    accounts = Accounts.of(config, key)
    assert not accounts.serve("nobody", Mechanism.SCRAM_SHA_256)
    assert cost_of(accounts.hash_of("nobody").reveal()) == cost_of(HASH)


# The configuration


@pytest.mark.parametrize(
    ("mechanisms", "users", "named"),
    [
        ('["LOGGIN"]', "{}", "auth.mechanisms: there is no mechanism 'LOGGIN'; did you mean 'LOGIN'?"),
        ('["plain"]', "{}", "auth.mechanisms: there is no mechanism 'plain'; did you mean 'PLAIN'?"),
        ('["PLAIN", "PLAIN"]', "{}", "auth.mechanisms: 'PLAIN' is there twice; leave one out"),
        ('"PLAIN"', "{}", "auth.mechanisms: must be a list in brackets"),
        ("[7]", "{}", "auth.mechanisms.0"),
        (
            '["PLAIN"]',
            f'{{ ann = "{SHARED}" }}',
            "auth: users.ann: none of the mechanisms (PLAIN) can do with ",
        ),
        (
            '["CRAM-MD5"]',
            f'{{ ann = "{SCRAM}" }}',
            "scram-sha-256; add one of SCRAM-SHA-256 to auth.mechanisms",
        ),
        (
            "[]",
            f'{{ ann = "{HASH}" }}',
            "none of the mechanisms (none) can do with scrypt; add one of PLAIN, LOGIN",
        ),
        (ALL, "{ ann = [] }", "auth.users.ann: is empty; name at least one hash"),
        (ALL, f'{{ ann = ["{HASH}", "{HASH}"] }}', "auth.users.ann: has two hashes of the kind scrypt"),
        (ALL, f'{{ ann = ["{HASH}", "sesame"] }}', "auth.users.ann: is no password hash; make one with"),
        (ALL, f'{{ ann = ["{HASH}", 7] }}', "auth.users.ann: must be a password hash in quotes, or a list"),
        (
            ALL,
            f'{{ ann = {{ plain = "{HASH}" }} }}',
            "auth.users.ann: must be a password hash in quotes, or a",
        ),
        (ALL, f'{{ "a\u00a0n" = "{SCRAM}" }}', "is not as SASLprep has names (RFC 4013); write 'a n'"),
        (ALL, f'{{ "a\ue000" = "{SCRAM}" }}', "is not as SASLprep has names (RFC 4013); choose another name"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, mechanisms: str, users: str, named: str) -> None:
    table = f"[auth]\nmechanisms = {mechanisms}\nusers = {users}\n"
    with pytest.raises(settings.SettingsError) as caught:
        read_auth(tmp_path, table)
    said = str(caught.value)
    assert named in said
    assert not any(verifier in said for verifier in (HASH, SHARED, SCRAM, "sesame"))


def read_auth(folder: Path, table: str) -> Config:
    """A configuration with that table alone."""
    file = folder / "mta.toml"
    rest = """
[server]
hostname = "mail.castle.example"
state = "state"

[dns]
server = "127.0.0.1:5353"

[[domain]]
name = "castle.example"
"""
    file.write_text(rest + table, "utf-8")
    return settings.read(file, Config)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cram-md5$",
        "cram-md5$?",
        "cram-md5$/w==",
        "cram-md5$YQ==$YQ==",
        SCRAM.replace("$4096$", "$4095$"),
        SCRAM.replace("$4096$", "$10000001$"),
        SCRAM.replace("$4096$", "$" + "9" * 5000 + "$"),
        SCRAM.replace("$4096$", "$²$"),
        SCRAM.replace("sha-256", "sha-1"),
        SCRAM[:-4],
        SCRAM + "$",
        "scram-sha-256$4096$$$",
        SCRAM.replace(spelt(b"salt of alice"), spelt(b"s" * 65)),
        "scram-sha-256$4096$é$é$é",
    ],
)
def test_what_is_no_verifier_is_told_at_start(text: str) -> None:
    assert kind_of(Secret(text)) is None


@given(st.text(max_size=80))
def test_any_text_is_judged_without_an_error(text: str) -> None:
    assert kind_of(Secret(text)) is None
    assert kind_of(Secret(f"cram-md5${text}")) in (None, Kind.CRAM_MD5)
    assert kind_of(Secret(f"scram-sha-256${text}")) is None


# How they are made


@pytest.mark.parametrize(
    ("mechanism", "kind"),
    [
        ("PLAIN", Kind.SCRYPT),
        ("login", Kind.SCRYPT),
        ("cram-md5", Kind.CRAM_MD5),
        ("Scram-Sha-256", Kind.SCRAM_SHA_256),
    ],
)
def test_a_password_becomes_what_a_mechanism_needs(
    mechanism: str, kind: Kind, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False, readline=lambda: "sesame\n"))
    assert main(["hash-password", "--mechanism", mechanism]) == 0
    shown = capsys.readouterr().out.strip()
    assert kind_of(Secret(shown)) is kind
    assert "sesame" not in shown
    if kind is Kind.SCRAM_SHA_256:
        found = read_scram(Secret(shown))
        assert found
        assert found == ScramVerifier.of("sesame", found.salt, found.iterations)


def test_a_password_that_a_mechanism_cannot_take_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False, readline=lambda: "a\ue000\n"))
    assert main(["hash-password", "--mechanism", "SCRAM-SHA-256"]) == 2
    said = capsys.readouterr().err
    assert "may stand in no name or password" in said
    assert "choose another one for SCRAM-SHA-256" in said
