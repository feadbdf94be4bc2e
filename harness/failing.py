"""How a failed scenario is shown: first what its rule says and expects, then what pytest has to show."""

from typing import Any

from harness.printable import printable
from harness.rules import Rule
from harness.runs.play import FIXTURES


class RuleFailure:
    """What pytest calls a `longrepr`: its own, below the rule's statement and expectation.

    The values of the harness's fixtures, which pytest would print above the scenario, say nothing of the
    server, and are left out.
    """

    def __init__(self, rule: Rule, expected: str, shown: Any) -> None:
        """`shown` is pytest's own, and harmless; what the rule says is whatever its file has."""
        self._head = tuple(map(printable, (f"{rule.id}: {rule.statement}", f"expected: {expected}", "")))
        self._shown = shown
        for entry in getattr(getattr(shown, "reprtraceback", None), "reprentries", ()):
            if arguments := getattr(entry, "reprfuncargs", None):
                arguments.args = [(name, value) for name, value in arguments.args if name not in FIXTURES]

    def toterminal(self, out: Any) -> None:
        """Write it; `out` is pytest's terminal."""
        for line in self._head:
            out.line(line)
        self._shown.toterminal(out)

    def __str__(self) -> str:
        """The same as text, as it stands in JUnit XML."""
        return "\n".join((*self._head, str(self._shown)))

    def __getattr__(self, name: str) -> Any:
        """Where it crashed, and whatever else pytest asks of its own."""
        if name == "_shown":
            raise AttributeError(name)
        return getattr(self._shown, name)
