"""How the server listens, whom it asks, for whom it relays, and who has an account."""

import ipaddress
from typing import Self

from pydantic import Field, field_validator, model_validator

from harness import settings
from harness.reference_mta.protocol.saslprep import PreparationError, prepared
from harness.reference_mta.tables.values import CertificateName, ClientNetwork, KnownBy, Seconds
from harness.reference_mta.verifiers import Kind, Mechanism
from harness.settings import hosts
from harness.settings.hosts import Address, DomainName, EndpointToCall, MailAddress

NOT_LOOPBACK = "{} is not loopback; set allow_public = true if strangers are to reach it"


def is_loopback(address: str) -> bool:
    """Whether strangers cannot reach an address."""
    return ipaddress.ip_address(address).is_loopback


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
        if not self.allow_public and not is_loopback(self.listen):
            raise ValueError(f"listen: {NOT_LOOPBACK.format(self.listen)}")
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

    from_hosts: tuple[ClientNetwork, ...] = ()


class Refuse(settings.Settings):
    """Whom it turns away before anything else."""

    from_hosts: tuple[ClientNetwork, ...] = ()


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
    """Mechanisms, as EHLO lists them; accounts: a name and the hash of its password, or one of each kind.

    An account that `senders` does not name may use any envelope sender. The null sender is everybody's.
    """

    mechanisms: tuple[str, ...] = (Mechanism.PLAIN,)
    users: dict[str, KnownBy] = Field(default_factory=dict)
    senders: dict[str, tuple[MailAddress, ...]] = Field(default_factory=dict)

    @field_validator("mechanisms")
    @classmethod
    def _known(cls, mechanisms: tuple[str, ...]) -> tuple[Mechanism, ...]:
        known = [str(mechanism) for mechanism in Mechanism]
        for name in mechanisms:
            if name not in known:
                nearest = settings.nearest(name.upper(), known)
                raise ValueError(f"there is no mechanism {hosts.shown(name)}; {nearest}")
        if name := hosts.twice(list(mechanisms)):
            raise ValueError(f"{name!r} is there twice; leave one out")
        return tuple(map(Mechanism, mechanisms))

    @model_validator(mode="after")
    def _accounts_are_served(self) -> Self:
        """An account that nobody can ever log in to is a mistake."""
        for name, account in self.users.items():
            if any(account.serves(Mechanism(mechanism)) for mechanism in self.mechanisms):
                continue
            kinds = ", ".join(account.verifiers)
            others = ", ".join(mechanism for mechanism in Mechanism if account.serves(mechanism))
            raise ValueError(
                f"users.{name}: none of the mechanisms ({', '.join(self.mechanisms) or 'none'}) can do with "
                f"{kinds}; add one of {others} to auth.mechanisms, or another hash to the account"
            )
        return self

    @model_validator(mode="after")
    def _names_are_prepared(self) -> Self:
        """Clients of SCRAM bring names into one form, and would not find another (RFC 5802 §5.1)."""
        for name, account in self.users.items():
            if Kind.SCRAM_SHA_256 in account.verifiers and (form := _prepared(name)) != name:
                mend = f"write {form!r}" if form else "choose another name"
                raise ValueError(f"users.{name}: is not as SASLprep has names (RFC 4013); {mend}")
        return self

    @model_validator(mode="after")
    def _senders_of_accounts(self) -> Self:
        for account in self.senders:
            if account not in self.users:
                known = settings.nearest(account, list(self.users)) or "there is no account in auth.users"
                raise ValueError(f"senders.{account}: no such account; {known}")
        return self


def _prepared(name: str) -> str:
    try:
        return prepared(name)
    except PreparationError:
        return ""


class Mutation(settings.Settings):
    """Deliberate defects, for proving a test suite."""

    names: tuple[str, ...] = Field(min_length=1)
