"""How the server listens, whom it asks, for whom it relays, and who has an account."""

import ipaddress
from typing import Self

from pydantic import Field, model_validator

from harness import settings
from harness.reference_mta.tables.values import CertificateName, PasswordHash, RelayNetwork, Seconds
from harness.settings.hosts import Address, DomainName, EndpointToCall, MailAddress


class Server(settings.Settings):
    """How it listens, and its numbers."""

    hostname: DomainName
    listen: Address = "127.0.0.1"
    port: int = Field(default=2525, ge=0, le=65535)
    allow_public: bool = False
    proxy_protocol: bool = False
    delay: float = Field(default=20.0, ge=0, le=600)  # seconds
    max_recipients: int = Field(default=20, ge=1, le=10000)
    size_limit: int = Field(default=52428800, ge=65536)  # bytes
    idle_timeout: Seconds = 300.0
    state: settings.File

    @model_validator(mode="after")
    def _loopback_unless_told(self) -> Self:
        if not self.allow_public and not ipaddress.ip_address(self.listen).is_loopback:
            raise ValueError(
                f"listen: {self.listen} is not loopback; set allow_public = true if strangers are to reach it"
            )
        return self


class Limits(settings.Settings):
    """How much clients may ask of the server; what is more is answered with 421, or 452 for content."""

    connections: int = Field(default=20000, ge=1, le=1000000)  # at once
    connections_of_client: int = Field(default=1000, ge=1, le=1000000)  # at once, of one address
    content_in_flight: int = Field(default=268435456, ge=65536)  # bytes of all messages that are under way
    message_time: Seconds = 3600.0  # for the content of one message
    hops: int = Field(default=100, ge=1, le=10000)  # Received fields of a message
    credentials: int = Field(default=10, ge=1, le=10000)  # refused AUTH commands of a connection
    idle_commands: int = Field(
        default=1000, ge=10, le=1000000
    )  # RSET, NOOP and the like since the last message


class Dns(settings.Settings):
    """The one name server that it asks."""

    server: EndpointToCall
    timeout: Seconds = 5.0  # seconds for one question
    attempts: int = Field(default=2, ge=1, le=10)


class Relay(settings.Settings):
    """Whom it relays for without a password."""

    from_hosts: tuple[RelayNetwork, ...] = ()


class Tls(settings.Settings):
    """A certificate of the operator's own; or the names on the one that is made, see `Config.tls_names`."""

    names: tuple[CertificateName, ...] = ()
    certificate: settings.File | None = None  # PEM, the whole chain
    key: settings.File | None = None  # PEM, unencrypted

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key: give both, or neither to have them made")
        return self


class Auth(settings.Settings):
    """Accounts: a name and the hash of its password; and the envelope senders that an account may use.

    An account that `senders` does not name may use any. The null sender is everybody's.
    """

    users: dict[str, PasswordHash] = Field(default_factory=dict)
    senders: dict[str, tuple[MailAddress, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _senders_of_accounts(self) -> Self:
        for account in self.senders:
            if account not in self.users:
                known = settings.nearest(account, list(self.users)) or "there is no account in auth.users"
                raise ValueError(f"senders.{account}: no such account; {known}")
        return self


class Mutation(settings.Settings):
    """Deliberate defects, for proving a test suite."""

    names: tuple[str, ...] = Field(min_length=1)
