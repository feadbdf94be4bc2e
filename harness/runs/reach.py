"""Which scenarios come to which parts of a server: noted once, in a sound run of one that tells its parts.

A server knows clients by their addresses and messages by the addresses on their envelopes; each of these was
given to one scenario, or to the run itself. What is of nobody known counts as reached by all.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMAT, VERSION = "smtp-harness/reach", 1
NUMBERED = re.compile(r"[cd]\d+-[a-z]+")  # in the domains that a run makes up, see `world/internet.py`


class ReachFileError(Exception):
    """What a sound run was to note is not there, or of another version; the text says which file."""


@dataclass(frozen=True)
class Reach:
    """By part: the pytest ids of the scenarios that come to it; None where it may be any."""

    tests: Mapping[str, frozenset[str] | None]

    def of(self, parts: Collection[str]) -> frozenset[str] | None:
        """The scenarios that come to one of some parts; None for all of them, as for parts nobody named."""
        if not parts:
            return None
        found: frozenset[str] = frozenset()
        for part in parts:
            tests = self.tests.get(part, frozenset())
            if tests is None:
                return None
            found |= tests
        return found

    def write(self, file: Path) -> None:
        """Raises `OSError`."""
        parts = {part: None if tests is None else sorted(tests) for part, tests in self.tests.items()}
        file.write_text(json.dumps({"format": FORMAT, "version": VERSION, "parts": parts}), "utf-8")

    @classmethod
    def read(cls, file: Path) -> "Reach":
        """What was written there; raises `ReachFileError`."""
        try:
            content: dict[str, Any] = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ReachFileError(f"{file}: what the sound run reached was not noted: {error}") from error
        if (content.get("format"), content.get("version")) != (FORMAT, VERSION):
            raise ReachFileError(f"{file}: is not of {FORMAT} {VERSION}; let the sound run write it again")
        parts: dict[str, list[str] | None] = content["parts"]
        return cls({part: None if tests is None else frozenset(tests) for part, tests in parts.items()})


def attributed(
    reached: Mapping[str, Iterable[str]],
    clients: Mapping[str, Iterable[str]],
    is_ours: Callable[[str], bool],
) -> Reach:
    """Parts with the names for which a server came to them, as parts with scenarios.

    `clients` gives the names of each scenario's clients and domains, by its pytest id; `is_ours` says of a
    name whether the run gave it to somebody at all: the innocents whom it sends itself play no scenario.
    """
    owners: dict[str, set[str]] = {}
    for test, names in clients.items():
        for name in names:
            owners.setdefault(name, set()).add(test)
    tests: dict[str, frozenset[str] | None] = {}
    for part, names in reached.items():
        found: set[str] | None = set()
        for name in names:
            known = [name] if name in owners or is_ours(name) else NUMBERED.findall(name.lower())
            if not any(one in owners or is_ours(one) for one in known):
                found = None
                break
            found = found.union(*(owners.get(one, ()) for one in known)) if found is not None else None
        tests[part] = None if found is None else frozenset(found)
    return Reach(tests)
