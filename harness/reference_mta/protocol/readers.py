"""From a command to what the client has done: for each verb the function that reads its argument."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.reference_mta.protocol.chunks import read_chunk
from harness.reference_mta.protocol.commands import (
    Command,
    SyntaxFlawError,
    behind_colon,
    read_greeting,
    without_argument,
)
from harness.reference_mta.protocol.events import (
    Asked,
    ChunkAnnounced,
    ContentAsked,
    CredentialsAsked,
    Event,
    Farewell,
    Greeted,
    RecipientGiven,
    Reset,
    SenderGiven,
    TlsAsked,
)
from harness.reference_mta.protocol.limits import Limits
from harness.reference_mta.protocol.parameters import read_parameters
from harness.reference_mta.protocol.paths import NULL, Path, in_one_form, read_path
from harness.reference_mta.protocol.table import TABLE

NO_SENDER = "501 5.1.7 That is no sender"
NO_RECIPIENT = "501 5.1.3 That is no mailbox"
NOT_INTERNATIONAL = "553 5.6.7 Such an address needs SMTPUTF8"
TOO_LARGE = "552 5.3.4 Too much mail data"
NO_CHUNKS = "502 5.5.1 CHUNKING is not offered here"
BINARY = "503 5.5.1 Content that is BINARYMIME comes by BDAT"
FORGOTTEN = "250 2.0.0 Forgotten"
ANSWERS = {
    "NOOP": "250 2.0.0 Still here",
    "HELP": "214 2.0.0 See RFC 5321",
    "VRFY": "252 2.5.0 Send to it and see",  # it tells nobody who is a user (RFC 5321 §3.5.3)
}


@dataclass(frozen=True)
class Situation:
    """What the reading of a command depends on, beside its own bytes."""

    limits: Limits
    extended: bool  # the greeting that counts is EHLO
    offered: frozenset[str]  # the keywords of its reply
    international: bool  # the message that is begun asks for SMTPUTF8
    covered: bool  # TLS is on
    binary: bool = False  # that message says BODY=BINARYMIME


# Raises `SyntaxFlawError` or `ParameterError` for what cannot be taken; the text is the reply.
Reader = Callable[[Command, Situation], Event]


def _greeting(command: Command, _: Situation) -> Event:
    return Greeted(name=read_greeting(command), extended=command.verb == "EHLO")


def _mail(command: Command, situation: Situation) -> Event:
    found = read_path(behind_colon(command))
    if found is None:
        raise SyntaxFlawError(NO_SENDER)
    path, rest = found
    parameters = read_parameters(rest, "MAIL", situation.offered)
    if not path.domain and path != NULL:
        raise SyntaxFlawError(NO_SENDER)
    if not path.is_ascii and not parameters.international:
        raise SyntaxFlawError(NOT_INTERNATIONAL)
    if parameters.size > situation.limits.content:
        raise SyntaxFlawError(TOO_LARGE)
    return SenderGiven(path=_in_one_form(path, NO_SENDER), parameters=parameters)


def _rcpt(command: Command, situation: Situation) -> Event:
    found = read_path(behind_colon(command), almost=True)
    if found is None or found[0] == NULL:
        raise SyntaxFlawError(NO_RECIPIENT)
    path, rest = found
    parameters = read_parameters(rest, "RCPT", situation.offered)
    if not (path.is_ascii and parameters.is_ascii) and not situation.international:
        raise SyntaxFlawError(NOT_INTERNATIONAL)
    return RecipientGiven(path=_in_one_form(path, NO_RECIPIENT), parameters=parameters)


def _in_one_form(path: Path, refusal: str) -> Path:
    found = in_one_form(path)
    if found is None:
        raise SyntaxFlawError(refusal)
    return found


def _data(command: Command, situation: Situation) -> Event:
    without_argument(command)
    if situation.binary:
        raise SyntaxFlawError(BINARY)
    return ContentAsked(answer="354 End data with <CR><LF>.<CR><LF>")


def _bdat(command: Command, situation: Situation) -> Event:
    if not situation.extended:
        raise SyntaxFlawError("503 5.5.1 BDAT comes after EHLO")
    if "CHUNKING" not in situation.offered:
        raise SyntaxFlawError(NO_CHUNKS)
    chunk = read_chunk(command)
    return ChunkAnnounced(size=chunk.size, last=chunk.last)


def _rset(command: Command, _: Situation) -> Event:
    without_argument(command)
    return Reset(answer=FORGOTTEN)


def _quit(command: Command, _: Situation) -> Event:
    without_argument(command)
    return Farewell(answer="221 2.0.0 Bye")


def _starttls(command: Command, situation: Situation) -> Event:
    without_argument(command)
    if situation.covered:
        raise SyntaxFlawError("503 5.5.1 TLS is on already")
    return TlsAsked(answer="220 2.0.0 Ready to start TLS")


def _auth(command: Command, situation: Situation) -> Event:
    if not situation.extended:
        raise SyntaxFlawError(TABLE["AUTH"].out_of_place)
    mechanism, _, initial = command.argument.partition(" ")
    return CredentialsAsked(mechanism=mechanism.upper(), initial=initial.strip(" \t"))


def _asked(command: Command, _: Situation) -> Event:
    return Asked(answer=ANSWERS[command.verb])


def _vrfy(command: Command, situation: Situation) -> Event:
    """A name beyond ASCII needs the parameter SMTPUTF8 (RFC 6531 §3.7.4.2); the reply is ASCII anyhow."""
    name, space, parameter = command.argument.rpartition(" ")
    international = bool(space) and parameter.upper() == "SMTPUTF8" and "SMTPUTF8" in situation.offered
    if not (name.strip(" ") if international else command.argument):
        raise SyntaxFlawError("501 5.5.4 Syntax: VRFY <address>")
    if not (command.argument.isascii() or international):
        raise SyntaxFlawError(NOT_INTERNATIONAL)
    return Asked(answer=ANSWERS[command.verb])


READERS: Mapping[str, Reader] = {
    "EHLO": _greeting,
    "HELO": _greeting,
    "MAIL": _mail,
    "RCPT": _rcpt,
    "DATA": _data,
    "BDAT": _bdat,
    "RSET": _rset,
    "NOOP": _asked,
    "HELP": _asked,
    "VRFY": _vrfy,
    "QUIT": _quit,
    "STARTTLS": _starttls,
    "AUTH": _auth,
}
