"""Dialogues with a server that plays a script: what the tests of sessions share."""

import contextlib
from collections.abc import Iterator, Sequence

from harness.smtp.endpoint import Endpoint
from harness.smtp.session import Session
from harness.smtp.transcript import Direction
from harness.smtp.transport import Tcp
from tests.hostile_server import Hear, HostileServer, Say, Step

CLIENT = "192.0.2.7"
PATIENT = 20.0  # seconds: never waited for where all is well
HASTY = 0.3  # seconds: waited out where a server does not answer
SOON = 5.0  # seconds: an upper bound for what happens at once

GREETING = Say(b"220 mx.example.org ESMTP\r\n")
OK = Say(b"250 ok\r\n")
GO_ON = Say(b"354 go on\r\n")
CONTENT = Hear(b"\r\n.\r\n")
BYE: list[Step] = [Hear(), Say(b"221 bye\r\n")]


@contextlib.contextmanager
def playing(
    *steps: Step, timeout: float = PATIENT, secrets: Sequence[str] = ()
) -> Iterator[tuple[Session, HostileServer]]:
    """A session, not yet opened, with a server that plays these steps."""
    with HostileServer([steps]) as server:
        session = Session(Endpoint(Tcp(*server.address)), CLIENT, reply_timeout=timeout, secrets=secrets)
        try:
            yield session, server
        finally:
            session.close()


def lines(session: Session, direction: Direction) -> bytes:
    """All that went one way."""
    return b"".join(line.data for line in session.transcript.lines if line.direction is direction)


def events(session: Session) -> str:
    """All that happened, an event a line."""
    return "\n".join(line.text for line in session.transcript.lines if line.direction is Direction.EVENT)
