"""A connection to a mail server: every byte recorded, every wait bounded, every end accounted for."""

import contextlib
import re
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import NoReturn

from harness.settings.secret import Secret
from harness.smtp.ending import Ending, SessionEnded
from harness.smtp.endpoint import Endpoint
from harness.smtp.identity import IntroductionError
from harness.smtp.reply import GarbageError, Reply, ReplyReader, excerpt
from harness.smtp.tls import TlsFacts, established, rejected, unverifying_context
from harness.smtp.transcript import Transcript
from harness.smtp.wire import Wire

UNSOLICITED = "unsolicited"  # the flaw of a reply that nothing asked for
INJECTED = "clear text behind the reply to STARTTLS"
MAX_UNSOLICITED = 64  # replies in one session

_CONTINUED = {334: "the credentials", 354: "the message"}  # what is sent after such a reply
_VERB = re.compile(
    rb"(?i)(HELO|EHLO|LHLO|MAIL|RCPT|DATA|BDAT|RSET|NOOP|QUIT|VRFY|EXPN|HELP|STARTTLS|AUTH|ETRN)(?=[ \r])"
)


class Channel:
    """Carries bytes one way and whole replies the other; whatever the network does is `SessionEnded`.

    Each reply is owed to something that was sent. What comes while none is owed is recorded with the
    flaw `unsolicited` and never taken for the answer to the next command.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        client_address: str,
        reply_timeout: float,
        secrets: Iterable[Secret | str],
    ) -> None:
        """`reply_timeout` is the time in seconds from a command to the last byte of its reply."""
        self.endpoint = endpoint
        self.client_address = client_address
        self.reply_timeout = reply_timeout
        self.transcript = Transcript(secrets)
        self.replies: list[Reply] = []
        self.ending = Ending.OPEN
        self.tls: TlsFacts | None = None
        self.connected_at = 0.0  # seconds from the start of the connection attempt
        self._wire: Wire | None = None
        self._connected: socket.socket | None = None
        self._reader = ReplyReader()
        self._owed: deque[float] = deque()  # for each reply that is to come, when it was asked for
        self._come: deque[Reply] = deque()  # those that were owed and have come
        self._asked = self._answered = self.transcript.started
        self._straggling = False  # the reply that is coming in began when nothing had asked for one
        self._unsolicited = 0
        self._cut_off = False  # sending failed; what the server said before that may still be read
        self._cut_short = False  # another thread wants no more of it, connected by now or not
        self._left = False  # the server closed or reset the connection
        self._doing: bytes | str = ""  # what was sent, or the word for it
        self._reason = ""

    def open(self) -> Reply:
        """Connect and read the greeting for the client, within the time of one reply.

        Where TLS begins with the connection, the handshake has the time of a reply as well. Where the client
        has to be introduced first, its connection begins with that, as far as times and replies are
        concerned. Raises `SessionEnded`, and `ValueError` for a client address that is none.
        """
        if self._doing or self.ending is not Ending.OPEN:
            raise RuntimeError("a session is opened once")
        self._doing = "connecting"
        self._asked = self._answered = self.transcript.started = time.monotonic()
        place = str(self.endpoint)
        way = f"by route {self.endpoint.identity.name} as {self.client_address}"
        try:
            connected, preamble = self.endpoint.connect(self.client_address, self.reply_timeout, self._begin)
            self._connected = connected
            self._wire = Wire(connected)
        except ConnectionRefusedError as error:
            self._end(Ending.REFUSED, f"nobody listens at {place}", error)
        except TimeoutError as error:
            self._end(Ending.TIMED_OUT, f"{place} did not answer the connection in time", error)
        except ConnectionError as error:
            self._end_by(error)
        except (OSError, UnicodeError) as error:
            self._end(Ending.UNREACHABLE, f"there is no way to {place} {way}: {error}", error)
        if self._cut_short:
            self.cut_short()
        self.connected_at = self._elapsed()
        self.transcript.event(self.connected_at, f"connected to {place} {way}")
        self._doing = "the greeting"
        self._owed.append(self._asked)
        if preamble:
            self.transcript.event(self.connected_at, b"preamble " + preamble)
            self._transmit(self._wire, preamble)
        if self.endpoint.tls_name:
            self._doing = "the TLS handshake"
            self._secure(self._open_wire(), unverifying_context(), self.endpoint.tls_name)
            self._doing = "the greeting"
        return self._introduced() if self.endpoint.introduces else self.reply()

    def say(self, data: bytes, word: str = "", replies: int = 1) -> None:
        """Send `data`, which asks for so many replies; reasons call it `word`, if not by its verb.

        A connection that breaks meanwhile is reported by `reply`: the server's last words may still wait.
        """
        wire = self._wire or self._open_wire()
        self._doing = word or data
        while not self._owed and wire.wait(0.0) and self._hear(0.0):
            wire = self._open_wire()  # which what was heard may have ended
        self._asked = time.monotonic()
        self._owed += [self._asked] * replies
        self.transcript.sent(self._asked - self.transcript.started, data)
        self._transmit(wire, data)

    def reply(self) -> Reply:
        """The next reply, in time after what asked for it or, if that is later, after the reply before it."""
        if not self._come:
            if not self._owed:
                self._owed.append(self._asked)
            deadline = max(self._owed[0], self._answered) + self.reply_timeout
            while not self._come:
                if not self._hear(deadline):
                    self._end(Ending.TIMED_OUT, f"no whole reply to {self._what} came in time")
        reply = self._come.popleft()
        self._answered = self.transcript.started + reply.at
        return reply

    def listen(self, seconds: float) -> Reply | None:
        """The next reply to what was sent, if it comes within so many seconds; if not, the session lives on.

        What comes later than that is unsolicited, unless it is owed or listened for again. Raises
        `SessionEnded` when the connection ends meanwhile.
        """
        deadline = time.monotonic() + seconds
        is_lent = not self._come and not self._owed
        if is_lent:
            self._owed.append(self._asked)
        while not self._come:
            if not self._hear(deadline):
                if is_lent:
                    self._owed.clear()
                    self._straggling = self._reader.unfinished
                return None
        reply = self._come.popleft()
        self._answered = self.transcript.started + reply.at
        return reply

    def _introduced(self) -> Reply:
        """The greeting for the client: until it comes, nothing that happens is about the client."""
        try:
            greeting = self.endpoint.introduce(self.client_address, self.reply(), self._ask)
        except IntroductionError as error:
            self._end(Ending.NOT_INTRODUCED, f"no dialogue as {self.client_address}: {error}", error)
        except SessionEnded as ended:
            self.ending = Ending.NOT_INTRODUCED
            raise SessionEnded(self.ending, ended.stage, ended.reason, ended.reply) from ended
        self.connected_at = greeting.at - greeting.seconds
        self.replies = [greeting]
        return greeting

    def _ask(self, line: bytes) -> Reply:
        self.say(line + b"\r\n")
        return self.reply()

    def start_tls(self, context: ssl.SSLContext, server_hostname: str, go_ahead: Reply) -> Reply:
        """The handshake, within the time of a reply; `go_ahead` again, with a flaw if more came behind it."""
        wire = self._open_wire()
        self._doing = "the TLS handshake"
        if self._reader.discard() or self.replies[-1] is not go_ahead:
            # What came in clear text must not count as said under TLS (RFC 3207 §6).
            self._event("what stands in clear text behind the reply to STARTTLS is thrown away")
            place = self.replies.index(go_ahead)
            go_ahead = self.replies[place] = replace(go_ahead, flaws=(*go_ahead.flaws, INJECTED))
            self._straggling = False
        self._asked = time.monotonic()
        self._secure(wire, context, server_hostname)
        return go_ahead

    def _secure(self, wire: Wire, context: ssl.SSLContext, server_hostname: str) -> None:
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
            while self._hear(deadline):
                pass
        except SessionEnded:
            return self._left
        return False

    def held(self) -> float:
        """Seconds by which a server that does not wait says that it would have, since last asked.

        Raises `UnreadableDelayError`.
        """
        return self.endpoint.held(self._connected) if self._connected else 0.0

    def cut_short(self) -> None:
        """From another thread: the connection ends for whoever waits for something to come."""
        self._cut_short = True
        if self._connected:
            with contextlib.suppress(OSError):  # it is closed already
                self._connected.shutdown(socket.SHUT_RDWR)

    def _begin(self, connecting: socket.socket) -> None:
        """From here on the wait for the connection can be cut short."""
        self._connected = connecting
        if self._cut_short:
            raise ConnectionAbortedError("it was cut short before it began")

    def close(self) -> None:
        """Close unless it is over already."""
        if self.ending is Ending.OPEN:
            self._close(Ending.QUIT if self._dismissed else Ending.CLIENT_CLOSED, "closed by the client")

    def reset(self) -> None:
        """Break the connection off (RST), whatever is under way."""
        if self._wire:
            self._wire.reset()
            self._close(Ending.CLIENT_CLOSED, "reset by the client")

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known without listening."""
        return self._wire is not None

    @property
    def _what(self) -> str:
        """The word for what was sent; never a part of it that may be secret."""
        if isinstance(self._doing, str):
            return self._doing
        if self.replies and self.replies[-1].code in _CONTINUED:
            return _CONTINUED[self.replies[-1].code]
        verb = _VERB.match(self._doing)
        return verb[1].decode().upper() if verb else "raw bytes"

    @property
    def _dismissed(self) -> bool:
        """Whether QUIT has been answered with 221."""
        return bool(self.replies) and self.replies[-1].code == 221 and self._what == "QUIT"

    def _hear(self, deadline: float) -> bool:
        """Take in what comes before the deadline; False if nothing does."""
        wire = self._wire or self._open_wire()
        try:
            data = wire.receive(deadline)
        except OSError as error:
            self._end_by(error)
        if data is None:
            return False
        at = time.monotonic() - self.transcript.started
        if not data:
            self._end_of_stream()
        self.transcript.received(at, data)
        try:
            self._reader.feed(data)
            self._sort_replies(at)
        except GarbageError as garbage:
            said = excerpt(self.transcript.masker.mask(garbage.data))
            self._close(Ending.GARBAGE, f"what came at {self._what} {garbage}: {said}")
            if not self._come:
                raise self._ended() from garbage
        return True

    def _sort_replies(self, at: float) -> None:
        started = self.transcript.started
        while reply := self._reader.take(at, at + started - (self._owed[0] if self._owed else self._asked)):
            if self.transcript.echoed:
                reply = self._masked(reply)
            if self._owed and not self._straggling:
                self._owed.popleft()
                self._come.append(reply)
                self.replies.append(reply)
            else:
                self._straggling = False
                self._note_unsolicited(reply)
        if not self._owed:
            self._straggling = self._reader.unfinished

    def _note_unsolicited(self, reply: Reply) -> None:
        self._event(f"nothing had asked for the reply {reply.code}")
        self.replies.append(replace(reply, flaws=(*reply.flaws, UNSOLICITED)))
        self._unsolicited += 1
        if self._unsolicited > MAX_UNSOLICITED:
            raise GarbageError(f"is one of {self._unsolicited} replies that nothing asked for", reply.raw)

    def _masked(self, reply: Reply) -> Reply:
        mask = self.transcript.masker.mask
        lines = tuple(mask(line.encode()).decode("utf-8", "backslashreplace") for line in reply.lines)
        return replace(reply, raw=mask(reply.raw), lines=lines)

    def _transmit(self, wire: Wire, data: bytes) -> None:
        try:
            wire.send(data, self._asked + self.reply_timeout)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            self._cut_off = True
            self._event(f"{self._what} could not be sent whole: {error}")
        except OSError as error:
            self._end_by(error)

    def _end_by(self, error: OSError) -> NoReturn:
        if isinstance(error, TimeoutError):
            self._end(Ending.TIMED_OUT, f"the server did not take {self._what} in time", error)
        if isinstance(error, ssl.SSLError):
            self._end(Ending.TLS_FAILED, f"TLS broke at {self._what}: {error}", error)
        self._left = True
        self._end(Ending.RESET, f"the connection was reset at {self._what}: {error}", error)

    def _end_of_stream(self) -> NoReturn:
        when = "in the middle of a reply" if self._reader.unfinished else f"at {self._what}"
        self._left = True
        if self._cut_off:
            self._end(Ending.RESET, f"the connection was reset {when}")
        ending = Ending.QUIT if self._dismissed else Ending.SERVER_CLOSED
        self._end(ending, f"the server closed the connection {when}")

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
        return SessionEnded(self.ending, self._what, self._reason, self.replies[-1] if self.replies else None)

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
