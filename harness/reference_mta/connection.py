"""One connection on aiosmtpd's engine, and what has to be stricter or other than there."""

import asyncio
import collections
import contextlib
import functools
import ssl
from collections.abc import Awaitable, Callable

from aiosmtpd.smtp import SMTP, Session, syntax

from harness.reference_mta.addresses import read_path
from harness.reference_mta.authentication import may_authenticate
from harness.reference_mta.content import flaw, read_content
from harness.reference_mta.dialogue import NULL, Dialogue, Site
from harness.reference_mta.plain import read_answer
from harness.reference_mta.replies import completed

COMMAND_LIMIT = 2048  # bytes of a command line
PROXY_TIMEOUT = 5.0  # seconds to wait for a PROXY header
SMALL = 10_000_000  # bytes; the size limit of a mutant
LINE_END = b"\r\n"
UNREADABLE = b"\0" + LINE_END  # stands for a line that is no command
LINGER = 2.0  # seconds in which a client that was hung up on may see the last reply
LINGER_BUFFER = 65536  # bytes
TOO_MANY_ERRORS = "421 4.7.0 That is more than I refuse to one client; come again later"
Command = Callable[[str | None], Awaitable[None]]
IDLE = "421 4.4.2 You have been silent for too long"


class _Commands(dict[str, Command]):
    """The engine's commands, and one that stands for all others: the engine would hang up after a few."""

    def __init__(
        self, known: dict[str, Command], other: Callable[[str, str | None], Awaitable[None]]
    ) -> None:
        super().__init__(known)
        self._other = other

    def get(self, name: str, default: object = None) -> Command:
        """The command of that name, or the one for others."""
        return self[name] if name in self else functools.partial(self._other, name)


class Connection(SMTP):
    """One connection; what was found out about the client is in its `Dialogue`."""

    def __init__(self, site: Site, context: ssl.SSLContext, loop: asyncio.AbstractEventLoop) -> None:
        """One for each connection, as asyncio asks for it."""
        # The engine keeps the limits on its class and clears them for every connection: give each its own.
        self.command_size_limits = collections.defaultdict(lambda: COMMAND_LIMIT)
        server, quirks = site.config.server, site.policy.quirks
        self.dialogue = Dialogue(site)
        self._largest = SMALL if "absent.size-limit:off" in quirks else server.size_limit
        super().__init__(
            self.dialogue,
            hostname=server.hostname,
            ident="ESMTP smtp-harness reference MTA",
            data_size_limit=self._largest,
            tls_context=context,
            auth_require_tls=False,  # policy decides that, see `smtp_AUTH`
            timeout=server.idle_timeout,
            proxy_protocol_timeout=PROXY_TIMEOUT if server.proxy_protocol else None,
            loop=loop,
        )
        self.command_size_limit = COMMAND_LIMIT
        self._hanging_up = False
        self._takes_content = False
        self._takes_secret = False
        self._met = False
        self._refusals = 0
        if site.config.speech.error_limit:  # then that is the limit, and not the engine's own
            self._smtp_methods = _Commands(self._smtp_methods, self._unrecognised)

    def __dir__(self) -> list[str]:
        """The commands, which the engine looks for in every connection anew."""
        return COMMANDS

    @property
    def covered(self) -> bool:
        """Whether TLS is on."""
        return self._tls_protocol is not None

    def keywords(self) -> list[str]:
        """What EHLO lists."""
        about = self.dialogue.about
        listed = [f"SIZE {self.data_size_limit}", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES"]
        hidden = about.quirk("tls.starttls-offered:off")
        if not hidden and (not self.covered or about.quirk("tls.starttls-offered:weak-after")):
            listed.append("STARTTLS")
        if self.covered or about.quirk("auth.only-under-tls:off"):
            mechanisms = "PLAIN LOGIN" if about.quirk("auth.login-not-offered:off") else "PLAIN"
            withheld = about.trusted and about.quirk("auth.from-anywhere:off")
            listed += [] if withheld else [f"AUTH {mechanisms}"]
        return listed

    def wait_for(self, seconds: float) -> None:
        """The server keeps the client waiting: its silence meanwhile is no idleness."""
        self._reset_timeout(self._timeout_duration + seconds)

    def hang_up(self) -> None:
        """Close the connection after the reply that is about to be sent; what comes after is not read."""
        self._hanging_up = True

    def told(self) -> Session:
        """What the client has said since the connection, or TLS, began."""
        if self.session is None:
            raise RuntimeError("the engine makes a session for every connection")
        return self.session

    # The engine's commands, where policy or a stricter reading comes before them

    @syntax("MAIL FROM: <address>", extended=" [SP <mail-parameters>]")
    async def smtp_MAIL(self, arg: str | None) -> None:
        """Without a greeting policy answers, not the engine."""
        if refusal := await self.dialogue.may_send(self):
            await self.push(refusal)
            return
        if not self.told().host_name:  # policy lets it pass, so the engine must
            self.told().host_name = "unknown"
            self.told().extended_smtp = True
        await super().smtp_MAIL(arg)

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:
        """The message; whatever becomes of it, the next one begins with MAIL."""
        if await self.check_helo_needed():
            return
        envelope = self.envelope
        if envelope is None or not envelope.rcpt_tos:
            await self.push("503 5.5.1 DATA comes after RCPT TO")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        self._takes_content = True
        content = await read_content(self._reader, self._largest)
        self._takes_content = False
        try:
            if content is None:
                await self.push("552 5.3.4 Too much mail data")
            elif refusal := flaw(content):
                await self.push(refusal)
            else:
                envelope.content = envelope.original_content = content
                await self.push(await self.dialogue.handle_DATA(self, self.told(), envelope))
        finally:
            self.dialogue.about.begin_message()
            self._set_post_data_state()  # type: ignore[no-untyped-call]

    @syntax("STARTTLS", when="tls_context")
    async def smtp_STARTTLS(self, arg: str | None) -> None:
        """Once a connection. The engine makes a new session; what was told in clear text is forgotten."""
        if self.covered:
            await self.push("503 5.5.1 TLS is on already")
            return
        before, about = self.told(), self.dialogue.about
        await super().smtp_STARTTLS(arg or "")
        if not self.covered:
            return
        if about.quirk("tls.state-reset:off"):
            self.told().host_name = before.host_name
            self.told().extended_smtp = before.extended_smtp
        else:
            about.forget_clear_text()

    @syntax("AUTH PLAIN [initial-response]")
    async def smtp_AUTH(self, arg: str | None) -> None:
        """AUTH; the engine's own knows mechanisms in upper case only, and more of them."""
        if await self.check_helo_needed("EHLO"):
            return
        mechanism, _, initial = (arg or "").partition(" ")
        about = self.dialogue.about
        if refusal := may_authenticate(about, covered=self.covered):
            self.dialogue.deciding.rests_on(refusal.rule)
            await self.push(refusal.reply)
        elif mechanism.upper() != "PLAIN":
            await self.push("504 5.5.4 Only PLAIN is known here")
        else:
            await self.push(await self.dialogue.logged_in(initial.strip(), self._prompt, self))

    async def _prompt(self, words: str) -> str:
        await self.push(f"334 {words}")
        self._takes_secret = True
        try:
            return await read_answer(self._reader)
        finally:
            self._takes_secret = False

    @syntax("VRFY <address>")
    async def smtp_VRFY(self, arg: str | None) -> None:
        """VRFY tells nobody who is a user (RFC 5321 §3.5.3)."""
        await self.push("252 2.5.0 Send to it and see" if arg else "501 5.5.4 Syntax: VRFY <address>")

    @syntax("HELP")
    async def smtp_HELP(self, arg: str | None) -> None:
        """HELP; the engine's own answers with the code of something else."""
        await self.push("214 2.0.0 See RFC 5321")

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """Our own reading of a path: nothing in it is rewritten."""
        found = read_path(arg)
        self.dialogue.about.routed = arg.lstrip().startswith("<@")
        return (found[0] or NULL, found[1]) if found else (None, None)

    # How lines go back and forth

    def data_received(self, data: bytes) -> None:
        """A message may take as long as it comes: the time counts for each piece (RFC 5321 §4.5.3.2.5)."""
        if self._takes_content:
            self.wait_for(0)
        super().data_received(data)

    async def push(self, status: str | bytes) -> None:
        """Send a reply; the engine's own get what they lack. The first one is the greeting, or a refusal."""
        text = status if isinstance(status, str) else status.decode("ascii", "replace")
        if not self._met:
            self._met = True
            text = self._turn_away(self.dialogue.turned_away) or text
        await self._say(completed(text))
        if text[:1] in ("4", "5"):
            await self._count_refusal()

    def _turn_away(self, refusal: str) -> str:
        """A refusal in place of the greeting: from then on only QUIT is answered to (RFC 5321 §3.1)."""
        if refusal:
            self._smtp_methods |= {
                name: self._out_of_sequence for name in self._smtp_methods if name != "QUIT"
            }
        return refusal

    async def _out_of_sequence(self, arg: str | None) -> None:
        await self.push("503 5.5.1 You were refused at the beginning")

    async def _unrecognised(self, command: str, arg: str | None) -> None:
        await self.push(f'500 Error: command "{command}" not recognized')

    async def _count_refusal(self) -> None:
        """After as many refusals as are allowed the connection ends, unless it does so already."""
        limit = self.dialogue.site.config.speech.error_limit
        self._refusals += 1
        if limit and self._refusals >= limit and not self._hanging_up:
            await self._say(TOO_MANY_ERRORS)
            self.hang_up()

    async def _say(self, reply: str) -> None:
        self.dialogue.deciding.told(reply)
        await super().push(reply)

    async def _handle_client(self) -> None:
        """Policy speaks before the greeting; without PROXY the client is whoever connected.

        Whoever leaves meanwhile leaves nothing behind: the engine closes what it has greeted, and no more.
        """
        self._require_whole_line_ends()
        try:
            if self._proxy_timeout is None:
                peer = (self.told().peer or ("",))[0]
                await self.dialogue.meet(str(peer).partition("%")[0], self)
            with contextlib.suppress(ConnectionError):  # the client is gone; there is nobody to tell
                await super()._handle_client()
        finally:
            self._writer.close()

    def _require_whole_line_ends(self) -> None:
        """Commands end with CR LF: a bare line feed is no end of a command (RFC 5321 §2.3.8)."""
        readuntil = self._reader.readuntil

        async def strict(separator: bytes | None = None) -> bytes:
            if self._hanging_up:
                await self._part()
            line: bytes = await readuntil(separator or LINE_END)
            if separator is None and self._met and not self._takes_secret:
                self.dialogue.deciding.hear(line)
            broken = separator is None and b"\n" in line[:-2]
            return UNREADABLE if broken else line

        self._reader.readuntil = strict  # type: ignore[method-assign, assignment]

    async def _part(self) -> None:
        """Close so that the last reply arrives: with input unread, the system would reset the connection."""
        transport = self.transport
        if isinstance(transport, asyncio.WriteTransport) and transport.can_write_eof():
            transport.write_eof()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    while await self._reader.read(LINGER_BUFFER):
                        pass
        raise ConnectionResetError("this side has hung up")

    def _timeout_cb(self) -> None:
        """The client was idle: it is told why (RFC 5321 §3.8), unless TLS is just being started."""
        shaking_hands = self._original_transport is not None and self.told().ssl is None
        if self.transport is None:
            return
        if not shaking_hands:
            self.dialogue.deciding.told(IDLE)
            self._writer.write(IDLE.encode("ascii") + LINE_END)
        self.transport.close()


COMMANDS = sorted(name for name in vars(SMTP) | vars(Connection) if name.startswith("smtp_"))
