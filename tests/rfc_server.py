"""A small mail server with ways of its own: some that the RFCs allow, and some that they do not."""

import re
import ssl
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

import dnslib as untyped

from harness.capabilities.mailbox import Delivered
from harness.verdicts import NeverCameError
from tests.hostile_server import Hangup, StartTls, Visitor

dnslib: Any = untyped
LIST = "list.example"
END = b"\r\n.\r\n"
CONTROLS = re.compile(rb"[\x0b\x0c\x1b\x7f]")
TAKEN = b"250 taken"
SIMPLE = {
    b"NOOP": b"250 fine",
    b"QUIT": b"221 bye",
    b"VRFY": b"252 try it",
    b"EXPN": b"502 no",
    b"HELP": b"214 no help",
    b"STARTTLS": b"454 not now",
}
PAUSE = 0.8  # seconds that one takes for a reply who hesitates


class Way(Enum):
    """What is particular about it."""

    # lawful
    FORWARDS = auto()  # RCPT has 251
    TAKES_ONE_RECIPIENT = auto()  # in a transaction
    REFUSES_GROUPS = auto()  # in a message, whoever is in them
    REFUSES_IN_STOCK_WORDS = auto()  # what does not parse, and one group for its name
    READS_PATHS_OUT_OF_ANYTHING = auto()  # with a < in it; what stands behind the path is not looked at
    FAILS_WITHOUT_RECIPIENTS = auto()  # DATA has 554, and the transaction is over
    LETS_DATA_PASS = auto()  # without a recipient as well, and refuses the message (RFC 5321 §3.3)
    WANTS_TLS = auto()  # before anything (RFC 3207 §4)
    TAKES_LOGINS = auto()  # AUTH has 334
    HESITATES_AFTER_ERRORS = auto()  # from an error on each reply takes a while
    REFUSES_LISTED_AT_CONNECT = auto()  # in the words of the list
    REFUSES_LISTED_AT_END = auto()  # of the content, likewise
    SLOW_TO_QUIT = auto()  # 221 takes a while
    SCANS = auto()  # the end of the content takes a while
    GREETS_ONCE = auto()  # a second greeting has 550, and changes nothing (RFC 5321 §4.1.4)
    REFUSES_BARE_LF = auto()  # in a message, at its end
    SAYS_FAREWELL = auto()  # 221 behind a message that it refuses, and goes on
    TAKES_ONE_COMMAND = auto()  # behind the greeting, and then it has no more time
    # for reasons of its own, that are nobody's affair
    REFUSES_VRFY = auto()  # 550
    REFUSES_HELO = auto()  # 550
    REFUSES_LITERALS = auto()  # for whose they are
    REFUSES_LITERALS_WITHOUT_A_REASON = auto()  # 501
    PUTS_SECOND_GREETING_OFF = auto()  # 451
    REFUSES_COMMANDS_IN_MAIL = auto()  # a line of a message looks like one
    REFUSES_CONTROLS = auto()  # in a message
    PUNISHES_HASTE = auto()  # closes where something came before a message was answered
    # as the profile has it
    ENDS_AFTER_ONE_ERROR = auto()
    # wrong
    SAYS_WORDS_AS_THEY_CAME = auto()  # of a list
    SAYS_TWICE = auto()  # that a recipient is taken
    ENDS_LINES_AT_LF = auto()  # of its replies, when it has a message
    SHOWS_RECIPIENTS = auto()  # as they came, where they have a bare CR in them
    KEEPS_SENDER = auto()  # behind RSET
    KEEPS_RECIPIENTS = auto()  # behind RSET, for the next sender
    KEEPS_RECIPIENTS_OF_MESSAGE = auto()  # behind a message, for the next sender
    TAKES_NOBODY = auto()  # <> for a recipient
    COUNTS_WHAT_IS_NO_PATH = auto()  # as a sender, or as a recipient, though it is refused
    DROPS_RECIPIENTS_AT_AN_ERROR = auto()  # in RCPT
    DELIVERS_HALF_AT_RESET = auto()  # of the connection
    LISTS_WHAT_IT_HAS_NOT = auto()  # DSN and AUTH, whose parameters are not known
    LISTS_NO_KEYWORD = auto()  # in one line
    REFUSES_PARAMETERS = auto()  # of what it lists, as errors of syntax
    THROWS_PROGRAMS_AWAY = auto()  # that it has said it takes
    REFUSED_GREETING_DROPS = auto()  # the transaction, where a second one is refused
    NOOP_DROPS = auto()  # the transaction
    SILENT_AT_UNKNOWN = auto()  # no reply
    MISREADS_LITERALS = auto()  # 501 5.5.4
    SHOWS_THE_UNKNOWN = auto()  # commands, as they came
    ENDS_COMMANDS_AT_CR = auto()  # a bare one as well
    DROPS_CONTROLS = auto()  # out of a message
    ENDS_AT_LF = auto()  # LF . LF ends the content
    HAS_WORDS_OF_ITS_OWN = auto()  # for those who are listed; it does not ask the list for any
    PUTS_LISTED_OFF = auto()  # 451
    PARTS_BEHIND_NOOP = auto()  # 221, that nothing asked for, and the end
    PARTS_AT_AN_EMPTY_LINE = auto()  # that is said for a command: 221, and the end
    FLUSHES_COMMANDS = auto()  # each that has come before the one before it is answered is an error
    REFUSED_GREETING_COUNTS = auto()
    SERVES_NO_MORE_AFTER_ONE_ERROR = auto()  # 421 answers it
    WANTS_GREETING_AGAIN = auto()  # behind a message
    REFUSES_MAIL = auto()  # all of it, of those who have greeted


LITERALS = {
    Way.REFUSES_LITERALS: b"501 5.7.1 address literal is not yours",
    Way.REFUSES_LITERALS_WITHOUT_A_REASON: b"501 say who you are",
    Way.MISREADS_LITERALS: b"501 5.5.4 that is no name",
}
ASKING = {Way.REFUSES_LISTED_AT_CONNECT, Way.REFUSES_LISTED_AT_END}


@dataclass
class RfcServer:
    """Plays one visitor after the other; what it takes it delivers at once, to whom it is for."""

    ways: Collection[Way] = ()
    dns: tuple[str, int] = ("", 0)  # where it asks
    tls: ssl.SSLContext | None = None  # with it TLS is offered, and logins under it only
    taken: list[tuple[list[bytes], bytes]] = field(default_factory=list)  # recipients, content

    def play(self, visitor: Visitor) -> None:
        Dialogue(self, visitor).go()


@dataclass
class Dialogue:
    """One dialogue of it."""

    server: RfcServer
    visitor: Visitor
    greeted: bool = False
    sender: bool = False
    recipients: list[bytes] = field(default_factory=list)
    erred: bool = False
    covered: bool = False
    commands: int = 0

    def go(self) -> None:
        if refusal := self.listed(Way.REFUSES_LISTED_AT_CONNECT):
            self.say(refusal)
            raise Hangup
        self.say(b"220 mx.example.org ESMTP")
        while True:
            ends_at_cr = Way.ENDS_COMMANDS_AT_CR in self.server.ways
            line = self.visitor.hear(b"\r" if ends_at_cr else b"\r\n").strip(b"\r\n")
            self.commands += 1
            reply = self.answer(line)
            limited = Way.TAKES_ONE_COMMAND in self.server.ways and self.commands > 1
            if limited or (reply[:1] == b"5" and Way.SERVES_NO_MORE_AFTER_ONE_ERROR in self.server.ways):
                self.say(b"421 4.7.0 no more of that")
                raise Hangup
            if reply:
                self.say(reply)
            parts = line.upper() == b"QUIT" or (not line and Way.PARTS_AT_AN_EMPTY_LINE in self.server.ways)
            if (reply[:3] == b"221" and parts) or (
                self.erred and Way.ENDS_AFTER_ONE_ERROR in self.server.ways
            ):
                raise Hangup

    def say(self, reply: bytes) -> None:
        slow = self.erred and Way.HESITATES_AFTER_ERRORS in self.server.ways
        if slow or (reply[:3] == b"221" and Way.SLOW_TO_QUIT in self.server.ways):
            self.visitor.over.wait(PAUSE)
        self.erred = self.erred or reply[:1] in b"45"
        if self.erred and Way.HESITATES_AFTER_ERRORS in self.server.ways and not slow:
            self.visitor.over.wait(PAUSE)
        is_odd = reply == TAKEN and Way.ENDS_LINES_AT_LF in self.server.ways
        self.visitor.socket.sendall(reply + (b"\n" if is_odd else b"\r\n"))

    def listed(self, way: Way) -> bytes:
        """The refusal of a client that the list names, where that is its way; who asks at all asks always."""
        if ASKING.isdisjoint(self.server.ways):
            return b""
        octets = reversed(self.visitor.socket.getpeername()[0].split("."))
        asked = "A" if Way.HAS_WORDS_OF_ITS_OWN in self.server.ways else "TXT"
        question = dnslib.DNSRecord.question(f"{'.'.join(octets)}.{LIST}", asked)
        reply = dnslib.DNSRecord.parse(question.send(*self.server.dns, timeout=5.0))
        said = [b"".join(record.rdata.data) if asked == "TXT" else b"you are listed" for record in reply.rr]
        words = b" ".join(said)
        if Way.SAYS_WORDS_AS_THEY_CAME not in self.server.ways:
            words = bytes(octet if 32 <= octet < 127 else 63 for octet in words)
        refusal = b"451 4.7.1 " if Way.PUTS_LISTED_OFF in self.server.ways else b"554 5.7.1 "
        return refusal + words if words and way in self.server.ways else b""

    def drop(self) -> None:
        self.sender, self.recipients = False, []

    def answer(self, line: bytes) -> bytes:
        verb, _, rest = line.partition(b" ")
        verb = verb.upper()
        before_tls = (b"EHLO", b"NOOP", b"QUIT", b"STARTTLS")
        if Way.WANTS_TLS in self.server.ways and verb not in before_tls:
            return b"530 5.7.0 Must issue a STARTTLS command first"
        if verb in (b"EHLO", b"HELO"):
            return self.greet(verb, rest)
        known = {b"MAIL": self.mail, b"RCPT": self.rcpt, b"DATA": self.data, b"RSET": self.rset}
        if verb in known:
            return known[verb](rest)
        if verb == b"STARTTLS" and self.server.tls and not self.covered:
            return self.begin_tls(self.server.tls)
        if verb == b"AUTH" and Way.TAKES_LOGINS in self.server.ways:
            return b"334 "
        if verb == b"VRFY" and Way.REFUSES_VRFY in self.server.ways:
            return b"550 nobody is asked here"
        if verb == b"NOOP" and Way.NOOP_DROPS in self.server.ways:
            self.drop()
        if verb == b"NOOP" and Way.PARTS_BEHIND_NOOP in self.server.ways:
            self.visitor.socket.sendall(b"250 fine\r\n221 that will do\r\n")
            raise Hangup
        if not verb and Way.PARTS_AT_AN_EMPTY_LINE in self.server.ways:
            return b"221 that is no command"
        if verb not in SIMPLE and Way.SHOWS_THE_UNKNOWN in self.server.ways:
            return b"500 no command is called " + line
        return SIMPLE.get(verb, b"" if Way.SILENT_AT_UNKNOWN in self.server.ways else b"500 what?")

    def begin_tls(self, context: ssl.SSLContext) -> bytes:
        self.say(b"220 go on")
        StartTls(context).play(self.visitor)
        self.covered, self.greeted = True, False
        self.drop()
        return b""

    def rset(self, rest: bytes) -> bytes:
        if rest.strip():
            return b"501 no argument"
        self.sender = self.sender and Way.KEEPS_SENDER in self.server.ways
        self.recipients = self.recipients if Way.KEEPS_RECIPIENTS in self.server.ways else []
        return b"250 fine"

    def greet(self, verb: bytes, rest: bytes) -> bytes:
        if not rest.strip():
            self.greeted = self.greeted or Way.REFUSED_GREETING_COUNTS in self.server.ways
            return b"501 who?"
        if rest.startswith(b"[") and (refusal := self.of_literals):
            return refusal
        if verb == b"HELO" and Way.REFUSES_HELO in self.server.ways:
            return b"550 your name leads nowhere"
        if self.greeted and Way.PUTS_SECOND_GREETING_OFF in self.server.ways:
            return b"451 not now"
        if self.greeted and Way.GREETS_ONCE in self.server.ways:
            if Way.REFUSED_GREETING_DROPS in self.server.ways:
                self.drop()
            return b"550 we have met"
        self.drop()
        self.greeted = True
        if verb == b"HELO":
            return b"250 mx.example.org"
        listed = [b"PIPELINING"]
        in_clear_text = self.server.tls is not None and not self.covered
        if Way.WANTS_TLS in self.server.ways or in_clear_text:
            listed += [b"STARTTLS"]
        elif Way.TAKES_LOGINS in self.server.ways:
            listed += [b"AUTH PLAIN"]
        elif Way.LISTS_WHAT_IT_HAS_NOT in self.server.ways:
            listed += [b"DSN", b"AUTH PLAIN"]
        elif Way.LISTS_NO_KEYWORD in self.server.ways:
            listed += [b"AUTH  PLAIN"]
        *first, last = [b"mx.example.org", *listed]
        return b"".join(b"250-" + line + b"\r\n" for line in first) + b"250 " + last

    @property
    def of_literals(self) -> bytes:
        """What greetings with a literal are refused with, if they are."""
        for way, refusal in LITERALS.items():
            if way in self.server.ways:
                return refusal
        return b""

    def path(self, argument: bytes) -> bytes:
        """The path that an argument of MAIL or RCPT begins with, where there is one."""
        found, space, _ = argument.partition(b" ")
        if Way.READS_PATHS_OUT_OF_ANYTHING in self.server.ways and not space and found.startswith(b"<"):
            return found.partition(b">")[0] + b">"
        return found

    def mail(self, rest: bytes) -> bytes:
        _, space, parameters = rest[5:].partition(b" ")
        path = self.path(rest[5:])
        if not self.greeted:
            return b"503 EHLO first"
        if Way.REFUSES_MAIL in self.server.ways:
            return b"550 no mail"
        if self.sender and Way.KEEPS_SENDER not in self.server.ways:
            return b"503 there is one"
        if rest[:5].upper() != b"FROM:" or not (path.startswith(b"<") and path.endswith(b">")):
            self.sender = Way.COUNTS_WHAT_IS_NO_PATH in self.server.ways
            return b"501 no path"
        if space and parameters.upper() != b"BODY=7BIT":
            return self.unknown_parameter
        self.sender = True
        return b"250 fine"

    @property
    def unknown_parameter(self) -> bytes:
        wrong = Way.REFUSES_PARAMETERS in self.server.ways
        return b"501 what is that?" if wrong else b"555 unknown parameter"

    def rcpt(self, rest: bytes) -> bytes:
        _, space, _ = rest[3:].partition(b" ")
        path = self.path(rest[3:])
        if not self.sender:
            return b"503 MAIL first"
        if b"\r" in rest and Way.SHOWS_RECIPIENTS in self.server.ways:
            return b"550 who is " + rest
        is_path = path.startswith(b"<") and path.endswith(b">")
        is_path = is_path and (path != b"<>" or Way.TAKES_NOBODY in self.server.ways)
        if rest[:3].upper() != b"TO:" or not is_path:
            self.recipients += [path] if Way.COUNTS_WHAT_IS_NO_PATH in self.server.ways else []
            if Way.DROPS_RECIPIENTS_AT_AN_ERROR in self.server.ways:
                self.recipients = []
            return b"501 no path"
        if space:
            return self.unknown_parameter
        if self.recipients and Way.TAKES_ONE_RECIPIENT in self.server.ways:
            return b"451 one at a time"
        self.recipients.append(path[1:-1])
        if Way.SAYS_TWICE in self.server.ways:
            self.say(b"250 fine")
        return b"251 forwards" if Way.FORWARDS in self.server.ways else b"250 fine"

    def data(self, rest: bytes) -> bytes:
        ways = self.server.ways
        if rest.strip():
            return b"501 no argument"
        recipients = self.recipients if self.sender else []
        if not recipients and Way.FAILS_WITHOUT_RECIPIENTS in ways:
            self.drop()
            return b"554 no valid recipients"
        if not recipients and Way.LETS_DATA_PASS not in ways:
            return b"503 RCPT first"
        self.say(b"354 go on")
        heard = self.content()
        if Way.SCANS in ways:
            self.visitor.over.wait(PAUSE)
        self.sender, self.recipients = False, recipients if Way.KEEPS_RECIPIENTS_OF_MESSAGE in ways else []
        if Way.PUNISHES_HASTE in ways and self.visitor.has_more:
            self.say(b"554 wait for your turn")
            raise Hangup
        if Way.FLUSHES_COMMANDS in ways:
            self.visitor.buffer = b""
        self.greeted = Way.WANTS_GREETING_AGAIN not in ways
        if refusal := self.listed(Way.REFUSES_LISTED_AT_END):
            return refusal
        if refusal := self.refusal(heard, recipients):
            return refusal
        kept = b"\n".join(line.removeprefix(b".") for line in heard.removesuffix(END[2:]).split(b"\r\n"))
        if Way.DROPS_CONTROLS in ways:
            kept = CONTROLS.sub(b"", kept)
        if Way.THROWS_PROGRAMS_AWAY not in ways or b"setup.exe" not in heard:
            self.server.taken.append(([*recipients], kept))
        return TAKEN

    def refusal(self, heard: bytes, recipients: list[bytes]) -> bytes:
        """What a message is refused with that it does not take."""
        ways = self.server.ways
        if not recipients:
            return b"554 no recipients"
        if Way.REFUSES_COMMANDS_IN_MAIL in ways and b"\r\nMAIL FROM:" in heard:
            return b"554 that is no mail"
        if Way.REFUSES_BARE_LF in ways and re.search(rb"(?<!\r)\n", heard):
            return b"550 that is no line"
        if Way.REFUSES_CONTROLS in ways and CONTROLS.search(heard):
            return b"550 5.7.1 disallowed character"
        if Way.SAYS_FAREWELL in ways and b"\n.\n" in heard:
            self.say(b"554 that is no mail")
            return b"221 do not come again"
        odd = b"undisclosed-recipients" in heard or b"@@" in heard
        if odd and Way.REFUSES_IN_STOCK_WORDS in ways:
            return b"550 message content rejected"
        if b":;\r\n" in heard and Way.REFUSES_GROUPS in ways:
            return b"550 nobody hides here"
        return b""

    def content(self) -> bytes:
        heard = b"\r\n"
        while not heard.endswith(END):
            try:
                heard += self.visitor.hear(b"\n")
            except ConnectionResetError:
                if Way.DELIVERS_HALF_AT_RESET in self.server.ways:
                    self.server.taken.append(([*self.recipients], heard))
                raise
            if Way.ENDS_AT_LF in self.server.ways and heard.endswith(b"\n.\n"):
                break
        return heard[2:]


@dataclass(frozen=True)
class ItsMailbox:
    """What the server has taken, each recipient's own."""

    server: RfcServer

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
            for number, (recipients, content) in enumerate(self.server.taken)
            if recipient.encode() in recipients and token.encode() in content
        ]


@dataclass(frozen=True)
class OneForAll(ItsMailbox):
    """All that the server has taken, whoever it was for."""

    def copies(self, recipient: str, token: str) -> list[Delivered]:
        """Every copy with `token` in it."""
        everybody = {one.decode() for recipients, _ in self.server.taken for one in recipients}
        return [copy for one in sorted(everybody) for copy in super(OneForAll, self).copies(one, token)]
