"""The language of the user's filter.

A filter is a text in UTF-8 with a rule a line; the first rule that holds decides, and where none does the
message is kept in the inbox:

    # a comment
    if header X-Spam-Flag defined or header X-Spam-Status contains "Yes" then save Spam
    if header To contains "debian-news@lists.example" then save Lists.debian-news
    if header Subject is "Daily report" then save Reports
    if body contains "foobar" then save Foobar
    if header X-DNSbl-Warning defined then save Junk.DNSbl-Warning

`header NAME` is any field of that name as it was delivered, unfolded, with encoded words (RFC 2047) decoded
in the first 1000 characters of all fields of that name.
`body` is the first 500 characters of the body as they were sent, with a blank for each end of line. Letter
case never counts. A text is in double quotes, with `\\"` and `\\\\` for those two, or a single word.
A folder is named by letters, digits, `-` and `_`, its parents before it with dots; `INBOX` is the inbox.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from harness import settings
from harness.reference_mta.mail.filter import INBOX, Condition, Filter, Rule

LONGEST_FOLDER = 100  # characters
FOLDER = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
FIELD_NAME = re.compile(r"[!-9;-~]+")
TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\["\\])*)"(?!\S)|([^\s"]+)(?!\S))')
FORM = "write: if CONDITION [or CONDITION …] then save FOLDER"
CONDITIONS = "header NAME contains TEXT, header NAME is TEXT, header NAME defined, body contains TEXT"


class _LineError(Exception):
    """What is wrong with a line, and how to mend it."""


def parse(text: str, path: Path) -> Filter:
    """The filter that a text describes; raises `SettingsError` that names `path` and each wrong line."""
    rules: list[Rule] = []
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            rules.append(_rule(_Words(line)))
        except _LineError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        raise settings.SettingsError(path, problems)
    return Filter(tuple(rules))


class _Words:
    """The words of a line, one after the other."""

    def __init__(self, line: str) -> None:
        self._words = list(_split(line.strip()))

    def keyword(self) -> str:
        """The next word in lower case; empty for a quoted text, and at the end."""
        quoted, word = self._words.pop(0) if self._words else (False, "")
        return "" if quoted else word.lower()

    def argument(self, missing: str) -> str:
        """The next word or quoted text; raises `_LineError` when there is none."""
        if not self._words:
            raise _LineError(missing)
        return self._words.pop(0)[1]

    @property
    def left(self) -> bool:
        """Whether there are more."""
        return bool(self._words)


def _split(line: str) -> Iterator[tuple[bool, str]]:
    position = 0
    while position < len(line):
        found = TOKEN.match(line, position)
        if found is None:
            raise _LineError(
                f"cannot be read from {line[position:].strip()[:20]!r} on; "
                'put a text in double quotes with blanks around them, and write \\" for a quote in it'
            )
        position = found.end()
        quoted = found[1] is not None
        yield quoted, re.sub(r"\\(.)", r"\1", found[1]) if quoted else found[2]


def _rule(words: _Words) -> Rule:
    if words.keyword() != "if":
        raise _LineError(f"does not begin with if; {FORM}")
    conditions = [_condition(words)]
    while (word := words.keyword()) == "or":
        conditions.append(_condition(words))
    if word != "then" or words.keyword() != "save":
        raise _LineError(f"has no `or`, or `then save`, behind a condition; {FORM}")
    folder = words.argument(f"names no folder; {FORM}")
    if words.left:
        raise _LineError("goes on behind the folder; begin another line for the next rule")
    return Rule(tuple(conditions), _folder(folder))


def _condition(words: _Words) -> Condition:
    subject = words.keyword()
    if subject == "body":
        if words.keyword() != "contains":
            raise _LineError("a body has only one condition: body contains TEXT")
        return Condition("", "contains", _text(words))
    if subject != "header":
        raise _LineError(f"a condition is missing or unknown; there are: {CONDITIONS}")
    name = words.argument("names no header field; write: header NAME defined")
    if not FIELD_NAME.fullmatch(name):
        raise _LineError(f"{name!r} is no name of a header field; write it without a colon, as in: header To")
    match words.keyword():
        case "defined":
            return Condition(name.lower(), "defined")
        case "contains":
            return Condition(name.lower(), "contains", _text(words))
        case "is":
            return Condition(name.lower(), "is", words.argument("has no text behind is").strip().lower())
    raise _LineError(f"header {name} goes on with none of contains, is, defined")


def _text(words: _Words) -> str:
    text = words.argument("has no text behind contains; every message would match, so name one").lower()
    if not text:
        raise _LineError("an empty text is contained in every message; name one")
    return text


def _folder(name: str) -> str:
    if name.upper() == "INBOX":
        return INBOX
    if len(name) > LONGEST_FOLDER or not FOLDER.fullmatch(name):
        raise _LineError(
            f"{name[:LONGEST_FOLDER]!r} is no folder; use letters, digits, - and _, with dots only between "
            f"parent and child, as Lists.debian, {LONGEST_FOLDER} characters at most"
        )
    return name
