"""Mutants of the rules about the message, TLS, AUTH, delays as such, and what the server does not do."""

from dataclasses import replace

from harness.reference_mta.certificate import Flaws
from harness.reference_mta.defects.kinds import Mutant, defective, joined, listing, prompt_refusals, treated
from harness.reference_mta.greeting import Offer
from harness.reference_mta.policy.data import ADDRESS_HEADERS

DATA = (
    *prompt_refusals("data.header-syntax", "headers are not looked at"),
    *(
        defective("data.header-syntax", f"weak-no-{name}", f"the header {name} is not looked at")
        for name in ADDRESS_HEADERS
    ),
    defective("data.header-syntax", "strict-quoted", 'a sender who writes "A. Friend" <friend@…> is refused'),
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
    defective("absent.sender-callout", "off", "the sender's mail host is called"),
    defective("absent.sender-callout", "weak-at-data", "its mail host is called at the end of DATA"),
    defective("absent.recipient-callout", "off", "the recipient's mail host is called"),
    defective("absent.spf-reject", "off", "a sender is refused by SPF"),
    defective("absent.spf-reject", "weak-at-data", "a sender is refused by SPF when the message is there"),
    defective("absent.size-limit", "off", "messages over 10 MB are refused"),
    defective("absent.mime-checks", "off", "an attached program is refused"),
)

SESSION_MUTANTS: tuple[Mutant, ...] = (*DATA, *TLS, *AUTH, *BEHAVIOUR)
