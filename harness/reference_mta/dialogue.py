"""What the server says at each stage: policy's treatments become replies, delays and refusals."""

import copy
import logging
from dataclasses import dataclass

from harness.reference_mta.authentication import Accounts, Authentication
from harness.reference_mta.config import Config
from harness.reference_mta.decisions import Deciding
from harness.reference_mta.earned import Stage
from harness.reference_mta.greeting import BANNER, KEYWORDS, TURNED_AWAY, Offer
from harness.reference_mta.greylist import Greylist
from harness.reference_mta.mail import dkim
from harness.reference_mta.mail.acceptance import Acceptance
from harness.reference_mta.mail.delivery import received
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.requests import requests_of
from harness.reference_mta.mail.spf import authorize
from harness.reference_mta.mail.trace import protocol
from harness.reference_mta.policy import Policy
from harness.reference_mta.policy.transaction import Transaction
from harness.reference_mta.protocol.events import (
    Connected,
    ContentReceived,
    CredentialsAsked,
    Event,
    Greeted,
    RecipientGiven,
    Reset,
    Secret,
    SenderGiven,
)
from harness.reference_mta.protocol.parameters import NONE, Parameters
from harness.reference_mta.protocol.readers import NO_RECIPIENT
from harness.reference_mta.resolver import Resolver
from harness.reference_mta.tables.listener import Listening
from harness.reference_mta.telling import ReplyWriter, Teller

UNNAMED = "unknown"  # a client that has not greeted, in the trace of its message
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Site:
    """What all connections share."""

    config: Config
    policy: Policy
    resolver: Resolver
    greylist: Greylist
    accounts: Accounts
    acceptance: Acceptance

    def transaction(self) -> Transaction:
        """A new connection's view."""
        return Transaction(self.config, self.resolver, self.greylist, self.policy)

    async def host_name(self, client: str) -> str:
        """The name of an address as a connection from it would have it confirmed; empty for what is none."""
        about = self.transaction()
        try:
            about.meet(client)
        except ValueError:
            return ""
        for question in self.policy.connect:
            await question.classify(about)
        return about.host_name


class Dialogue:
    """One connection's dialogue."""

    def __init__(self, site: Site, line: ReplyWriter, largest: int, listening: Listening) -> None:
        """Before the client is known; `largest` is the size limit in bytes, as EHLO tells it."""
        self.site = site
        self.about = site.transaction()
        self.about.covered = listening.covered
        self.about.submission = listening.submission
        self.deciding = Deciding()
        self.teller = Teller(site.config, self.about, self.deciding, site.policy.phrase)
        self._line = line
        self._largest = largest
        self._authentication = Authentication(self.about, site.accounts)
        self._recipients: list[str] = []
        self._of_recipients: list[Parameters] = []  # that came with each
        self._of_sender = NONE

    def know(self, client: str) -> None:
        """The client's address."""
        self.about.meet(client)
        self.deciding.meet(self.about.client)

    async def answer(self, event: Event) -> str:
        """The reply to what the client has done."""
        match event:
            case Connected():
                return await self._meet()
            case Greeted():
                return await self._greeted(event)
            case SenderGiven():
                return await self._sender(event)
            case RecipientGiven():
                return await self._recipient(event)
            case ContentReceived():
                return await self._message_came(event)
            case CredentialsAsked():
                return await self._credentials_asked(event)
            case Secret():
                return await self._secret(event)
            case Reset():
                self._begin_message()
        return event.answer

    def forget_clear_text(self) -> bool:
        """TLS has begun; whether what was told before it is forgotten, as it has to be."""
        self.about.covered = True
        self._recipients.clear()
        self._of_recipients.clear()
        return self.site.policy.session.forget_clear_text(self.about)

    # What the client does

    async def _meet(self) -> str:
        """Connect: the greeting, or the refusal that stands in its place."""
        about = self.about
        policy = self.site.policy
        if about.unwanted:
            policy.note(TURNED_AWAY)
            refusal = policy.greeting.turned_away(self.site.config.server.hostname)
            return await self.teller.tell(refusal, self._line, Stage.CONNECT)
        stranger = policy.session.may_be_stranger(about)
        faced = await self.teller.face(Stage.CONNECT, policy.connect if stranger else (), self._line)
        about.unverified = faced.held
        await self.teller.hold(self.site.config.speech.banner_pause if stranger else 0)
        if faced.reply:
            return faced.reply
        self.site.policy.note(BANNER)
        return self.site.policy.greeting.banner(self.site.config.server.hostname)

    async def _greeted(self, event: Greeted) -> str:
        """HELO or EHLO; one that is refused at once leaves all as it was (RFC 5321 §4.1.4)."""
        about = self.about
        before = about.greeting, about.extended, copy.deepcopy(about.earned)
        about.greeting, about.extended = event.name, event.extended
        about.earned.forget(Stage.GREETING)
        policy = self.site.policy
        questions = policy.helo if policy.session.may_be_stranger(about) else ()
        faced = await self.teller.face(Stage.GREETING, questions, self._line)
        if faced.reply:
            policy.session.take_greeting_back(about, before)
            return faced.reply
        about.suspect = about.suspect or faced.held
        self._begin_message()
        greeting = self.site.policy.greeting
        self.site.policy.note(KEYWORDS)
        offer = Offer(
            self._largest,
            about.covered,
            about.trusted,
            self.site.config.offered,
            self.site.config.auth.mechanisms,
            self.site.policy.most_recipients(self.site.config.server.max_recipients),
        )
        listed = greeting.keywords(offer) if event.extended else []
        return greeting.welcome(self.site.config.server.hostname, event.name, listed)

    async def _sender(self, event: SenderGiven) -> str:
        """MAIL FROM; without a greeting policy answers."""
        ungreeted = await self.teller.face(Stage.GREETING, self.site.policy.mail_first, self._line)
        if ungreeted.reply:
            return ungreeted.reply
        if unknown := self.site.policy.login.demanded(self.about):
            return unknown.reply
        self._begin_message()
        self.about.mails += 1
        self.about.sender = str(event.path)
        self._of_sender = event.parameters
        if refusal := await self._sender_refused():
            return refusal
        self.about.in_message = True
        return "250 2.1.0 Sender noted"

    async def _recipient(self, event: RecipientGiven) -> str:
        """RCPT TO: question after question, the first refusal ends it."""
        about = self.about
        about.routed = event.path.routed
        about.address_to(str(event.path))
        about.recipients += 1
        if refusal := await self._recipient_refused():
            return refusal
        if event.path.almost and about.vouched:  # whom no rule about local parts is asked of
            return NO_RECIPIENT
        self._recipients.append(str(about.mailbox))
        self._of_recipients.append(event.parameters)
        return self.site.policy.session.recipient_noted(about, self._line)

    async def _message_came(self, event: ContentReceived) -> str:
        """The end of the content; whatever becomes of it, the next message begins with MAIL."""
        try:
            return event.answer or await self._judged(event.content)
        finally:
            self._begin_message()

    async def _judged(self, content: bytes) -> str:
        """The whole message is there; it is accepted when it is on disk."""
        policy, about, line = self.site.policy, self.about, self._line
        if refusal := await self.teller.owed(Stage.MESSAGE, line):
            return refusal
        about.accepted, about.content = tuple(self._recipients), content
        questions = policy.message(self.site.config.greylist, null=not about.sender)
        faced = await self.teller.face(Stage.MESSAGE, questions, line)
        if faced.reply:
            return faced.reply
        by_signature, message = await dkim.signed(about, self._message(content))
        self.deciding.rests_on(by_signature.rule)
        if by_signature.reply:
            return by_signature.reply
        by_content, message = await policy.spam.classified(about, message)
        self.deciding.rests_on(by_content.rule)
        if by_content.reply:
            return by_content.reply
        return await self._keep(message)

    async def _credentials_asked(self, event: CredentialsAsked) -> str:
        if refusal := self._authentication.out_of_place(covered=self.about.covered):
            self.deciding.rests_on(refusal.rule)
            return refusal.reply
        return await self._tried(await self._authentication.begin(event.mechanism, event.initial))

    async def _secret(self, event: Secret) -> str:
        return event.answer or await self._tried(await self._authentication.go_on(event.text))

    async def _tried(self, reply: str) -> str:
        """The reply to credentials; policy answers those that are not right."""
        if reply:
            return reply
        return (await self.teller.face(Stage.GREETING, self.site.policy.credentials, self._line)).reply

    def _begin_message(self) -> None:
        self.about.begin_message()
        self._recipients.clear()
        self._of_recipients.clear()
        self._of_sender = NONE

    async def _sender_refused(self) -> str:
        """The refusal of a sender that is told now, or nothing."""
        if refusal := await self.teller.owed(Stage.SENDER, self._line):
            return refusal
        faced = await self.teller.face(Stage.SENDER, self.site.policy.mail, self._line)
        if faced.code:
            return faced.reply
        by_domain = await authorize(self.about)
        self.deciding.rests_on(by_domain.rule)
        return await self.teller.refuse(by_domain, self._line, Stage.SENDER) if by_domain.reply else ""

    async def _recipient_refused(self) -> str:
        """The refusal of a recipient that is told now, or nothing: the first one ends the questions."""
        about, policy, greylist = self.about, self.site.policy, self.site.config.greylist
        counted = await self.teller.face(Stage.RECIPIENT, policy.rcpt_first, self._line)
        if counted.code:
            return counted.reply
        if refusal := await self.teller.owed(Stage.RECIPIENT, self._line):
            return refusal
        questions = policy.recipient(greylist, null=not about.sender)
        return (await self.teller.face(Stage.RECIPIENT, questions, self._line)).reply

    def _message(self, content: bytes) -> Message:
        about = self.about
        header = received(
            about,
            about.greeting or UNNAMED,
            protocol(
                extended=about.extended,
                international=self._of_sender.international,
                covered=about.covered,
                authenticated=about.authenticated,
            ),
        )
        requests = requests_of(self._of_sender, zip(self._recipients, self._of_recipients, strict=True))
        international = self._of_sender.international
        return Message(about.sender, tuple(self._recipients), content, header, international, requests)

    async def _keep(self, message: Message) -> str:
        try:
            await self.site.acceptance.take(message)
        except OSError as error:
            log.error("mail cannot be kept: %s", error)
            return "452 4.3.1 The message could not be kept; please try again later"
        return "250 2.0.0 Message taken"
