"""What scenarios are given for raw dialogues: opening them, and looking at what came of their messages."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.capabilities.mail_host import Arrival, MailHost
from harness.capabilities.mailbox import Delivered
from harness.grants.mail import Mailbox
from harness.outcome import Treatment
from harness.runs.expect import Expect
from harness.runs.talk import Talk
from harness.verdicts import FailedError, InconclusiveError, NeverCameError, NotTestableError
from harness.world.client import Client, message


@dataclass(frozen=True)
class Raw:
    """Opens raw dialogues, `with raw(client, offence) as talk`, and looks at what came of their messages."""

    expect: Expect
    quiet: float  # seconds without a reply that are silence
    mailbox: Mailbox | None = None

    @contextlib.contextmanager
    def __call__(self, client: Client, offence: bool | None = None, *, label: str = "") -> Iterator[Talk]:
        """A connection of a client, closed at the end without QUIT; without `offence` it has no fault.

        A host that a greylist may put off comes once before, where time can pass.
        """
        client.be_known()
        with client.conversation(label) as conversation:
            conversation.connect()
            yield Talk(client, conversation, self.expect, offence, self.quiet)
            conversation.all_is_said()

    def must_deliver(self, client: Client, *holding: bytes, recipient: str = "") -> Delivered:
        """The client's message is in the mailbox, and all of these are in its body, with LF line ends.

        Raises `NotTestableError` without a mailbox, `NeverCameError` where nothing was delivered; for a twin
        whose message has been changed on the way `InconclusiveError`.
        """
        recipient = recipient or client.world.sut.recipient
        found = self._mailbox.find(recipient, client.token)
        self._holds(found, holding)
        return found

    def must_not_deliver(self, client: Client, *, recipient: str = "") -> None:
        """The client's message is not in the mailbox, where a later one of the same host has come meanwhile.

        Raises `InconclusiveError` where that later one does not come.
        """
        recipient = recipient or client.world.sut.recipient
        if found := self._delivered_before_another(client, recipient):
            where = found[0].folder or "the inbox"
            raise self._odd(f"the message was delivered all the same, to {where} of {recipient}")
        self.expect.observed = "nothing was delivered"
        self.expect.proven = True

    def must_reach(self, host: MailHost, client: Client, *holding: bytes) -> Arrival:
        """The client's message comes to another mail host, and all of these are in it, to the byte.

        Raises `NeverCameError` where it does not come.
        """
        arrival = host.arrival(client.token)
        if missing := [one for one in holding if one not in arrival.content]:
            raise self._odd(f"the message that came to {host.name} does not have {missing[0]!r} in it")
        self.expect.proven = True
        return arrival

    def copies(self, client: Client, recipient: str = "") -> list[Delivered]:
        """What is delivered of a client's message when a later one of the same host has come."""
        return self._delivered_before_another(client, recipient or client.world.sut.recipient)

    @property
    def _mailbox(self) -> Mailbox:
        if self.mailbox is None:
            raise NotTestableError("what was delivered cannot be seen, for the profile has no [mailbox]")
        return self.mailbox

    def _holds(self, found: Delivered, holding: tuple[bytes, ...]) -> None:
        if missing := [one for one in holding if not found.has(one)]:
            raise self._odd(f"the message that was delivered does not have {missing[0]!r} in its body")
        self.expect.observed = "delivered with its content"
        self.expect.proven = True

    def _odd(self, text: str) -> FailedError | InconclusiveError:
        """What became of a message and should not have: without the offence it has another cause."""
        return FailedError(text) if self.expect.offence else InconclusiveError(text)

    def _delivered_before_another(self, client: Client, recipient: str) -> list[Delivered]:
        """The later message shows that the server has delivered what it was going to."""
        later = replace(client, word="later", label="the same host, later", put_off=None)
        attempt = later.attempt(recipient=recipient, message=message(later, recipient))
        if not attempt.data.reply or attempt.data.treatment is not Treatment.PASS:
            raise InconclusiveError(f"whether anything is delivered cannot be told: {attempt.reached}")
        try:
            self._mailbox.find(recipient, later.token)
        except NeverCameError as ending:
            raise InconclusiveError(f"nothing is delivered, whatever it is: {ending}") from None
        return self._mailbox.copies(recipient, client.token)
