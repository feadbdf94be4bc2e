"""Mutants of the rules about what single commands do, and how they are written (RFC 5321 §4.1.1, §2.4)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from harness.reference_mta.defects.commands import answering, read_by, ruled
from harness.reference_mta.defects.kinds import Mutant, speaking
from harness.reference_mta.protocol.commands import Command
from harness.reference_mta.protocol.events import Asked, Event
from harness.reference_mta.protocol.lines import LINE_END, LineReader
from harness.reference_mta.protocol.machine import NOT_IMPLEMENTED
from harness.reference_mta.protocol.parameters import ParameterError
from harness.reference_mta.protocol.parts import UNKNOWN_COMMAND, ProtocolParts, command
from harness.reference_mta.protocol.readers import READERS, Reader, Situation
from harness.reference_mta.protocol.table import NO_MESSAGE, SESSION, TABLE, Row, State

T = TypeVar("T")
EVERY_OTHER = "every other verb"  # as the table has them
UNREADABLE = b"?" + LINE_END  # what is no command, whoever reads it
GREETED = SESSION - {State.UNGREETED}


def _forgetting_nothing(given: Command, situation: Situation) -> Event:
    return Asked(answer=READERS["RSET"](given, situation).answer)


RESET = (
    ruled(
        "RSET",
        "session.rset",
        "off",
        "RSET leaves the transaction as it is",
        Row(SESSION),
        _forgetting_nothing,
    ),
    ruled("RSET", "session.rset", "weak-closes", "RSET ends the connection", Row(SESSION, State.ENDED)),
    ruled(
        "RSET",
        "session.rset",
        "strict-refused",
        "RSET within a transaction is out of order",
        replace(TABLE["RSET"], where=NO_MESSAGE, out_of_place="503 5.5.1 Not within a message"),
    ),
)


def _needing_a_greeting(verb: str, kind: str) -> Mutant:
    row = replace(TABLE[verb], where=GREETED, out_of_place="503 5.5.1 EHLO comes first")
    return ruled(verb, "session.before-ehlo", kind, f"{verb} is out of order before EHLO", row)


def _dropping(verb: str, kind: str) -> Mutant:
    row = replace(TABLE[verb], accepted=State.GREETED)
    return ruled(verb, "session.no-effect-verbs", kind, f"{verb} drops the transaction", row)


def _ending_at_errors(parts: ProtocolParts) -> ProtocolParts:
    for verb, row in TABLE.items():
        parts = parts.with_command(verb, row=replace(row, misspoken=State.ENDED))
    return _ending_at_the_unknown(parts)


def _ending_at_the_unknown(parts: ProtocolParts) -> ProtocolParts:
    """Where no row is known, that of NOOP is looked at."""
    return parts.with_command("NOOP", row=replace(parts.table["NOOP"], refused=State.ENDED))


EFFECTS = (
    _needing_a_greeting("RSET", "off"),
    _needing_a_greeting("VRFY", "weak-vrfy"),
    _dropping("VRFY", "off"),
    _dropping("HELP", "weak-help"),
    _dropping("NOOP", "weak-noop"),
    ruled(
        "QUIT",
        "session.quit",
        "off",
        "the connection stays after QUIT",
        replace(TABLE["QUIT"], accepted=None),
    ),
    read_by("QUIT", "session.quit", "weak-code", "QUIT is answered with 250", answering("250 2.0.0 Bye")),
    speaking(
        "session.no-close-on-error",
        "off",
        "the connection ends at the first error of syntax or order",
        _ending_at_errors,
        UNKNOWN_COMMAND,
        *map(command, TABLE),
    ),
    speaking(
        "session.no-close-on-error",
        "weak-unknown",
        "the connection ends at a command that is not known",
        _ending_at_the_unknown,
        UNKNOWN_COMMAND,
    ),
    ruled(
        "VRFY",
        "session.vrfy-implemented",
        "off",
        "VRFY is not known",
        Row(frozenset(), out_of_place="500 5.5.2 That command is not known here"),
    ),
    ruled(
        "VRFY",
        "session.vrfy-implemented",
        "weak-502",
        "VRFY is not implemented",
        Row(frozenset(), out_of_place="502 5.5.1 That command is not implemented"),
    ),
    read_by(
        "VRFY",
        "session.vrfy-no-false-250",
        "off",
        "VRFY says of everybody that he is here",
        answering("250 2.1.5 <somebody@example.org>"),
    ),
)


class _ForEveryVerb(Mapping[str, T]):
    """What is known of verbs, and something else for all others but those that are not implemented."""

    def __init__(self, known: Mapping[str, T], other: T) -> None:
        self._known = known
        self._other = other

    def __getitem__(self, verb: str) -> T:
        return self._known[verb] if verb in NOT_IMPLEMENTED else self._known.get(verb, self._other)

    def __iter__(self) -> Iterator[str]:
        return iter((*self._known, EVERY_OTHER))

    def __len__(self) -> int:
        return len(self._known) + 1


def _knowing_every_verb(parts: ProtocolParts) -> ProtocolParts:
    ignored = answering("250 2.0.0 Nothing happens")
    return replace(
        parts,
        table=_ForEveryVerb(parts.table, Row(SESSION)),
        readers=_ForEveryVerb(parts.readers, ignored),
    )


class _WithoutSpaces(LineReader):
    """Takes white space at the end of a command for a part of it."""

    def take(self, given: bytearray, most: int) -> bytes | None:
        line = super().take(given, most)
        is_odd = line is not None and _verb(line) in TABLE and line[: -len(LINE_END)].endswith((b" ", b"\t"))
        return UNREADABLE if is_odd else line


class _InCapitals(LineReader):
    """Knows DATA in capital letters only."""

    def take(self, given: bytearray, most: int) -> bytes | None:
        line = super().take(given, most)
        is_odd = line is not None and _verb(line) == "DATA" and not line.startswith(b"DATA")
        return UNREADABLE if is_odd else line


class _Hasty(LineReader):
    """Does not wait for the end of the line that NOOP stands in."""

    def take(self, given: bytearray, most: int) -> bytes | None:
        if given.upper() == b"NOOP":
            given.clear()
            return b"NOOP" + LINE_END
        return super().take(given, most)


def _verb(line: bytes) -> str:
    return line[: -len(LINE_END)].partition(b" ")[0].rstrip(b"\t").decode("ascii", "replace").upper()


def _parameters_in_capitals(given: Command, situation: Situation) -> Event:
    if " SIZE=" in given.argument.upper() and " SIZE=" not in given.argument:
        raise ParameterError("555 5.5.4 That parameter is not known here")
    return READERS["MAIL"](given, situation)


def _without_argument(verb: str) -> Reader:
    def read(given: Command, situation: Situation) -> Event:
        return READERS[verb](replace(given, argument=""), situation)

    return read


WRITING = (
    speaking(
        "session.unknown-command",
        "off",
        "a command that is not known is answered with 250",
        _knowing_every_verb,
        UNKNOWN_COMMAND,
    ),
    *(
        read_by(
            verb,
            "session.arguments-on-argless",
            kind,
            f"{verb} is obeyed, whatever is behind it",
            _without_argument(verb),
        )
        for verb, kind in (("RSET", "off"), ("DATA", "weak-data"))
    ),
    speaking(
        "session.trailing-space",
        "off",
        "white space behind a command makes it unreadable",
        lambda parts: replace(parts, lines=_WithoutSpaces),
        *map(command, ("NOOP", "RSET", "DATA")),
    ),
    speaking(
        "session.verb-case",
        "off",
        "DATA is known in capital letters only",
        lambda parts: replace(parts, lines=_InCapitals),
        command("DATA"),
    ),
    read_by(
        "MAIL",
        "session.verb-case",
        "weak-parameter",
        "SIZE of MAIL is known in capital letters only",
        _parameters_in_capitals,
    ),
    speaking(
        "session.unterminated-line",
        "off",
        "NOOP is answered before its line has ended",
        lambda parts: replace(parts, lines=_Hasty),
        command("NOOP"),
    ),
)

RFC_COMMAND_MUTANTS: tuple[Mutant, ...] = (*RESET, *EFFECTS, *WRITING)
