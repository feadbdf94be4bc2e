"""How the server speaks of refusals, which block lists it asks, and how it greylists."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from harness import settings
from harness.reference_mta.tables.values import Seconds
from harness.settings.hosts import DomainName, ListAnswer, LocalPart, twice

Told = Literal["now", "mail", "rcpt", "message"]
Unit = Literal["address", "network", "host"]
Part = Literal["client", "sender", "sender domain", "recipient"]


class Speech(settings.Settings):
    """When the server tells a refusal, how long it lets everybody wait for what, and how often it refuses.

    `told`: the command at which refusals are told that were earned before it; "message" is the end of DATA.
    """

    told: Told = "now"
    banner_pause: float = Field(default=0.0, ge=0, le=600)  # seconds, for everybody
    refusal_pause: float = Field(default=0.0, ge=0, le=600)  # seconds, before each 4xx and 5xx
    error_limit: int = Field(default=100, ge=0, le=10000)  # refused commands in a connection; 0: no limit
    mark_field: Annotated[str, Field(pattern=r"^[!-9;-~]+$", max_length=60)] = "X-DNSbl-Warning"


class DnsList(settings.Settings):
    """A DNS block list; hits in several zones of one list count once.

    A white list has a negative weight. Without `answers` any address in 127.0.0.0/8 is a listing, save
    127.0.0.1 and 127.255.255.0/24, with which lists tell that they cannot be asked.
    """

    name: str = Field(min_length=1)
    zones: tuple[DomainName, ...] = Field(min_length=1)
    weight: int = Field(default=1, ge=-1000, le=1000)
    answers: tuple[ListAnswer, ...] | None = Field(default=None, min_length=1)

    @field_validator("zones")
    @classmethod
    def _each_once(cls, zones: tuple[str, ...]) -> tuple[str, ...]:
        if zone := twice(list(zones)):
            raise ValueError(f"{zone!r} is there twice; leave one out")
        return zones

    @field_validator("weight")
    @classmethod
    def _counts(cls, weight: int) -> int:
        if weight == 0:
            raise ValueError("a list that weighs 0 counts for nothing; give it a weight or leave it out")
        return weight


class DnsblPolicy(settings.Settings):
    """The sum of weights at which a client is refused, and whether lists are asked in turn or all at once."""

    threshold: int = Field(default=2, ge=1)
    order: Literal["sequence", "parallel"] = "sequence"


class Greylist(settings.Settings):
    """Times in seconds; host patterns are those of fnmatch.

    `unit` stands for the client in a triplet: its address, its network (/24, for IPv6 /64), or the domain of
    its host name where DNS confirms one. `exempt` are local parts of recipients that are never greylisted.
    `parts` are those that have to agree with a triplet that is known, for another one to be known as well.
    With `before_users` the greylist is asked before recipients are verified, and keeps their triplets.
    """

    delay: Seconds = 60.0
    timeout: Seconds = 28800.0
    lifetime: Seconds = 5184000.0
    whitelist_hosts: tuple[str, ...] = ()
    when_unreachable: str = Field(default="pass", pattern="^(pass|defer)$")
    code: int = Field(default=451, ge=400, le=499)
    unit: Unit = "address"
    parts: tuple[Part, ...] = ("client", "sender", "recipient")
    stage: Literal["rcpt", "data"] = "rcpt"
    exempt: tuple[LocalPart, ...] = ()
    before_users: bool = False

    @field_validator("code")
    @classmethod
    def _leaves_the_connection(cls, code: int) -> int:
        if code == 421:
            raise ValueError("421 says that the connection ends (RFC 5321 §4.2.3); choose 450 or 451")
        return code

    @field_validator("parts")
    @classmethod
    def _has_the_client(cls, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        if "client" not in parts or {"sender", "sender domain"} <= set(parts) or twice(list(parts)):
            raise ValueError(
                'name "client", and beside it what you want of "recipient" and either "sender" or '
                '"sender domain", each once'
            )
        return parts

    @field_validator("exempt")
    @classmethod
    def _local_parts(cls, exempt: Sequence[str]) -> tuple[str, ...]:
        return tuple(name.lower() for name in exempt)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.delay >= self.timeout:
            raise ValueError("timeout: must be longer than delay, or no retry could ever be accepted")
        if self.before_users and self.stage == "data":
            raise ValueError(
                'before_users: the end of DATA comes after recipients; leave it out, or set stage = "rcpt"'
            )
        return self
