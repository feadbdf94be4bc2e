"""Writes the profile that is true of the server that a draw says."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.settings.secret import Secret
from harness.toml_text import toml_text
from harness.truth.draw import ACCOUNT, Answer, Blacklist, Draw, HostedDomain, Told

TRUSTED = "203.0.113.0/24"
TRUSTED_IPV6 = "2001:db8:ffff::/48"
VERDICTS = {"accept": "pass", "defer": "defer", "refuse": "deny", "close": "drop"}
ANSWERS = (  # the keys of [dialect.answers]
    "unverified_host",
    "failed_lookup",
    "unqualified_greeting",
    "bare_address_greeting",
    "address_literal_greeting",
    "own_name_greeting",
    "own_host_greeting",
    "unconfirmed_greeting",
    "borrowed_greeting",
    "no_greeting",
    "relaying",
    "illegal_recipient",
    "unknown_user",
    "too_many_recipients",
    "bounce",
    "bounce_without_list",
    "listed",
    "listed_enough",
    "blacklisted_triplet",
    "broken_header",
    "wrong_password",
)
ABOUT_SENDERS = (  # the rules about lists of senders
    "bounce.bogus",
    "bounce.postmaster-*",
    "bounce.legal",
    "bounce.case-insensitive",
    "bounce.tag*",
    "bounce.per-domain",
)
REPETITIONS = (  # by the stage at which a delay comes again
    ("mail", "mail.delay-repeated"),
    ("rcpt", "rcpt.delay-repeated"),
    ("rcpt", "delay.no-early-reject"),
)


@dataclass(frozen=True)
class Reach:
    """How the server is reached, and what of it the harness can get at."""

    port: int
    dns: str  # address and port at which it asks
    password: Secret
    mail: Path  # the folder of its mailboxes
    ca_file: Path


def profile(drawn: Draw, reach: Reach) -> str:
    """The text of the profile."""
    return toml_text({"name": "a drawn server", **_tables(drawn, reach)})


def _tables(drawn: Draw, reach: Reach) -> dict[str, Any]:
    return {
        "server": {
            "address": "127.0.0.1",
            "port": reach.port,
            "hostname": drawn.hostname,
            "reply_timeout": 15,
            "scan": 0,
            "jobs": 600,
            "rate": 100,
        },
        "clients": {
            "route": "proxy-v2",
            "networks": ["198.18.0.0/15", *(["2001:db8::/33"] if drawn.ipv6 else [])],
            "trusted": [TRUSTED, TRUSTED_IPV6] if drawn.trusted else [],
        },
        "dns": {"listen": [reach.dns]},
        "policy": {
            "delay": drawn.delay,
            "max_recipients": drawn.most_recipients,
            "illegal_characters": drawn.illegal,
        },
        "dialect": {
            "told": drawn.told,
            "pause": drawn.pause,
            "refusals_take": drawn.refusals_take,
            "threshold": drawn.threshold,
            "asks": drawn.asks,
            "mark": drawn.mark,
            "max_errors": drawn.most_errors,
            "answers": dict(_answers(drawn)),
        },
        "domain": [_domain(domain) for domain in drawn.hosted],
        "dnsbl": [_list(entry) for entry in drawn.asked],
        **({"greylist": _greylist(drawn)} if drawn.greylist != "none" else {}),
        **({"tls": {"name": drawn.hostname, "ca_file": str(reach.ca_file)}} if drawn.tls else {}),
        **({"auth": _account(drawn, reach)} if drawn.account != "none" else {}),
        **({"mailbox": _mailbox(drawn, reach)} if drawn.mailbox != "none" else {}),
        "rules": {"without": sorted(_without(drawn)), "expect": dict(_overrides(drawn))},
    }


def _answers(drawn: Draw) -> Iterator[tuple[str, str]]:
    for offence in ANSWERS:
        if answer := drawn.answer(offence):
            yield offence, _outcome(answer, drawn.refusal(offence), several=drawn.codes == "several")


def _outcome(answer: Answer, told: Told | None, *, several: bool) -> str:
    """Such as `delay+deny with 550, 5.7.1`; of several codes any one will do."""
    word = "mark" if answer.marked else VERDICTS[answer.does]
    if answer.held:
        word = "delay" if word == "pass" else f"delay+{word}"
    if told is None:
        return word
    codes = [str(told.code), told.status] if told.status else [str(told.code)]
    if several:
        kind = told.code // 100
        codes = [f"{kind}52", *codes, f"{kind}.3.9"]
    return f"{word} with {', '.join(codes)}"


def _domain(domain: HostedDomain) -> dict[str, Any]:
    return {
        "name": domain.name,
        "users": domain.users,
        "aliases": dict(domain.aliases),
        "catch_all": domain.takes_all,
        "bounce_recipients": domain.senders,
    }


def _list(entry: Blacklist) -> dict[str, Any]:
    return {"name": entry.name, "zones": entry.zones, "weight": entry.weight, "answers": entry.answers}


def _greylist(drawn: Draw) -> dict[str, Any]:
    return {
        "delay": 60,
        "timeout": 28800,
        "lifetime": 5184000,
        "codes": [drawn.greylist_code],
        "key": drawn.greylist_unit,
        "parts": drawn.greylist_parts,
        "at": drawn.greylist,
        "exempt_recipients": drawn.greylist_exempt,
        "before_verification": drawn.greylist_first,
        "whitelist_hosts": ["*.bulkmail.example", "mx.newsletters.example"] if drawn.greylist_hosts else [],
        "when_unreachable": drawn.greylist_lost,
    }


def _account(drawn: Draw, reach: Reach) -> dict[str, Any]:
    return {"user": ACCOUNT, "password": reach.password, "sender": drawn.bound_to or None}


def _mailbox(drawn: Draw, reach: Reach) -> dict[str, Any]:
    return {drawn.mailbox: str(reach.mail / "{user}@{domain}"), "patience": 5}


def _without(drawn: Draw) -> Iterator[str]:
    """The rules that such a server does not claim."""
    if not drawn.asked:
        yield "dnsbl.*"
    if drawn.greylist == "none":
        yield "greylist.*"
    elif not drawn.greylist_hosts:
        yield "greylist.host-whitelist"
    if not any(domain.senders for domain in drawn.hosted):
        yield from ABOUT_SENDERS
    if drawn.delay == 0:
        yield from ("mail.delay-repeated", "rcpt.delay-repeated", "delay.no-early-reject")


def _overrides(drawn: Draw) -> Iterator[tuple[str, dict[str, str]]]:
    reason = "a delay that was earned before does not come again there"
    for stage, rule in REPETITIONS:
        if drawn.delay and drawn.repeated not in ("both", stage):
            yield rule, {"outcome": f"pass at {stage}", "reason": reason}
