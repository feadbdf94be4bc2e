"""A message that is about to be accepted: its envelope, what the client sent, and what this server adds."""

from dataclasses import dataclass

from harness.reference_mta.mail.requests import NONE, Requests


@dataclass(frozen=True)
class Message:
    """One message; the envelope recipients are those that were accepted at RCPT TO."""

    sender: str  # envelope sender; empty for the null sender
    recipients: tuple[str, ...]
    content: bytes  # as the client sent it, CRLF line ends
    annotations: tuple[str, ...] = ()  # header lines of this server, such as Received; they go on top
    international: bool = False  # it came with SMTPUTF8 (RFC 6531)
    requests: Requests = NONE  # what its sender wants to be told of it (RFC 3461)

    @property
    def head(self) -> bytes:
        """The header lines of this server."""
        return "".join(f"{line}\r\n" for line in self.annotations).encode("utf-8", "replace")

    @property
    def text(self) -> bytes:
        """The whole message, this server's header lines first."""
        return self.head + self.content
