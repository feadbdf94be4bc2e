"""The operator of a greylist, by the commands that the profile names."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.capabilities import commands
from harness.profile.tables import Operator


@dataclass(frozen=True)
class CommandOperator:
    """Runs the profile's commands with the triplet filled in."""

    commands: Operator

    def add(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Put a triplet on a list; raises `InconclusiveError` when the command fails."""
        _run("operator.add", self.commands.add, which, client, sender, recipient)

    def remove(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Take a triplet off a list; raises `InconclusiveError` when the command fails."""
        _run("operator.remove", self.commands.remove, which, client, sender, recipient)

    def listed(self, which: str, client: str, sender: str, recipient: str) -> bool:
        """Whether one line of the list command's output shows all parts of the triplet."""
        shown = _run("operator.list", self.commands.list, which, client, sender, recipient)
        parts = [part.lower() for part in (client, sender, recipient) if part]
        return any(all(part in line.lower() for part in parts) for line in shown.splitlines())


def _run(key: str, template: Sequence[str], which: str, client: str, sender: str, recipient: str) -> str:
    places = {"{list}": which, "{client}": client, "{sender}": sender, "{recipient}": recipient}
    return commands.run(key, [_filled(word, places) for word in template])


def _filled(word: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        word = word.replace(place, value)
    return word
