"""The sending side of an SMTP dialogue: `smtplib.SMTP`, recorded to the byte and bounded in time."""

import base64
import contextlib
import smtplib
import ssl
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, TypeVar

from harness.settings.secret import Secret, leaving_no_trace
from harness.smtp.channel import Channel
from harness.smtp.ending import Ending, SessionEnded
from harness.smtp.endpoint import Endpoint
from harness.smtp.reply import Reply, parse_keywords
from harness.smtp.tls import TlsFacts, unverifying_context
from harness.smtp.transcript import Transcript

__all__ = ["ClearTextError", "Ending", "Session", "SessionEnded", "TlsFacts", "parse_keywords"]

T = TypeVar("T")

_CRLF = b"\r\n"


class ClearTextError(ValueError):
    """A secret was about to be said where everybody on the way can read it; nothing was sent."""


class Session(smtplib.SMTP):
    """One connection of one client, with two faces.

    Its own methods return a `Reply` and raise `SessionEnded` for whatever the network does. Those of
    `smtplib.SMTP` return and raise what smtplib's documentation says, and are recorded all the same;
    there a session that ended is `smtplib.SMTPServerDisconnected`. `send_message` is smtplib's.
    Not for several threads at once.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        client_address: str,
        *,
        reply_timeout: float,
        secrets: Iterable[Secret | str] = (),
    ) -> None:
        """Nothing is connected before `open`.

        `reply_timeout` is the time in seconds from a command to the last byte of its reply. `secrets`
        are masked wherever they turn up, and nobody logs in with them, or with a word that has them in it,
        but under TLS.
        """
        super().__init__(local_hostname=_literal(client_address), timeout=reply_timeout)
        guarded = tuple(map(Secret.of, secrets))
        self._channel = Channel(endpoint, client_address, reply_timeout, guarded)
        self._guarded = tuple(filter(None, guarded))
        self.reveals_secrets = False  # whether they may be used to log in where everybody can read them

    @property
    def transcript(self) -> Transcript:
        """What went over the connection, without the secrets."""
        return self._channel.transcript

    @property
    def replies(self) -> list[Reply]:
        """Every reply, in order; one that nothing had asked for has the flaw `unsolicited`."""
        return self._channel.replies

    @property
    def ending(self) -> Ending:
        """How the session ended; `Ending.OPEN` while it has not."""
        return self._channel.ending

    @property
    def tls(self) -> TlsFacts | None:
        """What the handshake agreed on, or why the certificate was not accepted."""
        return self._channel.tls

    @property
    def encrypted(self) -> bool:
        """Whether a TLS handshake has succeeded, so that nobody on the way can read what is said."""
        return self.tls is not None and bool(self.tls.version)

    @property
    def started(self) -> float:
        """The moment of `time.monotonic` when connecting began; all times count from there."""
        return self._channel.transcript.started

    @property
    def connected_at(self) -> float:
        """When the connection stood, in seconds from `started`."""
        return self._channel.connected_at

    def held(self) -> float:
        """Seconds by which a server that does not wait says that it would have, since last asked.

        Raises `UnreadableDelayError`.
        """
        return self._channel.held()

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known without listening."""
        return self._channel.connected

    # The session's own face

    def open(self) -> Reply:
        """Connect and read the greeting, whatever its code. Raises `SessionEnded`."""
        return self._channel.open()

    def command(self, line: str | bytes) -> Reply:
        """Send a command line, to which CRLF is added, and read the reply.

        Raises `SessionEnded`, and `ValueError` for more than one line: that is for `send_raw`.
        """
        data = line if isinstance(line, bytes) else _encoded(line)
        if b"\n" in data or b"\r" in data:
            raise ValueError(f"a command is one line, without its line end: {data[:80]!r}")
        self._channel.say(data + _CRLF)
        return self._channel.reply()

    def send_raw(self, data: bytes, replies: int = 1) -> None:
        """Send bytes as they are, which ask for so many replies; `read_reply` reads them.

        A connection that breaks meanwhile shows when the reply is read. Raises `SessionEnded`.
        """
        self._channel.say(data, replies=replies)

    def read_reply(self) -> Reply:
        """The next reply; its seconds count from what asked for it. Raises `SessionEnded`."""
        return self._channel.reply()

    def listen(self, seconds: float) -> Reply | None:
        """The next reply if it comes within so many seconds; None, and nothing ends, if none does.

        Raises `SessionEnded` when the connection ends meanwhile.
        """
        return self._channel.listen(seconds)

    def send_content(self, content: bytes) -> Reply:
        """Send a message after 354, dot-stuffed and ended (RFC 5321 §4.5.2), and read the reply.

        Lines end with CRLF and with nothing else; other bytes go out as they are. Raises `SessionEnded`.
        """
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        if stuffed.startswith(b"."):
            stuffed = b"." + stuffed
        if stuffed and not stuffed.endswith(_CRLF):
            stuffed += _CRLF
        self._channel.say(stuffed + b".\r\n", "the message")
        return self._channel.reply()

    def start_tls(self, context: ssl.SSLContext, server_hostname: str) -> Reply:
        """STARTTLS and, after 220, the handshake; `tls` has its facts.

        What the server had said of itself in clear text is forgotten (RFC 3207 §4.2). Raises `SessionEnded`.
        """
        reply = self.command("STARTTLS")
        if reply.code == 220:
            reply = self._channel.start_tls(context, server_hostname, reply)
            self.helo_resp = self.ehlo_resp = None
            self.esmtp_features = {}
            self.does_esmtp = False
        return reply

    def auth_plain(  # type: ignore[override]  # `auth` sees to it that smtplib still finds its own
        self, user: str, password: Secret | str, *, initial: bool = True, authzid: str = ""
    ) -> list[Reply]:
        """AUTH PLAIN (RFC 4616), with the credentials at once or after the prompt; all replies.

        A server that prompts on after the credentials is told to stop (RFC 4954 §4). Raises `SessionEnded`,
        and `ClearTextError` where a secret would be for everybody to read.
        """
        password = Secret.of(password)
        self._keep_secret(password)
        return leaving_no_trace(lambda: self._say_plain((authzid, user, password.reveal()), initial=initial))

    def _say_plain(self, words: tuple[str, str, str], *, initial: bool) -> list[Reply]:
        credentials = base64.b64encode(b"\0".join(map(_encoded, words)))
        self.transcript.masker.hide(words[-1], credentials.decode("ascii"))
        replies = [self.command(b"AUTH PLAIN" + (b" " + credentials if initial else b""))]
        if not initial and replies[-1].code == 334:
            replies.append(self.command(credentials))
            initial = True
        if initial and replies[-1].code == 334:
            replies.append(self.command("*"))
        return replies

    def closed_by_server(self, within: float) -> bool:
        """Whether the server has closed or reset the connection, or does so within so many seconds.

        That is what tells a drop from a refusal. What the server says meanwhile is unsolicited.
        """
        return self._channel.closed_by_server(within)

    def reset(self) -> None:
        """Break the connection off (RST), if there is one."""
        self._channel.reset()

    def quit_politely(self) -> Reply | None:
        """QUIT, then close; None when there is no connection. Raises `SessionEnded` for no answer."""
        if not self.connected:
            return None
        reply = self.command("QUIT")
        self.close()
        return reply

    def cut_short(self) -> None:
        """From another thread: whoever waits for this session learns that the connection is gone."""
        self._channel.cut_short()

    def close(self) -> None:
        """Close the connection, if it is open; safe at any time."""
        self._channel.close()

    # The face of smtplib

    def connect(
        self, host: str = "localhost", port: int = 0, source_address: Any = None
    ) -> tuple[int, bytes]:
        """As smtplib's, but where to and how was settled when the session was made."""
        if (host, port) not in (("localhost", 0), self._channel.endpoint.server) or source_address:
            raise ValueError("a session connects to its own endpoint")
        return self._in_its_words(lambda: _pair(self.open()))

    def send(self, s: Any) -> None:
        """As smtplib's; each call is taken to ask for one reply."""
        data = s.encode(self.command_encoding) if isinstance(s, str) else bytes(s)
        self._in_its_words(lambda: self.send_raw(data))

    def getreply(self) -> tuple[int, bytes]:
        """As smtplib's."""
        return self._in_its_words(lambda: _pair(self.read_reply()))

    def starttls(  # type: ignore[override]  # key and certificate files are gone since Python 3.12
        self, *, context: ssl.SSLContext | None = None
    ) -> tuple[int, bytes]:
        """As smtplib's."""
        self.ehlo_or_helo_if_needed()
        if not self.has_extn("starttls"):
            raise smtplib.SMTPNotSupportedError("the server does not offer STARTTLS")
        host, _ = self._channel.endpoint.server
        answer = self._in_its_words(lambda: _pair(self.start_tls(context or unverifying_context(), host)))
        if answer[0] != 220:
            raise smtplib.SMTPResponseException(*answer)
        return answer

    def login(
        self, user: str, password: Secret | str, *, initial_response_ok: bool = True
    ) -> tuple[int, bytes]:
        """As smtplib's; the password is a secret from here on. Raises `ClearTextError` as well."""
        password = Secret.of(password)
        self._keep_secret(password)
        self.transcript.masker.hide(password)
        log_in = super().login
        try:
            return leaving_no_trace(
                lambda: log_in(user, password.reveal(), initial_response_ok=initial_response_ok)
            )
        finally:
            self.password = ""  # smtplib keeps it for its answerers

    def auth(
        self, mechanism: str, authobject: Callable[..., Any], *, initial_response_ok: bool = True
    ) -> tuple[int, bytes]:
        """As smtplib's. `login` finds answerers by name, and by that of PLAIN the session's own method."""
        if authobject == self.auth_plain:
            authobject = super().auth_plain
        return super().auth(mechanism, authobject, initial_response_ok=initial_response_ok)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """QUIT unless there was an exception, then close in any case; how it went is in `ending`."""
        try:
            if kind is None:
                with contextlib.suppress(SessionEnded):
                    self.quit_politely()
        finally:
            self.close()

    # Between the two

    def _keep_secret(self, password: Secret) -> None:
        if self.encrypted or self.reveals_secrets:
            return
        if any(secret.is_part_of(password) for secret in self._guarded):
            raise ClearTextError("no handshake took place, so the account's password would go in clear text")

    def _in_its_words(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except SessionEnded as ended:
            raise smtplib.SMTPServerDisconnected(ended.reason) from ended


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _literal(address: str) -> str:
    """The address literal (RFC 5321 §4.1.3), with which smtplib greets unless told otherwise."""
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _pair(reply: Reply) -> tuple[int, bytes]:
    return reply.code, b"\n".join(line[4:].strip(b" \t\r\n") for line in reply.raw.split(b"\n")[:-1])
