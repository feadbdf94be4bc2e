"""Macro strings (RFC 7208 §7): read once, expanded for each check."""

import re
import urllib.parse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

EXPAND = re.compile(r"%\{([a-z])(\d{0,4})(r?)([-.+,/_=]*)\}|%([%_-])", re.IGNORECASE)
ESCAPES = {"%": "%", "_": " ", "-": "%20"}
LETTERS = frozenset("slodiphv")
EXPLAINING = LETTERS | frozenset("crt")  # in explanation texts
LITERAL = re.compile(r"[!-$&-~]*")  # every visible character but the percent sign
TOP_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
LONGEST_NAME = 253  # characters (RFC 7208 §7.3)


class SyntaxFault(Exception):
    """A record or a text that is not written as RFC 7208 has it; what is wrong with it."""


@dataclass(frozen=True)
class Macro:
    """`%{d2r.}`: the letter as written, how many parts from the right (0: all), and what separates them."""

    letter: str
    parts: int
    reverse: bool
    delimiters: str

    def applied_to(self, value: str) -> str:
        """The value split, turned around, cut and joined; an upper-case letter asks for URL escapes."""
        pieces = re.split(f"[{re.escape(self.delimiters or '.')}]", value)
        if self.reverse:
            pieces.reverse()
        joined = ".".join(pieces[-self.parts :] if self.parts else pieces)
        return urllib.parse.quote(joined, safe="") if self.letter.isupper() else joined


Text = tuple[str | Macro, ...]
Value = Callable[[str], Awaitable[str]]  # what a macro letter, in lower case, stands for


def read(source: str, *, explanation: bool = False) -> Text:
    """A macro string, or with `explanation` the text for a sender. Raises `SyntaxFault`."""
    allowed = EXPLAINING if explanation else LETTERS
    found: list[str | Macro] = []
    position = 0
    while position < len(source):
        if match := EXPAND.match(source, position):
            found.append(_macro(match, allowed) if match[1] else ESCAPES[match[5]])
        elif explanation and source[position] == " ":
            found.append(" ")
            position += 1
            continue
        elif (match := LITERAL.match(source, position)) and match[0]:
            found.append(match[0])
        else:
            raise SyntaxFault(f"no macro string at {source[position : position + 20]!r}")
        position = match.end()
    return tuple(found)


def read_domain(source: str) -> Text:
    """A domain-spec: it ends in a macro, or in a dot and a top label. Raises `SyntaxFault`."""
    found = read(source)
    if EXPAND.search(source) and _ends_in_macro(source):
        return found
    _, dot, top = source.removesuffix(".").rpartition(".")
    if not dot or top.isdigit() or not TOP_LABEL.fullmatch(top):
        raise SyntaxFault(f"{source[:60]!r} is no domain")
    return found


async def expand(text: Text, value: Value) -> str:
    """The text with every macro replaced."""
    return "".join(
        [
            part if isinstance(part, str) else part.applied_to(await value(part.letter.lower()))
            for part in text
        ]
    )


def shortened(name: str) -> str:
    """A name without final dot, and without so many labels on the left as make it too long for DNS."""
    name = name.removesuffix(".")
    while len(name) > LONGEST_NAME and "." in name:
        name = name.partition(".")[2]
    return name


def _macro(match: re.Match[str], allowed: frozenset[str]) -> Macro:
    letter, digits, reverse, delimiters = match[1], match[2], match[3], match[4]
    if letter.lower() not in allowed:
        raise SyntaxFault(f"no macro {letter!r} here")
    if digits and not int(digits):
        raise SyntaxFault("a macro keeps at least one part")
    return Macro(letter, int(digits or 0), bool(reverse), delimiters)


def _ends_in_macro(source: str) -> bool:
    *_, last = EXPAND.finditer(source)
    return last.end() == len(source)
