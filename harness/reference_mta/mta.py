"""The reference MTA on aiosmtpd: asks policy at each stage, and holds replies back."""

import asyncio
import collections
import contextlib
import ipaddress
import logging
import ssl
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from aiosmtpd.proxy_protocol import V2_CMD
from aiosmtpd.smtp import SMTP, Envelope, Session, syntax

from harness.reference_mta.addresses import read_path, split
from harness.reference_mta.config import Config
from harness.reference_mta.greylist import Greylist
from harness.reference_mta.maildir import deliver, folder_name
from harness.reference_mta.passwords import verify_password
from harness.reference_mta.plain import PlainError, read_answer, read_plain
from harness.reference_mta.policy import Policy, absent
from harness.reference_mta.policy.checks import PASS, Question, Treatment
from harness.reference_mta.policy.data import header_syntax
from harness.reference_mta.policy.dnsbl import look_up, warning
from harness.reference_mta.policy.greylisting import at_data, at_rcpt
from harness.reference_mta.policy.rcpt import honours_trick
from harness.reference_mta.policy.transaction import Transaction
from harness.reference_mta.resolver import Resolver

LOG = logging.getLogger(__name__)
COMMAND_LIMIT = 2048  # bytes of a command line
PROXY_TIMEOUT = 5.0  # seconds to wait for a PROXY header
WRONG = "535 5.7.8 Name or password is wrong"
LINE = b"\r\n"
UNREADABLE = b"\0\r\n"  # stands for a line that is no command


@dataclass(frozen=True)
class Site:
    """What all connections share."""

    config: Config
    policy: Policy
    resolver: Resolver
    greylist: Greylist
    context: ssl.SSLContext
    decoy: str  # a hash that no password has: unknown names take as long as known ones

    def transaction(self) -> Transaction:
        """A new connection's view."""
        return Transaction(self.config, self.resolver, self.greylist, self.policy.quirks)


class Handler:
    """aiosmtpd's hooks; what they know of the connection lives on the `Connection`."""

    async def handle_PROXY(
        self, server: "Connection", session: Session, envelope: Envelope, proxy: Any
    ) -> bool:
        """A PROXY header has come: the client is who it names. Without an IP address there is no client."""
        try:
            client = ipaddress.ip_address(str(proxy.src_addr))
        except ValueError:
            return False
        if proxy.version == 2 and proxy.command == V2_CMD.LOCAL:  # its addresses mean nothing
            return False
        await server.meet(str(client))
        return True

    async def handle_EHLO(
        self, server: "Connection", session: Session, envelope: Envelope, name: str, responses: list[str]
    ) -> list[str]:
        """EHLO: policy, then the keywords."""
        return await server.greet(name, server.keywords())

    async def handle_HELO(self, server: "Connection", session: Session, envelope: Envelope, name: str) -> str:
        """HELO: policy alone."""
        return (await server.greet(name, []))[0]

    async def handle_MAIL(
        self, server: "Connection", session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """MAIL FROM."""
        return await server.begin(address.strip("<>"), envelope, options)

    async def handle_RCPT(
        self, server: "Connection", session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """RCPT TO."""
        return await server.add_recipient(address, envelope)

    async def handle_RSET(self, server: "Connection", session: Session, envelope: Envelope) -> str:
        """RSET."""
        return "250 2.0.0 Forgotten"

    async def handle_DATA(self, server: "Connection", session: Session, envelope: Envelope) -> str:
        """The end of DATA."""
        return await server.take(envelope)

    async def handle_exception(self, error: Exception) -> str:
        """A command failed for a reason of our own, which is a matter of the log and not the client's."""
        LOG.error("a command failed", exc_info=error)
        return "451 4.3.0 Something is wrong here; please try again later"


class Connection(SMTP):
    """One connection. What must survive STARTTLS, which makes a new session, lives in `about`."""

    def __init__(self, site: Site, loop: asyncio.AbstractEventLoop) -> None:
        """One for each connection, as asyncio asks for it."""
        # aiosmtpd keeps the limits on its class and clears them for every connection: give each its own.
        self.command_size_limits = collections.defaultdict(lambda: COMMAND_LIMIT)
        limit = site.config.server.size_limit
        if "absent.size-limit:off" in site.policy.quirks:
            limit = 10_000_000
        super().__init__(
            Handler(),
            hostname=site.config.server.hostname,
            ident="smtp-harness reference MTA",
            data_size_limit=limit,
            tls_context=site.context,
            auth_require_tls=False,  # policy decides that, see smtp_AUTH
            timeout=site.config.server.idle_timeout,
            proxy_protocol_timeout=PROXY_TIMEOUT if site.config.server.proxy_protocol else None,
            loop=loop,
        )
        self.command_size_limit = COMMAND_LIMIT
        self.site = site
        self.about = site.transaction()
        self.ending = False  # the reply under way is the last one

    def told(self) -> Session:
        """What the client has said since the connection, or TLS, began."""
        if self.session is None:
            raise RuntimeError("aiosmtpd makes a session for every connection")
        return self.session

    # The stages

    async def meet(self, client: str) -> None:
        """Connect: before the greeting is sent."""
        self._reset_timeout()
        self.about.client = client
        if self.about.quirk("dnsbl.not-before-rcpt:off"):
            self.about.listings = await look_up(self.about)
        treatment = await self._ask(self.site.policy.connect)
        self.about.earned = max(self.about.earned, treatment.delay)
        await self._hold(treatment)

    async def greet(self, name: str, keywords: list[str]) -> list[str]:
        """HELO or EHLO; the greeting counts only when it is accepted."""
        self.about.greeting = name
        treatment = await self._ask(self.site.policy.helo)
        await self._hold(treatment)
        if treatment.refuses:
            self.about.greeting = ""
            self.told().host_name = None
            return [self._reply(treatment)]
        self.about.earned = max(self.about.earned, treatment.delay)
        self.told().host_name = name
        lines = [f"{self.hostname} greets {_shown(name)}", *keywords]
        # As one piece: aiosmtpd sends every element of the list by itself.
        return ["\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])]

    def keywords(self) -> list[str]:
        """What EHLO lists."""
        covered = self._tls_protocol is not None
        quirk = self.about.quirk
        listed = [f"SIZE {self.data_size_limit}", "8BITMIME", "ENHANCEDSTATUSCODES"]
        hidden = quirk("tls.starttls-offered:off")
        if not hidden and (not covered or quirk("tls.starttls-offered:weak-after")):
            listed.append("STARTTLS")
        if covered or quirk("auth.only-under-tls:off"):
            inside = not (self.about.trusted and quirk("auth.from-anywhere:off"))
            mechanisms = "PLAIN LOGIN" if quirk("auth.login-not-offered:off") else "PLAIN"
            listed += [f"AUTH {mechanisms}"] if inside else []
        return listed

    async def begin(self, sender: str, envelope: Envelope, options: list[str]) -> str:
        """MAIL FROM, after its syntax."""
        self.about.sender = sender
        treatment = await self._ask(self.site.policy.mail)
        await self._hold(treatment)
        if treatment.refuses:
            return self._reply(treatment)
        self.about.in_message = True
        envelope.mail_from = sender or "<>"  # aiosmtpd takes an empty one for none
        envelope.mail_options.extend(options)
        return "250 2.1.0 Sender noted"

    async def add_recipient(self, recipient: str, envelope: Envelope) -> str:
        """RCPT TO, after its syntax: question after question, the first refusal ends it."""
        about = self.about
        if recipient == "<>":
            return "553 5.1.3 There is no null recipient"
        about.recipient = recipient
        about.recipients += 1
        if refusal := await absent.refusal(about):
            return refusal
        if about.quirk("greylist.after-other-checks:off"):
            await at_rcpt(about)
        questions = () if honours_trick(about) else self.site.policy.rcpt
        for question in questions:
            treatment = await question.ask(about)
            await self._hold(treatment)
            if treatment.refuses:
                return self._reply(treatment)
            if treatment.mark:
                about.marks[warning(about)] = None
        envelope.rcpt_tos.append(str(about.mailbox))
        if about.quirk("delay.no-early-reject:off") and about.earned:
            self.ending = True
        return "250 2.1.5 Recipient noted"

    async def take(self, envelope: Envelope) -> str:
        """The whole message is there."""
        content = bytes(envelope.original_content or b"")
        policy, about = self.site.policy, self.about
        for classify, checks in (
            (header_syntax(content), {policy.header.rule: policy.header}),
            (at_data(envelope.rcpt_tos), policy.bounces),
        ):
            treatment = await Question(classify, checks).ask(about)
            await self._hold(treatment)
            if treatment.refuses:
                return self._reply(treatment)
        if about.quirk("absent.mime-checks:off") and b'.exe"' in content:
            return "550 5.7.1 Programs are not accepted"
        try:
            return await self._keep(content, envelope)
        except OSError as error:
            LOG.error("a message could not be kept: %s", error)
            return "452 4.3.1 The message could not be kept; please try again later"

    def _set_post_data_state(self) -> None:
        """aiosmtpd forgets the envelope: so does policy."""
        super()._set_post_data_state()  # type: ignore[no-untyped-call]
        self.about.begin_message()

    # aiosmtpd's commands, where policy or a stricter reading comes before them

    @syntax("MAIL FROM: <address>", extended=" [SP <mail-parameters>]")
    async def smtp_MAIL(self, arg: str | None) -> None:
        """Without a greeting policy answers, not the engine."""
        self.about.greeting = self.told().host_name or ""
        treatment = await self._ask(self.site.policy.mail_first)
        await self._hold(treatment)
        if treatment.refuses:
            await self.push(self._reply(treatment))
            return
        if not self.told().host_name:
            self.told().host_name = "unknown"
            self.told().extended_smtp = True
        await super().smtp_MAIL(arg)

    @syntax("STARTTLS", when="tls_context")
    async def smtp_STARTTLS(self, arg: str | None) -> None:
        """Once a connection."""
        if self._tls_protocol:
            await self.push("503 5.5.1 TLS is on already")
            return
        before = self.told()
        await super().smtp_STARTTLS(arg)
        if self.about.quirk("tls.state-reset:off"):
            self.told().host_name = before.host_name
            self.told().extended_smtp = before.extended_smtp
        else:
            self.about.greeting = ""

    @syntax("AUTH PLAIN [initial-response]")
    async def smtp_AUTH(self, arg: str | None) -> None:
        """AUTH PLAIN (RFC 4954, RFC 4616), under TLS only."""
        if await self.check_helo_needed("EHLO"):
            return
        mechanism, _, initial = (arg or "").partition(" ")
        covered = self._tls_protocol is not None
        if not covered and not self.about.quirk("auth.plaintext-refused:off"):
            await self.push("538 5.7.11 Not without TLS")
        elif self.about.trusted and self.about.quirk("auth.from-anywhere:off"):
            await self.push("503 5.5.1 Not from inside")
        elif self.about.authenticated or self.about.in_message:
            await self.push("503 5.5.1 Not now")
        elif mechanism.upper() != "PLAIN":
            await self.push("504 5.5.4 Only PLAIN is known here")
        else:
            await self._authenticate_plain(initial.strip())

    async def _authenticate_plain(self, initial: str) -> None:
        if initial and self.about.quirk("auth.plain-initial:off"):
            await self.push("501 5.5.4 Wait for the prompt")
            return
        if not initial and self.about.quirk("auth.plain-prompted:off"):
            await self.push("501 5.5.4 Give your credentials at once")
            return
        try:
            user, password = read_plain(initial or await self._prompt())
        except PlainError as error:
            await self.push(str(error))
            return
        await self.push(await self._verify(user, password))

    async def _prompt(self) -> str:
        words = "Credentials please" if self.about.quirk("auth.plain-prompted:weak-prompt") else ""
        await self.push(f"334 {words}")
        return await read_answer(self._reader)

    async def _verify(self, user: str, password: str) -> str:
        quirk = self.about.quirk
        known = self.site.config.auth.users.get(user)
        right = (
            await self.loop.run_in_executor(None, verify_password, password, known or self.site.decoy)
            and known is not None
        )
        if known is None and quirk("auth.unknown-user:off"):
            return "535 5.7.8 No such account"
        if known is not None and not right and quirk("auth.wrong-password:off"):
            right = True
        if not right:
            return WRONG
        self.about.authenticated = self.told().authenticated = True
        return "235 2.7.0 Welcome"

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """Our own reading of a path: nothing in it is rewritten."""
        found = read_path(arg)
        self.about.routed = arg.lstrip().startswith("<@")
        return (found[0] or "<>", found[1]) if found else (None, None)

    async def _handle_client(self) -> None:
        """Without PROXY the client is whoever connected; policy speaks before the greeting all the same."""
        self._read_strictly()
        if not self.site.config.server.proxy_protocol:
            await self.meet(str((self.told().peer or ("",))[0]).partition("%")[0])
        with contextlib.suppress(ConnectionError):  # the client is gone; there is nobody to tell
            await super()._handle_client()

    def _read_strictly(self) -> None:
        """Commands end with CR LF, never a bare LF (RFC 5321 §2.3.8); none is read after the last reply."""
        readuntil = self._reader.readuntil

        async def strict(separator: bytes | None = None) -> bytes:
            if self.ending:
                raise ConnectionResetError("the connection was ended on our side")
            line: bytes = await readuntil(separator or LINE)
            broken = separator is None and b"\n" in line[:-2]
            return UNREADABLE if broken else line

        self._reader.readuntil = strict  # type: ignore[method-assign, assignment]

    async def _ask(self, questions: tuple[Question, ...]) -> Treatment:
        for question in questions:
            treatment = await question.ask(self.about)
            if treatment is not PASS:
                return treatment
        return PASS

    async def _hold(self, treatment: Treatment) -> None:
        """Hold the reply back for the configured time."""
        if treatment.delay and self.site.config.server.delay:
            self._reset_timeout(self.site.config.server.idle_timeout + self.site.config.server.delay)
            await asyncio.sleep(treatment.delay * self.site.config.server.delay)

    def _reply(self, treatment: Treatment) -> str:
        """The reply in SMTP's form, and the end of the connection where that is meant."""
        words = treatment.words(self.about) if callable(treatment.words) else treatment.words
        self.ending = treatment.drop
        lines = words.split("\n")
        return "\r\n".join(
            f"{treatment.code}{' ' if number == len(lines) else '-'}{line}"
            for number, line in enumerate(lines, 1)
        )

    async def _keep(self, content: bytes, envelope: Envelope) -> str:
        """Write the message to disk for every recipient: only then is it accepted."""
        mail = self.site.config.server.state
        trace = self._trace(envelope)
        for recipient in dict.fromkeys(envelope.rcpt_tos):
            local = self.site.config.hosted(split(recipient).domain) is not None
            folder = mail / "mail" / folder_name(recipient) if local else mail / "outbound"
            await self.loop.run_in_executor(None, deliver, folder, trace + content)
        return "250 2.0.0 Message taken"

    def _trace(self, envelope: Envelope) -> bytes:
        sender = "" if envelope.mail_from == "<>" else envelope.mail_from
        lines = [
            f"Return-Path: <{sender}>",
            *self.about.marks,
            f"Received: from {_shown(self.told().host_name)} ([{self.about.client}])",
            f"\tby {self.hostname}; {formatdate()}",
        ]
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace")


def _shown(name: str | None) -> str:
    """A client's word, fit for a line of ours."""
    return "".join(char if "!" <= char <= "~" else "?" for char in name or "")[:255]
