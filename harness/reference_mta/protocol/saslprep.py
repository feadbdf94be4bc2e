"""One form for names and passwords that look alike (SASLprep, RFC 4013, on Unicode 3.2)."""

import stringprep
from unicodedata import ucd_3_2_0

PROHIBITED = (  # RFC 4013 §2.3
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class PreparationError(ValueError):
    """A text has no such form; the message says why, and shows nothing of the text."""


def prepared(text: str, *, stored: bool = False) -> str:
    """The form in which a text is compared; one that is to be `stored` has known characters only.

    Raises `PreparationError`.
    """
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    found = ucd_3_2_0.normalize("NFKC", mapped)
    if any(forbids(char) for char in found for forbids in PROHIBITED):
        raise PreparationError("has a character that may stand in no name or password (RFC 4013 §2.3)")
    if stored and any(map(stringprep.in_table_a1, found)):
        raise PreparationError("has a character that Unicode 3.2 does not know (RFC 4013 §2.5)")
    if any(map(stringprep.in_table_d1, found)):  # RFC 3454 §6
        ends_right = stringprep.in_table_d1(found[0]) and stringprep.in_table_d1(found[-1])
        if not ends_right or any(map(stringprep.in_table_d2, found)):
            raise PreparationError("mixes writing from the right and from the left (RFC 3454 §6)")
    return found
