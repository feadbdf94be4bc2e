"""Which replaceable parts of the server were reached, and on whose behalf: noted in a sound run of a proof.

A defect shows only in a dialogue that comes to the part that it replaces; nothing before that differs.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

NOBODY_KNOWN = ""  # whoever is at work has been told no name: it may be anybody
_BEHALF: ContextVar[tuple[str, ...]] = ContextVar("behalf", default=())


@contextmanager
def on_behalf_of(*names: str) -> Iterator[None]:
    """What is done meanwhile is done for those who have these names: envelope addresses, client addresses."""
    before = _BEHALF.set(tuple(name for name in names if name))
    try:
        yield
    finally:
        _BEHALF.reset(before)


@dataclass(frozen=True)
class Reached:
    """Parts, each with the names of those on whose behalf it was reached.

    `client` gives the address of the client that this task serves, or nothing.
    """

    client: Callable[[], str]
    names: dict[str, set[str]] = field(default_factory=dict)

    def note(self, part: str) -> None:
        """Whoever is being served now has come to that part."""
        known = _BEHALF.get() or (self.client() or NOBODY_KNOWN,)
        self.names.setdefault(part, set()).update(known)


def answer(rule: str) -> str:
    """The part that says what is done with the cases of a rule."""
    return f"answer {rule}"


def question(rule: str) -> str:
    """The part that knows which cases fall under a rule."""
    return f"question {rule}"
