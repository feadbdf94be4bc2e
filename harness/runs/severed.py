"""Which dialogues a server broke off last: where it serves nobody any more, one of them may have ended it."""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.wording import counted

KEPT = 10_000  # dialogues
JUST_BEFORE = 5.0  # seconds: who waits for a reply notices at once, and others when they say something
NAMED = 5  # rules


@dataclass
class Severed:
    """When (`time.monotonic`) the server broke dialogues off, and of which rules they were."""

    _dialogues: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=KEPT))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, rule: str, moments: Iterable[float]) -> None:
        """Dialogues of a rule were broken off at these moments."""
        with self._lock:
            self._dialogues.extend((moment, rule) for moment in moments)

    def before(self, moment: float, *, served: float) -> str:
        """A clause about those just before `moment`, the last first; may be empty.

        What came before innocents were last `served` did no harm.
        """
        since = max(served, moment - JUST_BEFORE)
        with self._lock:
            last = sorted((one for one in self._dialogues if since <= one[0] <= moment), reverse=True)
        rules = [*dict.fromkeys(rule for _, rule in last)]
        if not rules:
            return ""
        more = f" and {counted(len(rules) - NAMED, 'rule')} more" if len(rules) > NAMED else ""
        return f"just before, it broke off dialogues of {', '.join(rules[:NAMED])}{more}"
