"""What a configuration may say about single rules: an answer of its own in place of the documented one."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from harness import settings

RULES = (  # that policy has a check of
    "connect.rdns-confirmed",
    "connect.rdns-missing",
    "connect.rdns-temperror",
    "connect.rdns-unresolvable",
    "connect.rdns-mismatch",
    "helo.plain-ip-sticky",
    "helo.plain-ip",
    "helo.ip-literal",
    "helo.own-domain",
    "helo.own-primary",
    "helo.own-host",
    "helo.not-fqdn",
    "helo.forward-match",
    "helo.reverse-match",
    "helo.dns-mismatch",
    "mail.no-helo",
    "mail.delay-repeated",
    "auth.wrong-password",
    "auth.unknown-user",
    "rcpt.too-many",
    "rcpt.delay-repeated",
    "auth.own-sender",
    "rcpt.relay-authenticated",
    "rcpt.relay-trusted",
    "rcpt.relay-denied",
    "srs.bad-hash",
    "srs.expired",
    "rcpt.illegal-chars",
    "rcpt.leading-dot",
    "rcpt.unknown-user",
    "bounce.legal",
    "bounce.case-insensitive",
    "bounce.tagged",
    "bounce.postmaster-legal",
    "bounce.no-list",
    "bounce.postmaster-sender",
    "bounce.tag-in-front",
    "bounce.per-domain",
    "bounce.bogus",
    "dnsbl.none",
    "dnsbl.one",
    "dnsbl.group-counts-once",
    "dnsbl.two",
    "dnsbl.test-point",
    "dnsbl.fail-open",
    "dnsbl.authenticated-exempt",
    "greylist.first-defer",
    "greylist.early-retry",
    "greylist.retry-accept",
    "greylist.expired",
    "greylist.whitelisted",
    "greylist.lifetime-expiry",
    "greylist.blacklisted",
    "greylist.postmaster-at-rcpt",
    "greylist.null-not-at-rcpt",
    "greylist.daemon-down",
    "greylist.null-at-data",
    "greylist.null-blacklisted",
    "data.header-syntax",
)
REFUSED_ONLY = {  # by the rule: what it would be to accept the offence
    "rcpt.relay-denied": "an open relay",
    "auth.wrong-password": "no password at all",
    "auth.unknown-user": "no account at all",
}


class Answer(settings.Settings):
    """What is done about one rule's cases.

    `code` and `status` (the enhanced code, RFC 3463) of a refusal are the documented ones where there are
    any, otherwise 550 and 7.1. `held`: the reply comes after the delay. `close`: a refusal ends the
    connection. `mark`: what is accepted carries a header field.
    """

    action: Literal["accept", "refuse"]
    code: int | None = Field(default=None, ge=400, le=599)
    status: Annotated[str, Field(pattern=r"^[45]\.\d{1,3}\.\d{1,3}$")] | None = None
    held: bool = False
    close: bool = False
    mark: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.action == "accept" and (self.code or self.status or self.close):
            raise ValueError('action: code, status and close belong to a refusal; set action = "refuse"')
        if self.action == "refuse" and self.mark:
            raise ValueError('mark: only what is accepted carries a mark; set action = "accept"')
        if self.code == 421 and not self.close:
            raise ValueError("code: 421 says that the connection ends (RFC 5321 §4.2.3); add close = true")
        if self.status and self.code and int(self.status[0]) != self.code // 100:
            raise ValueError(
                f"status: {self.status} is no status of a {self.code}; begin it with {self.code // 100}"
            )
        if self.status and not self.code:
            raise ValueError(f"code: add it, {self.status} alone does not tell which")
        return self


def _of_rules(answers: dict[str, Answer]) -> dict[str, Answer]:
    for rule, answer in answers.items():
        if rule not in RULES:
            raise ValueError(f"{rule}: no check has that rule; {settings.nearest(rule, list(RULES))}")
        if answer.action == "accept" and rule in REFUSED_ONLY:
            raise ValueError(f'{rule}: that would be {REFUSED_ONLY[rule]}; set action = "refuse"')
    return answers


Answers = Annotated[dict[str, Answer], AfterValidator(_of_rules)]
