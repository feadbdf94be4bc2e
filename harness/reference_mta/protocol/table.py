"""Which command has its place where, and what its reply leads to: RFC 5321 §4.1.4 as a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto


class State(Enum):
    """Where a connection is."""

    CONNECTED = auto()  # nothing has been said to the client
    TURNED_AWAY = auto()  # a refusal stood in place of the greeting (RFC 5321 §3.1)
    UNGREETED = auto()
    GREETED = auto()  # HELO or EHLO was accepted, no message is begun
    SENDER = auto()  # MAIL was accepted
    RECIPIENTS = auto()  # and a RCPT at least
    CONTENT = auto()  # between 354 and the end of the content
    CHUNKS = auto()  # chunks of a message were accepted, the last is not among them (RFC 3030)
    SECRET = auto()  # between 334 and the client's answer (RFC 4954 §4)
    HANDSHAKE = auto()  # between the 220 of STARTTLS and TLS (RFC 3207 §4)
    ENDED = auto()  # nothing more is read


@dataclass(frozen=True)
class Row:
    """One command: where it has its place, and where the connection is after it is accepted or refused.

    Without a state to go to it stays where it was, as it always does when the command was `misspoken`: out of
    its place, or none by the grammar (RFC 5321 §4.1.4). A client that has not greeted gets from any of them
    to `UNGREETED` where the table says `GREETED`.
    """

    where: frozenset[State]
    accepted: State | None = None
    refused: State | None = None
    out_of_place: str = ""  # the reply where it has no place
    brings_bytes: bool = False  # content follows its line, which is to be read in any case
    misspoken: State | None = None


SESSION = frozenset((State.UNGREETED, State.GREETED, State.SENDER, State.RECIPIENTS, State.CHUNKS))
NO_MESSAGE = frozenset((State.UNGREETED, State.GREETED))
TABLE: Mapping[str, Row] = {
    "EHLO": Row(SESSION, State.GREETED),
    "HELO": Row(SESSION, State.GREETED),
    # What a client hears that has not greeted is for policy to say.
    "MAIL": Row(NO_MESSAGE, State.SENDER, out_of_place="503 5.5.1 One message after the other"),
    "RCPT": Row(
        frozenset((State.SENDER, State.RECIPIENTS)),
        State.RECIPIENTS,
        out_of_place="503 5.5.1 RCPT TO comes after MAIL FROM, and before content",
    ),
    "DATA": Row(
        frozenset((State.RECIPIENTS,)),
        State.CONTENT,
        out_of_place="503 5.5.1 DATA comes after RCPT TO, and not behind a chunk",
    ),
    "BDAT": Row(
        frozenset((State.RECIPIENTS, State.CHUNKS)),
        State.CHUNKS,
        State.GREETED,
        out_of_place="503 5.5.1 BDAT comes after RCPT TO, and not after the last chunk",
        brings_bytes=True,
    ),
    "RSET": Row(SESSION, State.GREETED),
    "NOOP": Row(SESSION),
    "HELP": Row(SESSION),
    "VRFY": Row(SESSION),
    "QUIT": Row(SESSION | {State.TURNED_AWAY}, State.ENDED, State.ENDED),
    "STARTTLS": Row(SESSION, State.HANDSHAKE),
    "AUTH": Row(
        frozenset((State.GREETED,)),
        State.GREETED,
        State.GREETED,
        out_of_place="503 5.5.1 AUTH comes after EHLO, and not within a message",
    ),
}
CONNECTING = Row(frozenset((State.CONNECTED,)), State.UNGREETED, State.TURNED_AWAY)
END_OF_CONTENT = Row(frozenset((State.CONTENT, State.CHUNKS)), State.GREETED, State.GREETED)
