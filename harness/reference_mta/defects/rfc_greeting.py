"""Mutants of the rules about what the server says of itself, and which greetings it takes (RFC 5321 §4.1)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from harness.reference_mta import reached
from harness.reference_mta.defects.commands import read_by, ruled
from harness.reference_mta.defects.kinds import Mutant, joined, listing, speaking
from harness.reference_mta.defects.parts import always, exchanged
from harness.reference_mta.greeting import BANNER, KEYWORDS, TURNED_AWAY, welcome
from harness.reference_mta.policy.checks import deny
from harness.reference_mta.protocol.commands import Command, SyntaxFlawError
from harness.reference_mta.protocol.events import Event, Greeted
from harness.reference_mta.protocol.parts import ProtocolParts, command
from harness.reference_mta.protocol.readers import READERS, Reader, Situation
from harness.reference_mta.protocol.table import CONNECTING, SESSION, TABLE, Row, State

NO_NAME = "501 5.5.4 Syntax: EHLO hostname"
MADE_UP = "nameless.example"  # for a client that gives no name
MISMATCH = "helo.dns-mismatch"


def _saying(rule: str, kind: str, description: str, part: str, **other: Callable[..., Any]) -> Mutant:
    """Another part takes the place of one of `GreetingParts`, by its name."""
    return Mutant(
        rule,
        kind,
        description,
        lambda policy: replace(policy, greeting=replace(policy.greeting, **other)),
        parts=(part,),
    )


def _without_name(_: str) -> str:
    return "220 ESMTP ready"


def _by_its_label(hostname: str) -> str:
    return f"220 {hostname.partition('.')[0]} ESMTP"


def _listing_always(hostname: str, name: str, listed: Sequence[str]) -> str:
    return welcome(hostname, name, listed or ["SIZE 1000000", "8BITMIME"])


def _nameless(_: str, name: str, listed: Sequence[str]) -> str:
    return welcome("Hello", name, listed)


def _refusing_the_made_up(hostname: str, name: str, listed: Sequence[str]) -> str:
    return NO_NAME if name == MADE_UP else welcome(hostname, name, listed)


def _naming(verb: str) -> Reader:
    """A client that gives no name is given one."""

    def read(given: Command, situation: Situation) -> Event:
        if not given.argument:
            return Greeted(name=MADE_UP, extended=verb == "EHLO")
        return READERS[verb](given, situation)

    return read


def _no_literal(beginning: str) -> Reader:
    def read(given: Command, situation: Situation) -> Event:
        if given.argument.startswith(beginning):
            raise SyntaxFlawError(NO_NAME)
        return READERS["EHLO"](given, situation)

    return read


def _naming_all(parts: ProtocolParts) -> ProtocolParts:
    for verb in ("EHLO", "HELO"):
        parts = parts.with_command(verb, reader=_naming(verb))
    return parts


RFC_GREETING_MUTANTS: tuple[Mutant, ...] = (
    _saying("session.greeting", "off", "the opening message has no name", BANNER, banner=_without_name),
    _saying(
        "session.greeting",
        "weak-label",
        "it has the first label of the server's name",
        BANNER,
        banner=_by_its_label,
    ),
    exchanged(
        "session.greeting-554",
        "off",
        "the connection is closed behind the 554",
        "greeting.turned_away",
        lambda sound: lambda hostname: replace(sound(hostname), close=True),
        always,
    ),
    ruled(
        "QUIT",
        "session.greeting-554",
        "weak-quit",
        "who was turned away hears 503 to QUIT as well",
        replace(TABLE["QUIT"], where=SESSION),
    ),
    speaking(
        "session.commands-after-554",
        "off",
        "who was turned away may greet all the same",
        lambda parts: replace(parts, connecting=replace(CONNECTING, refused=State.UNGREETED)),
        TURNED_AWAY,
    ),
    _saying("session.helo-plain", "off", "HELO lists extensions", KEYWORDS, welcome=_listing_always),
    ruled(
        "HELO",
        "session.helo-plain",
        "strict-refused",
        "HELO is not implemented",
        Row(frozenset(), out_of_place="502 5.5.1 Say EHLO"),
    ),
    listing(
        "session.ehlo-first-line",
        "off",
        "a keyword has a space behind it",
        lambda listed, _: [f"{keyword} " if keyword == "8BITMIME" else keyword for keyword in listed],
    ),
    listing(
        "session.ehlo-first-line",
        "weak-covered",
        "under TLS AUTH has two spaces behind it",
        lambda listed, _: [keyword.replace("AUTH ", "AUTH  ") for keyword in listed],
    ),
    _saying(
        "session.ehlo-first-line",
        "weak-nameless",
        "the reply to EHLO does not begin with the server's name",
        KEYWORDS,
        welcome=_nameless,
    ),
    read_by("EHLO", "session.ehlo-literal", "off", "no literal is taken", _no_literal("[")),
    read_by("EHLO", "session.ehlo-literal", "weak-ipv6", "none of IPv6 is", _no_literal("[IPv6:")),
    speaking(
        "session.ehlo-empty",
        "off",
        "a greeting without a name is taken",
        _naming_all,
        *map(command, ("EHLO", "HELO")),
    ),
    read_by("HELO", "session.ehlo-empty", "weak-helo", "HELO without a name is taken", _naming("HELO")),
    joined(
        read_by(
            "EHLO",
            "session.refused-ehlo-keeps-state",
            "off",
            "an EHLO that is refused counts as a greeting",
            _naming("EHLO"),
        ),
        _saying(
            "session.refused-ehlo-keeps-state",
            "off",
            "it is refused",
            KEYWORDS,
            welcome=_refusing_the_made_up,
        ),
    ),
    Mutant(
        "session.ehlo-mismatch-accepted",
        "off",
        "a client is refused whose name has another address",
        lambda policy: policy.with_treatment(
            MISMATCH, lambda check: replace(check, then=deny("That name is not yours"))
        ),
        parts=(reached.answer(MISMATCH),),
    ),
    listing(
        "session.keywords-honoured",
        "off",
        "EXPN is listed and not implemented",
        lambda listed, _: [*listed, "EXPN"],
    ),
    listing(
        "session.keywords-honoured",
        "weak-covered",
        "EXPN is listed under TLS, and not implemented",
        lambda listed, offer: [*listed, "EXPN"] if offer.covered else listed,
    ),
    listing(
        "session.keywords-honoured",
        "weak-parameter",
        "DELIVERBY is listed, and its parameter not known",
        lambda listed, _: [*listed, "DELIVERBY"],
    ),
)
