"""Whether a header field's list of addresses parses (RFC 5322 §3.4, with its obsolete forms of §4.4)."""

import re

TOKEN = re.compile(
    r"""
    (?P<space> [ \t\r\n]+ )
  | (?P<quoted> "(?: [^"\\] | \\. )*+" )
  | (?P<literal> \[ (?: [^\[\]\\] | \\. )*+ \] )
  | (?P<atom> [^\s\x00-\x1f\x7f()<>\[\]:;@\\,."]++ )
  | (?P<special> [<>:;@,.] )
    """,
    re.VERBOSE | re.DOTALL,
)
# What follows reads a text in which each token is one letter: w an atom, q a quoted string, l a literal.
LOCAL_PART, DOMAIN = r"[wq](?:\.[wq])*+", r"(?:w(?:\.w)*+|l)"
ADDRESS = rf"{LOCAL_PART}@{DOMAIN}"
ROUTE = rf"(?:@{DOMAIN}(?:,@{DOMAIN})*+:)?"
PHRASE = r"[wq][wq.]*+"
MAILBOX = rf"(?>{ADDRESS}|(?:{PHRASE})?<{ROUTE}{ADDRESS}>)"
MAILBOXES = rf"(?:{MAILBOX})?(?:,(?:{MAILBOX})?)*+"
ONE = rf"(?>{MAILBOX}|{PHRASE}:{MAILBOXES};)"
ADDRESSES = re.compile(rf"(?:{ONE})?(?:,(?:{ONE})?)*+")
LETTERS = {"quoted": "q", "literal": "l", "atom": "w"}


def parses(value: str) -> bool:
    """Whether `value`, unfolded or not, is a list of addresses; an empty one is. Takes time linear in it."""
    letters: list[str] = []
    position = 0
    while position < len(value):
        if value[position] == "(":
            position = end_of_comment(value, position)
            if position < 0:
                return False
            continue
        token = TOKEN.match(value, position)
        if token is None or token.lastgroup is None:
            return False
        if token.lastgroup != "space":
            letters.append(LETTERS.get(token.lastgroup, token.group()))
        position = token.end()
    return ADDRESSES.fullmatch("".join(letters)) is not None


def end_of_comment(value: str, position: int) -> int:
    """Where the comment that begins at `position` ends, those in it included; -1 where it does not."""
    depth = 0
    while position < len(value):
        match value[position]:
            case "\\":
                position += 1
            case "(":
                depth += 1
            case ")":
                depth -= 1
                if depth == 0:
                    return position + 1
        position += 1
    return -1
