"""A small mail server that obeys RFC 5321 but for one thing, for tests of what rules make of that."""

from dataclasses import dataclass, field, replace
from enum import Enum, auto

from harness.capabilities.mailbox import Delivered
from harness.verdicts import NeverCameError
from tests.hostile_server import Hangup, Visitor

END = b"\r\n.\r\n"


class Fault(Enum):
    """What it does wrong."""

    NONE = auto()
    KEEPS_AFTER_RESET = auto()
    FORGETS_GREETING_AT_RESET = auto()
    CLOSES_AT_RESET = auto()
    HANGS_AT_RESET = auto()
    UNAVAILABLE_AT_RESET = auto()
    STAYS_AFTER_QUIT = auto()
    ENDS_AT_BARE_LINES = auto()
    ENDS_AT_BARE_LINES_WITHOUT_A_WORD = auto()
    ENDS_AT_BARE_LINES_WITH_TEXT = auto()
    UNAVAILABLE_AT_BARE_LINES = auto()
    REFUSES_EVERYBODY = auto()
    DELIVERS_HALF_MESSAGES = auto()
    LOSES_MESSAGES = auto()
    NEEDS_ANOTHER_DOT = auto()
    ENDS_AT_A_RETURN_TOO_MANY = auto()
    SAYS_CONTROLS = auto()
    SAYS_CONTROLS_TO_ONE = auto()
    CLOSES_AMID_A_REPLY = auto()


@dataclass
class MailServer:
    """Plays one visitor after the other; what it takes it delivers at once."""

    fault: Fault = Fault.NONE
    taken: list[bytes] = field(default_factory=list)
    unknown: int = 0  # commands

    def play(self, visitor: Visitor) -> None:
        greeted, sender, recipients = False, False, 0
        self._say(visitor, b"220 mx.example.org ESMTP")
        while True:
            verb = visitor.hear(b"\r\n").strip()[:4].upper()
            reply = b"250 fine"
            if verb in (b"EHLO", b"HELO"):
                greeted, sender, recipients = True, False, 0
            elif verb == b"MAIL":
                reply, sender = (b"250 fine", True) if greeted else (b"503 EHLO first", False)
            elif verb == b"RCPT":
                refused = self.fault is Fault.REFUSES_EVERYBODY
                reply = b"451 4.7.1 not now" if refused else b"250 fine" if sender else b"503 MAIL first"
                recipients += reply.startswith(b"250")
            elif verb == b"DATA":
                reply = self._content(visitor) if recipients else b"503 RCPT first"
                sender, recipients = False, 0
            elif verb == b"RSET":
                reply = self._reset()
                sender = sender and self.fault is Fault.KEEPS_AFTER_RESET
                greeted = greeted and self.fault is not Fault.FORGETS_GREETING_AT_RESET
            elif verb == b"QUIT":
                reply = b"221 bye"
            elif verb != b"NOOP":
                reply = self._unknown(visitor)
            self._say(visitor, reply)
            if reply.startswith((b"421", b"221")) and self.fault is not Fault.STAYS_AFTER_QUIT:
                raise Hangup

    def _unknown(self, visitor: Visitor) -> bytes:
        self.unknown += 1
        if self.fault is Fault.CLOSES_AMID_A_REPLY:
            self._say(visitor, b"500-what?")
            raise Hangup
        to_all = self.fault is Fault.SAYS_CONTROLS
        to_this_one = self.fault is Fault.SAYS_CONTROLS_TO_ONE and self.unknown == 1
        return b"500 what\x1b?" if to_all or to_this_one else b"500 what?"

    def _reset(self) -> bytes:
        if self.fault is Fault.CLOSES_AT_RESET:
            raise Hangup
        says = {Fault.UNAVAILABLE_AT_RESET: b"421 busy", Fault.HANGS_AT_RESET: b""}
        return says.get(self.fault, b"250 fine")

    def _content(self, visitor: Visitor) -> bytes:
        """Up to the true end; what is wrong with it may be taken for the end before that."""
        self._say(visitor, b"354 go on")
        told = self.fault in (Fault.ENDS_AT_BARE_LINES, Fault.ENDS_AT_BARE_LINES_WITH_TEXT)
        dots = 2 if self.fault is Fault.NEEDS_ANOTHER_DOT else 1
        early = told or self.fault is Fault.ENDS_AT_BARE_LINES_WITHOUT_A_WORD
        heard = b""
        while not heard.endswith(END) or heard.count(END) < dots:
            if self.fault is Fault.ENDS_AT_A_RETURN_TOO_MANY and heard.endswith(b"\r\n.\r\r\n"):
                break
            try:
                heard += visitor.hear(b"\n")
            except Hangup:
                if self.fault is Fault.DELIVERS_HALF_MESSAGES:
                    self.taken.append(heard)
                raise
            if self.fault is Fault.UNAVAILABLE_AT_BARE_LINES and heard.endswith(b"\n.\n"):
                return b"421 no bare line ends here"
            silent = not visitor.buffer and self.fault is Fault.ENDS_AT_BARE_LINES_WITH_TEXT
            if early and heard.endswith(b"\n.\n") and not silent:
                self.taken.append(heard)
                early = False
                if told:
                    return b"250 taken"
        if self.fault is Fault.LOSES_MESSAGES:
            return b"250 taken"
        if self.fault is not Fault.ENDS_AT_BARE_LINES_WITHOUT_A_WORD or self.taken[-1:] != [_cut(heard)]:
            self.taken.append(heard)
        return b"250 taken"

    def _say(self, visitor: Visitor, reply: bytes) -> None:
        if reply:
            visitor.socket.sendall(reply + b"\r\n")


def _cut(heard: bytes) -> bytes:
    head, end, _ = heard.partition(b"\n.\n")
    return head + end


@dataclass(frozen=True)
class ItsMailbox:
    """What the server has taken, as its one mailbox."""

    server: MailServer

    def find(self, recipient: str, token: str) -> Delivered:
        """The first copy with `token` in it."""
        if found := self.copies(recipient, token):
            return found[0]
        raise NeverCameError("it never came", token)

    def copies(self, recipient: str, token: str) -> list[Delivered]:
        """Every copy with `token` in it."""
        copy = Delivered(recipient, "", "", b"")
        return [
            replace(copy, where=str(number), content=content)
            for number, content in enumerate(self.server.taken)
            if token.encode() in content
        ]
