"""Transcripts: every byte of the dialogue is in them, and no secret ever."""

import base64
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.smtp.transcript import KEPT_BURST, KEPT_END, Direction, RecordedLine, Transcript

C, S, EVENT = Direction.CLIENT, Direction.SERVER, Direction.EVENT

# The mask itself is no secret; what stands in every dialogue would be found without having been said.
secrets = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="*\r\n"), min_size=8, max_size=24
)
junk = st.binary(max_size=40).map(lambda data: data.replace(b"\n", b""))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def everything(transcript: Transcript) -> bytes:
    return b"".join(line.data for line in transcript.lines)


def said(*lines: bytes, secrets: list[str] | None = None) -> list[bytes]:
    """What is kept of what the client says."""
    transcript = Transcript(secrets or [])
    for line in lines:
        transcript.sent(0.0, line)
    return [line.data for line in transcript.lines]


def test_lines_come_in_the_order_of_their_times() -> None:
    transcript = Transcript()
    transcript.event(0.1, "connected")
    transcript.received(0.2, b"220 mx.example.org\r\n")
    transcript.sent(0.3, b"EHLO client.example\r\n")
    transcript.received(0.4, b"250-mx.example.org\r\n250-SI")
    transcript.received(0.5, b"ZE\r\n250 HELP\r\n")
    assert transcript.lines == (
        RecordedLine(0.1, EVENT, b"connected"),
        RecordedLine(0.2, S, b"220 mx.example.org\r\n"),
        RecordedLine(0.3, C, b"EHLO client.example\r\n"),
        RecordedLine(0.4, S, b"250-mx.example.org\r\n"),
        RecordedLine(0.5, S, b"250-SIZE\r\n"),
        RecordedLine(0.5, S, b"250 HELP\r\n"),
    )


def test_what_is_unfinished_is_shown_as_it_is() -> None:
    transcript = Transcript()
    transcript.received(0.1, b"220-mx\r\n220 wel")
    transcript.sent(0.2, b"QUI")
    assert [line.data for line in transcript.lines] == [b"220-mx\r\n", b"220 wel", b"QUI"]
    transcript.received(0.3, b"come\r\n")
    assert transcript.lines[-1] == RecordedLine(0.3, S, b"220 welcome\r\n")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"250 ok\r\n", "250 ok"),
        (b"250 ok\n", "250 ok\\n"),
        (b"a\rb\0c\x1b[0m\t\r\n", "a\\rb\\x00c\\x1b[0m\\t"),
        ("grüße\r\n".encode(), "grüße"),
        (b"\xff\r\n", "\\xff"),
        ("\u202egnp.exe\r\n".encode(), "\\u202egnp.exe"),
        (b"<script>\r\n", "<script>"),
    ],
)
def test_the_text_of_a_line_is_printable(data: bytes, text: str) -> None:
    assert RecordedLine(0.0, S, data).text == text


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_the_text_of_any_line_is_printable(data: bytes) -> None:
    assert RecordedLine(0.0, S, data).text.isprintable()


@settings(deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_every_byte_of_the_server_is_kept(data: bytes, places: list[int]) -> None:
    transcript = Transcript()
    for number, part in enumerate(cut(data, places)):
        transcript.received(number, part)
    assert everything(transcript) == data
    assert all(b"\n" not in line.data[:-1] for line in transcript.lines)


def test_a_long_message_is_kept_at_both_ends() -> None:
    message = b"".join(b"%07d\r\n" % number for number in range(100_000))
    assert len(message) > KEPT_BURST
    transcript = Transcript()
    transcript.sent(0.0, message)
    kept = b"".join(line.data for line in transcript.lines if line.direction is C)
    (left_out,) = [line.text for line in transcript.lines if line.direction is EVENT]
    lines = KEPT_END // 9 * 9  # whole ones
    assert kept == message[:lines] + message[-lines:]
    assert left_out == f"{len(message) - 2 * lines} bytes left out here"


@pytest.mark.parametrize("end", [b"\n", b""])
@given(st.integers(0, 2), st.integers(-12, 12))
def test_no_part_of_a_secret_is_kept_where_a_long_message_is_cut(end: bytes, where: int, by: int) -> None:
    content = bytearray(b"x" * (2 * KEPT_BURST) + b"\r\n")
    place = (KEPT_END, len(content) - KEPT_END, len(content) - 12)[where] + min(by, 0 if where == 2 else by)
    content[place : place + 8] = b"geheim42"
    content[100:101], content[-100:-99] = end or b"x", end or b"x"
    transcript = Transcript(["geheim42"])
    transcript.sent(0.0, bytes(content))
    kept = b"".join(line.data for line in transcript.lines)
    assert not any(part in kept for part in (b"geh", b"m42", b"heim"))
    assert len(kept) <= 2 * KEPT_END + 100


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b"AUTH PLAIN AGEAYg==\r\n", b"AUTH PLAIN ***\r\n"),
        (b"auth plain AGEAYg==\r\n", b"auth plain ***\r\n"),
        (b" AUTH\tPLAIN\t AGEAYg== x\n", b" AUTH\tPLAIN ***\n"),
        (b"AUTH PLAIN AGE\rAYg==\r\n", b"AUTH PLAIN ***\r\n"),
        (b"AUTH PLAIN,AGEAYg==\r\n", b"AUTH PLAIN ***\r\n"),
        (b"AUTH CRAM-MD5\r\n", b"AUTH CRAM-MD5\r\n"),
        (b"AUTH\r\n", b"AUTH\r\n"),
        (b"VRFY author\r\n", b"VRFY author\r\n"),
        (b"MAIL FROM:<> AUTH=<>\r\n", b"MAIL FROM:<> AUTH=<>\r\n"),
    ],
)
def test_credentials_in_the_command_are_masked(line: bytes, kept: bytes) -> None:
    assert said(line) == [kept]


def test_credentials_are_masked_in_the_middle_of_a_pipeline() -> None:
    pipeline = b"RSET\r\nAUTH PLAIN AGEAYg==\r\nNOOP\r\n"
    assert said(pipeline) == [b"RSET\r\n", b"AUTH PLAIN ***\r\n", b"NOOP\r\n"]
    assert said(b"AUTH LOGIN\r\nYQ==\r\nRSET\r\n") == [b"AUTH LOGIN\r\n", b"***\r\n", b"RSET\r\n"]


def test_credentials_are_masked_while_the_line_is_unfinished() -> None:
    assert said(b"AUTH PLA", b"IN AGEA") == [b"AUTH PLAIN ***"]
    assert said(b"AUTH LOGIN\r\n", b"YQ=") == [b"AUTH LOGIN\r\n", b"***"]


def test_what_answers_a_prompt_is_masked_and_nothing_else() -> None:
    transcript = Transcript()
    transcript.sent(0.0, b"AUTH LOGIN\r\n")
    for number, answer in enumerate([b"dXNlcg==\r\n", b"cGFzcw==\r\n"]):
        transcript.received(number + 0.1, b"334 VXNlcm5hbWU6\r\n")
        transcript.sent(number + 0.2, answer)
    transcript.received(2.0, b"235 welcome\r\n")
    transcript.sent(2.1, b"RSET\r\n")
    assert [line.data for line in transcript.lines if line.direction is C] == [
        b"AUTH LOGIN\r\n",
        b"***\r\n",
        b"***\r\n",
        b"RSET\r\n",
    ]


def test_a_refused_mechanism_hides_no_further_command() -> None:
    transcript = Transcript()
    transcript.sent(0.0, b"AUTH LOGIN\r\n")
    transcript.received(0.1, b"504 no\r\n")
    transcript.sent(0.2, b"QUIT\r\n")
    assert transcript.lines[-1].data == b"QUIT\r\n"


def test_an_echo_of_the_server_is_masked_and_noted() -> None:
    transcript = Transcript(["open sesame"])
    transcript.received(0.0, b"220 mx.example.org\r\n")
    assert not transcript.echoed
    transcript.received(0.1, b"535 wrong password: open ses")
    transcript.received(0.2, b"ame\r\n")
    assert transcript.echoed
    assert transcript.lines[-1].data == b"535 wrong password: ***\r\n"


@settings(deadline=None)
@given(st.data())
def test_no_secret_gets_in_however_it_comes(data: st.DataObject) -> None:
    hidden = data.draw(st.lists(secrets, min_size=1, max_size=3))
    raw = [secret.encode() for secret in hidden]
    blobs = [base64.b64encode(data.draw(junk) + secret + data.draw(junk)) for secret in raw]
    forms = [*raw, *(base64.b64encode(secret) for secret in raw), *blobs]
    line = st.lists(st.one_of(junk, st.sampled_from(forms)), max_size=4).map(
        lambda parts: b" ".join(parts) + b"\r\n"
    )
    transcript = Transcript(hidden)
    for at in range(data.draw(st.integers(1, 4))):
        stream = data.draw(line) + data.draw(line)
        record = transcript.sent if data.draw(st.booleans()) else transcript.received
        for part in cut(stream, data.draw(st.lists(st.integers(0, 200), max_size=4))):
            record(at, part)
        transcript.event(at, data.draw(line))
    kept = everything(transcript)
    for form in forms:
        assert form not in kept


@settings(deadline=None)
@given(secrets, secrets.map(lambda user: user.replace("\0", "")), st.booleans(), st.lists(st.integers(0, 99)))
def test_credentials_never_get_in_though_nobody_named_them(
    password: str, user: str, at_once: bool, places: list[int]
) -> None:
    credentials = base64.b64encode(f"\0{user}\0{password}".encode())
    transcript = Transcript()
    command = b"AUTH PLAIN " + credentials + b"\r\n" if at_once else b"AUTH PLAIN\r\n" + credentials + b"\r\n"
    for part in cut(command, places):
        transcript.sent(0.0, part)
        assert credentials not in everything(transcript)
    assert everything(transcript).count(b"***") == 1
    assert credentials[:12] not in everything(transcript)
