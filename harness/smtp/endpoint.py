"""One place at which a server takes connections, and how we come there: transport, TLS, identity."""

import socket
from dataclasses import dataclass, replace

from harness.smtp.command import Command
from harness.smtp.identity import Argument, Ask, Bind, Identity, Own, XClient
from harness.smtp.reply import Reply
from harness.smtp.transport import Begun, Tcp, Transport, UnixSocket, unwatched

OWN = Own()


class CombinationError(ValueError):
    """A transport, an identity and TLS that do not go together; the text says why, and what to do."""


@dataclass(frozen=True)
class Endpoint:
    """How bytes travel and how a client's address is chosen are two things, which combine.

    With a `tls_name` TLS begins before the server's greeting, and that is the name that is asked for (SNI).
    What has to be said of a client by PROXY goes before the handshake, in clear text (PROXY protocol §2);
    XCLIENT is a command, and so comes under TLS. `name` is the profile's; the first endpoint has none.
    Raises `CombinationError`.
    """

    transport: Transport
    identity: Identity = OWN
    tls_name: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        """What does not go together is no endpoint."""
        check(type(self.transport), type(self.identity), tls=bool(self.tls_name))

    def __str__(self) -> str:
        """The place, and what is special about it."""
        special = [self.name, "" if isinstance(self.transport, Tcp) else self.transport.kind]
        special.append("TLS from the start" if self.tls_name else "")
        told = ", ".join(filter(None, special))
        return f"{self.transport} ({told})" if told else str(self.transport)

    @property
    def server(self) -> tuple[str, int]:
        """Host and port; a place that has none is a host by its text, on port 0."""
        if isinstance(self.transport, Tcp):
            return self.transport.host, self.transport.port
        return str(self.transport), 0

    def elsewhere(self, server: tuple[str, int]) -> "Endpoint":
        """Another instance of the server, over TCP in clear text, reached by the same identity.

        A command goes nowhere else.
        """
        if isinstance(self.transport, Command):
            return self
        return replace(self, transport=Tcp(*server), tls_name="", name="")

    def connect(
        self, client_address: str, timeout: float, begun: Begun = unwatched
    ) -> tuple[socket.socket, bytes]:
        """A connected socket, and what is to be sent on it before all else, as `Transport.connect` does.

        Raises `OSError`, and `ValueError` for an address of the client that is none.
        """
        source = self.identity.source(client_address)
        connected = self.transport.connect(client_address, source, timeout, begun)
        try:
            return connected, self.identity.preamble(client_address, connected)
        except BaseException:
            connected.close()
            raise

    def introduce(self, client_address: str, greeting: Reply, ask: Ask) -> Reply:
        """What is said of the client when the server has greeted us: its greeting for the client.

        Where nothing has to be said, that is the first greeting. Raises `IntroductionError`, and what `ask`
        raises.
        """
        if isinstance(self.identity, XClient):
            return self.identity.introduce(client_address, greeting, ask)
        return greeting

    @property
    def introduces(self) -> bool:
        """Whether the server greets us before it greets the client."""
        return isinstance(self.identity, XClient)

    @property
    def chooses_addresses(self) -> bool:
        """Whether a client has an address of its own there."""
        return not isinstance(self.identity, Own)

    def held(self, connection: socket.socket) -> float:
        """Seconds by which a server that does not wait says that it would have, since last asked.

        Raises `UnreadableDelayError`.
        """
        return self.transport.held(connection) if isinstance(self.transport, Command) else 0.0

    def close(self) -> None:
        """Nobody connects any more."""
        self.transport.close()


def check(transport: type[Transport], identity: type[Identity], *, tls: bool) -> None:
    """Raises `CombinationError` where these do not go together."""
    if (transport is Command) != (identity is Argument):
        raise CombinationError(
            "a command is told of a client by its argument, and nothing else is: "
            'route = "command" goes with a command, and only with that'
        )
    if transport is Command and tls:
        raise CombinationError("a command speaks on its standard input, where no TLS begins; leave out tls")
    if transport is UnixSocket and identity is Bind:
        raise CombinationError(
            "a unix socket knows no addresses, so none can be bound; set route to direct, proxy-v1, "
            "proxy-v2 or xclient"
        )
