"""Writes the configuration of a reference MTA that is what a draw says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.settings.secret import Secret
from harness.toml_text import toml_text
from harness.truth.draw import ACCOUNT, Answer, Blacklist, Draw, HostedDomain, Told

TRUSTED = "203.0.113.0/24"
TRUSTED_IPV6 = "2001:db8:ffff::/48"
DNS_TIMEOUT = 3.0  # seconds a question, longer than an answer takes on a busy machine

# The checks of the reference MTA that notice each offence.
CHECKS: Mapping[str, tuple[str, ...]] = {
    "unverified_host": ("connect.rdns-missing", "connect.rdns-unresolvable", "connect.rdns-mismatch"),
    "failed_lookup": ("connect.rdns-temperror",),
    "unqualified_greeting": ("helo.not-fqdn",),
    "bare_address_greeting": ("helo.plain-ip", "helo.plain-ip-sticky"),
    "address_literal_greeting": ("helo.ip-literal",),
    "own_name_greeting": ("helo.own-domain", "helo.own-primary"),
    "own_host_greeting": ("helo.own-host",),
    "unconfirmed_greeting": ("helo.dns-mismatch",),
    "borrowed_greeting": ("helo.reverse-match",),
    "no_greeting": ("mail.no-helo",),
    "relaying": ("rcpt.relay-denied",),
    "illegal_recipient": ("rcpt.illegal-chars", "rcpt.leading-dot"),
    "unknown_user": ("rcpt.unknown-user",),
    "too_many_recipients": ("rcpt.too-many",),
    "bounce": ("bounce.bogus", "bounce.postmaster-sender", "bounce.tag-in-front", "bounce.per-domain"),
    "bounce_without_list": ("bounce.no-list",),
    "listed": ("dnsbl.one", "dnsbl.group-counts-once"),
    "listed_enough": ("dnsbl.two", "dnsbl.test-point"),
    "blacklisted_triplet": ("greylist.blacklisted", "greylist.null-blacklisted"),
    "broken_header": ("data.header-syntax",),
    "wrong_password": ("auth.wrong-password", "auth.unknown-user"),
}
PUTS_OFF = (  # the answers of its greylist that defer
    "greylist.first-defer",
    "greylist.early-retry",
    "greylist.expired",
    "greylist.lifetime-expiry",
    "greylist.postmaster-at-rcpt",
    "greylist.null-at-data",
)
REPEATS = {"mail": "mail.delay-repeated", "rcpt": "rcpt.delay-repeated"}
TOLD = {"at once": "now", "mail": "mail", "rcpt": "rcpt", "data": "message"}
ORDER = {"in order": "sequence", "at once": "parallel"}
ACTION = {"accept": "accept", "defer": "refuse", "refuse": "refuse", "close": "refuse"}
FOR_NOW = Told(451)  # where nothing is said about codes


@dataclass(frozen=True)
class Site:
    """Where the server is to run."""

    state: Path
    dns: str  # address and port of its name server
    password: Secret  # its hash


def configuration(drawn: Draw, site: Site, mutants: Sequence[str] = ()) -> str:
    """The text of the configuration file; `mutants` are defects of the reference MTA."""
    return toml_text(
        {
            "server": {
                "hostname": drawn.hostname,
                "port": 0,
                "proxy_protocol": True,
                "delay": drawn.delay,
                "max_recipients": drawn.most_recipients,
                "state": str(site.state),
            },
            "dns": {"server": site.dns, "timeout": DNS_TIMEOUT, "attempts": 1},
            "relay": {"from_hosts": [TRUSTED, TRUSTED_IPV6] if drawn.trusted else []},
            "domain": [_domain(domain) for domain in drawn.hosted],
            "speech": {
                "told": TOLD[drawn.told],
                "banner_pause": drawn.pause,
                "refusal_pause": drawn.refusals_take,
                "error_limit": drawn.most_errors,
                "mark_field": drawn.mark,
            },
            "answers": _answers(drawn),
            "dnsbl": [_list(entry) for entry in drawn.asked],
            "dnsbl_policy": {"threshold": drawn.threshold, "order": ORDER[drawn.asks]},
            "greylist": _greylist(drawn),
            "auth": {} if drawn.account == "none" else _accounts(drawn, site),
            "delivery": {"format": "mbox" if drawn.mailbox == "mbox" else "maildir"},
            **({"mutation": {"names": list(mutants)}} if mutants else {}),
        }
    )


def _domain(domain: HostedDomain) -> dict[str, Any]:
    return {
        "name": domain.name,
        "users": domain.users,
        "aliases": dict(domain.aliases),
        "catch_all": domain.takes_all,
        "bounce_recipients": domain.senders,
    }


def _answers(drawn: Draw) -> dict[str, dict[str, Any]]:
    answers = {
        check: _treatment(answer, drawn.refusal(offence))
        for offence, checks in CHECKS.items()
        if (answer := drawn.answer(offence))
        for check in checks
    }
    for stage, check in REPEATS.items():
        if drawn.repeated not in ("both", stage):
            answers[check] = {"action": "accept"}
    if drawn.greylist == "none":
        answers |= {check: {"action": "accept"} for check in PUTS_OFF}
    return answers


def _treatment(answer: Answer, told: Told | None) -> dict[str, Any]:
    if not answer.refuses:
        return {"action": "accept", "held": answer.held, "mark": answer.marked}
    if told is None and answer.does == "defer":
        told = FOR_NOW
    return {
        "action": "refuse",
        "code": told.code if told else None,
        "status": (told.status or None) if told else None,
        "held": answer.held,
        "close": answer.does == "close",
    }


def _list(entry: Blacklist) -> dict[str, Any]:
    return {
        "name": entry.name,
        "zones": entry.zones,
        "weight": entry.weight,
        "answers": entry.answers or None,
    }


def _greylist(drawn: Draw) -> dict[str, Any]:
    return {
        "delay": 60,
        "timeout": 28800,
        "lifetime": 5184000,
        "code": drawn.greylist_code,
        "unit": drawn.greylist_unit,
        "parts": drawn.greylist_parts,
        "stage": "data" if drawn.greylist == "data" else "rcpt",
        "exempt": drawn.greylist_exempt,
        "before_users": drawn.greylist_first,
        "whitelist_hosts": ["*.bulkmail.example", "mx.newsletters.example"] if drawn.greylist_hosts else [],
        "when_unreachable": drawn.greylist_lost,
    }


def _accounts(drawn: Draw, site: Site) -> dict[str, Any]:
    senders = {ACCOUNT: [drawn.bound_to]} if drawn.bound_to else None
    return {"users": {ACCOUNT: site.password}, "senders": senders}
