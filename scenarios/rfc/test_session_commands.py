"""Single commands: what they do and leave alone, how they are written, and what nobody knows."""

from collections.abc import Callable

import pytest

from harness.scenario import CLOSED, SILENCE, Client, Expect, Raw, Stage, Sut, Talk, rule
from scenarios.rfc.reply_sets import ANY, IMPLEMENTED, IN_PLACE, REFUSED
from scenarios.rfc.transactions import must_have_transaction, nothing_is_left


@rule("session.rset")
@nothing_is_left
def test_rset_drops_the_transaction(
    client: Client, offence: bool, raw: Raw, must_have_nothing: Callable[[Talk, Client, bool], None]
) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.RCPT)
        talk.fault("RSET").must_hear(250)
        must_have_nothing(talk, client, offence)


@rule("session.rset")
def test_the_greeting_counts_on_after_rset(client: Client, offence: bool, raw: Raw) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.RCPT)
        talk.fault("RSET").must_hear(250)
        if offence:
            talk.says(f"MAIL FROM:<{client.sender}>").must_hear(250)
        talk.must_go_on()


@rule("session.rset")
def test_the_connection_stays_after_rset(client: Client, offence: bool, raw: Raw) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.HELO)
        talk.fault("RSET").hears(*ANY, CLOSED)
        talk.must_go_on()


@rule("session.before-ehlo")
@pytest.mark.parametrize(
    ("line", "wanted"),
    [("RSET", (250,)), ("NOOP", (250,)), ("HELP", IN_PLACE), ("VRFY postmaster", IN_PLACE)],
    ids=["RSET", "NOOP", "HELP", "VRFY"],
)
def test_commands_that_need_no_greeting(
    client: Client, offence: bool, raw: Raw, line: str, wanted: tuple[int | str, ...]
) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.CONNECT if offence else Stage.HELO)
        talk.says(line).must_hear(*wanted)


@rule("session.no-effect-verbs")
@pytest.mark.parametrize("line", ["NOOP", "NOOP x", "HELP", "VRFY postmaster", "EXPN postmaster"])
def test_commands_without_effect(client: Client, offence: bool, raw: Raw, line: str) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.RCPT)
        talk.fault(line).hears(*ANY)
        must_have_transaction(talk, client)


@rule("session.quit")
def test_quit_ends_the_connection(client: Client, offence: bool, raw: Raw) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.RCPT)
        talk.fault("QUIT").must_hear(221)
        if offence:
            talk.must_end()
        else:
            talk.must_go_on()


@rule("session.no-close-on-error")
@pytest.mark.parametrize(
    ("stage", "line"),
    [
        (Stage.CONNECT, "EHLO"),
        (Stage.HELO, "XYZZY"),
        (Stage.HELO, "MAIL FROM:<"),
        (Stage.HELO, "RCPT TO:<{}>"),
        (Stage.HELO, "DATA"),
        (Stage.MAIL, "RCPT TO:<>"),
    ],
    ids=["empty EHLO", "unknown", "half a path", "RCPT first", "DATA first", "no recipient"],
)
def test_one_error_does_not_end_the_connection(
    client: Client, offence: bool, raw: Raw, sut: Sut, expect: Expect, stage: Stage, line: str
) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(stage)
        said = talk.fault(line.format(sut.recipient)).hears(*ANY, CLOSED)
        expect.applicable(not offence or said.step.code != 354, "this server does not take that for an error")
        talk.must_go_on()


@rule("session.unknown-command")
def test_a_command_that_nobody_knows(client: Client, offence: bool, raw: Raw) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.HELO)
        talk.fault("XYZZY", instead=("NOOP",)).must_hear(500, 502, twin=250)


@rule("session.arguments-on-argless")
def test_rset_with_an_argument(client: Client, offence: bool, raw: Raw) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.RCPT)
        talk.fault("RSET now").must_hear(*REFUSED)
        must_have_transaction(talk, client)


@rule("session.arguments-on-argless")
def test_data_with_an_argument(client: Client, offence: bool, raw: Raw) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.RCPT)
        talk.fault("DATA now").must_hear(*REFUSED)
        must_have_transaction(talk, client)


@rule("session.trailing-space")
@pytest.mark.parametrize(
    ("stage", "line", "code"),
    [(Stage.HELO, "NOOP", 250), (Stage.HELO, "RSET", 250), (Stage.RCPT, "DATA", 354)],
)
def test_white_space_behind_a_command(
    client: Client, offence: bool, raw: Raw, stage: Stage, line: str, code: int
) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(stage)
        talk.fault(f"{line} \t\t", instead=(line,)).must_hear(code)


@rule("session.verb-case")
@pytest.mark.parametrize(
    ("stage", "line", "code"),
    [
        (Stage.CONNECT, "eHlO {host}", 250),
        (Stage.CONNECT, "hElO {host}", 250),
        (Stage.HELO, "mAiL fRoM:<{sender}>", 250),
        (Stage.MAIL, "rCpT tO:<{recipient}>", (250, 251)),
        (Stage.RCPT, "dAtA", 354),
        (Stage.HELO, "rSeT", 250),
    ],
    ids=["EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET"],
)
def test_letters_of_either_case(
    client: Client, offence: bool, raw: Raw, sut: Sut, stage: Stage, line: str, code: int | tuple[int, ...]
) -> None:
    verb, colon, rest = line.partition(":") if ":" in line else line.partition(" ")
    words = {"host": client.host, "sender": client.sender, "recipient": sut.recipient}
    with raw(client, offence) as talk:
        talk.comes_to(stage)
        upper = (verb.upper() + colon + rest).format(**words)
        talk.fault(line.format(**words), instead=(upper,)).must_hear(code)


@rule("session.verb-case")
def test_a_parameter_in_letters_of_either_case(
    client: Client, offence: bool, raw: Raw, expect: Expect
) -> None:
    line = f"MAIL FROM:<{client.sender}> "
    with raw(client, offence) as talk:
        talk.hears(220)
        listed = talk.says(f"EHLO {client.host}").hears(250).step.keywords
        expect.applicable("SIZE" in listed, "EHLO does not list SIZE")
        talk.fault(f"{line}sIzE=1000", instead=(f"{line}SIZE=1000",)).must_hear(250)


@rule("session.unterminated-line")
def test_a_command_whose_line_has_not_ended(client: Client, offence: bool, raw: Raw) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.HELO)
        talk.fault(b"NOOP", instead=("NOOP",)).must_hear(SILENCE, twin=250)
        if offence:
            talk.says(b"\r\n", replies=1).must_hear(250)


@rule("session.vrfy-implemented")
def test_vrfy_is_known(client: Client, raw: Raw, expect: Expect) -> None:
    with raw(client) as talk:
        talk.comes_to(Stage.HELO)
        step = talk.says("VRFY postmaster").must_hear(*IMPLEMENTED).step
    # §7.3 has 252 for who does not want to tell; there is a postmaster, so no refusal is an answer.
    expect.given(step.code < 400, f"VRFY is refused, and whether it is implemented is not told: {step}")


@rule("session.vrfy-no-false-250")
def test_vrfy_of_nobody(client: Client, offence: bool, raw: Raw, sut: Sut) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.HELO)
        talk.fault(f"VRFY {sut.unknown_recipient}", instead=(f"VRFY {sut.recipient}",))
        talk.must_hear(252, *REFUSED, twin=ANY)
