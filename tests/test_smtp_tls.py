"""TLS: its facts, and the ways in which it fails."""

import ssl
from pathlib import Path

import pytest

from harness.smtp.session import Ending, SessionEnded
from harness.smtp.tls import verifying_context
from tests.certificate_file import self_signed
from tests.hostile_server import Drip, Hear, Reset, Say, Stall, StartTls, Step
from tests.smtp_dialogue import BYE, CONTENT, GO_ON, GREETING, HASTY, OK, PATIENT, events, playing


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server_side(certificate: Path) -> StartTls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return StartTls(context)


@pytest.fixture
def unverifying() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


READY: list[Step] = [GREETING, Hear(), Say(b"220 go ahead\r\n")]


def test_tls_without_verification(
    server_side: StartTls, unverifying: ssl.SSLContext, certificate: Path
) -> None:
    with playing(*READY, server_side, Hear(), OK, *BYE) as (session, server):
        session.open()
        assert session.tls is None
        assert session.start_tls(unverifying, "mx.example.org").code == 220
        facts = session.tls
        assert facts is not None
        assert session.command("EHLO client.example").code == 250
        session.quit_politely()
    assert facts.version == "TLSv1.3"
    assert facts.cipher.startswith("TLS_")
    assert facts.bits >= 128
    assert facts.chain[0] == ssl.PEM_cert_to_DER_cert(
        certificate.read_text().partition("-----BEGIN PRIVATE")[0]
    )
    assert (facts.verified, facts.verify_error) == (False, "the certificate was not checked")
    assert session.ending is Ending.QUIT
    assert server.heard[1:] == [b"EHLO client.example\r\n", b"QUIT\r\n"]
    assert "TLSv1.3" in events(session)


def test_tls_with_verification(server_side: StartTls, certificate: Path) -> None:
    with playing(*READY, server_side, *BYE) as (session, _):
        session.open()
        session.start_tls(ssl.create_default_context(cafile=certificate), "mx.example.org")
        assert session.tls is not None
        assert (session.tls.verified, session.tls.verify_error) == (True, "")
        session.quit_politely()


@pytest.mark.parametrize(("trusted", "name"), [(False, "mx.example.org"), (True, "other.example.org")])
def test_a_certificate_that_is_not_accepted(
    server_side: StartTls, certificate: Path, trusted: bool, name: str
) -> None:
    context = ssl.create_default_context(cafile=certificate if trusted else None)
    with playing(*READY, server_side, Stall()) as (session, _):
        session.open()
        with pytest.raises(SessionEnded, match="not accepted") as ended:
            session.start_tls(context, name)
        assert ended.value.ending is Ending.TLS_FAILED
        assert session.tls is not None
        assert not session.tls.verified
        assert session.tls.verify_error in ended.value.reason


@pytest.mark.parametrize(
    ("steps", "expected", "timeout"),
    [
        ([Hear(b"\x16\x03\x01"), Say(b"this is no handshake\r\n"), Stall()], Ending.TLS_FAILED, PATIENT),
        ([Hear(b"\x16\x03\x01"), Say(b"\x15\x03\x03\x00\x02\x02\x28"), Stall()], Ending.TLS_FAILED, PATIENT),
        ([Hear(b"\x16\x03\x01")], Ending.TLS_FAILED, PATIENT),
        ([Hear(b"\x16\x03\x01"), Reset()], Ending.TLS_FAILED, PATIENT),
        ([Stall()], Ending.TIMED_OUT, HASTY),
        ([Drip(b"\x16\x03\x03\x40\x00" + bytes(300), 0.02), Stall()], Ending.TIMED_OUT, HASTY),
    ],
    ids=["garbage", "alert", "close", "reset", "stall", "drip"],
)
def test_a_handshake_that_fails(
    steps: list[Step], expected: Ending, timeout: float, unverifying: ssl.SSLContext
) -> None:
    with playing(*READY, *steps, timeout=timeout) as (session, _):
        session.open()
        with pytest.raises(SessionEnded) as ended:
            session.start_tls(unverifying, "mx.example.org")
        assert ended.value.ending is expected
        assert ended.value.stage == "the TLS handshake"
        assert session.ending is expected


@pytest.mark.parametrize("name", ["", ".", "x" * 300, "\udcff"])
def test_a_name_that_tls_cannot_carry(name: str, server_side: StartTls, certificate: Path) -> None:
    with playing(*READY, server_side, Stall()) as (session, _):
        session.open()
        with pytest.raises(SessionEnded) as ended:
            session.start_tls(ssl.create_default_context(cafile=certificate), name)
        assert ended.value.ending is Ending.TLS_FAILED


def test_a_refused_starttls_changes_nothing(unverifying: ssl.SSLContext) -> None:
    with playing(GREETING, Hear(), Say(b"454 not now\r\n"), Hear(), OK, *BYE) as (session, _):
        session.open()
        assert session.start_tls(unverifying, "mx.example.org").code == 454
        assert session.tls is None
        assert session.command("NOOP").code == 250


@pytest.mark.parametrize("injected", [b"250 believe me\r\n", b"250 believe", b"250-a\r\n250 b\r\n250"])
def test_clear_text_does_not_pass_for_tls(
    injected: bytes, server_side: StartTls, unverifying: ssl.SSLContext
) -> None:
    go_ahead = Say(b"220 go ahead\r\n" + injected)
    with playing(GREETING, Hear(), go_ahead, server_side, Hear(), Say(b"550 secured\r\n"), *BYE) as (
        session,
        _,
    ):
        session.open()
        reply = session.start_tls(unverifying, "mx.example.org")
        assert reply.flaws == ("clear text behind the reply to STARTTLS",)
        assert reply in session.replies
        assert session.command("NOOP").text == "secured"


@pytest.mark.parametrize(
    ("steps", "expected", "timeout"),
    [
        ([], Ending.SERVER_CLOSED, PATIENT),
        ([Reset()], Ending.RESET, PATIENT),
        ([Say(b"rubbish\r\n"), Stall()], Ending.GARBAGE, PATIENT),
        ([Drip(b"250 " + b"x" * 300 + b"\r\n", 0.02)], Ending.TIMED_OUT, HASTY),
    ],
    ids=["close", "reset", "garbage", "drip"],
)
def test_ends_under_tls(
    steps: list[Step],
    expected: Ending,
    timeout: float,
    server_side: StartTls,
    unverifying: ssl.SSLContext,
) -> None:
    with playing(*READY, server_side, Hear(), *steps, timeout=timeout) as (session, _):
        session.open()
        session.start_tls(unverifying, "mx.example.org")
        with pytest.raises(SessionEnded) as ended:
            session.command("NOOP")
        assert ended.value.ending is expected


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files cannot be counted here")
@pytest.mark.parametrize("name", ["mx.example.org", ".", ""])
@pytest.mark.parametrize("last", [[Say(b"rubbish")], [Reset()], [Stall()]], ids=["garbage", "reset", "stall"])
def test_no_socket_is_left_behind(name: str, last: list[Step], certificate: Path) -> None:
    context = ssl.create_default_context(cafile=certificate)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with playing(*READY, *last, timeout=HASTY) as (session, _):
        session.open()
        with pytest.raises(SessionEnded) as ended:
            session.start_tls(context, name)
    assert ended.value.__cause__ is not None  # whose frames may hold a socket
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_long_messages_and_replies_under_tls(server_side: StartTls, unverifying: ssl.SSLContext) -> None:
    long = b"".join(b"250-%0200d\r\n" % number for number in range(200)) + b"250 end\r\n"
    message = b"x" * 998 + b"\r\n"
    script: list[Step] = [*READY, server_side, Hear(), Say(long), Hear(), GO_ON, CONTENT, OK, *BYE]
    with playing(*script) as (session, server):
        session.open()
        session.start_tls(unverifying, "mx.example.org")
        assert len(session.command("HELP").lines) == 201
        session.command("DATA")
        assert session.send_content(message * 2000).code == 250
        assert not session.closed_by_server(0.0)
        session.quit_politely()
    assert len(server.heard[3]) == 2000 * len(message) + 3


def test_smtplib_starts_tls_and_forgets(server_side: StartTls) -> None:
    ehlo = Say(b"250-mx.example.org\r\n250 STARTTLS\r\n")
    with playing(GREETING, Hear(), ehlo, Hear(), Say(b"220 go\r\n"), server_side, *BYE) as (session, _):
        session.connect()
        assert session.starttls() == (220, b"go")
        assert session.tls is not None
        assert not session.has_extn("starttls")
        assert session.ehlo_resp is None
        session.quit()


def test_a_careful_client_is_the_same_on_every_python() -> None:
    context = verifying_context()
    assert context.verify_flags == ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
