"""Secrets taken out of what is kept: as they are, and as base64 writes them."""

import base64
import functools
import re
from collections.abc import Iterable, Iterator

from harness.settings.secret import Secret

MASK = b"***"

_SHORTEST_PART = 4  # characters: fewer of a base64 text would be found everywhere


class Masker:
    """Knows the secrets of a session and replaces them by `MASK`."""

    def __init__(self, secrets: Iterable[Secret | str] = ()) -> None:
        """`secrets` may be empty; empty ones are no secrets."""
        self._secrets: tuple[bytes, ...] = ()
        self._forms: re.Pattern[bytes] | None = None
        self.hide(*secrets)

    def hide(self, *secrets: Secret | str) -> None:
        """Mask these, too, from now on."""
        self._secrets += tuple(
            [Secret.of(secret).reveal().encode("utf-8", "backslashreplace") for secret in secrets]
        )
        if any(self._secrets):
            self._forms = _forms(self._secrets)

    def mask(self, data: bytes) -> bytes:
        """`data` without the secrets."""
        if self._forms and self._forms.search(data):  # cheaper than to replace nothing
            return self._forms.sub(MASK, data)
        return data

    def mask_text(self, text: str) -> str:
        """`text` without the secrets."""
        data = text.encode("utf-8", "surrogatepass")
        kept = self.mask(data)
        return text if kept is data else kept.decode("utf-8", "surrogatepass")


@functools.lru_cache(maxsize=32)  # the sessions of a run share their secrets
def _forms(secrets: tuple[bytes, ...]) -> re.Pattern[bytes]:
    forms = {form for secret in secrets if secret for form in (secret, *_base64_forms(secret))}
    longest_first = sorted(forms, key=len, reverse=True)
    return re.compile(b"|".join(map(re.escape, longest_first)))


def _base64_forms(secret: bytes) -> Iterator[bytes]:
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
