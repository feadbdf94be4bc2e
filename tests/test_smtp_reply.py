"""Replies: whatever bytes come, however they are cut, they are replies or garbage, within bounds."""

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.smtp.reply import (
    MAX_BYTES,
    MAX_LINE,
    MAX_LINES,
    MAX_WAITING,
    GarbageError,
    Reply,
    ReplyReader,
    parse_keywords,
)

codes = st.integers(200, 559).filter(lambda code: code // 10 % 10 < 6).map(str)
texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
pieces = st.sampled_from(
    [b"250", b"-", b" ", b"\r\n", b"\n", b"\r", b"\0", b"5.7.1", b"554 no\r\n", b"220-a\r\n"]
)
streams = st.one_of(st.binary(max_size=300), st.lists(pieces, max_size=40).map(b"".join))


def read(stream: bytes, cuts: list[int] | None = None) -> tuple[list[Reply], str]:
    """All replies of a stream that comes cut at some places, and why reading ended early, if it did."""
    reader = ReplyReader()
    replies: list[Reply] = []
    places = sorted({0, len(stream), *(cut for cut in cuts or [] if cut < len(stream))})
    try:
        for start, end in itertools.pairwise(places):
            reader.feed(stream[start:end])
            while reply := reader.take(at=1.0, seconds=0.5):
                replies.append(reply)
    except GarbageError as garbage:
        return replies, str(garbage)
    return replies, ""


def only(stream: bytes) -> Reply:
    replies, garbage = read(stream)
    assert not garbage
    (reply,) = replies
    return reply


def test_a_reply_of_one_line() -> None:
    reply = only(b"250 2.1.5 Recipient OK\r\n")
    assert (reply.code, reply.lines, reply.text) == (250, ("2.1.5 Recipient OK",), "2.1.5 Recipient OK")
    assert (reply.raw, reply.at, reply.seconds, reply.flaws) == (b"250 2.1.5 Recipient OK\r\n", 1.0, 0.5, ())


def test_words_of_a_folded_reply_are_found_across_its_lines() -> None:
    folded = only(b"554-5.7.1 listed by\r\n554-5.7.1 traps for  testing,\r\n554 5.7.1 see 5.7.1\r\n")
    assert folded.prose == "listed by traps for testing, see 5.7.1"
    assert only(b"550-5.1.1 No such\r\n550 user here\r\n").prose == "No such user here"
    assert (
        only(b"554-listed by\r\n554 5.7.1 traps\r\n").prose == "listed by 5.7.1 traps"
    )  # it is no code there
    assert only(b"550 5.7.1\r\n").prose == ""


def test_a_reply_of_several_lines() -> None:
    reply = only(b"250-mx.example.org\r\n250-SIZE 1000\r\n250 HELP\r\n")
    assert reply.lines == ("mx.example.org", "SIZE 1000", "HELP")
    assert reply.text == "mx.example.org\nSIZE 1000\nHELP"
    assert reply.flaws == ()


@pytest.mark.parametrize("stream", [b"250\r\n", b"250 \r\n", b"250-\r\n250\r\n"])
def test_text_may_be_missing(stream: bytes) -> None:
    reply = only(stream)
    assert reply.text.strip() == ""
    assert reply.flaws == ()


@pytest.mark.parametrize(
    ("code", "meaning"), [(220, "positive"), (354, "positive"), (451, "transient"), (550, "permanent")]
)
def test_the_class_of_a_code(code: int, meaning: str) -> None:
    reply = only(b"%d x\r\n" % code)
    found = [name for name in ("positive", "transient", "permanent") if getattr(reply, name)]
    assert found == [meaning]


@pytest.mark.parametrize(
    ("text", "enhanced"),
    [
        (b"5.7.1 Relaying denied", "5.7.1"),
        (b"4.7.123", "4.7.123"),
        (b"5.7.1: with a colon", None),
        (b"3.0.0 no such class", None),
        (b"Sorry, 5.7.1", None),
        (b"", None),
    ],
)
def test_the_enhanced_code(text: bytes, enhanced: str | None) -> None:
    assert only(b"550 " + text + b"\r\n").enhanced == enhanced


@pytest.mark.parametrize(
    ("stream", "flaws"),
    [
        (b"250 ok\n", ("bare LF",)),
        (b"250-a\n250 b\r\n", ("bare LF",)),
        (b"250 a\rb\r\n", ("bare CR",)),
        (b"250 a\0b\r\n", ("NUL byte",)),
        (b"250 \x1b[31m\r\n", ("control character",)),
        (b"250 gr\xc3\xbc\xc3\x9fe\r\n", ("byte above 127",)),
        (b"250OK\r\n", ("no space behind the code",)),
        (b"250\tOK\r\n", ("no space behind the code",)),
        (b"250-a\r\n550 b\r\n", ("codes differ between lines",)),
        (b"250 " + b"x" * 894 + b"\r\n", ("line of 900 bytes",)),
        (b"199 x\r\n", ("code 199",)),
        (b"999 x\r\n", ("code 999",)),
        (b"250 \0\xff\n", ("bare LF", "NUL byte", "byte above 127")),
    ],
)
def test_flaws_are_noted_and_the_reply_is_taken(stream: bytes, flaws: tuple[str, ...]) -> None:
    reply = only(stream)
    assert reply.flaws == flaws
    assert reply.raw == stream


def test_the_last_line_has_the_code() -> None:
    assert only(b"250-a\r\n550 b\r\n").code == 550


def test_bytes_that_are_no_utf_8_stay_visible() -> None:
    assert only(b"250 \xff\xc3\xbc\r\n").text == "\\xffü"


@pytest.mark.parametrize(
    "line",
    [b"hello", b"", b"25 x", b"2500 x", b"-250 x", b" 250 x", b"\xd9\xa2\xd9\xa5\xd9\xa0 x", b"\0" * 9],
)
def test_what_has_no_code_is_garbage(line: bytes) -> None:
    assert read(line + b"\r\n") == ([], "is no reply")


def test_garbage_does_not_spoil_the_reply_before_it() -> None:
    replies, garbage = read(b"250 ok\r\nrubbish\r\n")
    assert [reply.code for reply in replies] == [250]
    assert garbage == "is no reply"


def test_the_longest_line_and_one_byte_more() -> None:
    longest = b"250 " + b"x" * (MAX_LINE - 6) + b"\r\n"
    assert only(longest).flaws == (f"line of {MAX_LINE} bytes",)
    assert read(longest.replace(b"\r", b"x\r"))[1] == f"is a line of more than {MAX_LINE} bytes"


def test_a_line_without_end_is_refused_before_it_ends() -> None:
    assert read(b"250 " + b"x" * MAX_LINE)[1] == f"is a line of more than {MAX_LINE} bytes"


def test_the_longest_reply_and_one_line_more() -> None:
    reply = only(b"250-x\r\n" * (MAX_LINES - 1) + b"250 x\r\n")
    assert len(reply.lines) == MAX_LINES
    assert read(b"250-x\r\n" * MAX_LINES)[1] == f"is a reply without end ({MAX_LINES} lines)"


def test_a_reply_of_too_many_bytes_is_refused() -> None:
    line = b"250-" + b"x" * 4000 + b"\r\n"
    assert "without end" in read(line * (MAX_BYTES // len(line) + 1))[1]


def test_too_much_at_once_is_refused() -> None:
    reader = ReplyReader()
    reader.feed(b"250 x\r\n" * (MAX_WAITING // 7))
    with pytest.raises(GarbageError, match="bytes at once"):
        reader.feed(b"250 x\r\n")


def test_what_is_unfinished_can_be_discarded() -> None:
    reader = ReplyReader()
    reader.feed(b"250-a\r\n250")
    assert reader.take(0, 0) is None
    assert reader.unfinished
    assert reader.discard() == 10
    assert not reader.unfinished
    reader.feed(b"220 x\r\n")
    assert reader.take(0, 0) == Reply(220, ("x",), b"220 x\r\n", 0, 0, line=1)


@settings(deadline=None)
@given(streams, st.lists(st.integers(0, 300), max_size=12))
@example(b"250-a\r\n250 b\r\n", [7])
@example(b"250 a\r\n", [6])
def test_cuts_change_nothing(stream: bytes, cuts: list[int]) -> None:
    assert read(stream, cuts) == read(stream)
    assert read(stream, list(range(len(stream)))) == read(stream)


@settings(deadline=None)
@given(streams)
def test_any_bytes_are_replies_garbage_or_a_rest(stream: bytes) -> None:
    replies, garbage = read(stream)
    taken = b"".join(reply.raw for reply in replies)
    assert stream.startswith(taken)
    for reply in replies:
        assert 0 <= reply.code <= 999
        assert reply.lines
        assert len(reply.lines) <= MAX_LINES
        assert "\n" not in "".join(reply.lines)
    if not garbage:
        rest = stream[len(taken) :]
        assert not rest.endswith(b"\n") or rest.rsplit(b"\n", 2)[-2][3:4] == b"-"


@settings(deadline=None)
@given(codes, st.lists(texts, min_size=1, max_size=150))
def test_what_a_server_says_is_what_is_read(code: str, said: list[str]) -> None:
    marks = ["-"] * (len(said) - 1) + [" "]
    stream = "".join(f"{code}{mark}{text}\r\n" for mark, text in zip(marks, said, strict=True)).encode()
    reply = only(stream)
    assert (reply.code, reply.lines, reply.raw, reply.flaws) == (int(code), tuple(said), stream, ())


def test_keywords_of_an_ehlo_answer() -> None:
    reply = only(b"250-mx.example.org at your service\r\n250-SIZE 1000\r\n250-auth PLAIN\r\n250 starttls\r\n")
    assert parse_keywords(reply) == {"SIZE": "1000", "AUTH": "PLAIN", "STARTTLS": ""}


def test_keywords_listed_twice_and_badly() -> None:
    reply = only(b"250-mx\r\n250-AUTH PLAIN\r\n250-AUTH=LOGIN\r\n250-\r\n250-AUTH LOGIN\r\n250  HELP \r\n")
    assert parse_keywords(reply) == {"AUTH": "PLAIN LOGIN", "AUTH=LOGIN": "", "HELP": ""}


def test_a_refused_ehlo_lists_no_keywords() -> None:
    assert parse_keywords(only(b"550-no\r\n550 SIZE\r\n")) == {}
