"""Takes responsibility for a message: when `take` returns, every copy of it is on disk."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.reference_mta.config import Config
from harness.reference_mta.mail.bell import Bell
from harness.reference_mta.mail.delivery import Letter, Mailboxes
from harness.reference_mta.mail.filter import INBOX
from harness.reference_mta.mail.keeper import Copy, Keeper
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.queue import Queue
from harness.reference_mta.mail.routing import route

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Post:
    """Where accepted messages go: into mailboxes here, and for elsewhere into the queue."""

    config: Config
    keeper: Keeper
    mailboxes: Mailboxes
    queue: Queue
    bell: Bell

    async def take(self, message: Message) -> None:
        """Keep the message for each recipient; raises `OSError` when nothing was kept."""
        routes = route(self.config, message.recipients, self.mailboxes.quirks)
        letters = self.mailboxes.letters(message, routes.local)
        elsewhere: list[Copy] = []
        if routes.remote:
            elsewhere = [self.queue.copy(message.sender, tuple(routes.remote), message.text)]
        try:
            await self._keep(letters, elsewhere)
        except OSError as error:
            if all(letter.folder == INBOX for letter in letters):
                raise
            log.error("a folder cannot be used, so the message goes to the inbox: %s", error)
            await self._keep([replace(letter, folder=INBOX) for letter in letters], elsewhere)
        if elsewhere:
            self.bell.ring()

    async def _keep(self, letters: Sequence[Letter], elsewhere: Sequence[Copy]) -> None:
        await self.keeper.keep([*map(self.mailboxes.copy, letters), *elsewhere])
