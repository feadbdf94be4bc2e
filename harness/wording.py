"""Words for reasons and tables: how many of a thing, and which."""

from collections.abc import Iterable


def counted(number: int, thing: str, things: str = "") -> str:
    """A number with its noun, as «1 rule» or «2 rules»; `things` is a plural that takes more than an s."""
    return f"{number} {thing}" if number == 1 else f"{number} {things or f'{thing}s'}"


def named(values: Iterable[object], nothing: str = "nothing") -> str:
    """All values with commas between them, and a word where there is none: a reason is never left blank."""
    return ", ".join(map(str, values)) or nothing
