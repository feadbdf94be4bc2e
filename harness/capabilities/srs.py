"""Rewritten senders as the server made them in the past, by the command that the profile names."""

from dataclasses import dataclass

from harness.capabilities import commands
from harness.profile.mail_tables import Srs


@dataclass(frozen=True)
class CommandRewriter:
    """Runs the profile's command."""

    table: Srs

    def aged(self, sender: str, days: int) -> str:
        """The rewritten form of a sender, so many days old; raises `InconclusiveError` when there is none."""
        words = [word.replace("{days}", str(days)).replace("{sender}", sender) for word in self.table.make]
        return commands.run("srs.make", words).strip()
