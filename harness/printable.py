"""Text from others made harmless for the eye: nothing that moves the cursor, hides or turns around text.

Whatever leaves the harness passes here, whoever said it and whoever wrote the line that shows it: tables and
pages field by field, the commands' output in `streams`, what pytest shows in `harness.runs.showing`.
"""

import codecs
import re

LINES = "\n\t"  # what a text of several lines keeps
_ESCAPED = "smtp-harness.escaped"  # how encoders deal with what they cannot encode
_UNUSUAL = re.compile(r"[^\n -~]")  # what may not print; a whole result is looked through for it


def printable(text: str, keep: str = "") -> str:
    r"""`text` with every character that does not print shown as its escape, such as `\x1b` or `\u202e`.

    That covers control characters, line and paragraph separators, zero-width characters, and the marks that
    override the direction of writing (Unicode categories C and Z, the plain space excepted). Those in
    `keep` stay.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def encodable(text: str, encoding: str | None) -> str:
    r"""`text` with each character that an encoding lacks as in JSON, such as `\u00e9`; None lacks none."""
    return text.encode(encoding, _ESCAPED).decode(encoding) if encoding else text


def printable_json(text: str) -> str:
    r"""A JSON text that reads back the same, and in which every character prints: `\u009b` where none did.

    Lone surrogates, which are no characters, stay.
    """
    return _UNUSUAL.sub(lambda found: _json_escape(found[0]), text)


def shortened(text: str, limit: int) -> str:
    """`text`, or its first `limit` characters and how many more there are."""
    left_out = len(text) - limit
    return text if left_out <= 0 else f"{text[:limit]} … and {left_out} more characters"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _json_escape(character: str) -> str:
    if character.isprintable() or "\ud800" <= character <= "\udfff":
        return character
    return _units(character)


def _units(text: str) -> str:
    units = text.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return _units(error.object[error.start : error.end]), error.end


codecs.register_error(_ESCAPED, _escaped)
