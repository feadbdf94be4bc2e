"""How a mail host of the sink listens: aiosmtpd's engine, with the host's manner and its notes."""

import asyncio
import time
from collections.abc import Iterable

from aiosmtpd.smtp import SMTP, Envelope, Session

from harness.capabilities.mail_host import Arrival, Call, MailHost
from harness.outcome import Stage

IDLE = 10.0  # seconds without a line after which a caller is left; some keep a connection for later
LARGEST = 4 << 20  # bytes of a message


class Listener(SMTP):
    """One connection to a mail host, on aiosmtpd's engine."""

    def __init__(self, host: MailHost, loop: asyncio.AbstractEventLoop) -> None:
        """One for each connection, as asyncio asks for it."""
        self.host = host
        self.call: Call | None = None
        super().__init__(
            _Dialogue(self),
            hostname=host.name,
            ident="ESMTP",
            data_size_limit=LARGEST,
            timeout=IDLE,
            loop=loop,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody calls."""
        self.call = self.host.begin(transport.get_extra_info("peername")[0])
        if self.call is None:
            transport.abort()  # type: ignore[attr-defined]
            return
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """The caller is gone."""
        if self.call:
            self.host.end(self.call)
            super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Note every byte before the engine sees it."""
        if self.call:
            self.call.note(self.call.transcript.sent, data)
        super().data_received(data)

    async def push(self, status: str | bytes) -> None:
        """Note every reply."""
        text = status if isinstance(status, bytes) else status.encode("utf-8", "replace")
        if self.call:
            self.call.note(self.call.transcript.received, text + b"\r\n")
        await super().push(text)

    async def _handle_client(self) -> None:
        """The greeting, which may be a refusal (RFC 5321 §3.1)."""
        try:
            if refusal := await self.behave(Stage.CONNECT):
                await self.push(refusal)
                await self._refused()
            else:
                await super()._handle_client()
        except ConnectionError:
            pass  # whoever is gone needs no answer
        finally:
            self._close()

    async def behave(self, stage: Stage) -> str:
        """What is said at a stage instead of going on; it may not come back."""
        manner = self.host.manner(stage, self._known())
        if manner is None or manner.says:
            return manner.says if manner else ""
        if manner.closes:
            self._close()
        else:
            await asyncio.Event().wait()  # until the caller has had enough
        raise ConnectionResetError("this side is not polite")

    async def greeted(self, name: str) -> str:
        """HELO or EHLO; what is said instead of going on."""
        self._known().helo = name
        return await self.behave(Stage.HELO)

    async def _refused(self) -> None:
        """After a refusing greeting a caller may only say QUIT."""
        while line := await self._reader.readline():
            quitting = line[:4].upper() == b"QUIT"
            await self.push("221 Bye" if quitting else "503 Not here")
            if quitting:
                break

    def _close(self) -> None:
        if self.transport:
            self.transport.close()

    def _known(self) -> Call:
        if self.call is None:
            raise ConnectionResetError("too many dialogues")
        return self.call

    def taken(self, arrival: Arrival) -> None:
        """A message was taken."""
        self.host.take(self._known(), arrival)


class _Dialogue:
    """The engine's hooks."""

    def __init__(self, line: Listener) -> None:
        self._line = line

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        refusal = await self._line.greeted(hostname)
        if refusal:
            return [refusal]
        session.host_name = hostname
        return responses

    async def handle_HELO(self, server: SMTP, session: Session, envelope: Envelope, hostname: str) -> str:
        refusal = await self._line.greeted(hostname)
        if not refusal:
            session.host_name = hostname
        return refusal or f"250 {server.hostname}"

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Iterable[str]
    ) -> str:
        refusal = await self._line.behave(Stage.MAIL)
        if not refusal:
            envelope.mail_from = address
        return refusal or "250 2.1.0 Ok"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Iterable[str]
    ) -> str:
        refusal = await self._line.behave(Stage.RCPT)
        if not refusal:
            envelope.rcpt_tos.append(address)
        return refusal or "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        refusal = await self._line.behave(Stage.DATA)
        if refusal:
            return refusal
        sender = envelope.mail_from if envelope.mail_from not in (None, "<>") else ""
        arrival = Arrival(
            time.monotonic(),
            sender or "",
            tuple(envelope.rcpt_tos),
            bytes(envelope.original_content or b""),
            str((session.peer or ("",))[0]),
            session.host_name or "",
        )
        self._line.taken(arrival)
        return "250 2.0.0 Ok"
