"""Takes responsibility for a message: when `take` returns, every copy of it is on disk."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.reference_mta.config import Config
from harness.reference_mta.exhaustion import is_exhaustion
from harness.reference_mta.mail.delivery import Letter, Mailboxes
from harness.reference_mta.mail.filter import INBOX
from harness.reference_mta.mail.forwarding import ForwardingParts
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.queue import Queue
from harness.reference_mta.mail.reports import About, Action, Fate, ReportParts
from harness.reference_mta.mail.requests import Occasion, forwarded, with_several
from harness.reference_mta.mail.routing import RoutingParts
from harness.reference_mta.mail.srs import Srs
from harness.reference_mta.mail.storage import Copy, NotStoredError, Storage
from harness.reference_mta.mail.waking import Waker
from harness.reference_mta.replies import escaped

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Acceptance:
    """Where accepted messages go: into mailboxes here, and for elsewhere into the queue."""

    config: Config
    storage: Storage
    mailboxes: Mailboxes
    queue: Queue
    waker: Waker
    srs: Srs
    routing: RoutingParts = field(default_factory=RoutingParts)
    forwarding: ForwardingParts = field(default_factory=ForwardingParts)
    reports: ReportParts = field(default_factory=ReportParts)

    async def take(self, message: Message) -> None:
        """Keep the message for each recipient; raises `OSError` when nothing was kept.

        Its sender is told of those that have got it, where he wants to be.
        """
        origins = self.forwarding.origins(self.config, self.srs, message.recipients)
        routes = self.routing.route(self.config, origins, self.routing)
        letters = self.mailboxes.letters(message, routes.local)
        senders = self.forwarding.senders(self.config, self.srs, message, routes.remote, origins)
        here, there = (
            {address: [origins[each] for each in led] for address, led in table.items()}
            for table in (routes.local, routes.remote)
        )
        several = with_several(here, there)
        requests = forwarded(message.requests, there, several)
        elsewhere = [
            self.queue.copy(
                sender, found, message.text, international=message.international, requests=requests
            )
            for sender, found in senders.items()
        ]
        try:
            letters = await self._keep(letters, elsewhere)
        finally:  # also when the client is gone: its message may be in the queue all the same
            if elsewhere:
                self.waker.wake()
        places = ", ".join(_places(letters, routes.remote)) or "nowhere"
        log.info("mail from <%s>: %s", escaped(message.sender), places)
        delivered = {recipient for led in here.values() for recipient in led}
        await self._tell(
            message, dict.fromkeys(delivered, Action.DELIVERED) | dict.fromkeys(several, Action.EXPANDED)
        )

    async def _tell(self, message: Message, actions: Mapping[str, Action]) -> None:
        """Tell the sender what has become of his message, by recipient, as far as he wants to be told.

        Nobody is told of a message from the null sender (RFC 3461 §5.2).
        """
        try:
            fates = [
                Fate(recipient, actions[recipient])
                for recipient in dict.fromkeys(message.recipients)
                if recipient in actions and self._wanted(message, recipient)
            ]
            if fates:
                await self.take(self._report(message, fates))
        except Exception as error:  # the message is kept all the same, and that is what its client is told
            defect = not isinstance(error, OSError)
            log.error("the sender of a message cannot be told of it: %s", error, exc_info=defect)

    def _wanted(self, message: Message, recipient: str) -> bool:
        return bool(message.sender) and self.reports.wanted(message.requests.of(recipient), Occasion.SUCCESS)

    def _report(self, message: Message, fates: Sequence[Fate]) -> Message:
        about = About(message.sender, message.text, time.time(), message.requests, message.international)
        return self.reports.written(self.config.server.hostname, about, fates, self.reports)

    async def _keep(self, letters: list[Letter], elsewhere: Sequence[Copy]) -> list[Letter]:
        """The letters as they were kept: one whose folder cannot be used goes to its inbox."""
        while True:
            copies = [self.mailboxes.copy(letter) for letter in letters]
            try:
                await self.storage.keep([*copies, *elsewhere])
            except NotStoredError as error:
                stuck = next((number for number, copy in enumerate(copies) if copy is error.copy), None)
                elsewhere_too = is_exhaustion(error.reason)  # and another folder would be no help
                if stuck is None or letters[stuck].folder == INBOX or elsewhere_too:
                    raise error.reason from error
                letter = letters[stuck]
                log.error(
                    "folder %s of %s cannot be used, so a message goes to the inbox: %s",
                    letter.folder,
                    letter.mailbox,
                    error,
                )
                letters[stuck] = replace(letter, folder=INBOX)
            else:
                return letters


def _places(letters: Iterable[Letter], remote: Iterable[str]) -> Iterator[str]:
    """Where the copies of a message are now, for the log."""
    for letter in letters:
        yield f"in {letter.folder or 'the inbox'} of {letter.mailbox}"
    for address in remote:
        yield f"queued for <{escaped(address)}>"
