"""The order of commands: what stands in the wrong place, what has no path, and what ends a transaction."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.scenario import Client, Expect, Raw, Stage, Sut, Talk, message, needs, rule
from scenarios.rfc.reply_sets import REFUSED
from scenarios.rfc.transactions import (
    content,
    must_have_no_sender,
    must_have_no_transaction,
    must_have_transaction,
    nothing_is_left,
)

NOT_CLOSED, WITH_MORE = " FROM:<x@", ":<{}>z"  # which some servers read a path out of all the same
without_sender = pytest.mark.parametrize("argument", ["", " FROM:", NOT_CLOSED, f" FROM{WITH_MORE}"])
without_recipient = pytest.mark.parametrize("argument", ["", " TO:", " TO:<>", f" TO{WITH_MORE}"])
HOP = b"Received: from one.example by another.example; Thu, 1 Jan 2026 00:00:00 +0000\r\n"


def may_be_a_path(argument: str) -> bool:
    """Whether a lenient server may find one in it: what is refused is what it does not accept (§4.1.4)."""
    return argument == NOT_CLOSED or argument.endswith(WITH_MORE)


def admitted(argument: str) -> tuple[str, ...]:
    """What an argument may have in answer."""
    return ("2xx", *REFUSED) if may_be_a_path(argument) else REFUSED


def is_no_path(talk: Talk, argument: str, expect: Expect) -> None:
    """The case is not applicable where the server has just taken an argument that may be a path."""
    said = talk.conversation.last_written
    is_taken = expect.offence and said is not None and said.code < 400
    expect.applicable(
        not (is_taken and may_be_a_path(argument)),
        "this server takes that for a path, and which it takes is its own affair",
    )


@rule("session.out-of-order-503")
def test_rcpt_before_mail(client: Client, offence: bool, raw: Raw, sut: Sut) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.HELO)
        talk.fault(f"RCPT TO:<{sut.recipient}>").must_hear(503, 530)  # 530: TLS or AUTH before anything
        talk.says(f"MAIL FROM:<{client.sender}>").must_hear(250)


@rule("session.out-of-order-503")
@pytest.mark.parametrize("stage", [Stage.HELO, Stage.MAIL], ids=["before MAIL", "before RCPT"])
def test_data_without_a_recipient(client: Client, offence: bool, raw: Raw, stage: Stage) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(stage if offence else Stage.RCPT)
        must_have_no_transaction(talk, client, offence)


@rule("session.out-of-order-503")
@pytest.mark.parametrize("stage", [Stage.HELO, Stage.MAIL], ids=["before MAIL", "before RCPT"])
def test_refused_data_changes_nothing(
    client: Client, offence: bool, raw: Raw, sut: Sut, expect: Expect, stage: Stage
) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(stage)
        early = talk.fault("DATA").hears(354, *REFUSED).step.code
        expect.applicable(not offence or early != 354, "this server lets DATA pass without a recipient")
        if stage is Stage.MAIL:  # where no more is said than that it is out of order, all stays (§4.1.4)
            expect.applicable(
                early != 554, "554 to DATA says that the transaction has failed, so it may be over"
            )
        if stage is Stage.MAIL:
            talk.says(f"RCPT TO:<{sut.recipient}>").must_hear("25x")
        else:
            talk.says(f"MAIL FROM:<{client.sender}>").must_hear(250)


@rule("session.out-of-order-503")
def test_a_second_mail(client: Client, offence: bool, raw: Raw) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.RCPT)
        second = talk.fault(f"MAIL FROM:<{client.sender}>").must_hear("2xx", *REFUSED)
        if offence and second.step.code >= 400:
            must_have_transaction(talk, client)
        else:
            must_have_no_transaction(talk, client, offence)


@rule("session.bad-argument-keeps-state")
@without_sender
def test_mail_without_a_path(client: Client, offence: bool, raw: Raw, expect: Expect, argument: str) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.HELO)
        talk.fault("MAIL" + argument.format(client.sender)).must_hear(*admitted(argument))
        is_no_path(talk, argument, expect)
        talk.says(f"MAIL FROM:<{client.sender}>").must_hear(250)


@rule("session.bad-argument-keeps-state")
@without_sender
def test_mail_without_a_path_begins_no_transaction(
    client: Client, offence: bool, raw: Raw, expect: Expect, argument: str
) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.HELO)
        sound = f"MAIL FROM:<{client.sender}>"
        talk.fault("MAIL" + argument.format(client.sender), instead=(sound,)).hears(*REFUSED, 250)
        is_no_path(talk, argument, expect)
        must_have_no_sender(talk, client, offence)


@rule("session.bad-argument-keeps-state")
@without_recipient
def test_rcpt_without_a_path(
    client: Client, offence: bool, raw: Raw, sut: Sut, expect: Expect, argument: str
) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.MAIL)
        talk.fault("RCPT" + argument.format(sut.recipient)).must_hear(*admitted(argument))
        is_no_path(talk, argument, expect)
        talk.says(f"RCPT TO:<{sut.recipient}>").must_hear("25x")


@rule("session.bad-argument-keeps-state")
@without_recipient
def test_rcpt_without_a_path_adds_no_recipient(
    client: Client, offence: bool, raw: Raw, sut: Sut, expect: Expect, argument: str
) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.MAIL)
        sound = f"RCPT TO:<{sut.recipient}>"
        talk.fault("RCPT" + argument.format(sut.recipient), instead=(sound,)).hears(*REFUSED, "25x")
        is_no_path(talk, argument, expect)
        must_have_no_transaction(talk, client, offence)


@rule("session.bad-argument-keeps-state")
@without_recipient
def test_rcpt_without_a_path_drops_no_recipient(
    client: Client, offence: bool, raw: Raw, sut: Sut, expect: Expect, argument: str
) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.RCPT)
        talk.fault("RCPT" + argument.format(sut.recipient)).hears(*admitted(argument))
        is_no_path(talk, argument, expect)
        must_have_transaction(talk, client)


@rule("session.buffers-cleared")
@nothing_is_left
def test_nothing_is_left_of_a_message_that_was_taken(
    client: Client, offence: bool, raw: Raw, must_have_nothing: Callable[[Talk, Client, bool], None]
) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.DATA if offence else Stage.RCPT)
        if offence:
            talk.says(content(client), replies=1, stage=Stage.DATA).hears("2xx")
        must_have_nothing(talk, client, offence)


@rule("session.buffers-cleared")
@needs("mailbox")
def test_a_message_goes_to_its_own_recipients(
    client: Client, offence: bool, raw: Raw, sut: Sut, expect: Expect
) -> None:
    other = sut.another_recipient
    expect.applicable(
        sut.mail.keeps_apart(sut.recipient, other),
        f"{other} and {sut.recipient} have one mailbox",
    )
    first = replace(client, word="first", label="the first message")
    second = replace(client, word="second", label="the second message")
    client.be_known(other)
    with raw(first) as talk:
        talk.comes_to(Stage.DATA, other)
        talk.says(content(first, other), replies=1, stage=Stage.DATA).hears("2xx")
        if offence:
            talk.says(f"MAIL FROM:<{second.sender}>").hears(250)
            talk.says(f"RCPT TO:<{sut.recipient}>").hears("25x")
            talk.says("DATA").hears(354)
            talk.says(content(second), replies=1, stage=Stage.DATA).hears("2xx")
    if not offence:
        with raw(second) as talk:
            talk.comes_to(Stage.DATA)
            talk.says(content(second), replies=1, stage=Stage.DATA).hears("2xx")
    raw.must_deliver(second)
    raw.must_not_deliver(second, recipient=other)


@rule("session.failed-data-clears")
@pytest.mark.parametrize(
    "header",
    [HOP * 150, b"From: <<<>>\r\n"],  # more hops than there are on any way; what is no address
    ids=["loop", "no header"],
)
@nothing_is_left
def test_nothing_is_left_of_a_message_that_was_refused(
    client: Client,
    offence: bool,
    raw: Raw,
    expect: Expect,
    header: bytes,
    must_have_nothing: Callable[[Talk, Client, bool], None],
) -> None:
    with raw(client, offence) as talk:
        talk.comes_to(Stage.DATA if offence else Stage.RCPT)
        if offence:
            end = talk.says(header + content(client), replies=1, stage=Stage.DATA).hears("2xx", *REFUSED)
            expect.applicable(end.step.code >= 400, "this server takes a message with such a header")
        must_have_nothing(talk, client, offence)


@rule("session.half-message")
@pytest.mark.parametrize("has_reset", [False, True], ids=["closed", "reset"])
def test_a_message_whose_end_never_came(client: Client, offence: bool, raw: Raw, has_reset: bool) -> None:
    with raw(client, offence) as talk:
        _ends_within_a_message(talk, client, offence, has_reset=has_reset)
    _must_deliver_no_half(client, offence, raw)


@rule("session.half-message")
@needs("tls")
def test_a_message_whose_end_never_came_under_tls(client: Client, offence: bool, raw: Raw) -> None:
    with raw(client, offence) as talk:
        talk.begins_tls()
        _ends_within_a_message(talk, client, offence)  # without the farewell of TLS, too
    _must_deliver_no_half(client, offence, raw)


def _ends_within_a_message(talk: Talk, client: Client, offence: bool, *, has_reset: bool = False) -> None:
    talk.comes_to(Stage.DATA)
    if not offence:
        talk.says(content(client), replies=1, stage=Stage.DATA).must_hear("2xx")
        return
    talk.says(message(client, client.world.sut.recipient), stage=Stage.DATA)
    if has_reset:
        talk.breaks_off()


def _must_deliver_no_half(client: Client, offence: bool, raw: Raw) -> None:
    if offence:
        raw.must_not_deliver(client)
    else:
        raw.must_deliver(client)
