"""Takes responsibility for a message: when `take` returns, every copy of it is on disk."""

from dataclasses import dataclass

from harness.reference_mta.config import Config
from harness.reference_mta.mail.delivery import Mailboxes
from harness.reference_mta.mail.keeper import Copy, Keeper
from harness.reference_mta.mail.maildir import MaildirCopy
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.routing import route


@dataclass(frozen=True)
class Post:
    """Where accepted messages go: into mailboxes here; for elsewhere into the Maildir `outbound`."""

    config: Config
    keeper: Keeper
    quirks: frozenset[str] = frozenset()  # deliberate defects

    async def take(self, message: Message) -> None:
        """Keep the message for each recipient; raises `OSError` when nothing was kept."""
        routes = route(self.config, message.recipients, self.quirks)
        copies: list[Copy] = Mailboxes(self.config, self.quirks).copies(message, routes.local)
        if routes.remote:
            copies.append(MaildirCopy(self.config.server.state / "outbound", message.head, message.content))
        await self.keeper.keep(copies)
