"""What becomes of accepted mail, and of the senders that it claims."""

from typing import Literal, Self

from pydantic import Field, model_validator

from harness import settings
from harness.reference_mta.domains import Format
from harness.reference_mta.tables.values import Seconds
from harness.settings.hosts import EndpointToCall
from harness.settings.secret import Secret


class Delivery(settings.Settings):
    """How accepted mail is kept for local users."""

    format: Format = "maildir"
    filters: settings.File | None = None  # a folder with a filter for each user, named by the mailbox


class Spam(settings.Settings):
    """Content classification; without `spamd` by the few tests that are built in."""

    spamd: EndpointToCall | None = None
    threshold: float = Field(default=5.0, gt=0, le=1000)
    timeout: Seconds = 10.0


class Outgoing(settings.Settings):
    """Mail for the domains of others: to the MX that DNS names, to one smarthost, or back to its sender."""

    route: Literal["mx", "smarthost", "none"] = "none"
    smarthost: EndpointToCall | None = None
    port: int = Field(default=25, ge=1, le=65535)  # of other mail hosts
    interval: Seconds = 300.0  # between two tries
    lifetime: Seconds = 345600.0  # after which a message goes back to its sender
    delay_report: Seconds | None = None  # after which a sender is told that his message waits; None: never
    timeout: Seconds = 60.0  # for a reply of another host; ten times that for the one that takes a message

    @model_validator(mode="after")
    def _has_its_host(self) -> Self:
        if (self.route == "smarthost") != (self.smarthost is not None):
            raise ValueError('smarthost: name it, as 192.0.2.1:25, with route = "smarthost" and only then')
        return self

    @model_validator(mode="after")
    def _tells_of_delays_in_time(self) -> Self:
        if self.delay_report is not None and self.delay_report >= self.lifetime:
            raise ValueError(
                "delay_report: by then lifetime is over, and nobody would be told; make it shorter than that"
            )
        return self


class Srs(settings.Settings):
    """Sender rewriting for forwarded mail; off without a secret."""

    secret: settings.SecretText = Secret("")
    lifetime: int = Field(default=21, ge=1, le=365)  # days that a rewritten address is good for


class Spf(settings.Settings):
    """SPF at MAIL FROM: not looked at, noted in a header field, or a failure refused."""

    mode: Literal["off", "mark", "reject"] = "off"


class Dkim(settings.Settings):
    """DKIM signatures: not looked at, noted in a header field, or a broken one refused."""

    mode: Literal["off", "mark", "reject"] = "off"
