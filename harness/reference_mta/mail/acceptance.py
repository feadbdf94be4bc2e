"""Takes responsibility for a message: when `take` returns, every copy of it is on disk."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.reference_mta.addresses import split
from harness.reference_mta.config import Config
from harness.reference_mta.exhaustion import is_exhaustion
from harness.reference_mta.mail.defects import Defects
from harness.reference_mta.mail.delivery import Letter, Mailboxes
from harness.reference_mta.mail.filter import INBOX
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.queue import Queue
from harness.reference_mta.mail.routing import Destinations, route
from harness.reference_mta.mail.srs import OURS1, Srs
from harness.reference_mta.mail.storage import Copy, NotStoredError, Storage
from harness.reference_mta.mail.waking import Waker
from harness.reference_mta.replies import visible

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
    defects: Defects

    async def take(self, message: Message) -> None:
        """Keep the message for each recipient; raises `OSError` when nothing was kept."""
        origins = {self._origin(recipient): recipient for recipient in message.recipients}
        routes = route(self.config, origins, self.mailboxes.quirks)
        letters = self.mailboxes.letters(message, routes.local)
        remote = {address: led for address, led in routes.remote.items() if not self._loses(origins, led)}
        elsewhere = self._elsewhere(message, remote | self._astray(routes.local), origins)
        try:
            letters = await self._keep(letters, elsewhere)
        finally:  # also when the client is gone: its message may be in the queue all the same
            if elsewhere:
                self.waker.ring()
        places = ", ".join(_places(letters, remote)) or "nowhere"
        log.info("mail from <%s>: %s", visible(message.sender), places)

    def _astray(self, local: Destinations) -> Destinations:
        """The mailboxes whose mail a defect hands to other hosts as well."""
        return local if self.defects.has("smarthost.routes-nonlocal:strict-local") else {}

    def _loses(self, origins: Mapping[str, str], led: Iterable[str]) -> bool:
        """Whether a defect loses what comes back to a sender that was rewritten."""
        back = any(origins[each] != each and not OURS1.match(origins[each]) for each in led)
        return back and "srs.bounce-back:weak-lost" in self.srs.quirks

    def _origin(self, recipient: str) -> str:
        """Where a bounce to a sender that was rewritten here belongs; other recipients are as they are."""
        hosted = self.config.hosted(split(recipient).domain)
        origin = self.srs.origin(recipient) if hosted else None
        kept = "srs.bounce-back:weak-kept" in self.srs.quirks and not OURS1.match(recipient)
        return recipient if not origin or origin.flaw or kept else origin.address

    def _elsewhere(
        self, message: Message, destinations: Destinations, origins: Mapping[str, str]
    ) -> list[Copy]:
        """One for each sender: what is forwarded gets a sender of the domain that forwards it."""
        named = {recipient.lower() for recipient in message.recipients}
        senders: dict[str, list[str]] = {}
        for address, led in destinations.items():
            sender = message.sender
            returned = not sender and any(origins[each] != each for each in led)
            forwarded = address.lower() not in named and not returned
            if forwarded or "srs.forward:strict-relayed" in self.srs.quirks:
                sender = self.srs.forwarded(sender, self._forwarder(origins[each] for each in led))
            senders.setdefault(sender, []).append(address)
        return [
            self.queue.copy(sender, found, message.text, international=message.international)
            for sender, found in senders.items()
        ]

    def _forwarder(self, recipients: Iterable[str]) -> str:
        """The domain that the envelope named, when an alias led elsewhere."""
        domains = (self.config.hosted(split(recipient).domain) for recipient in recipients)
        return next((domain.name for domain in domains if domain), self.config.domain[0].name)

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
        yield f"queued for <{visible(address)}>"
