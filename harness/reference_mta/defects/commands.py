"""How a command is broken: another row of the table, or another reader."""

from harness.reference_mta.defects.kinds import Mutant, speaking
from harness.reference_mta.protocol.commands import Command
from harness.reference_mta.protocol.events import Asked, Event
from harness.reference_mta.protocol.parts import UNKNOWN_COMMAND, ProtocolParts, command
from harness.reference_mta.protocol.readers import Reader, Situation
from harness.reference_mta.protocol.table import TABLE, Row


def ruled(
    verb: str, rule: str, kind: str, description: str, row: Row, reader: Reader | None = None
) -> Mutant:
    """A command has another row of the table, and perhaps another reader."""

    def other(parts: ProtocolParts) -> ProtocolParts:
        return parts.with_command(verb, row=row, reader=reader)

    return speaking(rule, kind, description, other, command(verb) if verb in TABLE else UNKNOWN_COMMAND)


def read_by(verb: str, rule: str, kind: str, description: str, reader: Reader) -> Mutant:
    """A command has its place, and is read otherwise."""
    return ruled(verb, rule, kind, description, TABLE[verb], reader)


def answering(answer: str) -> Reader:
    """Whatever is behind the command, it gets that answer, and nothing comes of it."""

    def read(_: Command, __: Situation) -> Event:
        return Asked(answer=answer)

    return read
