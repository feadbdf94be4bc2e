"""The form of replies: of all that are said in dialogues with something odd in them."""

import re
from collections.abc import Callable

import pytest

from harness.scenario import (
    CLOSED,
    Client,
    Expect,
    FailedError,
    InconclusiveError,
    Raw,
    Stage,
    Step,
    Sut,
    Talk,
    needs,
    replies_must_be_sound,
    rule,
)

from .listed import must_be_sound_when_listed
from .reply_sets import ANY
from .transactions import content

ODD = {  # in each connection one of them, for servers cut off who makes several mistakes
    "unknown": b"XYZZY all",
    "long and unknown": b"XYZZY " + b"x" * 490,  # no longer than a command may be (RFC 5321 §4.5.3.1.4)
    "HELP": b"HELP",
    "VRFY": b"VRFY %recipient",
    "out of place": b"DATA",
    "no path": b"MAIL FROM:%sender",
    "unknown parameter": b"MAIL FROM:<%sender> XYZZY=1",
    "DEL in the sender": b"MAIL FROM:<x\x7fy@%domain>",
    "ESC in the greeting": b"EHLO a\x1b[1mb",
    "octets in the greeting": b"EHLO \xff\x80.example",
    "UTF-8 in the sender": "MAIL FROM:<\u00e9\u0436@%domain>".encode(),
    "octets in the sender": b"MAIL FROM:<x\xe9\x80@%domain>",
    "NUL in the sender": b"MAIL FROM:<x\0y@%domain>",
    "quoted sender": b'MAIL FROM:<"a\\"b c"@%domain>',
    "long sender": b"MAIL FROM:<" + b"x" * 400 + b"@%domain>",
}
ODD_RECIPIENTS = {
    "ESC in the recipient": b"RCPT TO:<a\x1b[1mb@%home>",
    "octets in the recipient": b"RCPT TO:<x\xe9\x80@%home>",
}
odd_lines = pytest.mark.parametrize(
    "line", [*ODD.values(), *ODD_RECIPIENTS.values()], ids=[*ODD, *ODD_RECIPIENTS]
)
CODE = re.compile(rb"[2-5][0-5][0-9](?![0-9])")
TEXT = re.compile(rb"[\t -~]*")
INTERNALS = re.compile(  # what somebody may have written as well is none
    rb"""
      Traceback\ \(most\ recent | \bat\ 0x[0-9a-f]{6} | \bFile\ "[^"\n]+",\ line\ [0-9]
    # an exception: with its package, alone where everybody has it, or as it is shown where it was caught
    | (?<![\w/.:@-]) (?:[A-Za-z_]\w*\.)+ [A-Z]\w*(?<!Perm)(?<!Temp)(?:Error|Exception)\b
    | (?<![\w/.:@-]) (?:(?:Assertion|Attribute|FileNotFound|Import|Index|IO|Key|ModuleNotFound|Name|NoMethod
        |NotImplemented|OS|OutOfMemory|Range|Recursion|Reference|Runtime|StackOverflow|Type|UnboundLocal
        |UnicodeDecode|UnicodeEncode|Value|ZeroDivision)Error | (?:[A-Z][a-z]+){2,}Exception)\b
    | (?<![\w/.:@\#=-]) \w+(?<!Perm)(?<!Temp)(?:Error|Exception)[):]  # PermError is SPF's (RFC 7208 2.6)
    # a file: its path, or its line; no host with a port, where the name ends as a country's does
    | (?<![\w/.:@=?&~-]) /(?:usr|home|opt|var|etc|srv|root|tmp|run|mnt|proc|s?bin|lib(?:32|64)?)/[\w.-]+
    | (?<!\w) [A-Z]:\\\w[\w.-]*
    | (?<![\w/.:@-]) /?(?:[\w.-]+/)*[\w-]+\.(?:c|cpp|cs|ex|exs|go|java|kt|lua|php|rb):(?:line\ )?[0-9]
    | (?<![\w/.:@-]) /?(?:[\w.-]+/)*[\w-]+\.[cm]?[jt]s:[0-9]+:[0-9]
    | (?<![\w/.:@-]) (?:/(?:[\w.-]+/)+|(?:src|lib)/(?:[\w.-]+/)*)[\w-]+\.(?:cc|pl|pm|py|rs):[0-9]
    | \bat\ \S+\.(?:pl|pm)\ line\ [0-9]
    """,
    re.VERBOSE,
)


@rule("reply.one-per-command")
@pytest.mark.parametrize(
    "line", [*ODD.values(), b"NOOP a b", b"RSET", b"EXPN all"], ids=[*ODD, "NOOP", "RSET", "EXPN"]
)
def test_a_command_has_one_reply(
    client: Client, offence: bool, raw: Raw, expect: Expect, line: bytes
) -> None:
    has_one_reply(client, offence, raw, expect, line)


@rule("reply.one-per-command")
@pytest.mark.parametrize("line", [b"", b"   "], ids=["empty", "blank"])
def test_a_line_without_a_command(
    client: Client, offence: bool, raw: Raw, expect: Expect, line: bytes
) -> None:
    has_one_reply(client, offence, raw, expect, line, may_have_none=True)


@rule("reply.one-per-command")
def test_commands_of_a_message_have_one_reply_each(
    client: Client, raw: Raw, sut: Sut, expect: Expect
) -> None:
    sender, recipient = f"MAIL FROM:<{client.sender}>", f"RCPT TO:<{sut.recipient}>"
    with raw(client) as talk:
        talk.hears(220)
        for line in (f"EHLO {client.host}", sender, recipient, "DATA"):  # each may have one that is left over
            talk.says(line).hears("2xx", 354)
        talk.says(content(client), replies=1, stage=Stage.DATA).hears("2xx", 354)
        talk.says("NOOP")
        come = [*talk.all_that_comes(), *talk.strays]
        ended = talk.conversation.broken
    expect.given(bool(come) and not ended, ended or "NOOP behind the message has no reply")
    expect.given(all(step.code != 421 for step in come), "the server ends its service with 421")
    if len(come) > 1:
        said = ", ".join(str(step.code) for step in come)
        raise FailedError(f"nothing is to be heard behind the message but one reply to NOOP, and not {said}")
    expect.observed = "one reply to each command of a message"
    expect.proven = True


@rule("reply.one-per-command")
def test_quit_has_one_reply(client: Client, raw: Raw, expect: Expect) -> None:
    with raw(client) as talk:
        talk.comes_to(Stage.HELO)
        talk.says("QUIT").hears(221)
        more = [*talk.all_that_comes(), *talk.strays]
        if not (more or talk.conversation.broken):  # it is silent, and has not closed the connection
            talk.must_not_be_slow()
    if more:
        said = ", ".join(str(step.code) for step in more)
        raise FailedError(f"nothing is to be heard behind the 221 to QUIT, and not {said}")
    expect.observed = "one reply to QUIT"
    expect.proven = expect.by_absence = True


@rule("reply.crlf-framed")
@odd_lines
def test_lines_of_all_replies(client: Client, offence: bool, raw: Raw, line: bytes) -> None:
    replies_must_be_sound(raw, client, offence, saying(client, line), unframed)


@rule("reply.crlf-framed")
def test_lines_of_replies_to_a_message(client: Client, raw: Raw) -> None:
    replies_must_be_sound(raw, client, None, sending, unframed)


@rule("reply.crlf-framed")
@needs("address", "dns")
@pytest.mark.parametrize("text", ["a\u0080\u00e9b", "a\x1b[1mb\x7f"], ids=["octets", "controls"])
def test_lines_of_a_refusal_with_the_words_of_a_list(
    client: Client, offence: bool, raw: Raw, sut: Sut, expect: Expect, text: str
) -> None:
    must_be_sound_when_listed(client, offence, raw, sut, expect, text, unframed)


@rule("reply.multiline")
@odd_lines
def test_codes_of_all_lines(client: Client, offence: bool, raw: Raw, line: bytes) -> None:
    replies_must_be_sound(raw, client, offence, saying(client, line), disjoint)


@rule("reply.multiline")
def test_codes_of_all_lines_to_a_message(client: Client, raw: Raw) -> None:
    replies_must_be_sound(raw, client, None, sending, disjoint)


@rule("reply.multiline")
@needs("address", "dns")
def test_codes_of_a_refusal_with_the_words_of_a_list(
    client: Client, offence: bool, raw: Raw, sut: Sut, expect: Expect
) -> None:
    must_be_sound_when_listed(client, offence, raw, sut, expect, "word " * 60, disjoint)


@rule("reply.code-range")
@odd_lines
def test_codes_of_all_replies(client: Client, offence: bool, raw: Raw, line: bytes) -> None:
    replies_must_be_sound(raw, client, offence, saying(client, line), miscoded)


@rule("reply.code-range")
def test_codes_of_replies_to_a_message(client: Client, raw: Raw) -> None:
    replies_must_be_sound(raw, client, None, sending, miscoded)


@rule("reply.line-512")
@odd_lines
def test_length_of_all_lines(client: Client, offence: bool, raw: Raw, line: bytes) -> None:
    replies_must_be_sound(raw, client, offence, saying(client, line), too_long)


@rule("reply.line-512")
@needs("address", "dns")
def test_refusal_with_the_long_words_of_a_list(
    client: Client, offence: bool, raw: Raw, sut: Sut, expect: Expect
) -> None:
    must_be_sound_when_listed(client, offence, raw, sut, expect, "word " * 400, too_long)


@rule("reply.line-512")
def test_length_of_replies_to_a_message(client: Client, raw: Raw) -> None:
    replies_must_be_sound(raw, client, None, sending, too_long)


@rule("reply.no-echo-injection")
@needs("address", "dns")
@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"], ids=["CRLF", "CR", "LF"])
def test_line_ends_in_the_words_of_a_list(
    client: Client, offence: bool, raw: Raw, sut: Sut, expect: Expect, end: str
) -> None:
    must_be_sound_when_listed(client, offence, raw, sut, expect, f"listed{end}{INJECTED}{end}", injected)


@rule("reply.no-echo-injection")
@pytest.mark.parametrize(
    "line",
    [b"EHLO a\r%b", b"EHLO a\n%b", b"MAIL FROM:<a\r%b>", b"RCPT TO:<a\r%b>", b"XYZZY\r%b"],
    ids=["CR in EHLO", "LF in EHLO", "CR in MAIL", "CR in RCPT", "CR in what is unknown"],
)
def test_line_ends_in_what_is_said(client: Client, offence: bool, raw: Raw, line: bytes) -> None:
    line = line.replace(b"%b", INJECTED.encode())
    replies_must_be_sound(raw, client, offence, saying(client, line), injected)


@rule("reply.no-internals")
@odd_lines
def test_what_replies_show(client: Client, offence: bool, raw: Raw, line: bytes) -> None:
    replies_must_be_sound(raw, client, offence, saying(client, line), telling_of_itself)


@rule("reply.no-internals")
def test_what_replies_to_a_message_show(client: Client, raw: Raw) -> None:
    replies_must_be_sound(raw, client, None, sending, telling_of_itself)


INJECTED = "250 2.0.0 injected"


def saying(client: Client, line: bytes) -> Callable[[Talk], None]:
    """A dialogue with an odd line in it, which the twin has a sound one for."""

    def say(talk: Talk) -> None:
        talk.comes_to(before(line))
        talk.fault(filled(client, line) + b"\r\n", instead=("NOOP",), replies=1)
        if isinstance(talk.hears_anything(), Step):
            return
        talk.says("NOOP")  # which a reply that is not whole may end with
        if not isinstance(talk.hears_anything(patiently=True), Step):
            raise InconclusiveError("neither the line nor NOOP behind it has a reply")

    return say


def sending(talk: Talk) -> None:
    """A dialogue with nothing odd in it: a message, and a second one that is not sent."""
    talk.comes_to(Stage.DATA)
    talk.says(content(talk.client), replies=1, stage=Stage.DATA).hears(*ANY)
    talk.says(f"MAIL FROM:<{talk.client.sender}>").hears(*ANY)
    talk.says("RSET").hears(*ANY)
    talk.says("QUIT").hears(*ANY, CLOSED)


def before(line: bytes) -> Stage:
    """Where an odd line is said: a recipient is looked at by those who have a sender."""
    return Stage.MAIL if line.startswith(b"RCPT") else Stage.HELO


def filled(client: Client, line: bytes) -> bytes:
    """The line with the client's names in it."""
    sut = client.world.sut
    names = {
        b"%recipient": sut.recipient,
        b"%home": sut.recipient.rpartition("@")[2],
        b"%sender": client.sender,
        b"%domain": client.identity.domain,
    }
    for name, value in names.items():
        line = line.replace(name, value.encode())
    return line


def has_one_reply(
    client: Client, offence: bool, raw: Raw, expect: Expect, line: bytes, *, may_have_none: bool = False
) -> None:
    """A line, and a NOOP behind it, have two replies; a reply that is not there is told by their number."""
    with raw(client, offence) as talk:
        talk.comes_to(Stage.HELO)
        talk.fault(filled(client, line) + b"\r\n", instead=("NOOP",), replies=1)
        seen = talk.hears_anything()
        come = [*([seen] if isinstance(seen, Step) else [])]
        lets_data_pass = bool(come) and come[0].code == 354
        expect.applicable(not lets_data_pass, "this server lets DATA pass without a recipient")
        talk.says("NOOP")
        come += talk.all_that_comes()
        if len(come) < 2 and not talk.conversation.broken:
            come += talk.all_before_quit()
        come += talk.strays
        talk.must_not_have_ended_as_documented()
        number, ended = len(come), talk.conversation.broken
    expect.given(number > 0 and not ended, ended or "neither the line nor NOOP behind it has a reply")
    expect.given(all(step.code != 421 for step in come), "the server ends its service with 421")
    fewest = 1 if may_have_none and offence else 2
    if number < fewest or number > 2:
        said = ", ".join(str(step.code) for step in come)
        text = f"the line and a NOOP behind it have {number} replies, and not {fewest}: {said}"
        raise FailedError(text) if offence else InconclusiveError(text)
    expect.observed = f"{number} replies to it and a NOOP"
    expect.proven = True


def lines_of(reply: bytes) -> list[bytes]:
    """Its lines with their ends."""
    return re.findall(rb"[^\n]*\n", reply)


def unframed(reply: bytes) -> str:
    """What is wrong with the frame of its lines."""
    for line in lines_of(reply):
        if not line.endswith(b"\r\n"):
            return "has a line that ends in a bare LF"
        if not TEXT.fullmatch(line[:-2]):
            return "has a character in it that no reply may have"
    return ""


def disjoint(reply: bytes) -> str:
    """What is wrong with how its lines hang together."""
    lines = lines_of(reply)
    if any(line[:3] != lines[0][:3] for line in lines):
        return "has more than one code"
    if lines[-1][3:4] == b"-":
        return "ends with a line that says that another one follows"
    if lines[-1][3:4] not in (b" ", b"\r", b"\n"):
        return "has no space behind the code of its last line"
    return ""


def miscoded(reply: bytes) -> str:
    """What is wrong with its codes."""
    return "" if all(CODE.match(line) for line in lines_of(reply)) else "has a code that there is not"


def too_long(reply: bytes) -> str:
    """What is wrong with the length of its lines."""
    return "has a line of more than 512 octets" if any(len(line) > 512 for line in lines_of(reply)) else ""


def injected(reply: bytes) -> str:
    """Whether somebody else's words begin a line, for whoever takes a CR or an LF for the end of one."""
    lines = re.split(rb"[\r\n]+", reply)
    is_theirs = any(line.startswith(INJECTED.encode()) for line in lines)
    return "has a line that somebody else has written" if is_theirs else ""


def telling_of_itself(reply: bytes) -> str:
    """What it shows of the server's making."""
    found = INTERNALS.search(b"\n".join(line[4:] for line in lines_of(reply)))
    return f"shows how the server is made ({found[0].decode('ascii', 'replace')})" if found else ""
