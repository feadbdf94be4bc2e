"""Greetings: who the server says to be, which names it takes, what EHLO lists and what that is worth."""

import re
from collections.abc import Callable

import pytest

from harness.scenario import (
    CLOSED,
    Client,
    Expect,
    FailedError,
    Internet,
    Kind,
    NewClient,
    Raw,
    Stage,
    Sut,
    Talk,
    needs,
    rule,
)
from scenarios.rfc.reply_sets import (
    ANY,
    IMPLEMENTED,
    NO_SYNTAX_ERROR,
    NOT_ACCEPTABLE,
    POLICY,
    REFUSED,
    SYNTAX_ERROR,
)
from scenarios.rfc.transactions import content, must_have_transaction, nothing_is_left

LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
HOST = re.compile(rf"{LABEL}(?:\.{LABEL})+|\[[!-Z^-~]+\]")  # of a name of a host, more than one label
KEYWORD_LINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(?: [!-~]+)*")
FOR_OLD_CLIENTS = "AUTH="
VERBS = pytest.mark.parametrize("verb", ["EHLO", "HELO"])
COVERED = pytest.mark.parametrize(  # some keywords are listed under TLS only
    "covered", [False, pytest.param(True, marks=needs("tls"))], ids=["in clear text", "under TLS"]
)
COMMANDS = {  # by the keyword that promises them, in a form that does no harm
    "VRFY": "VRFY postmaster",
    "EXPN": "EXPN postmaster",
    "HELP": "HELP",
    "ETRN": "ETRN {host}",
    "STARTTLS": "STARTTLS",
    "CHUNKING": "BDAT 0",  # behind a recipient, where it is in its place
    "AUTH": "AUTH {first}",
}
PARAMETERS = {
    "SIZE": "SIZE=1000",
    "8BITMIME": "BODY=8BITMIME",
    "SMTPUTF8": "SMTPUTF8",
    "DSN": "RET=HDRS",
    "BINARYMIME": "BODY=BINARYMIME",
    "DELIVERBY": "BY=86400;N",
    "MT-PRIORITY": "MT-PRIORITY=0",
    "FUTURERELEASE": "HOLDFOR=60",
    "AUTH": "AUTH=<>",
}
PARAMETERS_OF_RCPT = {"DSN": "NOTIFY=NEVER"}
REASONS = ("51x", "52x", "54x", *range(550, 555), 556)  # whatever but 555, an unknown parameter
MAY_REFUSE = {  # well-formed as they are, a server may have reasons against them
    "SIZE": (552,),  # RFC 1870 §6.1
    "DELIVERBY": REASONS,
    "MT-PRIORITY": REASONS,
    "FUTURERELEASE": REASONS,
}


def begins(talk: Talk, *, covered: bool) -> None:
    """Come to where EHLO is due, in clear text or under TLS."""
    if covered:
        talk.begins_tls()
    else:
        talk.hears(220)


def listed_for(client: Client, raw: Raw, *, covered: bool = False) -> dict[str, str]:
    """The keywords that EHLO lists, in upper case, with their parameters."""
    with raw(client, label="what EHLO lists") as talk:
        begins(talk, covered=covered)
        return talk.says(f"EHLO {client.host}").hears(250).step.keywords


def first_word(line: str) -> str:
    return line.partition(" ")[0]


def is_turned_away(talk: Talk, offence: bool, expect: Expect) -> None:
    """The opening message: 554 for those whom the server refuses at once, 220 for all others."""
    step = talk.hears("5xx" if offence else 220).step
    expect.applicable(
        not offence or step.code == 554, f"its clients are refused with {step.code}, and this is about 554"
    )


@rule("session.greeting")
def test_the_opening_message_names_the_server(client: Client, raw: Raw) -> None:
    with raw(client) as talk:
        line = talk.must_hear(220).step.text.partition("\n")[0]
    assert HOST.fullmatch(first_word(line)), (
        f"the opening message has {line[:80]!r} where the server's full name should stand, or its address "
        "in brackets"
    )


@rule("session.greeting-554")
def test_quit_of_who_is_turned_away(new_client: NewClient, offence: bool, raw: Raw, expect: Expect) -> None:
    with raw(new_client(Kind.REFUSED if offence else Kind.KNOWN), offence) as talk:
        is_turned_away(talk, offence, expect)
        talk.must_go_on()
        talk.says("QUIT").must_hear(221)
        talk.must_end()


@rule("session.greeting-554")
@pytest.mark.parametrize("line", ["EHLO {}", "HELO {}", "NOOP", "RSET"])
def test_who_is_turned_away_may_say_something(
    new_client: NewClient, offence: bool, raw: Raw, expect: Expect, line: str
) -> None:
    client = new_client(Kind.REFUSED if offence else Kind.KNOWN)
    with raw(client, offence) as talk:
        is_turned_away(talk, offence, expect)
        talk.says(line.format(client.host) if offence else "NOOP").hears(*ANY, CLOSED)
        talk.must_go_on()


@rule("session.commands-after-554")
@VERBS
def test_who_is_turned_away_cannot_greet(
    new_client: NewClient, offence: bool, raw: Raw, expect: Expect, verb: str
) -> None:
    client = new_client(Kind.REFUSED if offence else Kind.KNOWN)
    with raw(client, offence) as talk:
        is_turned_away(talk, offence, expect)
        talk.says(f"{verb} {client.host}").must_hear(*(REFUSED if offence else (250,)))


@rule("session.helo-plain")
def test_helo_lists_nothing(client: Client, raw: Raw, expect: Expect) -> None:
    listed = listed_for(client, raw)
    with raw(client) as talk:
        talk.hears(220)
        step = talk.says(f"HELO {client.host}").must_hear(250, "4xx", *POLICY).step
    expect.given(step.code == 250, f"whoever says HELO is refused, for whatever reason: {step}")
    found = sorted(step.keywords.keys() & listed)
    assert not found, f"HELO lists {', '.join(found)[:200]!r} as EHLO does"


@rule("session.ehlo-first-line")
@COVERED
def test_each_line_of_the_reply_to_ehlo(client: Client, raw: Raw, covered: bool) -> None:
    with raw(client) as talk:
        begins(talk, covered=covered)
        reply = talk.says(f"EHLO {client.host}").must_hear(250).step.reply
    first, *lines = reply.lines if reply else ("",)
    assert HOST.fullmatch(first_word(first)), f"the reply begins with {first[:80]!r} and no name of a server"
    for line in lines:
        assert KEYWORD_LINE.fullmatch(line) or line.startswith(FOR_OLD_CLIENTS), (
            f"the line {line[:80]!r} is no keyword with its parameters"
        )


@rule("session.ehlo-literal")
@pytest.mark.parametrize("literal", ["", "[IPv6:2001:db8::1]"], ids=["its own", "IPv6"])
def test_an_address_literal_is_no_syntax_error(
    client: Client, offence: bool, raw: Raw, expect: Expect, literal: str
) -> None:
    tag = "IPv6:" if ":" in client.address else ""
    with raw(client, offence) as talk:
        talk.hears(220)
        talk.fault(f"EHLO {literal or f'[{tag}{client.address}]'}", instead=(f"EHLO {client.host}",))
        step = talk.must_hear(*SYNTAX_ERROR, *NO_SYNTAX_ERROR, twin=250).step
    if step.code not in SYNTAX_ERROR:
        return
    # 500 and 501 are also for greetings that are not acceptable for whatever reason (RFC 5321 §4.1.4).
    enhanced = step.reply.enhanced if step.reply else None
    is_syntax = enhanced.startswith("5.5.") if enhanced else not literal
    expect.given(is_syntax, f"it is refused, and not for certain as an error of syntax: {step}")
    raise FailedError(f"an address literal is refused as an error of syntax: {step}")


@rule("session.ehlo-empty")
@VERBS
def test_a_greeting_without_a_name(client: Client, offence: bool, raw: Raw, verb: str) -> None:
    with raw(client, offence) as talk:
        talk.hears(220)
        talk.fault(verb, instead=(f"{verb} {client.host}",)).must_hear("5xx", twin=250)


@rule("session.ehlo-mismatch-accepted")
def test_mail_of_a_host_whose_name_has_another_address(
    client: Client, offence: bool, internet: Internet, raw: Raw, sut: Sut, expect: Expect
) -> None:
    name = client.name("elsewhere")
    client.publish(name, "A", internet.spare_address() if offence else client.address)
    with raw(client, offence) as talk:  # it may be kept waiting for its name, and is only not refused

        def is_taken(line: str | bytes, code: int | str, stage: Stage | None = None) -> None:
            said = talk.says(line, replies=1, stage=stage) if stage else talk.says(line)
            step = said.must_hear(code, "4xx", twin=(code,)).step
            expect.given(
                step.code < 400 or step.code >= 500,
                f"it was put off for its name, and nobody waits to see for how long: {step}",
            )

        talk.hears(220)
        is_taken(f"EHLO {name}", 250)
        is_taken(f"MAIL FROM:<{client.sender}>", 250)
        is_taken(f"RCPT TO:<{sut.recipient}>", "25x")
        is_taken("DATA", 354)
        is_taken(content(client), "2xx", Stage.DATA)


@rule("session.second-ehlo-resets")
@VERBS
@nothing_is_left
def test_a_second_greeting_drops_the_transaction(
    client: Client,
    offence: bool,
    raw: Raw,
    expect: Expect,
    verb: str,
    must_have_nothing: Callable[[Talk, Client, bool], None],
) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.RCPT)
        seen = talk.fault(f"{verb} {client.host}").must_hear(250, "4xx", *NOT_ACCEPTABLE[verb])
        expect.given(
            seen.step.code // 100 != 4,
            f"the second greeting is put off, for whatever reason: {seen.step}",
        )
        if offence and seen.step.code != 250:  # then all stays as it is
            must_have_transaction(talk, client)
        else:
            must_have_nothing(talk, client, offence)


@rule("session.refused-ehlo-keeps-state")
def test_a_refused_greeting_is_none(client: Client, offence: bool, raw: Raw, expect: Expect) -> None:
    with raw(client, offence) as talk:
        talk.hears(220)
        talk.fault("EHLO").hears("5xx")
        mail = talk.says(f"MAIL FROM:<{client.sender}>").must_hear(*REFUSED, twin=("2xx", *REFUSED))
        needs_greeting = offence or mail.step.code >= 400
        if not offence and needs_greeting:  # for no other reason: whoever has greeted is served
            talk.says(f"EHLO {client.host}").hears(250)
            talk.says(f"MAIL FROM:<{client.sender}>").hears(250)
    expect.applicable(needs_greeting, "this server takes MAIL from clients that have not greeted")


@rule("session.refused-ehlo-keeps-state")
def test_a_refused_greeting_drops_no_transaction(client: Client, offence: bool, raw: Raw) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.RCPT)
        talk.fault("EHLO").hears("5xx")
        must_have_transaction(talk, client)


@rule("session.keywords-honoured")
@COVERED
def test_commands_of_listed_extensions(client: Client, raw: Raw, expect: Expect, covered: bool) -> None:
    listed = listed_for(client, raw, covered=covered)
    wanted = [keyword for keyword in COMMANDS if keyword in listed]
    expect.applicable(bool(wanted), "EHLO lists no extension that has a command")
    for keyword in wanted:
        line = COMMANDS[keyword].format(host=client.host, first=first_word(listed[keyword]))
        with raw(client, label=keyword) as talk:
            begins(talk, covered=covered)
            talk.comes_to(Stage.RCPT if keyword == "CHUNKING" else Stage.HELO)
            talk.says(line).must_hear(*IMPLEMENTED)


@rule("session.keywords-honoured")
@COVERED
def test_parameters_of_listed_extensions(
    client: Client, offence: bool, raw: Raw, expect: Expect, covered: bool
) -> None:
    listed = listed_for(client, raw, covered=covered)
    wanted = [keyword for keyword in PARAMETERS if keyword in listed]
    expect.applicable(bool(wanted), "EHLO lists no extension that has a parameter")
    doubts: list[str] = []
    for keyword in wanted:
        with raw(client, offence, label=keyword) as talk:
            begins(talk, covered=covered)
            talk.comes_to(Stage.HELO)
            doubts.append(
                _is_honoured(talk, f"MAIL FROM:<{client.sender}>", keyword, PARAMETERS[keyword], expect)
            )
    expect.given(not any(doubts), "; ".join(filter(None, doubts)))


@rule("session.keywords-honoured")
@COVERED
def test_parameters_of_rcpt_of_listed_extensions(
    client: Client, offence: bool, raw: Raw, sut: Sut, expect: Expect, covered: bool
) -> None:
    listed = listed_for(client, raw, covered=covered)
    wanted = [keyword for keyword in PARAMETERS_OF_RCPT if keyword in listed]
    expect.applicable(bool(wanted), "EHLO lists no extension that has a parameter of RCPT")
    doubts: list[str] = []
    for keyword in wanted:
        with raw(client, offence, label=keyword) as talk:
            begins(talk, covered=covered)
            talk.comes_to(Stage.MAIL)
            doubts.append(
                _is_honoured(talk, f"RCPT TO:<{sut.recipient}>", keyword, PARAMETERS_OF_RCPT[keyword], expect)
            )
    expect.given(not any(doubts), "; ".join(filter(None, doubts)))


@rule("session.unlisted-not-honoured")
def test_expn_that_is_not_listed(client: Client, raw: Raw, expect: Expect) -> None:
    listed = listed_for(client, raw)
    expect.applicable("EXPN" not in listed, "EHLO lists EXPN")
    with raw(client) as talk:
        talk.comes_to(Stage.HELO)
        talk.says("EXPN postmaster").must_hear(252, *REFUSED)  # 252: switched off (RFC 5321 §7.3)


@rule("session.unlisted-not-honoured")
@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT], ids=str)
def test_a_parameter_that_nobody_knows(client: Client, offence: bool, raw: Raw, stage: Stage) -> None:
    with raw(client, offence) as talk:
        line = _up_to(talk, client, stage)
        talk.fault(f"{line} XHARNESS=1", instead=(line,)).must_hear(*REFUSED, twin=(250, 251))


def _is_honoured(talk: Talk, command: str, keyword: str, parameter: str, expect: Expect) -> str:
    """With the parameter a command is taken that is taken without it; else why nothing follows, if so."""
    talk.fault(f"{command} {parameter}", instead=(command,))
    if not expect.offence:
        talk.shows(talk.hears(250, 251).step)
        return ""
    step = talk.must_hear("2xx", "4xx", *MAY_REFUSE.get(keyword, ())).step
    return f"{parameter} is refused, for whatever reason: {step}" if step.code >= 400 else ""


def _up_to(talk: Talk, client: Client, stage: Stage) -> str:
    """Come to what is before MAIL or RCPT; the command that follows."""
    if stage is Stage.MAIL:
        talk.comes_to(Stage.HELO)
        return f"MAIL FROM:<{client.sender}>"
    talk.comes_to(Stage.MAIL)
    return f"RCPT TO:<{client.world.sut.recipient}>"
