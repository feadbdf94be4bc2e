"""Where the server listens beside its first port, and what is special there."""

from enum import StrEnum

from pydantic import Field

from harness import settings
from harness.settings.hosts import Address


class TlsBegins(StrEnum):
    """When TLS begins in a connection."""

    STARTTLS = "starttls"  # when the client asks for it (RFC 3207)
    IMPLICIT = "implicit"  # with its first octet, before the greeting (RFC 8314 §3)


class Listening(settings.Settings):
    """A port at which mail is taken from other servers, or with `submission` from accounts alone (RFC 6409).

    Without an address it is at that of [server].
    """

    port: int = Field(ge=0, le=65535)
    address: Address | None = None
    tls: TlsBegins = TlsBegins.STARTTLS
    submission: bool = False

    @property
    def covered(self) -> bool:
        """Whether TLS is on from the beginning."""
        return self.tls is TlsBegins.IMPLICIT

    def __str__(self) -> str:
        """What is special there, in words; empty where nothing is."""
        words = ("submission" if self.submission else "", "implicit TLS" if self.covered else "")
        return ", ".join(word for word in words if word)
