"""AUTH PLAIN on the reference MTA, and the hashes behind it."""

import base64
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.reference_mta.passwords import hash_password, is_hash, verify_password
from tests.mta_process import FROM, NAME, PASSWORD, STRANGER, Client, RunningMta, running_mta

ELSEWHERE = "RCPT TO:<someone@elsewhere.example>"


@pytest.fixture(scope="module")
def mta(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMta]:
    with running_mta(tmp_path_factory.mktemp("mta")) as running:
        yield running


@pytest.fixture
def clear(mta: RunningMta) -> Iterator[Client]:
    """A greeted client without TLS."""
    with mta.connect(STRANGER) as client:
        client.greet()
        yield client


@pytest.fixture
def covered(mta: RunningMta, clear: Client) -> Client:
    """A greeted client under TLS."""
    clear.start_tls(mta.state / "ca.pem")
    assert "AUTH PLAIN" in clear.say(f"EHLO {NAME}").split("\n")[-1]
    return clear


def token(user: str, password: str, identity: str = "") -> str:
    return base64.b64encode(f"{identity}\0{user}\0{password}".encode()).decode()


GOOD = token("alice", PASSWORD)


# Passwords


@settings(deadline=None, max_examples=25)
@given(st.text(max_size=40), st.text(max_size=40))
def test_a_hash_knows_its_own_password_only(password: str, other: str) -> None:
    hashed = hash_password(password, cost=2)
    assert is_hash(hashed)
    assert verify_password(password, hashed)
    assert verify_password(other, hashed) == (other == password)


def test_hashes_of_one_password_differ() -> None:
    assert hash_password("sesame", cost=2) != hash_password("sesame", cost=2)


def test_a_hash_made_by_another_program_is_known() -> None:
    # RFC 7914 §12: P = "pleaseletmein", S = "SodiumChloride", N = 16384, r = 8, p = 1, first 32 octets
    digest = bytes.fromhex("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2")
    hashed = (
        f"scrypt$16384${base64.b64encode(b'SodiumChloride').decode()}${base64.b64encode(digest).decode()}"
    )
    assert is_hash(hashed)
    assert verify_password("pleaseletmein", hashed)
    assert not verify_password("pleaseletmeout", hashed)


@given(st.text(max_size=80))
def test_any_text_is_judged_without_an_error(text: str) -> None:
    assert not is_hash(text)


# Over a connection


@pytest.mark.parametrize("command", ["AUTH PLAIN", "AUTH plain", "auth Plain"])
def test_the_right_password_opens_the_way_out(covered: Client, command: str) -> None:
    assert covered.code(f"{command} {GOOD}") == 235
    assert covered.code(FROM) == 250
    assert covered.code(ELSEWHERE) == 250


@pytest.mark.parametrize(("acts_for", "code"), [("", 235), ("alice", 235), ("bruno", 535), ("ALICE", 535)])
def test_nobody_acts_for_somebody_else(covered: Client, acts_for: str, code: int) -> None:
    assert covered.code(f"AUTH PLAIN {token('alice', PASSWORD, acts_for)}") == code
    assert covered.code(FROM) == 250
    assert covered.code(ELSEWHERE) == (250 if code == 235 else 550)


@pytest.mark.parametrize("command", ["AUTH PLAIN", "AUTH plain"])
def test_credentials_may_wait_for_the_prompt(covered: Client, command: str) -> None:
    assert covered.say(command) == "334 "
    assert covered.code(GOOD) == 235


def test_unknown_empty_and_wrong_get_the_same_reply(covered: Client) -> None:
    attempts = [
        ("alice", "wrong"),
        ("alice", ""),
        ("bruno", PASSWORD),
        ("", ""),
        ("nobody", ""),
        ("ALICE", PASSWORD),
        ("alice", PASSWORD.upper()),
        ("alice\udcff".encode("utf-8", "replace").decode(), PASSWORD),
    ]
    replies = {covered.say(f"AUTH PLAIN {token(*attempt)}") for attempt in attempts}
    assert len(replies) == 1
    assert replies.pop().startswith("535 ")
    assert covered.code(FROM) == 250
    assert covered.code(ELSEWHERE) == 550


def test_an_asterisk_gives_up(covered: Client) -> None:
    assert covered.code("AUTH PLAIN") == 334
    assert covered.code("*") == 501
    assert covered.code(f"AUTH PLAIN {GOOD}") == 235


@pytest.mark.parametrize(
    "rubbish", ["!", "AGFsaWNl=", "é", "=", "", base64.b64encode(b"alice").decode(), "AGFs\0aWNl"]
)
@pytest.mark.parametrize("prompted", [False, True])
def test_rubbish_is_no_credentials(covered: Client, rubbish: str, prompted: bool) -> None:
    if prompted or not rubbish:
        assert covered.code("AUTH PLAIN") == 334
        assert covered.code(rubbish) == 501
    else:
        assert 500 <= covered.code(f"AUTH PLAIN {rubbish}") <= 501
    assert covered.code(ELSEWHERE) == 503
    assert covered.code(f"AUTH PLAIN {GOOD}") == 235


def test_a_bare_line_feed_ends_no_credentials(covered: Client) -> None:
    assert covered.code("AUTH PLAIN") == 334
    covered.send(f"{GOOD}\nNOOP\r\n".encode())
    assert covered.reply().startswith("501")
    assert covered.code("NOOP") == 250


def test_endless_credentials_are_refused(covered: Client) -> None:
    assert covered.code("AUTH PLAIN") == 334
    assert covered.code("A" * 100_000) == 500
    assert covered.code(f"AUTH PLAIN {GOOD}") == 235


@pytest.mark.parametrize("command", [f"AUTH PLAIN {GOOD}", "AUTH PLAIN", "AUTH plain *", "AUTH LOGIN"])
def test_nothing_is_taken_in_clear_text(clear: Client, command: str) -> None:
    assert clear.code(command) == 538
    assert "AUTH" not in clear.say(f"EHLO {NAME}")
    assert clear.code(FROM) == 250
    assert clear.code(ELSEWHERE) == 550


@pytest.mark.parametrize(
    ("command", "code"),
    [("AUTH", 504), ("AUTH LOGIN", 504), ("AUTH CRAM-MD5", 504), ("AUTH PLAINLY", 504)],
)
def test_other_mechanisms_are_unknown(covered: Client, command: str, code: int) -> None:
    assert covered.code(command) == code
    assert covered.code(f"AUTH PLAIN {GOOD}") == 235


def test_one_log_in_is_enough(covered: Client) -> None:
    assert covered.code(f"AUTH PLAIN {GOOD}") == 235
    assert covered.code(f"AUTH PLAIN {GOOD}") == 503


def test_there_is_no_log_in_within_a_message(covered: Client) -> None:
    assert covered.code(FROM) == 250
    assert covered.code(f"AUTH PLAIN {GOOD}") == 503
    assert covered.code("RSET") == 250
    assert covered.code(f"AUTH PLAIN {GOOD}") == 235


def test_who_has_not_greeted_cannot_log_in(mta: RunningMta, clear: Client) -> None:
    clear.start_tls(mta.state / "ca.pem")
    assert clear.code(f"AUTH PLAIN {GOOD}") == 503


def test_a_log_in_is_not_for_the_next_client(mta: RunningMta, covered: Client) -> None:
    assert covered.code(f"AUTH PLAIN {GOOD}") == 235
    with mta.connect(STRANGER) as other:
        other.greet()
        assert other.code(FROM) == 250
        assert other.code(ELSEWHERE) == 550


def test_no_password_is_written_down(mta: RunningMta, covered: Client) -> None:
    assert covered.code(f"AUTH PLAIN {GOOD}") == 235
    assert covered.code(f"AUTH PLAIN {token('alice', 'not this one')}") == 503
    log = (mta.state.parent / "mta.log").read_text("utf-8")
    assert PASSWORD not in log
    assert GOOD not in log
