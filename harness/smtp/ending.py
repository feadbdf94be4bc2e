"""How a session can end, and the exception that says so."""

from enum import StrEnum

from harness.smtp.reply import Reply


class Ending(StrEnum):
    """How a connection ended."""

    OPEN = "open"  # it has not
    QUIT = "quit"  # 221 to QUIT, then closed
    CLIENT_CLOSED = "client closed"  # by us, without QUIT
    SERVER_CLOSED = "server closed"  # by the server, in order (FIN)
    RESET = "reset"  # by the server, or something on the way, with RST
    TIMED_OUT = "timed out"  # nothing whole came in time
    REFUSED = "refused"  # nobody listens
    UNREACHABLE = "unreachable"  # no way there, or none from the wanted address
    GARBAGE = "garbage"  # what came is no SMTP
    TLS_FAILED = "TLS failed"
    NOT_INTRODUCED = "not introduced"  # the server does not take the client's address from us


class SessionEnded(Exception):
    """The session is over; the text is the reason, a sentence for reports."""

    def __init__(self, ending: Ending, stage: str, reason: str, reply: Reply | None) -> None:
        """`stage` says what was being done, `reply` is the last one that came, if any."""
        super().__init__(reason)
        self.ending = ending
        self.stage = stage
        self.reason = reason
        self.reply = reply
