"""The endpoints of the server under test, by its profile."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.profile.model import IDENTITIES, Profile
from harness.profile.tables import EndpointTable, RouteName, TlsBegins
from harness.smtp.command import Command
from harness.smtp.endpoint import Endpoint
from harness.smtp.identity import Identity, XClient
from harness.smtp.transport import Tcp, Transport, UnixSocket
from harness.verdicts import NotTestableError
from harness.wording import named
from harness.world.internet import Internet

# By these a server is told addresses that nobody has here.
TOLD = (RouteName.PROXY_V1, RouteName.PROXY_V2, RouteName.XCLIENT)


@dataclass(frozen=True)
class Endpoints:
    """Where a server takes connections: the first, at which clients are unless told otherwise, and others."""

    first: Endpoint
    others: Mapping[str, Endpoint] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Endpoint:
        """The one of that name; raises `NotTestableError` when the profile describes none."""
        if name in self.others:
            return self.others[name]
        known = f"; it describes {named(self.others)}" if self.others else ""
        raise NotTestableError(f"the profile has no [[endpoint]] with the name {name}{known}", "endpoint")

    def close(self) -> None:
        """Nobody connects any more."""
        for endpoint in (self.first, *self.others.values()):
            endpoint.close()


def endpoints_of(profile: Profile, internet: Internet) -> Endpoints:
    """All that a profile describes."""
    others = {}
    for table in profile.endpoint:
        route = table.route_beside(profile.clients.route)
        others[table.name] = Endpoint(
            _transport(profile, table),
            identity_of(route, internet),
            profile.tls_name if table.tls is TlsBegins.IMPLICIT else "",
            table.name,
        )
    return Endpoints(first_endpoint(profile, internet), others)


def first_endpoint(profile: Profile, internet: Internet) -> Endpoint:
    """That of `[server]` and `[clients]`."""
    server, clients = profile.server, profile.clients
    by_command = Command(clients.command, clients.delays, "clients.delays") if clients.command else None
    return Endpoint(by_command or Tcp(server.address, server.port), identity_of(clients.route, internet))


def identity_of(route: RouteName, internet: Internet) -> Identity:
    """How clients come by their addresses on a route."""
    return XClient(internet.host_at) if route is RouteName.XCLIENT else IDENTITIES[route]()


def _transport(profile: Profile, table: EndpointTable) -> Transport:
    if table.command:
        return Command(table.command, table.delays, f"delays of the endpoint {table.name}")
    if table.socket:
        return UnixSocket(table.socket)
    return Tcp(table.address or profile.server.address, table.port)
