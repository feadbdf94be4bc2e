"""Takes responsibility for a message: when `take` returns, every copy of it is on disk."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.reference_mta.config import Config
from harness.reference_mta.mail.delivery import Letter, Mailboxes
from harness.reference_mta.mail.filter import INBOX
from harness.reference_mta.mail.keeper import Copy, Keeper
from harness.reference_mta.mail.maildir import MaildirCopy
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.routing import route

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Post:
    """Where accepted messages go: into mailboxes here; for elsewhere into the Maildir `outbound`."""

    config: Config
    keeper: Keeper
    mailboxes: Mailboxes

    async def take(self, message: Message) -> None:
        """Keep the message for each recipient; raises `OSError` when nothing was kept."""
        routes = route(self.config, message.recipients, self.mailboxes.quirks)
        letters = self.mailboxes.letters(message, routes.local)
        elsewhere: list[Copy] = []
        if routes.remote:
            outbound = self.config.server.state / "outbound"
            elsewhere = [MaildirCopy(outbound, message.head, message.content)]
        try:
            await self._keep(letters, elsewhere)
        except OSError as error:
            if all(letter.folder == INBOX for letter in letters):
                raise
            log.error("a folder cannot be used, so the message goes to the inbox: %s", error)
            await self._keep([replace(letter, folder=INBOX) for letter in letters], elsewhere)

    async def _keep(self, letters: Sequence[Letter], elsewhere: Sequence[Copy]) -> None:
        await self.keeper.keep([*map(self.mailboxes.copy, letters), *elsewhere])
