"""What goes wrong on the sockets: told once for each kind and counted; no flood becomes one of lines."""

import logging
from collections import Counter

_log = logging.getLogger(__name__)


class Troubles:
    """Counts what happens; a kind is told when it happens first, and at the end how often it did."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self._seen: Counter[str] = Counter()

    def tell(self, kind: str, detail: object = "") -> None:
        """Something of that kind happened; `detail` is told of the first only."""
        self._seen[kind] += 1
        if self._seen[kind] == 1:
            _log.warning("%s%s; more of this is counted, not told", kind, f": {detail}" if detail else "")

    def close(self) -> None:
        """Tell what happened more than once."""
        for kind, times in self._seen.items():
            if times > 1:
                _log.warning("%s: %d times in all", kind, times)
        self._seen.clear()
