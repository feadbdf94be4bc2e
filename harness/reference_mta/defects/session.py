"""Mutants of the rules about the message, TLS, AUTH, delays as such, and what the server does not do."""

import functools
from dataclasses import replace

from harness.reference_mta.certificate import Flaws
from harness.reference_mta.defects.kinds import Mutant, defective, joined, listing, prompt_refusals, treated
from harness.reference_mta.defects.parts import Part, exchanged
from harness.reference_mta.greeting import Offer
from harness.reference_mta.policy.data import ADDRESS_HEADERS


def _but_for(left_out: str, sound: Part) -> Part:
    return lambda name, value: name != left_out and sound(name, value)


DATA = (
    *prompt_refusals("data.header-syntax", "headers are not looked at"),
    *(
        exchanged(
            "data.header-syntax",
            f"weak-no-{name}",
            f"the header {name} is not looked at",
            "is_broken",
            functools.partial(_but_for, name.lower()),
        )
        for name in ADDRESS_HEADERS
    ),
    exchanged(
        "data.header-syntax",
        "strict-quoted",
        'a sender who writes "A. Friend" <friend@…> is refused',
        "is_broken",
        lambda sound: lambda name, value: '"' in value or sound(name, value),
    ),
)


def _flawed(kind: str, description: str, flaws: Flaws) -> Mutant:
    return Mutant("tls.certificate", kind, description, lambda policy: policy, flaws)


def _without_starttls(listed: list[str], _: Offer) -> list[str]:
    return [keyword for keyword in listed if keyword != "STARTTLS"]


def _with_starttls(listed: list[str], offer: Offer) -> list[str]:
    return [*_without_starttls(listed, offer), "STARTTLS"]


def _with_auth(listed: list[str], offer: Offer) -> list[str]:
    return listed if offer.covered else [*listed, "AUTH PLAIN"]


def _with_login(listed: list[str], _: Offer) -> list[str]:
    return [f"{keyword} LOGIN" if keyword.startswith("AUTH ") else keyword for keyword in listed]


def _not_to_relay_hosts(listed: list[str], offer: Offer) -> list[str]:
    return [keyword for keyword in listed if not (offer.trusted and keyword.startswith("AUTH "))]


TLS = (
    listing("tls.starttls-offered", "off", "STARTTLS is not listed", _without_starttls),
    listing("tls.starttls-offered", "weak-after", "STARTTLS is still listed under TLS", _with_starttls),
    _flawed("off", "the certificate is for another name", Flaws(other_name=True)),
    _flawed("weak-expired", "the certificate is expired", Flaws(expired=True)),
    _flawed("weak-chain", "the intermediate certificate is not sent", Flaws(without_intermediate=True)),
    defective("tls.state-reset", "off", "the greeting is kept over STARTTLS"),
)

AUTH = (
    listing("auth.only-under-tls", "off", "AUTH is listed in clear text", _with_auth),
    defective("auth.plaintext-refused", "off", "AUTH is taken in clear text"),
    defective("auth.plain-initial", "off", "credentials on the same line are not taken"),
    defective("auth.plain-prompted", "off", "the prompt is not given"),
    defective("auth.plain-prompted", "weak-prompt", "the prompt is not empty"),
    defective("auth.wrong-password", "off", "every password of a known name is right"),
    treated(
        "auth.unknown-user",
        "off",
        "an unknown name is told as such",
        lambda check: replace(check.then, words="No such account"),
    ),
    listing("auth.login-not-offered", "off", "LOGIN is listed too", _with_login),
    joined(
        listing("auth.from-anywhere", "off", "AUTH is not offered to the relay hosts", _not_to_relay_hosts),
        defective("auth.from-anywhere", "off", "AUTH is refused to them"),
    ),
)

BEHAVIOUR = (
    defective("delay.no-early-reject", "off", "after the last held-back reply the connection is closed"),
    defective("absent.size-limit", "off", "messages over 10 MB are refused"),
)

SESSION_MUTANTS: tuple[Mutant, ...] = (*DATA, *TLS, *AUTH, *BEHAVIOUR)
