"""Which extensions of SMTP the server offers, beside SIZE, STARTTLS and AUTH."""

from enum import StrEnum
from typing import Self

from pydantic import model_validator

from harness import settings


class Extension(StrEnum):
    """Each by its keyword, in the order in which EHLO lists them."""

    EIGHT_BIT = "8BITMIME"  # RFC 6152
    PIPELINING = "PIPELINING"  # RFC 2920
    STATUS_CODES = "ENHANCEDSTATUSCODES"  # RFC 2034
    CHUNKING = "CHUNKING"  # RFC 3030
    BINARY = "BINARYMIME"  # RFC 3030
    INTERNATIONAL = "SMTPUTF8"  # RFC 6531
    DSN = "DSN"  # RFC 3461
    LIMITS = "LIMITS"  # RFC 9422


NEEDED = {  # what an extension cannot be offered without
    Extension.BINARY: (Extension.CHUNKING, "RFC 3030 section 3"),
    Extension.INTERNATIONAL: (Extension.EIGHT_BIT, "RFC 6531 section 3.1"),
}


class Extensions(settings.Settings):
    """All are offered but those that stand here."""

    without: tuple[Extension, ...] = ()

    @model_validator(mode="after")
    def _each_has_what_it_needs(self) -> Self:
        for extension, (needed, source) in NEEDED.items():
            if needed in self.without and extension not in self.without:
                raise ValueError(f"without: {extension} needs {needed} ({source}); add it, or leave {needed}")
        return self

    @property
    def offered(self) -> frozenset[Extension]:
        """Those that are left."""
        return frozenset(Extension) - frozenset(self.without)
