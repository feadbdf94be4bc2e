"""Mutants of the rules about the order of commands (RFC 5321 §4.1.4)."""

from dataclasses import replace

from harness.reference_mta.defects.commands import answering, read_by, ruled
from harness.reference_mta.defects.kinds import Mutant, speaking
from harness.reference_mta.protocol.commands import Command, SyntaxFlawError
from harness.reference_mta.protocol.content import ContentReader
from harness.reference_mta.protocol.events import Event, SenderGiven
from harness.reference_mta.protocol.lines import LINE_END
from harness.reference_mta.protocol.parts import CONTENT, ProtocolParts, command
from harness.reference_mta.protocol.readers import READERS, Reader, Situation
from harness.reference_mta.protocol.table import (
    NO_MESSAGE,
    SESSION,
    TABLE,
    Row,
    State,
)

GREETINGS = ("EHLO", "HELO")
IN_ORDER = "session.out-of-order-503"
OUT_OF_ORDER = (
    ruled("RCPT", IN_ORDER, "off", "RCPT is taken before MAIL", replace(TABLE["RCPT"], where=SESSION)),
    ruled(
        "RCPT",
        IN_ORDER,
        "weak-code",
        "RCPT before MAIL is refused, and not as out of order",
        replace(TABLE["RCPT"], out_of_place="550 5.5.1 Not so"),
    ),
    ruled(
        "DATA",
        IN_ORDER,
        "weak-data",
        "a message is taken without a recipient",
        replace(TABLE["DATA"], where=frozenset((State.SENDER, State.RECIPIENTS))),
    ),
    ruled(
        "MAIL",
        IN_ORDER,
        "weak-second-mail",
        "MAIL is taken at any time, and a message as if it had recipients",
        Row(SESSION, State.RECIPIENTS),
    ),
    ruled(
        "MAIL",
        IN_ORDER,
        "strict-drops",
        "a second MAIL is refused, and drops the transaction that was begun",
        replace(TABLE["MAIL"], misspoken=State.GREETED),
    ),
)


def _null_sender(given: Command, situation: Situation) -> Event:
    try:
        return READERS["MAIL"](given, situation)
    except SyntaxFlawError:
        return SenderGiven()


def _postmaster(given: Command, situation: Situation) -> Event:
    argument = given.argument if "@" in given.argument else "TO:<postmaster>"
    return READERS["RCPT"](replace(given, argument=argument), situation)


def _without_unknown(verb: str) -> Reader:
    def read(given: Command, situation: Situation) -> Event:
        known = [word for word in given.argument.split(" ") if not word.startswith("X")]
        return READERS[verb](replace(given, argument=" ".join(known)), situation)

    return read


ARGUMENTS = (
    read_by(
        "MAIL",
        "session.bad-argument-keeps-state",
        "off",
        "what is no path stands for the null sender",
        _null_sender,
    ),
    read_by(
        "RCPT",
        "session.bad-argument-keeps-state",
        "weak-rcpt",
        "RCPT without a mailbox is one for the postmaster",
        _postmaster,
    ),
    ruled(
        "RCPT",
        "session.bad-argument-keeps-state",
        "strict-drops",
        "RCPT without a path drops the transaction",
        replace(TABLE["RCPT"], misspoken=State.GREETED),
    ),
    ruled(
        "EXPN",
        "session.unlisted-not-honoured",
        "off",
        "EXPN is served and not listed",
        Row(SESSION),
        answering("250 2.1.5 <somebody@example.org>"),
    ),
    *(
        read_by(
            verb,
            "session.unlisted-not-honoured",
            f"weak-{verb.lower()}",
            f"a parameter of {verb} that nobody knows is passed over",
            _without_unknown(verb),
        )
        for verb in ("MAIL", "RCPT")
    ),
)


def _greeting_changes_nothing(parts: ProtocolParts) -> ProtocolParts:
    for verb in GREETINGS:
        parts = parts.with_command(verb, row=Row(SESSION))
    return parts.with_command("AUTH", row=replace(TABLE["AUTH"], where=NO_MESSAGE))


def _no_greeting_within(parts: ProtocolParts) -> ProtocolParts:
    for verb in GREETINGS:
        row = replace(TABLE[verb], where=NO_MESSAGE, out_of_place="503 5.5.1 Not within a message")
        parts = parts.with_command(verb, row=row)
    return parts


class _PieceByPiece(ContentReader):
    """Takes a piece that ends with a line for the whole message, whether its end has come or not."""

    def feed(self, data: bytearray) -> bytes | None:
        has_line = data.endswith(LINE_END)
        rest = super().feed(data)
        return b"" if rest is None and has_line else rest


TRANSACTIONS = (
    speaking(
        "session.second-ehlo-resets",
        "off",
        "a second greeting leaves the transaction as it is",
        _greeting_changes_nothing,
        *map(command, (*GREETINGS, "AUTH")),
    ),
    speaking(
        "session.second-ehlo-resets",
        "strict-refused",
        "a greeting within a transaction is out of order",
        _no_greeting_within,
        *map(command, GREETINGS),
    ),
    ruled(
        "EHLO",
        "session.refused-ehlo-keeps-state",
        "strict-drops",
        "an EHLO that is refused drops the transaction",
        replace(TABLE["EHLO"], misspoken=State.GREETED),
    ),
    speaking(
        "session.buffers-cleared",
        "off",
        "the transaction goes on behind a message that was taken",
        lambda parts: replace(parts, end_of_content=replace(parts.end_of_content, accepted=State.RECIPIENTS)),
        CONTENT,
    ),
    speaking(
        "session.failed-data-clears",
        "off",
        "the transaction goes on behind a message that was refused",
        lambda parts: replace(parts, end_of_content=replace(parts.end_of_content, refused=State.RECIPIENTS)),
        CONTENT,
    ),
    speaking(
        "session.half-message",
        "off",
        "what has come of a message is delivered, whether its end comes or not",
        lambda parts: replace(parts, content=_PieceByPiece),
        CONTENT,
    ),
)

RFC_SESSION_MUTANTS: tuple[Mutant, ...] = (*OUT_OF_ORDER, *ARGUMENTS, *TRANSACTIONS)
