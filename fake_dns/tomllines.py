"""Where the values of a TOML text stand: what `tomllib` forgets, and what an error needs to name a line."""

import re
from collections import Counter

# Strings and comments are consumed whole, so a header or key that is found is a real one.
_MARKS = re.compile(
    r'''
    """(?:\\.|[^\\])*?"""
    | \'\'\'.*?\'\'\'
    | "(?:\\.|[^"\\\n])*"
    | '[^'\n]*'
    | \#[^\n]*
    | ^[ \t]*\[\[?[ \t]*(?P<table>[\w-]+)[ \t]*\]\]?
    | ^[ \t]*(?P<key>[\w-]+)[ \t]*[=.]
    ''',
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)

DEEP = 20  # levels of lists and tables that no zone file needs


class TomlLines:
    """The lines of all tables and keys, found in one pass when somebody asks for the first."""

    def __init__(self, text: str) -> None:
        """`text` need not be valid."""
        self._text = text
        self._lines: dict[tuple[str | int, ...], int] | None = None

    def of(self, place: tuple[str | int, ...]) -> int:
        """The line of a value, given its keys and positions from the top; or of the table that it is in."""
        if self._lines is None:
            self._lines = self._found()
        known = self._lines
        return next((known[place[:end]] for end in range(len(place), 0, -1) if place[:end] in known), 1)

    def _found(self) -> dict[tuple[str | int, ...], int]:
        lines: dict[tuple[str | int, ...], int] = {}
        seen: Counter[str] = Counter()
        table: tuple[str | int, ...] = ()
        line, counted = 1, 0
        for mark in _MARKS.finditer(self._text):
            if mark.lastgroup is None:
                continue
            start = mark.start(mark.lastgroup)
            line, counted = line + self._text.count("\n", counted, start), start
            if mark["table"]:
                table = (mark["table"], seen[mark["table"]])
                seen[mark["table"]] += 1
                lines[table] = line
            else:
                lines.setdefault((*table, mark["key"]), line)
        return lines


def deepest_line(text: str) -> int:
    """The line where lists or tables are nested deeper than `DEEP`, brackets in strings counted as well."""
    depth, line = 0, 1
    for mark in re.finditer(r"[\[{\]}\n]", text):
        line += mark[0] == "\n"
        depth = max(0, depth + (mark[0] in "[{") - (mark[0] in "]}"))
        if depth > DEEP:
            return line
    return line
