"""One SMTP session as a client: a message to one host, for several recipients (RFC 5321 §4).

On the server's event loop, so that a host that hangs costs no thread. The words of other hosts are theirs.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from harness.reference_mta.mail.delivery_result import Delivered, DeliveryResult, State, failed, later
from harness.reference_mta.mail.header import parted
from harness.reference_mta.mail.hosts import Host
from harness.reference_mta.mail.parts import AS_IT_SHOULD_BE, MailParts
from harness.reference_mta.mail.requests import EXTENSION, NONE, Requests
from harness.reference_mta.mail.wire import Reply, Wire, WireError, connect

FAREWELL = 5.0  # seconds for the reply to QUIT, which changes nothing any more
START_INPUT = 354
EXCEEDED = 552  # at RCPT too many recipients for one message: as good as 452 (RFC 5321 §4.5.3.1.10)


class _RefusedError(Exception):
    """The host, or the whole message, was not taken."""

    def __init__(self, outcome: DeliveryResult) -> None:
        """Everyone that the message was for, and nothing is said about yet, meets with this."""
        super().__init__(outcome.words)
        self.outcome = outcome


class Session:
    """A session with one host."""

    def __init__(
        self,
        host: Host,
        hello: str,
        timeout: float,
        delivered: Delivered,
        parts: MailParts = AS_IT_SHOULD_BE,
    ) -> None:
        """`hello` is this server's name; `timeout` is in seconds, for each reply."""
        self._host = host
        self._delivered = delivered
        self._hello = hello
        self._timeout = timeout
        self._parts = parts
        self._keywords: set[str] = set()
        self._international = False
        self._requests = NONE
        self._in_doubt = False  # the message was sent, and nothing said of it

    async def send(
        self,
        sender: str,
        recipients: Sequence[str],
        content: bytes,
        *,
        international: bool = False,
        requests: Requests = NONE,
    ) -> dict[str, DeliveryResult]:
        """What each recipient came to; `international`: the message has come with SMTPUTF8 (RFC 6531).

        Where the host lists DSN it is told of the `requests` (RFC 3461 §5.2.1, §5.2.2). Raises nothing that
        it can bring about.
        """
        self._international = international
        self._requests = requests
        outcomes: dict[str, DeliveryResult] = {}
        try:
            wire = await connect(self._host.address, self._host.port, self._timeout)
            try:
                await self._greet(wire)
                await self._message(wire, sender, recipients, content, outcomes)
            finally:
                wire.abort()
        except _RefusedError as refusal:
            rest = refusal.outcome
        except WireError as error:
            rest = later(
                f"{self._host.name} [{self._host.address}]: {error}", "4.4.2", in_doubt=self._in_doubt
            )
        else:
            return outcomes
        return {address: outcomes.get(address, rest) for address in recipients}

    async def _greet(self, wire: Wire) -> None:
        """Greeting and EHLO, or HELO where EHLO is not known; each may speak for the whole host."""
        self._expect(await wire.reply())
        reply = await wire.command(f"EHLO {self._hello}")
        if reply.kind == 5:
            reply = await wire.command(f"HELO {self._hello}")
        else:
            self._keywords = {line.partition(" ")[0].upper() for line in reply.text.split("\n")[1:]}
        self._expect(reply)

    def _expect(self, reply: Reply) -> None:
        if reply.kind != 2:
            raise _RefusedError(self._outcome(reply, elsewhere=True))

    async def _message(
        self,
        wire: Wire,
        sender: str,
        recipients: Sequence[str],
        content: bytes,
        outcomes: dict[str, DeliveryResult],
    ) -> None:
        international = self._speaks_utf8(sender, recipients, content, outcomes)
        recipients = [address for address in recipients if address not in outcomes]
        if not recipients:
            return
        wire.international = international
        binary = self._parts.is_binary(content)
        if binary and not {"BINARYMIME", "CHUNKING"} <= self._keywords:
            raise _RefusedError(self._unable("binary content", "BINARYMIME and CHUNKING"))
        if not (binary or content.isascii() or "8BITMIME" in self._keywords):
            raise _RefusedError(self._unable("8-bit content", "8BITMIME"))
        requests = self._parts.passed_on(self._requests, self._keywords, international)
        parameters = self._parameters(content, binary=binary) + ["SMTPUTF8"] * international
        parameters += _given(RET=requests.ret, ENVID=requests.envelope_id)
        reply = await wire.command(" ".join((f"MAIL FROM:<{sender}>", *parameters)))
        if reply.kind != 2:
            raise _RefusedError(self._outcome(reply))
        accepted = []
        for address in recipients:
            request = requests.of(address)
            parameters = _given(NOTIFY=request.notify, ORCPT=request.original)
            reply = await wire.command(" ".join((f"RCPT TO:<{address}>", *parameters)))
            if reply.kind == 2:
                accepted.append(address)
            else:
                outcomes[address] = self._outcome(reply, passing=reply.code == EXCEEDED)
        if accepted:
            send = self._chunk if binary else self._data
            outcome = replace(await send(wire, content), informed=EXTENSION in self._keywords)
            outcomes.update(dict.fromkeys(accepted, outcome))
            if outcome.state is State.DELIVERED:
                await self._delivered(dict.fromkeys(accepted, outcome))
        with contextlib.suppress(WireError):  # nothing hangs on it
            await wire.command("QUIT", FAREWELL)

    async def _data(self, wire: Wire, content: bytes) -> DeliveryResult:
        reply = await wire.command("DATA")
        if reply.code != START_INPUT:
            if reply.kind in (2, 3):
                raise WireError(f"{reply.code} in answer to DATA, where 354 belongs")
            return self._outcome(reply)
        await wire.content(self._parts.outgoing(content))
        self._in_doubt = True
        outcome = self._outcome(await wire.end_of_content())
        self._in_doubt = False
        return outcome

    async def _chunk(self, wire: Wire, content: bytes) -> DeliveryResult:
        """The whole message in one chunk (RFC 3030)."""
        self._in_doubt = True
        outcome = self._outcome(await wire.chunk(content))
        self._in_doubt = False
        return outcome

    def _speaks_utf8(
        self,
        sender: str,
        recipients: Sequence[str],
        content: bytes,
        outcomes: dict[str, DeliveryResult],
    ) -> bool:
        """Whether the message needs SMTPUTF8; the recipients are noted that this host cannot be told of.

        One that came with SMTPUTF8 and has nothing beyond ASCII goes to any host.
        """
        if not all(address.isprintable() for address in (sender, *recipients)):
            raise _RefusedError(failed("An address that does not print cannot be sent", "5.6.7"))
        able = {"SMTPUTF8", "8BITMIME"} <= self._keywords
        header = self._international and not parted(content)[0].isascii()
        beyond = [address for address in recipients if not address.isascii()]
        if not able:
            if not sender.isascii():
                raise _RefusedError(self._unable("sender beyond ASCII", "SMTPUTF8", "5.6.7"))
            if header:
                raise _RefusedError(self._unable("header beyond ASCII", "SMTPUTF8", "5.6.9"))
            unable = self._unable("recipient beyond ASCII", "SMTPUTF8", "5.6.7")
            outcomes.update(dict.fromkeys(beyond, unable))
        return able and (header or bool(beyond) or not sender.isascii())

    def _unable(self, what: str, keywords: str, status: str = "5.6.3") -> DeliveryResult:
        """Nothing is changed on its way here, so the host has to be up to it (RFC 6152 §3, RFC 3030 §3)."""
        words = f"{self._host.name} takes no {what}: it does not offer {keywords}"
        return failed(words, status, elsewhere=True)

    def _parameters(self, content: bytes, *, binary: bool) -> list[str]:
        parameters = []
        if "SIZE" in self._keywords:
            parameters.append(f"SIZE={len(content)}")
        if binary:
            parameters.append("BODY=BINARYMIME")
        elif not content.isascii():
            parameters.append("BODY=8BITMIME")
        return parameters

    def _outcome(self, reply: Reply, *, elsewhere: bool = False, passing: bool = False) -> DeliveryResult:
        return DeliveryResult.of_reply(
            reply.code, reply.text, self._host.name, elsewhere=elsewhere, passing=passing
        )


def _given(**values: str) -> list[str]:
    """Parameters of a command, but for those that have no value."""
    return [f"{keyword}={value}" for keyword, value in values.items() if value]
