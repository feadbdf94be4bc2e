"""One SMTP session as a client: a message to one host, for several recipients (RFC 5321 §4).

The protocol is aiosmtplib's: it lives on the server's event loop, so that a host that hangs costs no thread,
it bounds replies, and it refuses control characters in commands. Its `sendmail` is not used: that rewrites
addresses. Line ends that are not CRLF go out as CRLF, so that nothing is smuggled behind them.
"""

import contextlib
from collections.abc import Sequence

import aiosmtplib
from aiosmtplib import SMTP, SMTPDataError, SMTPException, SMTPResponseException

from harness.reference_mta.mail.hosts import Host
from harness.reference_mta.mail.outcome import Outcome, State, failed, later

FAREWELL = 5.0  # seconds for the reply to QUIT, which changes nothing any more


class _RefusedError(Exception):
    """The host, or the whole message, was not taken."""

    def __init__(self, outcome: Outcome) -> None:
        """Everyone that the message was for, and nothing is said about yet, meets with this."""
        super().__init__(outcome.words)
        self.outcome = outcome


class Session:
    """A session with one host."""

    def __init__(self, host: Host, hello: str, timeout: float) -> None:
        """`hello` is this server's name; `timeout` is in seconds, for each reply."""
        self._host = host
        self._hello = hello
        self._smtp = SMTP(
            hostname=host.address, port=host.port, local_hostname=hello, timeout=timeout, start_tls=False
        )

    async def send(self, sender: str, recipients: Sequence[str], content: bytes) -> dict[str, Outcome]:
        """What each recipient came to. Raises nothing that the host can bring about."""
        outcomes: dict[str, Outcome] = {}
        try:
            await self._greet()
            await self._message(sender, recipients, content, outcomes)
        except _RefusedError as refusal:
            rest = refusal.outcome
        except (SMTPException, OSError) as error:
            rest = later(
                f"{self._host.name} [{self._host.address}]: {error or type(error).__name__}", "4.4.2"
            )
        else:
            return outcomes
        finally:
            self._smtp.close()
        return {address: outcomes.get(address, rest) for address in recipients}

    async def _greet(self) -> None:
        """Greeting and EHLO, or HELO where EHLO is not known; each may speak for the whole host."""
        try:
            await self._smtp.connect()
            try:
                await self._smtp.ehlo()
            except aiosmtplib.SMTPHeloError as refusal:
                if refusal.code // 100 != 5:
                    raise
                await self._smtp.helo()
        except SMTPResponseException as refusal:
            raise _RefusedError(self._outcome(refusal, elsewhere=True)) from refusal

    async def _message(
        self, sender: str, recipients: Sequence[str], content: bytes, outcomes: dict[str, Outcome]
    ) -> None:
        try:
            mail = [f"FROM:<{sender}>".encode("ascii"), *self._parameters(content)]
            to = {address: f"TO:<{address}>".encode("ascii") for address in recipients}
        except UnicodeEncodeError:
            raise _RefusedError(failed("An address that is not ASCII cannot be sent", "5.6.7")) from None
        began = self._reply(*await self._smtp.execute_command(b"MAIL", *mail))
        if began.state is not State.DELIVERED:
            raise _RefusedError(began)
        accepted = []
        for address in recipients:
            outcome = self._reply(*await self._smtp.execute_command(b"RCPT", to[address]))
            if outcome.state is State.DELIVERED:
                accepted.append(address)
            else:
                outcomes[address] = outcome
        if accepted:
            outcomes.update(dict.fromkeys(accepted, await self._data(content)))
        with contextlib.suppress(SMTPException, OSError):  # nothing hangs on it
            await self._smtp.quit(timeout=FAREWELL)

    async def _data(self, content: bytes) -> Outcome:
        try:
            return self._reply(*await self._smtp.data(content))
        except SMTPDataError as refusal:
            return self._outcome(refusal)

    def _parameters(self, content: bytes) -> list[bytes]:
        parameters = []
        if self._smtp.supports_extension("size"):
            parameters.append(f"SIZE={len(content)}".encode())
        if self._smtp.supports_extension("8bitmime") and not content.isascii():
            parameters.append(b"BODY=8BITMIME")
        return parameters

    def _reply(self, code: int, text: str) -> Outcome:
        return Outcome.of_reply(code, text, self._host.name)

    def _outcome(self, refusal: SMTPResponseException, *, elsewhere: bool = False) -> Outcome:
        return Outcome.of_reply(refusal.code, refusal.message, self._host.name, elsewhere=elsewhere)
