"""A directory of accounts, by the command that the profile names."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.capabilities import commands
from harness.profile.mail_tables import Account


@dataclass(frozen=True)
class CommandDirectory:
    """Asks a directory whether it takes a password."""

    command: Sequence[str]

    def vouch_for(self, account: Account) -> None:
        """Raises `InconclusiveError` when it does not take the account's password, or cannot be asked."""
        words = [word.replace("{user}", account.user) for word in self.command]
        commands.run("directory.bind", words, account.secret.reveal())
