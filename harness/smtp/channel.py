"""A connection to a mail server: every byte recorded, every wait bounded, every end accounted for."""

import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NoReturn

from harness.smtp.ending import Ending, SessionEnded
from harness.smtp.reply import GarbageError, Reply, ReplyReader, excerpt
from harness.smtp.routes import Route
from harness.smtp.tls import TlsFacts, established, rejected
from harness.smtp.transcript import Transcript
from harness.smtp.wire import Wire

UNSOLICITED = "unsolicited"  # the flaw of a reply that nothing asked for
INJECTED = "clear text behind the reply to STARTTLS"
MAX_UNSOLICITED = 64  # replies in one session


class Channel:
    """Carries bytes one way and whole replies the other; whatever the network does is `SessionEnded`.

    Each reply is owed to something that was sent. What comes while none is owed is recorded with the
    flaw `unsolicited` and never taken for the answer to the next command.
    """

    def __init__(
        self,
        server: tuple[str, int],
        client_address: str,
        route: Route,
        reply_timeout: float,
        secrets: Iterable[str],
    ) -> None:
        """`reply_timeout` is the time in seconds from a command to the last byte of its reply."""
        self.server = server
        self.client_address = client_address
        self.route = route
        self.reply_timeout = reply_timeout
        self.transcript = Transcript(secrets)
        self.replies: list[Reply] = []
        self.ending = Ending.OPEN
        self.tls: TlsFacts | None = None
        self.connected_at = 0.0  # seconds from the start of the connection attempt
        self._wire: Wire | None = None
        self._reader = ReplyReader()
        self._owed: deque[float] = deque()  # for each reply that is to come, when it was asked for
        self._asked = self._heard = self._answered = self.transcript.started
        self._straggling = False  # the reply that is coming in began before the command it seems to answer
        self._cut_off = False  # sending failed; what the server said before that may still be read
        self._left = False  # the server closed or reset the connection
        self._unsolicited = 0
        self._stage = ""
        self._reason = ""

    def open(self) -> Reply:
        """Connect and read the greeting, all within the time of one reply.

        Raises `SessionEnded`, and `ValueError` for a client address that is none.
        """
        if self._stage:
            raise RuntimeError("a session is opened once")
        self._stage = "the connection"
        self._asked = self._answered = self.transcript.started = time.monotonic()
        place = "{}:{}".format(*self.server)
        way = f"by route {self.route.name} as {self.client_address}"
        try:
            connected, preamble = self.route.connect(self.server, self.client_address, self.reply_timeout)
            self._wire = Wire(connected)
        except ConnectionRefusedError as error:
            self._end(Ending.REFUSED, f"nobody listens at {place}", error)
        except TimeoutError as error:
            self._end(Ending.TIMED_OUT, f"{place} did not answer the connection in time", error)
        except (OSError, UnicodeError) as error:
            self._end(Ending.UNREACHABLE, f"there is no way to {place} {way}: {error}", error)
        self.connected_at = self._elapsed()
        self.transcript.event(self.connected_at, f"connected to {place} {way}")
        self._stage = "the greeting"
        if preamble:
            self.transcript.event(self.connected_at, b"preamble " + preamble)
            self._transmit(preamble)
        self._owed.append(self.transcript.started)
        return self.reply()

    def say(self, data: bytes, stage: str, replies: int = 1) -> None:
        """Send `data`, which asks for so many replies; `stage` is the word for it in reasons.

        A connection that breaks meanwhile is reported by `reply`: the server's last words may still wait.
        """
        self._stage = stage
        if not self._owed:
            self._hear_unsolicited()
        self._asked = time.monotonic()
        self._owed.extend([self._asked] * replies)
        self.transcript.sent(self._asked - self.transcript.started, data)
        self._transmit(data)

    def reply(self) -> Reply:
        """The next reply, in time after what asked for it or, if that is later, after the reply before it."""
        asked = self._owed.popleft() if self._owed else self._asked
        deadline = max(asked, self._answered) + self.reply_timeout
        while True:
            reply = self._take(asked)
            if reply is None:
                self._hear(lambda wire: wire.receive(deadline))
            elif self._straggling or self._heard < asked:
                self._straggling = False
                self._note_unsolicited(reply)
            else:
                self._answered = self._heard
                self.replies.append(reply)
                return reply

    def start_tls(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """The handshake, within the time of one reply."""
        wire = self._open_wire()
        self._stage = "the TLS handshake"
        if injected := self._reader.discard():
            # Read on, it would count as said under TLS (RFC 3207 §6).
            self._event(f"{injected} bytes of clear text behind the reply to STARTTLS are thrown away")
            self.replies[-1] = replace(self.replies[-1], flaws=(*self.replies[-1].flaws, INJECTED))
        self._asked = time.monotonic()
        try:
            secured = wire.start_tls(context, server_hostname, self._asked + self.reply_timeout)
        except TimeoutError as error:
            self._end(Ending.TIMED_OUT, "the TLS handshake did not come to its end in time", error)
        except ssl.SSLCertVerificationError as error:
            self.tls = rejected(error)
            reason = f"the server's certificate is not accepted: {error.verify_message}"
            self._end(Ending.TLS_FAILED, reason, error)
        except (OSError, ValueError) as error:
            self._end(Ending.TLS_FAILED, f"the TLS handshake failed: {error}", error)
        self.tls = established(secured)
        self._event(" ".join(filter(None, (self.tls.version, self.tls.cipher, self.tls.verify_error))))

    def closed_by_server(self, within: float) -> bool:
        """Whether the server has closed or reset the connection, or does so within so many seconds."""
        deadline = time.monotonic() + within
        try:
            while self._open_wire().wait(deadline):
                if self._owed:
                    self._hear(Wire.receive_now)
                else:
                    self._hear_unsolicited()
        except SessionEnded:
            return self._left
        return False

    def close(self) -> None:
        """Close unless it is over already."""
        if self.ending is Ending.OPEN:
            self._close(Ending.QUIT if self._dismissed else Ending.CLIENT_CLOSED, "closed by the client")

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as we know."""
        return self._wire is not None

    @property
    def _dismissed(self) -> bool:
        """Whether QUIT has been answered with 221."""
        return self._stage == "QUIT" and bool(self.replies) and self.replies[-1].code == 221

    def _hear_unsolicited(self) -> None:
        """Take what lies there before anything is asked; an unfinished reply is one that straggles."""
        while True:
            while reply := self._take(self._asked):
                self._note_unsolicited(reply)
            if not self._hear(Wire.receive_now):
                break
        self._straggling = self._reader.unfinished

    def _note_unsolicited(self, reply: Reply) -> None:
        self._event(f"nothing had asked for the reply {reply.code}")
        self.replies.append(replace(reply, flaws=(*reply.flaws, UNSOLICITED)))
        self._unsolicited += 1
        if self._unsolicited > MAX_UNSOLICITED:
            self._end(Ending.GARBAGE, f"the server sent {self._unsolicited} replies that nothing asked for")

    def _take(self, asked: float) -> Reply | None:
        try:
            reply = self._reader.take(self._heard - self.transcript.started, self._heard - asked)
        except GarbageError as garbage:
            self._end_with_garbage(garbage)
        if reply is None:
            return None
        mask = self.transcript.masker.mask
        raw = mask(reply.raw)
        if raw == reply.raw:
            return reply
        lines = tuple(mask(line.encode()).decode("utf-8", "backslashreplace") for line in reply.lines)
        return replace(reply, raw=raw, lines=lines)

    def _hear(self, receive: Callable[[Wire], bytes | None]) -> bool:
        """Pass what there is to the reader; False when there is nothing yet."""
        try:
            data = receive(self._open_wire())
        except TimeoutError as error:
            self._end(Ending.TIMED_OUT, f"no whole reply to {self._stage} came in time", error)
        except ssl.SSLError as error:
            self._end(Ending.TLS_FAILED, f"TLS broke at {self._stage}: {error}", error)
        except OSError as error:
            self._left = True
            self._end(Ending.RESET, f"the connection was reset at {self._stage}: {error}", error)
        self._heard = time.monotonic()
        if data is None:
            return False
        if not data:
            self._end_of_stream()
        self.transcript.received(self._elapsed(), data)
        try:
            self._reader.feed(data)
        except GarbageError as garbage:
            self._end_with_garbage(garbage)
        return True

    def _transmit(self, data: bytes) -> None:
        try:
            self._open_wire().send(data, self._asked + self.reply_timeout)
        except TimeoutError as error:
            self._end(Ending.TIMED_OUT, f"the server did not take {self._stage} in time", error)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            self._cut_off = True
            self._event(f"{self._stage} could not be sent whole: {error}")
        except ssl.SSLError as error:
            self._end(Ending.TLS_FAILED, f"TLS broke at {self._stage}: {error}", error)
        except OSError as error:
            self._end(Ending.RESET, f"the connection broke at {self._stage}: {error}", error)

    def _end_of_stream(self) -> NoReturn:
        when = "in the middle of a reply" if self._reader.unfinished else f"at {self._stage}"
        self._left = True
        if self._cut_off:
            self._end(Ending.RESET, f"the connection was reset {when}")
        ending = Ending.QUIT if self._dismissed else Ending.SERVER_CLOSED
        self._end(ending, f"the server closed the connection {when}")

    def _end_with_garbage(self, garbage: GarbageError) -> NoReturn:
        said = excerpt(self.transcript.masker.mask(garbage.data))
        self._end(Ending.GARBAGE, f"what came at {self._stage} {garbage}: {said}", garbage)

    def _end(self, ending: Ending, reason: str, cause: Exception | None = None) -> NoReturn:
        self._close(ending, reason)
        raise self._ended() from cause

    def _close(self, ending: Ending, reason: str) -> None:
        self.ending = ending
        self._reason = reason
        self._event(reason)
        if self._wire:
            self._wire.close()
            self._wire = None

    def _ended(self) -> SessionEnded:
        return SessionEnded(
            self.ending, self._stage, self._reason, self.replies[-1] if self.replies else None
        )

    def _open_wire(self) -> Wire:
        if self._wire:
            return self._wire
        if self.ending is Ending.OPEN:
            raise RuntimeError("a session begins with open()")
        raise self._ended()

    def _event(self, what: str) -> None:
        self.transcript.event(self._elapsed(), what)

    def _elapsed(self) -> float:
        return time.monotonic() - self.transcript.started
