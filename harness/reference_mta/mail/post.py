"""Takes responsibility for a message: when `take` returns, every copy of it is on disk."""

from dataclasses import dataclass

from harness.reference_mta.config import Config
from harness.reference_mta.mail.delivery import folders
from harness.reference_mta.mail.maildir import Keeper
from harness.reference_mta.mail.message import Message


@dataclass(frozen=True)
class Post:
    """Where accepted messages go."""

    config: Config
    keeper: Keeper

    async def take(self, message: Message) -> None:
        """Keep the message for each recipient; raises `OSError` when nothing was kept."""
        await self.keeper.keep(folders(self.config, message.recipients), message.text)
