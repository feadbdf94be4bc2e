"""The ways in which drawn servers differ, what does not go together, and how one is drawn."""

import random
from collections.abc import Mapping
from functools import cache
from typing import Any

from harness.truth.cover import Exclusion, Space
from harness.truth.draw import HELD_BY_DOCUMENT, OFFENCES, Answer, Draw

DIMENSIONS: Mapping[str, tuple[Any, ...]] = {
    "told": ("at once", "mail", "rcpt", "data"),
    "pause": (0.0, 0.3),
    "refusals_take": (0.0, 0.7),  # long for the first delay, and neither for the second
    "delay": (0.6, 1.0, 0.0),
    "repeated": ("both", "mail", "rcpt", "neither"),
    "most_errors": (0, 10, 20),
    "codes": ("unsaid", "code", "status", "several"),
    "mark": ("X-DNSbl-Warning", "X-Suspicious"),
    "hostname": ("mail.castle.example", "mx.provider.example", "www.castle.example"),
    **OFFENCES,
    "greylist": ("rcpt", "data", "none"),
    "greylist_code": (451, 450),
    "greylist_unit": ("address", "network", "host"),
    "greylist_parts": (
        ("client", "sender", "recipient"),
        ("client",),
        ("client", "sender"),
        ("client", "sender domain"),
        ("client", "sender domain", "recipient"),
    ),
    "greylist_exempt": ((), ("postmaster",), ("postmaster", "abuse")),
    "greylist_first": (False, True),
    "greylist_hosts": (True, False),
    "greylist_lost": ("pass", "defer"),
    "lists": (3, 0, 1, 2, 4),
    "zones": ("the second has four", "one each", "two each", "the first two share one"),
    "weights": ("ones", "the first two", "the last three", "twos"),
    "white": ("none", "first", "last"),
    "answers": ("any", "one", "a network"),
    "threshold": (2, 1, 3),
    "asks": ("in order", "at once"),
    "domains": (3, 1, 2, 4),
    "users": (3, 1, 2, 4),
    "postmaster": (True, False),
    "rest": ("the last has a *", "none", "all have a *", "the last takes all", "all take all"),
    "aliases": ("one", "none", "of many"),
    "senders": ("the first two", "none", "the first", "the last", "all"),
    "sending": ("first", "each another", "all", "postmaster"),
    "trusted": (True, False),
    "account": ("free", "none", "bound"),
    "most_recipients": (10, 3, 20),
    "illegal": ("@%!/|", "%!", "/|"),
    "tls": (True, False),
    "mailbox": ("maildir", "mbox", "none"),
    "ipv6": (True, False),
}


def _these(*values: object) -> frozenset[Any]:
    return frozenset(values)


EXCLUSIONS = (
    # Nothing can be held back by a server without a delay.
    *(
        Exclusion(
            "delay",
            _these(0.0),
            offence,
            frozenset(
                answer for answer in answers if (answer.held if answer else offence in HELD_BY_DOCUMENT)
            ),
        )
        for offence, answers in OFFENCES.items()
    ),
    # At the end of DATA all recipients are known.
    Exclusion("greylist", _these("data"), "greylist_first", _these(True)),
)
SPACE = Space(DIMENSIONS, EXCLUSIONS)


@cache
def covering(seed: int) -> tuple[Draw, ...]:
    """Servers among which every pair of values occurs that can occur."""
    rows = SPACE.cover(random.Random(seed))  # noqa: S311 - to be repeated, not to be secret
    return tuple(Draw(**row) for row in rows)  # type: ignore[arg-type]


def draw(seed: int, number: int) -> Draw:
    """The server of that number, from 0 on: first those that cover all pairs, then at random."""
    rows = covering(seed)
    if number < len(rows):
        return rows[number]
    chance = random.Random(f"{seed}:{number}")  # noqa: S311 - the same
    return Draw(**SPACE.at_random(chance))  # type: ignore[arg-type]


def lawful(one: Draw) -> bool:
    """Whether there can be such a server."""
    return SPACE.lawful({name: getattr(one, name) for name in DIMENSIONS})


def default(name: str) -> Any:
    """The value of a dimension that explains nothing."""
    return DIMENSIONS[name][0]


def told(one: Draw) -> str:
    """A draw in a line: what is not as by default."""
    differs = (name for name in DIMENSIONS if getattr(one, name) != default(name))
    return ", ".join(f"{name}={_spelled(getattr(one, name))}" for name in differs) or "all as by default"


def _spelled(value: object) -> str:
    if isinstance(value, Answer):
        words = [word for word in ("held" * value.held, "marked" * value.marked, value.does) if word]
        return "+".join(words)
    return repr(value)
