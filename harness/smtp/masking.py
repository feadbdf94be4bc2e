"""Secrets taken out of what is kept: as they are, and as base64 writes them."""

import base64
from collections.abc import Iterable

MASK = b"***"

_SHORTEST_PART = 4  # characters: fewer of a base64 text would be found everywhere


class Masker:
    """Knows the secrets of a session and replaces them by `MASK`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """`secrets` may be empty; empty ones are no secrets."""
        self._forms: list[bytes] = []
        for secret in secrets:
            self.hide(secret.encode("utf-8", "backslashreplace"))

    def hide(self, secret: bytes) -> None:
        """Mask this one, too, from now on."""
        if secret:
            forms = {*self._forms, secret, *_base64_forms(secret)}
            self._forms = sorted(forms, key=len, reverse=True)  # no form must break a longer one up

    def mask(self, data: bytes) -> bytes:
        """`data` without the secrets; what holds none comes back as it is."""
        for form in self._forms:
            if form in data:
                data = data.replace(form, MASK)
        return data


def _base64_forms(secret: bytes) -> Iterable[bytes]:
    """The base64 text of the secret, and what of it shows in that of any longer text around it.

    Which characters these are depends on the bytes in front, modulo three; the characters that
    share bits with the neighbours are left out.
    """
    yield base64.b64encode(secret)
    for offset in range(3):
        first = -(-8 * offset // 6)
        last = 8 * (offset + len(secret)) // 6
        part = base64.b64encode(bytes(offset) + secret)[first:last]
        if len(part) >= _SHORTEST_PART:
            yield part
