"""The text form of DNS data: entries, words and strings of a master file (RFC 1035 section 5.1).

This knows quotes, escapes, comments, parentheses, and on which line all stood; it knows no record types.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fake_dns.names import RecordError

_TOKEN = re.compile(
    r"""
    (?P<blank>[ \t]+)
    | (?P<newline>\r?\n)
    | (?P<comment>;[^\n]*)
    | (?P<parenthesis>[()])
    | "(?P<string>(?:[^"\\\n]|\\[^\n])*)"
    | (?P<word>(?:[^\s"();\\]|\\[^\n])+)
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """A word or a quoted string; `text` is without its quotes, with its escapes.

    `attached`: it follows without a blank, as the string does in `alpn="h2"`.
    """

    text: str
    quoted: bool = False
    attached: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class MasterEntry:
    """One logical line: a record or a directive.

    `line` counts from 1; `indented` means that the line begins with a blank, so its owner is that of the
    record before.
    """

    line: int
    indented: bool
    tokens: tuple[Token, ...]


class LineError(RecordError):
    """Data that DNS cannot carry, and the line where it stands, counted from 1."""

    def __init__(self, line: int, problem: str, path: Path | None = None) -> None:
        """`problem` is a sentence without the line; `path` is that of another file, if it is there."""
        self.line = line
        self.path = path
        super().__init__(problem)


@dataclass(frozen=True)
class _Lexeme:
    kind: str
    text: str
    line: int
    starts_line: bool


def entries(text: str) -> Iterator[MasterEntry]:
    """The logical lines of master-file text, one after the other; raises `LineError`."""
    tokens: list[Token] = []
    opened = 0  # the line of the parenthesis that is open
    start, indented, attached = 1, False, False
    for lexeme in _lexemes(text):
        if lexeme.kind == "parenthesis":
            if (lexeme.text == "(") == bool(opened):
                raise LineError(lexeme.line, f"there is a {lexeme.text!r} that does not belong there")
            opened = 0 if opened else lexeme.line
        elif lexeme.kind in ("word", "string"):
            start = start if tokens else lexeme.line
            tokens.append(Token(lexeme.text, quoted=lexeme.kind == "string", attached=attached))
        elif lexeme.kind == "newline" and not opened:
            if tokens:
                yield MasterEntry(start, indented, tuple(tokens))
            tokens, indented = [], False
        elif lexeme.kind == "blank" and lexeme.starts_line and not opened:
            indented = True
        attached = lexeme.kind in ("word", "string")
    if opened:
        raise LineError(opened, "there is a '(' that is never closed")
    if tokens:
        yield MasterEntry(start, indented, tuple(tokens))


def tokens_of(text: str) -> tuple[Token, ...]:
    """The words and strings of a single entry, such as a record's data; raises `LineError`."""
    return tuple(token for entry in entries(text) for token in entry.tokens)


def _lexemes(text: str) -> Iterator[_Lexeme]:
    line, position = 1, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise LineError(line, _complaint(text[position]))
        starts_line = position == 0 or text[position - 1] == "\n"
        yield _Lexeme(match.lastgroup, match[match.lastgroup], line, starts_line)
        line += match.lastgroup == "newline"
        position = match.end()


def _complaint(character: str) -> str:
    if character == '"':
        return 'there is a string without its closing "'
    if character == "\\":
        return "there is a backslash with nothing behind it"
    return f"the character {character!r} cannot stand here"
