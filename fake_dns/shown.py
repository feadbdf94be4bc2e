"""How text that somebody else wrote stands in the log: short, and without a character that acts."""

MAX_SHOWN = 200  # characters of an answer kept for the log


def shown(text: str) -> str:
    """At most `MAX_SHOWN` characters and a mark that it was cut; what is not printable as an escape.

    Line ends, terminal escapes, marks that turn the direction of writing and single octets of no encoding
    (Python's surrogates) are all not printable.
    """
    cut = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
    return cut if cut.isprintable() else "".join(map(_escaped, cut))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
