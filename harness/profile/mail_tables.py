"""The tables of a profile about what becomes of a message after the 250."""

import ipaddress
import os
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from harness import settings
from harness.profile.values import AroundId, AsciiLine, Expression, Line, ReservedNetwork, Seconds
from harness.settings.hosts import Address, DomainName, EndpointToCall, LowerName, MailAddress
from harness.settings.secret import Secret

NOT_SENT = frozenset("\r\n\0")  # RFC 4616 §2, RFC 9051 §9
PORT = Field(default=25, ge=1, le=65535)


class Account(settings.Settings):
    """Who logs in; the password may come from the environment instead."""

    user: Line = Field(min_length=1)
    password: settings.SecretText = Secret("")
    password_env: Annotated[str, settings.UNSHOWN] = ""  # where a password may stand by mistake

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if bool(self.password) == bool(self.password_env):
            raise ValueError("give either password or password_env")
        if self.password_env and not os.environ.get(self.password_env):
            raise ValueError(
                "the environment has no variable that is called as password_env says; export the password "
                "under that name"
            )
        if not NOT_SENT.isdisjoint(self.secret.reveal()):
            raise ValueError("the password has a line end or a NUL, which no login can send; leave it out")
        return self

    @property
    def secret(self) -> Secret:
        """The password, wherever it stands."""
        return self.password or Secret(os.environ[self.password_env])


class Imap(Account):
    """Mail that is read by IMAP under TLS, as each recipient or as one account for all of them."""

    address: EndpointToCall
    name: DomainName  # on its certificate
    ca_file: settings.File | None = None
    user: Line = Field(default="{user}@{domain}", min_length=1)  # {user}, {domain}: the recipient's parts


class MailboxTable(settings.Settings):
    """Where accepted mail is found; in the paths `{user}` and `{domain}` stand for the recipient's parts."""

    maildir: settings.FilePattern = ""
    mbox: settings.FilePattern = ""
    imap: Imap | None = None
    patience: float = Field(default=20.0, gt=0, le=600)  # seconds within which a message is there

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(map(bool, (self.maildir, self.mbox, self.imap))) != 1:
            raise ValueError("give one of maildir, mbox and [mailbox.imap]")
        return self


class Sink(settings.Settings):
    """The addresses, all of this host, at which the harness plays the mail hosts of everybody else."""

    networks: tuple[ReservedNetwork, ...] = Field(min_length=1)
    port: int = PORT  # at which the server calls other mail hosts
    patience: float = Field(default=20.0, gt=0, le=600)  # seconds within which what is sent at once is there

    @field_validator("networks")
    @classmethod
    def _ipv4(cls, value: tuple[ReservedNetwork, ...]) -> tuple[ReservedNetwork, ...]:
        for network in value:
            if network.version != 4:
                raise ValueError(f"{network} is IPv6; name IPv4 networks such as 198.51.100.0/24")
        return value


class Queue(settings.Settings):
    """How often the server tries again what it could not send, and what an operator does with its queue.

    The commands are lists of words; `{id}` stands for a message. In what `list` prints, `entry` finds the
    first line of each message, with its id in the only group; everything up to the next one belongs to it.
    A server that does not freeze messages has no `thaw`.
    """

    interval: Seconds  # between two tries
    list: settings.Command = ()
    remove: settings.Command = ()
    thaw: settings.Command = ()
    entry: AroundId = r"^(\S+)"
    frozen: Expression = "frozen"  # stands in the entry of a message that is not tried any more

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        if bool(self.list) != bool(self.remove) or (self.thaw and not self.list):
            raise ValueError("give both of list and remove, and thaw where messages are frozen, or none")
        for key, words in (("remove", self.remove), ("thaw", self.thaw)):
            if words and not any("{id}" in word for word in words):
                raise ValueError(f"{key}: {{id}} must stand in it, where the message's id belongs")
        return self

    @property
    def freezes(self) -> bool:
        """Whether the server has messages that it does not try until they are thawed."""
        return bool(self.thaw) or not self.list


class Filter(settings.Settings):
    """A user whose filter files mail as the document describes; folders as the mailbox names them."""

    user: MailAddress
    spam_folder: str = ""
    list_address: MailAddress = "debian-news@lists.example"
    list_folder: str = ""
    body_word: AsciiLine = Field(default="foobar", min_length=1, max_length=60)
    body_folder: str = ""
    dnsbl_folder: str = ""


class Smarthost(settings.Settings):
    """The one host, played by the harness, that everything goes to.

    `server` is where the same software listens that is set up so; without it the server itself is.
    """

    host: EndpointToCall
    server: EndpointToCall | None = None


class LocalOnly(settings.Settings):
    """A server for this host's own users: it sends nothing elsewhere and listens on loopback only.

    `server` is where the same software listens that is set up so; without it the server itself is.
    `closed` are addresses of its host at which, on its port, nobody may answer.
    """

    server: EndpointToCall | None = None
    closed: tuple[Address, ...] = ()

    @field_validator("closed")
    @classmethod
    def _reserved(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            if ipaddress.ip_address(address).is_global:
                raise ValueError(
                    f"{address} may be anybody's; name addresses of the server's host in a sandbox"
                )
        return value


class Forward(settings.Settings):
    """A recipient whose mail goes to an address elsewhere, in a domain that the harness plays."""

    recipient: MailAddress
    target: MailAddress


class Srs(settings.Settings):
    """Sender rewriting: the domain of rewritten senders, and how long bounces to them are taken.

    `make` is a command that prints the rewritten form of `{sender}` as the server made it `{days}` days ago.
    """

    domain: LowerName
    lifetime: int = Field(default=21, ge=1, le=365)  # days
    make: settings.Command = ()

    @model_validator(mode="after")
    def _is_told(self) -> Self:
        for place in ("{sender}", "{days}"):
            if self.make and not any(place in word for word in self.make):
                raise ValueError(f"make: {place} must stand in it")
        return self


class Spam(settings.Settings):
    """Content classification by SpamAssassin's header fields."""

    threshold: float = Field(default=5.0, gt=0, le=1000)


class SenderAuthentication(settings.Settings):
    """A check of who a sender is: what fails it is marked in the header, or refused.

    `server` is where the same software listens that is set up so; without it the server itself is.
    """

    mode: Literal["mark", "reject"]
    server: EndpointToCall | None = None


class MailTables(settings.Settings):
    """The tables that a profile may have about what becomes of a message."""

    mailbox: MailboxTable | None = None
    sink: Sink | None = None
    queue: Queue | None = None
    filter: Filter | None = None
    smarthost: Smarthost | None = None
    local_only: LocalOnly | None = None
    forward: Forward | None = None
    srs: Srs | None = None
    spam: Spam | None = None
    dkim: SenderAuthentication | None = None
