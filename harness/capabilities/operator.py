"""The operator of a greylist, by the commands that the profile names."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from harness.profile import Operator
from harness.verdicts import InconclusiveError

PATIENCE = 30.0  # seconds that one command may take


@dataclass(frozen=True)
class CommandOperator:
    """Runs the profile's commands, without a shell, with the triplet filled in."""

    commands: Operator

    def add(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Put a triplet on a list; raises `InconclusiveError` when the command fails."""
        self._run(self.commands.add, which, client, sender, recipient)

    def remove(self, which: str, client: str, sender: str, recipient: str) -> None:
        """Take a triplet off a list; raises `InconclusiveError` when the command fails."""
        self._run(self.commands.remove, which, client, sender, recipient)

    def listed(self, which: str, client: str, sender: str, recipient: str) -> bool:
        """Whether one line of the list command's output shows all parts of the triplet."""
        shown = self._run(self.commands.list, which, client, sender, recipient)
        parts = [part.lower() for part in (client, sender, recipient) if part]
        return any(all(part in line.lower() for part in parts) for line in shown.splitlines())

    def _run(self, template: Sequence[str], which: str, client: str, sender: str, recipient: str) -> str:
        filled = [
            word.replace("{list}", which)
            .replace("{client}", client)
            .replace("{sender}", sender)
            .replace("{recipient}", recipient)
            for word in template
        ]
        try:
            done = subprocess.run(filled, capture_output=True, text=True, timeout=PATIENCE, check=True)  # noqa: S603
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip()[-300:]
            raise InconclusiveError(
                f"operator command {filled[0]} ended with {error.returncode}: {said}"
            ) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InconclusiveError(f"operator command {filled[0]} did not run: {error}") from error
        return done.stdout
