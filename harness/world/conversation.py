"""A dialogue of one client with the server, step by step."""

import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from harness.outcome import Stage, Treatment
from harness.printable import printable, shortened
from harness.settings.secret import Secret
from harness.smtp.channel import UNSOLICITED
from harness.smtp.command import UnreadableDelayError
from harness.smtp.reply import Reply
from harness.smtp.session import Ending, Session, SessionEnded
from harness.verdicts import InconclusiveError
from harness.world.attempt import Attempt, Manner
from harness.world.step import Step, telling

__all__ = ["CONTENT", "SERVICE_ENDS", "WANTS_MORE", "Attempt", "Conversation", "Manner", "Step"]

SLOW = 0.1  # seconds; a quicker reply needs no explanation
FAREWELL = 221  # to QUIT, and to nothing else (RFC 5321 §4.2.3)
GONE = (Ending.SERVER_CLOSED, Ending.RESET)
REFUSES = 400
SERVICE_ENDS = 421  # whatever was asked: the server, or what is before it, has no more time (RFC 5321 §3.8)
WANTS_MORE = 530  # before anything, whatever was asked: TLS (RFC 3207 §4) or an account (RFC 4954 §6)
CONTENT = "the message"  # stands for the content of a message where commands are told
SHOWN = 400  # characters of what was sent, in a step


@dataclass
class Conversation:
    """Drives one session a command at a time; a dead session makes steps without a reply, no exception.

    Each step raises `InconclusiveError` where the server tells of a delay that cannot be read.
    """

    session: Session
    client: str
    silence: Callable[[float, float], float]  # of the server about this client, between two moments
    token: str = ""  # by which the client's message is found
    recipient: str = ""  # the first one of its last message
    may_be_greylisted: Callable[[], bool] = bool  # whether no exemption of the client is certain
    may_end: frozenset[Stage] = frozenset()  # where a 421 is what this server documents
    steps: list[Step] = field(default_factory=list)  # every one in order
    broken: str = ""
    severed_at: float | None = None  # time.monotonic() when it was seen that the server had broken it off
    last_written: Step | None = None  # the last step by `write`, with what was heard since
    _all_said: bool = False  # but for what parts us
    _ending_tells: bool = False  # whether it is an answer that the server ends the dialogue
    _form_tells: bool = False  # whether it is an answer that a reply is none
    _parting: bool = False  # whether QUIT was sent
    _untimed: str = ""  # why nobody knows any more how long a reply would have been held back
    _sorted: int = 0  # how many of the session's replies have been looked at for what nothing had asked for

    def connect(self) -> Step:
        """Connect and read the greeting; the wait counts from the established connection on."""
        return self._take(Stage.CONNECT, "", lambda: [self.session.open()])

    def ehlo(self, name: str) -> Step:
        """EHLO with `name`."""
        return self._say(Stage.HELO, f"EHLO {name}")

    def helo(self, name: str) -> Step:
        """HELO with `name`."""
        return self._say(Stage.HELO, f"HELO {name}")

    def starttls(self, context: ssl.SSLContext, name: str) -> Step:
        """STARTTLS and the handshake."""
        return self._take(Stage.TLS, "STARTTLS", lambda: [self.session.start_tls(context, name)])

    def auth_plain(self, user: str, password: Secret | str, *, initial: bool = True) -> Step:
        """AUTH PLAIN, with the credentials at once or after the prompt, which is a reply of the same step."""
        return self._take(
            Stage.AUTH,
            "AUTH PLAIN",
            lambda: self.session.auth_plain(user, password, initial=initial),
        )

    def mail(self, sender: str, parameters: str = "") -> Step:
        """MAIL FROM; an empty sender is the null sender."""
        self.recipient = ""
        return self._say(Stage.MAIL, f"MAIL FROM:<{sender}>{' ' if parameters else ''}{parameters}")

    def rcpt(self, recipient: str) -> Step:
        """RCPT TO."""
        self.recipient = self.recipient or recipient
        return self._say(Stage.RCPT, f"RCPT TO:<{recipient}>")

    def data(self, content: bytes) -> Step:
        """DATA and the whole message, two steps; a refused DATA command is the answer itself."""
        go_ahead = self._say(Stage.DATA, "DATA")
        if go_ahead.code != 354:
            return go_ahead
        return self._take(Stage.DATA, CONTENT, lambda: [self.session.send_content(content)])

    def reset(self) -> Step:
        """RSET, which is about no stage."""
        return self._say(None, "RSET")

    def unsaid(self, tag: Stage, command: str, why: str) -> Step:
        """What was to follow and was not sent: no reply to what was sent before stands for one to it."""
        self.steps.append(Step(tag, command, (), time.monotonic(), 0.0, broken=why))
        return self.steps[-1]

    def write(self, *parts: bytes, tag: Stage | None = None, replies: int = 1, apart: float = 0.0) -> None:
        """Send bytes as they are, each part in one write, that ask for so many replies; `hear` reads them.

        Between two parts there are `apart` seconds.
        """
        data = b"".join(parts)
        began = time.monotonic()
        shown = self._shown(data)  # credentials are known by what was said before
        if not self.broken:
            try:
                for part in parts[:-1]:
                    self.session.send_raw(part, replies=0)
                    time.sleep(apart)
                self.session.send_raw(parts[-1], replies=replies)
            except SessionEnded as ended:
                self._note_end(ended)
        self.last_written = Step(tag, shown, (), began, 0.0, broken=self.broken)
        self._record(self.last_written)

    def hear(self, within: float | None = None) -> Reply | None:
        """The next reply, which is one of the last step's; None where none comes.

        `within` are the seconds in which it may come: then the connection lives on. Without them it is as if
        the connection were lost when none comes in the time of a reply.
        """
        reply = None
        if not self.broken:
            try:
                reply = self.session.read_reply() if within is None else self.session.listen(within)
            except SessionEnded as ended:
                self._note_end(ended)
        if step := self.last_written:
            if reply:
                known = self._answered(step.tag, step.command, [*step.replies, reply], step.began)
            elif step.replies:
                known = step
            else:
                known = replace(
                    step,
                    seconds=time.monotonic() - step.began,
                    broken=self.broken or f"nothing was said within {within or 0.0:.1f} s",
                )
            self._put(step, known)
        self._sort_strays()
        self._check_time()
        return reply

    def quit(self) -> Attempt:
        """QUIT, close, and look back on the whole dialogue.

        Whether a refusal closed the connection is seen by a NOOP: many a server answers QUIT by closing. A
        server that answers neither has said all the same what there was to say.
        """
        self.all_is_said()
        staged = self.staged
        if not self.broken and staged and staged[-1].code >= REFUSES:
            self._say(None, "NOOP")
        if not self.broken and self.session.connected:
            self._parting = True
            self._say(None, "QUIT")
        self.session.close()
        return self.attempt

    def all_is_said(self) -> None:
        """From here on no ending of the connection takes anything away from what was to be seen."""
        self._all_said = self._all_said or not self.broken

    def takes_the_end_for_an_answer(self) -> None:
        """How the connection ended, or that a 421 came, is what was to be seen: nothing was lost by it."""
        self._all_said = self._ending_tells = True

    def takes_the_form_for_an_answer(self) -> None:
        """That replies are not sound, or not whole, is what was to be seen: nothing was lost by it."""
        self._form_tells = True
        self.takes_the_end_for_an_answer()

    @property
    def staged(self) -> tuple[Step, ...]:
        """The steps that tell of a stage, in order."""
        return tuple(telling(self.steps))

    @property
    def took_message(self) -> bool:
        """Whether the server took a message."""
        return any(step.tag is Stage.DATA and step.treatment is Treatment.PASS for step in self.staged)

    @property
    def attempt(self) -> Attempt:
        """The dialogue so far."""
        return Attempt(
            self.client,
            tuple(self.steps),
            self.session.ending,
            self.broken,
            self.recipient,
            self.token,
            self._parting,
            self.may_be_greylisted(),
        )

    @property
    def manner(self) -> Manner:
        """How the client has spoken so far."""
        greeted = [step.command[:4].upper() for step in self.staged if step.tag is Stage.HELO]
        let_in = any(step.treatment is Treatment.PASS for step in self.staged if step.tag is Stage.AUTH)
        return Manner(greeted[-1:] != ["HELO"], self.session.encrypted, let_in)

    @property
    def at_auth(self) -> bool:
        """Whether the client came as far as to log in, let in or not."""
        return any(step.tag is Stage.AUTH for step in self.staged)

    @property
    def lost(self) -> str:
        """How the dialogue was lost for no reason that a reply gives; empty when it was not.

        A server that refuses and closes the connection has said why. One that goes away without a word, or
        with a 421 that nobody documents, or says what is no reply, has not; neither has a failing network.
        """
        mangled = next((step for step in self.staged if step.mangled), None)
        if mangled and not self._form_tells:
            return f"what came at {mangled.name} is no sound reply ({mangled.mangled})"
        said = next((step for step in reversed(self.staged) if step.reply), None)
        unexplained = said is not None and said.code == SERVICE_ENDS and said.tag not in self.may_end
        if said and unexplained and not self._ending_tells:
            return f"at {said.name} the server said {said}"
        refused = said is not None and said.code >= REFUSES and said.dropped
        tls = self.session.tls
        distrusted = tls is not None and self.session.ending is Ending.TLS_FAILED and bool(tls.verify_error)
        return "" if refused or distrusted or self._all_said else self.broken

    @property
    def tls_fault(self) -> str:
        """Why the TLS handshake failed; empty when it did not."""
        return self.broken if self.session.ending is Ending.TLS_FAILED else ""

    def _say(self, tag: Stage | None, command: str) -> Step:
        return self._take(tag, command, lambda: [self.session.command(command)])

    def _take(self, tag: Stage | None, command: str, act: Callable[[], Sequence[Reply]]) -> Step:
        began = time.monotonic()
        if self.broken:
            step = Step(tag, command, (), began, 0.0, broken=self.broken)
        else:
            try:
                step = self._answered(tag, command, act(), began)
            except SessionEnded as ended:
                self._note_end(ended)
                step = Step(tag, command, (), began, time.monotonic() - began, broken=self.broken)
        self._record(step)
        self._check_time()
        return step

    def _answered(self, tag: Stage | None, command: str, replies: Sequence[Reply], began: float) -> Step:
        last = replies[-1]
        seconds = self._wait(tag, last)
        ended = self.session.started + last.at
        silence = self.silence(ended - seconds, ended) if seconds > SLOW else seconds
        held = self._held()
        lead = max(0.0, ended - seconds - began)
        return Step(tag, command, tuple(replies), began, seconds + held, silence=silence + held, lead=lead)

    def _held(self) -> float:
        try:
            return self.session.held()
        except UnreadableDelayError as error:
            told = f"holds «{self._shown(error.told.encode())}»" if error.told else "holds nothing"
            self._untimed = (
                f"{error.key}: the command told of a delay, and the group {told}, which is no number of "
                "seconds; write a pattern whose group is around the number"
            )
            return 0.0

    def _check_time(self) -> None:
        if self._untimed:
            raise InconclusiveError(self._untimed)

    def _wait(self, tag: Stage | None, reply: Reply) -> float:
        """Seconds that the server took; a greeting counts from the established connection.

        A lost SYN is sent again after a second by the client's own kernel and must not look like a delay.
        """
        return reply.at - self.session.connected_at if tag is Stage.CONNECT else reply.seconds

    def _record(self, step: Step) -> None:
        self.steps.append(step)
        self._sort_strays()

    def _sort_strays(self) -> None:
        """What the server said without being asked is a step of its own, where it came."""
        fresh = self.session.replies[self._sorted :]
        self._sorted = len(self.session.replies)
        started = self.session.started
        for reply in fresh:
            if UNSOLICITED in reply.flaws:
                self.steps.append(Step(None, "", (reply,), started + reply.at, 0.0))
                self.steps.sort(key=lambda step: step.began)

    def _shown(self, data: bytes) -> str:
        kept = self.session.transcript.without_secrets(data).decode("utf-8", "backslashreplace")
        return shortened(printable(kept.removesuffix("\r\n")), SHOWN)

    def _note_end(self, ended: SessionEnded) -> None:
        self.broken = ended.reason
        bade_farewell = any(reply.code == FAREWELL for reply in self.session.replies[-1:])
        if ended.ending in GONE and not (self._parting or bade_farewell):
            self.severed_at = self.severed_at or time.monotonic()
        last = next((step for step in reversed(self.staged) if step.reply), None)
        if ended.ending in GONE and last and not self._parting:
            self._put(last, replace(last, dropped=True))

    def _put(self, step: Step, known: Step) -> None:
        """In the place of a step what is known of it by now."""
        self.steps = [known if one is step else one for one in self.steps]
        if step is self.last_written:
            self.last_written = known
