"""Mutants of the rules about the message, TLS, AUTH, delays as such, and what the server does not do."""

import functools
import re
from dataclasses import replace

from harness.reference_mta.certificate import Flaws
from harness.reference_mta.defects.kinds import (
    Mutant,
    clear_only,
    joined,
    listing,
    prompt_refusals,
    replaced,
    speaking,
    treated,
)
from harness.reference_mta.defects.parts import Part, always, exchanged
from harness.reference_mta.earned import Refusal
from harness.reference_mta.greeting import Offer
from harness.reference_mta.mail.header import without
from harness.reference_mta.policy.checks import Classify
from harness.reference_mta.policy.data import ADDRESS_HEADERS
from harness.reference_mta.policy.transaction import Transaction
from harness.reference_mta.protocol.commands import Command, SyntaxFlawError
from harness.reference_mta.protocol.events import CredentialsAsked, Event
from harness.reference_mta.protocol.parts import command
from harness.reference_mta.protocol.readers import Reader, Situation
from harness.reference_mta.telling import ReplyWriter

SMALL = 10_000_000  # bytes
LOWER_CASE = re.compile(rb"(?m)^[a-z][!-9;-~]*:.*\n(?:[ \t].*\n)*")  # whole fields of such names


def _but_for(left_out: str, sound: Part) -> Part:
    return lambda name, value: name != left_out and sound(name, value)


def _without_lower_case(sound: Classify) -> Classify:
    async def classify(transaction: Transaction) -> str | None:
        capitalized = without(transaction.content, LOWER_CASE)
        return await sound(replace(transaction, content=capitalized))

    return classify


DATA = (
    *prompt_refusals("data.header-syntax", "headers are not looked at"),
    clear_only("data.header-syntax"),
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
        "weak-first-address",
        "of a list of addresses the first is looked at",
        "is_broken",
        lambda sound: lambda name, value: sound(name, value.partition(",")[0]),
    ),
    exchanged(
        "data.header-syntax",
        "weak-unfolded",
        "of a folded header the first line is looked at",
        "is_broken",
        lambda sound: lambda name, value: sound(name, value.partition("\r\n")[0]),
    ),
    replaced(
        "data.header-syntax",
        "weak-lower-case",
        "a header whose name is in lower case is not looked at",
        _without_lower_case,
        where=lambda transaction: without(transaction.content, LOWER_CASE) != transaction.content,
    ),
    exchanged(
        "data.header-syntax",
        "strict-group",
        "a message to undisclosed-recipients:; is refused",
        "is_broken",
        lambda sound: lambda name, value: value.strip().endswith(":;") or sound(name, value),
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


def _never_at_once(sound: Reader) -> Reader:
    def read(said: Command, situation: Situation) -> Event:
        event = sound(said, situation)
        at_once = isinstance(event, CredentialsAsked) and event.mechanism == "PLAIN" and event.initial
        if at_once and situation.covered:
            raise SyntaxFlawError("501 5.5.4 Wait for the prompt")
        return event

    return read


def _refused_inside(sound: Part) -> Part:
    def out_of_place(about: Transaction, covered: bool) -> Refusal | None:
        if covered and about.trusted:
            return Refusal("503 5.5.1 Not from inside")
        refusal: Refusal | None = sound(about, covered)
        return refusal

    return out_of_place


def _hanging_up(sound: Part) -> Part:
    def recipient_noted(about: Transaction, line: ReplyWriter) -> str:
        if about.unverified or about.suspect:
            line.hang_up()
        reply: str = sound(about, line)
        return reply

    return recipient_noted


TLS = (
    listing("tls.starttls-offered", "off", "STARTTLS is not listed", _without_starttls),
    listing("tls.starttls-offered", "weak-after", "STARTTLS is still listed under TLS", _with_starttls),
    _flawed("off", "the certificate is for another name", Flaws(other_name=True)),
    _flawed("weak-expired", "the certificate is expired", Flaws(expired=True)),
    _flawed("weak-chain", "the intermediate certificate is not sent", Flaws(without_intermediate=True)),
    exchanged(
        "tls.state-reset",
        "off",
        "the greeting is kept over STARTTLS",
        "session.forget_clear_text",
        lambda sound: lambda about: not about.greeting and sound(about),
        always,
    ),
)

AUTH = (
    listing("auth.only-under-tls", "off", "AUTH is listed in clear text", _with_auth),
    exchanged(
        "auth.plaintext-refused",
        "off",
        "AUTH is taken in clear text",
        "login.out_of_place",
        lambda sound: lambda about, covered: sound(about, True),
    ),
    speaking(
        "auth.plain-initial",
        "off",
        "credentials on the same line are not taken",
        lambda parts: parts.with_command("AUTH", reader=_never_at_once(parts.readers["AUTH"])),
        command("AUTH"),
    ),
    exchanged(
        "auth.plain-prompted",
        "off",
        "the prompt is not given",
        "login.prompt",
        lambda _: lambda: "501 5.5.4 Give your credentials at once",
    ),
    exchanged(
        "auth.plain-prompted",
        "weak-prompt",
        "the prompt is not empty",
        "login.prompt",
        lambda _: lambda: "334 Credentials please",
    ),
    exchanged(
        "auth.wrong-password",
        "off",
        "every password of a known name is right",
        "login.fits",
        lambda _: lambda password, hashed: True,
    ),
    treated(
        "auth.unknown-user",
        "off",
        "an unknown name is told as such",
        lambda check: replace(check.then, words="No such account"),
    ),
    listing("auth.login-not-offered", "off", "LOGIN is listed too", _with_login),
    joined(
        listing("auth.from-anywhere", "off", "AUTH is not offered to the relay hosts", _not_to_relay_hosts),
        exchanged(
            "auth.from-anywhere", "off", "AUTH is refused to them", "login.out_of_place", _refused_inside
        ),
    ),
)

BEHAVIOUR = (
    exchanged(
        "delay.no-early-reject",
        "off",
        "after the last held-back reply the connection is closed",
        "session.recipient_noted",
        _hanging_up,
        lambda found, about, line: about.unverified or about.suspect,
    ),
    exchanged(
        "absent.size-limit",
        "off",
        "messages over 10 MB are refused",
        "session.largest",
        lambda _: lambda config: SMALL,
    ),
)

SESSION_MUTANTS: tuple[Mutant, ...] = (*DATA, *TLS, *AUTH, *BEHAVIOUR)
