"""What the server says at each stage: policy's treatments become replies, delays and refusals.

aiosmtpd calls the `handle_` methods; there is one `Dialogue` for each connection.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from aiosmtpd.proxy_protocol import V2_CMD, ProxyData
from aiosmtpd.smtp import Envelope, Session, TLSSetupException

from harness.reference_mta.authentication import Accounts, Prompt, authenticate
from harness.reference_mta.config import Config
from harness.reference_mta.decisions import Deciding
from harness.reference_mta.greylist import Greylist
from harness.reference_mta.mail import dkim
from harness.reference_mta.mail.acceptance import Acceptance
from harness.reference_mta.mail.delivery import received
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.spam import classified, is_marked
from harness.reference_mta.mail.spf import authorize
from harness.reference_mta.policy import Policy, absent
from harness.reference_mta.policy.checks import Question
from harness.reference_mta.policy.connect import verify_host
from harness.reference_mta.policy.data import header_syntax
from harness.reference_mta.policy.dnsbl import look_up
from harness.reference_mta.policy.earned import Refusal, Stage
from harness.reference_mta.policy.greylisting import at_data, leave_behind, of_all
from harness.reference_mta.policy.rcpt import honours_trick
from harness.reference_mta.policy.transaction import Transaction
from harness.reference_mta.replies import word
from harness.reference_mta.resolver import Resolver
from harness.reference_mta.spf.check import TIME_LIMIT
from harness.reference_mta.telling import ReplyWriter, Teller

NULL = "<>"  # the engine takes an empty sender for none
MALFORMED = "553 5.1.3 That is no mailbox"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Site:
    """What all connections share."""

    config: Config
    policy: Policy
    resolver: Resolver
    greylist: Greylist
    accounts: Accounts
    post: Acceptance

    def transaction(self) -> Transaction:
        """A new connection's view."""
        return Transaction(self.config, self.resolver, self.greylist, self.policy.quirks)

    async def host_name(self, client: str) -> str:
        """The name of an address as a connection from it would have it confirmed; empty for what is none."""
        about = self.transaction()
        try:
            about.meet(client)
        except ValueError:
            return ""
        await verify_host(about)
        return about.host_name


class Dialogue:
    """One connection's dialogue."""

    def __init__(self, site: Site) -> None:
        """Before the client is known."""
        self.site = site
        self.about = site.transaction()
        self.deciding = Deciding()
        self.teller = Teller(site.config, self.about, self.deciding)
        self.turned_away = ""  # what the client is told in place of the greeting

    def __dir__(self) -> list[str]:
        """The hooks, which the engine looks for in every dialogue anew."""
        return HOOKS

    async def meet(self, client: str, line: ReplyWriter) -> None:
        """Connect: before the greeting is sent, or the refusal that stands in its place."""
        line.wait_for(0.0)  # the time for a PROXY header is over
        self.about.meet(client)
        self.deciding.meet(self.about.client)
        if self.about.quirk("dnsbl.not-before-rcpt:off"):
            self.about.listings = await look_up(self.about)
        faced = await self.teller.face(Stage.CONNECT, self.site.policy.connect, line)
        self.about.unverified = faced.held
        if self.about.quirk("dnsbl.not-before-rcpt:weak-strangers") and not self.about.whitelisted_host:
            self.about.listings = await look_up(self.about)
        self.turned_away = faced.reply
        await self.teller.hold(self.site.config.speech.banner_pause, line)

    async def greeted(self, name: str, session: Session, line: ReplyWriter, *, extended: bool) -> str:
        """HELO or EHLO: the refusal, or nothing; the greeting counts unless it is refused at once."""
        self.about.greeting, self.about.extended = name, extended
        self.about.earned.forget(Stage.GREETING)
        faced = await self.teller.face(Stage.GREETING, self.site.policy.helo, line)
        if faced.reply:
            self.about.greeting = ""
            session.host_name = None
            return faced.reply
        self.about.suspect = self.about.suspect or faced.held
        self.about.begin_message()
        session.host_name = name
        return ""

    async def may_send(self, line: ReplyWriter) -> str:
        """MAIL, before the engine looks at it: the refusal of a client that has not greeted."""
        return (await self.teller.face(Stage.GREETING, self.site.policy.mail_first, line)).reply

    async def logged_in(self, initial: str, prompt: Prompt, line: ReplyWriter) -> str:
        """The reply to AUTH PLAIN where it is in place."""
        if reply := await authenticate(self.about, self.site.accounts, initial, prompt):
            return reply
        return (await self.teller.face(Stage.GREETING, self.site.policy.credentials, line)).reply

    # The engine's hooks

    async def handle_PROXY(
        self, server: ReplyWriter, session: Session, envelope: Envelope, proxy: ProxyData
    ) -> bool:
        """A PROXY header has come: the client is who it names, and has to have an address."""
        local = proxy.version == 2 and proxy.command == V2_CMD.LOCAL  # then its addresses mean nothing
        if local or not isinstance(proxy.src_addr, IPv4Address | IPv6Address):
            return False
        await self.meet(str(proxy.src_addr), server)
        return True

    async def handle_EHLO(
        self, server: ReplyWriter, session: Session, envelope: Envelope, name: str, responses: list[str]
    ) -> list[str]:
        """EHLO: policy, then the keywords."""
        if refusal := await self.greeted(name, session, server, extended=True):
            return [refusal]
        *lines, last = [self._welcome(name), *server.keywords()]
        # As one: the engine sends every element of the list in a packet of its own.
        return ["\r\n".join([*(f"250-{line}" for line in lines), f"250 {last}"])]

    async def handle_HELO(self, server: ReplyWriter, session: Session, envelope: Envelope, name: str) -> str:
        """HELO: policy alone."""
        refusal = await self.greeted(name, session, server, extended=False)
        return refusal or f"250 {self._welcome(name)}"

    async def handle_MAIL(
        self, server: ReplyWriter, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """MAIL FROM, after its syntax."""
        self.about.begin_message()
        self.about.sender = "" if address == NULL else address
        if refusal := await self._sender_refused(server):
            return refusal
        self.about.in_message = True
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Sender noted"

    async def handle_RCPT(
        self, server: ReplyWriter, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """RCPT TO, after its syntax: question after question, the first refusal ends it."""
        about = self.about
        about.address_to(address)
        if not about.mailbox.domain:
            return MALFORMED
        about.recipients += 1
        if refusal := await self._recipient_refused(server):
            return refusal
        envelope.rcpt_tos.append(str(about.mailbox))
        if about.quirk("delay.no-early-reject:off") and (about.unverified or about.suspect):
            server.hang_up()
        return "250 2.1.5 Recipient noted"

    async def handle_DATA(self, server: ReplyWriter, session: Session, envelope: Envelope) -> str:
        """The end of DATA: the whole message is there; it is accepted when it is on disk."""
        content = bytes(envelope.original_content or b"")
        policy, about = self.site.policy, self.about
        if refusal := await self.teller.owed(Stage.MESSAGE, server):
            return refusal
        questions = (
            Question(header_syntax(content), {policy.header.rule: policy.header}),
            *self._greylisting(envelope.rcpt_tos),
            Question(at_data(envelope.rcpt_tos), policy.bounces),
        )
        faced = await self.teller.face(Stage.MESSAGE, questions, server)
        if faced.reply:
            return faced.reply
        if refusal := await absent.refusal_of_message(about, content):
            return refusal
        message = self._message(content, session, envelope, covered=server.covered)
        server.wait_for(dkim.TIME_LIMIT)
        by_signature, message = await dkim.signed(about, message)
        self.deciding.rests_on(by_signature.rule)
        if by_signature.reply:
            return by_signature.reply
        server.wait_for(self.site.config.spam.timeout)
        message = await classified(about, message)
        if is_marked(message):
            self.deciding.rests_on("data.spam-classified")
        if about.quirk("data.spam-classified:strict-refused") and is_marked(message):
            return "550 5.7.1 That is spam"
        return await self._keep(message)

    async def handle_RSET(self, server: ReplyWriter, session: Session, envelope: Envelope) -> str:
        """RSET."""
        self.about.begin_message()
        return "250 2.0.0 Forgotten"

    async def handle_NOOP(
        self, server: ReplyWriter, session: Session, envelope: Envelope, argument: str
    ) -> str:
        """NOOP."""
        return "250 2.0.0 Still here"

    async def handle_exception(self, error: Exception) -> str:
        """An error of this server: for its log, and not for the client's eyes."""
        if isinstance(error, TLSSetupException):  # the client's doing, and the end of the connection
            return "454 4.7.0 TLS could not be started"
        if isinstance(error, OSError):  # the system has something no more for now, or has it broken
            log.error("a command failed: %s", error)
        else:
            log.error("a command failed: %s", type(error).__name__, exc_info=error)
        return "451 4.3.0 Something went wrong here"

    async def _sender_refused(self, line: ReplyWriter) -> str:
        """The refusal of a sender that is told now, or nothing."""
        if refusal := await self.teller.owed(Stage.SENDER, line):
            return refusal
        faced = await self.teller.face(Stage.SENDER, self.site.policy.mail, line)
        if faced.code:
            return faced.reply
        line.wait_for(TIME_LIMIT)
        by_domain = await authorize(self.about)
        self.deciding.rests_on(by_domain.rule)
        return await self.teller.refuse(by_domain, line, Stage.SENDER) if by_domain.reply else ""

    async def _recipient_refused(self, line: ReplyWriter) -> str:
        """The refusal of a recipient that is told now, or nothing: the first one ends the questions."""
        about, policy, greylist = self.about, self.site.policy, self.site.config.greylist
        tricked = honours_trick(about)
        if not tricked:
            counted = await self.teller.face(Stage.RECIPIENT, policy.rcpt_first, line)
            if counted.code:
                return counted.reply
        if refusal := await self.teller.owed(Stage.RECIPIENT, line):
            return refusal
        if refusal := await absent.refusal(about):
            return await self.teller.refuse(Refusal(refusal), line, Stage.RECIPIENT)
        questions = () if tricked else policy.recipient(greylist, null=not about.sender)
        faced = await self.teller.face(Stage.RECIPIENT, questions, line)
        if faced.code >= 500 and about.quirk("greylist.after-other-checks:off"):
            leave_behind(about)
        return faced.reply

    def _greylisting(self, recipients: Sequence[str]) -> list[Question]:
        """What a server asks the greylist at the end of DATA that does not ask it before."""
        if self.site.config.greylist.stage == "rcpt" or not self.about.sender:
            return []
        return [of_all(question, recipients) for question in self.site.policy.greylist]

    def _welcome(self, name: str) -> str:
        return f"{self.site.config.server.hostname} greets {word(name)}"

    def _message(self, content: bytes, session: Session, envelope: Envelope, *, covered: bool) -> Message:
        about = self.about
        sender = envelope.mail_from if envelope.mail_from not in (None, NULL) else ""
        protocol = "ESMTP" if session.extended_smtp else "SMTP"
        protocol += ("S" if covered else "") + ("A" if about.authenticated else "")
        header = received(about, session.host_name or "", protocol)
        return Message(sender or "", tuple(envelope.rcpt_tos), content, header)

    async def _keep(self, message: Message) -> str:
        try:
            await self.site.post.take(message)
        except OSError as error:
            log.error("mail cannot be kept: %s", error)
            return "452 4.3.1 The message could not be kept; please try again later"
        return "250 2.0.0 Message taken"


HOOKS = sorted(name for name in vars(Dialogue) if name.startswith("handle_"))
