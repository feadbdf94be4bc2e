"""Text from a server made harmless for the eye: nothing that moves the cursor, hides or turns around text."""


def visible(text: str, keep: str = "") -> str:
    r"""`text` with every character that does not print shown as its escape, such as `\x1b` or `\u202e`.

    That covers control characters, line and paragraph separators, zero-width characters, and the marks that
    override the direction of writing (Unicode categories C and Z, the plain space excepted). Those in
    `keep` stay.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def shortened(text: str, limit: int) -> str:
    """`text`, or its first `limit` characters and how many more there are."""
    left_out = len(text) - limit
    return text if left_out <= 0 else f"{text[:limit]} … and {left_out} more characters"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
