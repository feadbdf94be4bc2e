"""Where a message ends, and where it does not, whatever stands there instead."""

import pytest

from harness.scenario import (
    CLOSED,
    SILENCE,
    Client,
    Expect,
    FailedError,
    InconclusiveError,
    MailHosts,
    NeverCameError,
    Raw,
    Stage,
    Step,
    Sut,
    message,
    must_end_data,
    must_not_end_data,
    rule,
)

REFUSED = ("4xx", "5xx")
FAREWELL = 221
BARE = pytest.mark.parametrize("bare", [b"\n", b"\r"], ids=["LF", "CR"])


@rule("eod.lf-dot-lf")
def test_dot_between_bare_lfs(client: Client, offence: bool, raw: Raw) -> None:
    must_not_end_data(raw, client, offence, b"\n.\n")


@rule("eod.lf-dot-crlf")
def test_dot_behind_a_bare_lf(client: Client, offence: bool, raw: Raw) -> None:
    must_not_end_data(raw, client, offence, b"\n.\r\n")


@rule("eod.crlf-dot-lf")
def test_dot_before_a_bare_lf(client: Client, offence: bool, raw: Raw) -> None:
    must_not_end_data(raw, client, offence, b"\r\n.\n")


@rule("eod.cr-dot-cr")
def test_dot_between_bare_crs(client: Client, offence: bool, raw: Raw) -> None:
    must_not_end_data(raw, client, offence, b"\r.\r")


@rule("eod.mixed")
@pytest.mark.parametrize(
    "form",
    [b"\r.\n", b"\n.\r", b"\r.\r\n", b"\r\n.\r"],
    ids=["CR dot LF", "LF dot CR", "CR dot CRLF", "CRLF dot CR"],
)
def test_dot_between_other_line_ends(client: Client, offence: bool, raw: Raw, form: bytes) -> None:
    must_not_end_data(raw, client, offence, form)


@rule("eod.crcrlf")
@pytest.mark.parametrize(
    "form", [b"\r\n.\r\r\n", b"\r\r\n.\r\r\n"], ids=["CRLF dot CRCRLF", "CRCRLF dot CRCRLF"]
)
def test_cr_too_many_beside_the_dot(client: Client, offence: bool, raw: Raw, form: bytes) -> None:
    must_not_end_data(raw, client, offence, form)


@rule("eod.nul-dot")
@pytest.mark.parametrize("form", [b"\r\n\0.\r\n", b"\r\n.\0\r\n"], ids=["NUL before", "NUL behind"])
def test_nul_beside_the_dot(client: Client, offence: bool, raw: Raw, form: bytes) -> None:
    must_not_end_data(raw, client, offence, form)


@rule("eod.space-dot")
@pytest.mark.parametrize(
    "form",
    [
        b"\r\n. \r\n",
        b"\r\n .\r\n",
        b"\r\n.\t\r\n",
        "\u2028.\u2028".encode(),
        "\u0085.\u0085".encode(),
        b"\x0b.\x0b",
    ],
    ids=["SP behind", "SP before", "HT behind", "U+2028", "U+0085", "VT"],
)
def test_what_is_no_line_end_beside_the_dot(client: Client, offence: bool, raw: Raw, form: bytes) -> None:
    must_not_end_data(raw, client, offence, form)


@rule("eod.bare-lf-command")
@BARE
def test_command_with_a_bare_line_end(client: Client, offence: bool, raw: Raw, bare: bytes) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.HELO)
        talk.fault(b"NOOP" + bare, instead=("NOOP",)).must_hear(SILENCE, CLOSED, *REFUSED, twin=250)
        if offence and talk.conversation.session.connected:
            talk.says(b"\r\n", replies=1).hears("2xx", *REFUSED, CLOSED)  # it was read, and waited for that


@rule("eod.bare-lf-command")
@BARE
def test_command_behind_a_bare_line_end(client: Client, offence: bool, raw: Raw, bare: bytes) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.HELO)
        talk.fault(b"NOOP" + bare + b"NOOP\r\n", instead=("NOOP",), replies=2)
        talk.must_hear("2xx", *REFUSED, CLOSED, twin=250)
        if talk.conversation.session.connected:
            talk.must_hear(SILENCE, CLOSED, *REFUSED, twin=SILENCE)


@rule("eod.bare-lf-content")
@pytest.mark.parametrize("where", ["header", "body"])
@BARE
def test_content_with_a_bare_line_end(
    trusted_client: Client, offence: bool, raw: Raw, sink: MailHosts, where: str, bare: bytes
) -> None:
    client, host = trusted_client, sink.host()
    recipient = f"friend@{host.domain}"
    line = b"one" + (bare if offence else b" ") + b"other\r\n"
    with raw(client, offence) as talk:
        talk.comes_to(Stage.DATA, recipient)
        text = message(client, recipient, body=line.decode() if where == "body" else "text\r\n")
        talk.says((b"X-Line: " + line if where == "header" else b"") + text, stage=Stage.DATA)
        end = talk.says(b".\r\n", replies=1, stage=Stage.DATA)
        seen = end.must_hear("2xx", *REFUSED, CLOSED, twin="2xx").seen
    if not isinstance(seen, Step) or seen.code >= 400:
        return
    try:
        content = host.arrival(client.token).content
    except NeverCameError as ending:
        raise InconclusiveError(f"{ending}; what is sent on was not seen") from None
    odd = content.replace(b"\r\n", b"")
    if b"\r" in odd or b"\n" in odd:
        raise FailedError(f"the message that came to {host.name} has a bare CR or LF in it, as it was sent")


@rule("eod.no-sync-loss")
@pytest.mark.parametrize(
    "form", [b"\n.\n", b"\n.\r\n", b"\r\n.\n"], ids=["LF dot LF", "LF dot CRLF", "CRLF dot LF"]
)
def test_commands_behind_what_is_refused(
    client: Client, offence: bool, raw: Raw, sut: Sut, expect: Expect, form: bytes
) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.DATA)
        talk.says(message(client, sut.recipient, body="text"), stage=Stage.DATA)
        commands = f"RSET\r\nNOOP\r\nMAIL FROM:<{client.sender}>\r\n".encode()
        end = b"\r\n.\r\n"
        talk.fault(form + commands + end, instead=(b"\r\n" + commands + end,), replies=1, stage=Stage.DATA)
        seen = (talk.must_hear("2xx", *REFUSED, CLOSED) if offence else talk.hears("2xx")).seen
        come = [*talk.all_that_comes(), *talk.strays]
        obeyed = [step for step in come if step.code // 100 in (2, 3) and step.code != FAREWELL]
        taken = isinstance(seen, Step) and seen.code < 300
        expect.applicable(
            not (obeyed and offence and taken),
            f"{form!r} is taken for the end and nothing is refused, which other rules are about",
        )
        if obeyed and offence:
            raise FailedError(f"what stood behind {form!r} was obeyed: nothing had asked for {obeyed[0]}")
        if obeyed:
            raise InconclusiveError(f"nothing had asked for {obeyed[0]}")
        expect.proven = True


@rule("eod.controls-kept")
def test_control_characters_in_a_body(
    client: Client, offence: bool, raw: Raw, sut: Sut, expect: Expect
) -> None:
    lines = (
        b"a\tb\r\nc\x0bd\r\ne\x0cf\r\ng\x1bh\r\ni\x7fj\r\n" if offence else b"ab\r\ncd\r\nef\r\ngh\r\nij\r\n"
    )
    with raw(client, offence) as talk:
        talk.comes_to(Stage.DATA)
        talk.says(message(client, sut.recipient, body="") + lines, stage=Stage.DATA)
        end = talk.says(b".\r\n", replies=1, stage=Stage.DATA)
        if expect.lets_through:
            step = end.must_hear("2xx", *REFUSED, twin="2xx").step
            expect.given(step.code < 400, f"it is refused, and no message is taken for certain: {step}")
        else:
            end.must_hear()
    if expect.lets_through or not offence:
        raw.must_deliver(client, lines.replace(b"\r\n", b"\n"))


@rule("eod.empty-data")
def test_dot_right_behind_the_go_ahead(client: Client, offence: bool, raw: Raw, sut: Sut) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.DATA)
        whole = message(client, sut.recipient) + b".\r\n"
        talk.fault(b".\r\n", instead=(whole,), replies=1, stage=Stage.DATA)
        must_end_data(talk)
        talk.must_go_on()


@rule("eod.unstuff")
def test_dots_at_the_beginning_of_lines(client: Client, offence: bool, raw: Raw, sut: Sut) -> None:
    sent, kept = (DOTTED, UNDOTTED) if offence else (PLAIN, PLAIN)
    with raw(client, offence) as talk:
        talk.comes_to(Stage.DATA)
        talk.says(message(client, sut.recipient, body="") + sent + b".\r\n", replies=1, stage=Stage.DATA)
        talk.must_hear("2xx")
    raw.must_deliver(client, kept.replace(b"\r\n", b"\n"))


@rule("eod.restuff")
def test_dots_of_mail_for_others(trusted_client: Client, offence: bool, raw: Raw, sink: MailHosts) -> None:
    client, host = trusted_client, sink.host()
    recipient = f"friend@{host.domain}"
    sent, kept = (DOTTED, UNDOTTED) if offence else (PLAIN, PLAIN)
    with raw(client, offence) as talk:
        talk.comes_to(Stage.DATA, recipient)
        talk.says(message(client, recipient, body="") + sent + b".\r\n", replies=1, stage=Stage.DATA)
        talk.must_hear("2xx")
    raw.must_reach(host, client, kept)


@rule("eod.split-writes")
def test_end_octet_by_octet(client: Client, offence: bool, raw: Raw, sut: Sut) -> None:
    end = b"first\r\n..\r\nlast\r\n.\r\n"
    with raw(client, offence) as talk:
        talk.comes_to(Stage.DATA)
        talk.says(message(client, sut.recipient, body=""), stage=Stage.DATA)
        octets = tuple(end[place : place + 1] for place in range(len(end)))
        talk.fault(*octets, instead=(end,), apart=0.05, replies=1, stage=Stage.DATA)
        must_end_data(talk, "2xx")
    if raw.mailbox:
        raw.must_deliver(client, b"first\n.\nlast\n")


@rule("eod.split-writes")
def test_end_in_one_piece_with_the_next_command(
    client: Client, offence: bool, raw: Raw, sut: Sut, expect: Expect
) -> None:
    with raw(client, offence) as talk:
        talk.hears(220)
        offered = talk.says(f"EHLO {client.host}").hears(250).step.keywords
        expect.applicable("PIPELINING" in offered, "the server does not list PIPELINING in answer to EHLO")
        talk.says(f"MAIL FROM:<{client.sender}>").hears(250)
        talk.says(f"RCPT TO:<{sut.recipient}>").hears("25x")
        talk.says("DATA").hears(354)
        talk.says(message(client, sut.recipient), stage=Stage.DATA)
        both = 2 if offence else 1
        talk.fault(b".\r\nQUIT\r\n", instead=(b".\r\n",), replies=both, stage=Stage.DATA)
        must_end_data(talk, "2xx")
        if offence and talk.must_hear("2xx", *REFUSED, SILENCE).seen is SILENCE:
            answer = talk.says("NOOP").hears("2xx").step
            expect.given(
                answer.code != FAREWELL, f"QUIT was answered after {talk.quiet:g} s and more: {answer}"
            )
            raise FailedError(f"QUIT in one piece with the end of the content was lost: NOOP has {answer}")


DOTTED = b"begin\r\n..\r\n...\r\n.x\r\n..x\r\nend\r\n"  # as it is sent
UNDOTTED = b"begin\r\n.\r\n..\r\nx\r\n.x\r\nend\r\n"  # and what that is
PLAIN = b"begin\r\nx\r\nend\r\n"
