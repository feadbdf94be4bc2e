"""A dialogue of one client with the server, stage by stage, and what the server did at each."""

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from harness.outcome import Stage, Treatment
from harness.settings.secret import Secret
from harness.smtp.reply import Reply
from harness.smtp.session import Ending, Session, SessionEnded, parse_keywords

SLOW = 0.1  # seconds; a quicker reply needs no explanation
GONE = (Ending.SERVER_CLOSED, Ending.RESET)
MANGLED = (
    "NUL byte",
    "control character",
    "bare CR",
    "codes differ between lines",
)  # flaws of what no server says
REFUSES = 400
SERVICE_ENDS = 421  # whatever was asked: the server, or what is before it, has no more time (RFC 5321 §3.8)


@dataclass(frozen=True)
class Step:
    """What the server did at one stage: the reply, or why there is none."""

    stage: Stage
    command: str
    reply: Reply | None
    began: float  # time.monotonic()
    seconds: float
    broken: str = ""
    dropped: bool = False
    silence: float = 0.0  # the longest time within it, seconds, in which the server asked DNS nothing either

    @property
    def code(self) -> int:
        """The reply code; 0 when no reply came."""
        return self.reply.code if self.reply else 0

    @property
    def text(self) -> str:
        """The text of the reply, its lines joined by line feeds; empty when no reply came."""
        return self.reply.text if self.reply else ""

    @property
    def prose(self) -> str:
        """The words of the reply in one line, without enhanced codes; empty when no reply came."""
        return self.reply.prose if self.reply else ""

    @property
    def mangled(self) -> str:
        """What of the reply shows that it did not come as a server says it; empty when nothing does."""
        return next((flaw for flaw in self.reply.flaws if flaw in MANGLED), "") if self.reply else ""

    @property
    def keywords(self) -> dict[str, str]:
        """The service extensions that an EHLO answer lists, in upper case, with their parameters."""
        return parse_keywords(self.reply) if self.reply else {}

    @property
    def treatment(self) -> Treatment | None:
        """What the reply means; None when no reply came."""
        if self.reply is None:
            return None
        if self.code < 400:
            return Treatment.PASS
        if self.code < 500:
            return Treatment.DEFER
        return Treatment.DROP if self.dropped else Treatment.DENY

    def __str__(self) -> str:
        """Such as `550 after 1.02 s`, for reasons and reports."""
        said = f"{self.code} {self.text.splitlines()[0][:120] if self.text else ''}".strip()
        return f"{said} after {self.seconds:.2f} s" if self.reply else f"no reply: {self.broken}"


class Manner(NamedTuple):
    """How a client speaks: what an innocent one meets may depend on that."""

    extended: bool = True  # it greets with EHLO
    covered: bool = False  # under TLS
    authenticated: bool = False

    def at(self, stage: Stage) -> "Manner":
        """As far as it shows at a stage: before the greeting all are alike."""
        return Manner() if stage is Stage.CONNECT else self


@dataclass(frozen=True)
class Attempt:
    """A whole dialogue, connect to QUIT, as it went."""

    client: str
    steps: tuple[Step, ...]
    ending: Ending
    broken: str = ""
    replies: tuple[Reply, ...] = ()  # every one, those that belong to no stage as well
    recipient: str = ""  # the first one; by that and the token a message is found that was accepted
    token: str = ""
    parted: bool = False  # whether the connection was there when QUIT was sent
    awaits_greylist: bool = False  # whether the greylist may have had its say, and nobody waited for it

    @property
    def said(self) -> str:
        """The words of the last reply to a command about the message or before it, in one line."""
        return self.reached.prose if self.reached else ""

    @property
    def reached(self) -> Step | None:
        """The last step that was answered."""
        return next((step for step in reversed(self.steps) if step.reply), None)

    @property
    def bounces(self) -> bool:
        """Whether its sender was the null sender."""
        return self.mail.command.upper().startswith("MAIL FROM:<>")

    def at(self, stage: Stage) -> Step | None:
        """The last step of a stage; None when the dialogue did not get there."""
        return next((step for step in reversed(self.steps) if step.stage is stage), None)

    def step(self, stage: Stage) -> Step:
        """The last step of a stage; a step without a reply when the dialogue did not get there."""
        return self.at(stage) or Step(
            stage, "", None, 0.0, 0.0, broken=f"the dialogue did not get to {stage}"
        )

    @property
    def connect(self) -> Step:
        """The greeting of the server."""
        return self.step(Stage.CONNECT)

    @property
    def helo(self) -> Step:
        """The answer to the last EHLO or HELO."""
        return self.step(Stage.HELO)

    @property
    def tls(self) -> Step:
        """The answer to STARTTLS."""
        return self.step(Stage.TLS)

    @property
    def auth(self) -> Step:
        """The answer to AUTH, after all its prompts."""
        return self.step(Stage.AUTH)

    @property
    def mail(self) -> Step:
        """The answer to MAIL FROM."""
        return self.step(Stage.MAIL)

    @property
    def rcpt(self) -> Step:
        """The answer to the last RCPT TO."""
        return self.step(Stage.RCPT)

    @property
    def data(self) -> Step:
        """The answer to the end of the message, or to DATA where that was refused."""
        return self.step(Stage.DATA)


@dataclass
class Conversation:
    """Drives one session a command at a time; a dead session makes steps without a reply, no exception."""

    session: Session
    client: str
    silence: Callable[[float, float], float]  # of the server about this client, between two moments
    token: str = ""  # by which the client's message is found
    recipient: str = ""  # the first one of its last message
    may_be_greylisted: Callable[[], bool] = bool  # whether no exemption of the client is certain
    steps: list[Step] = field(default_factory=list)
    broken: str = ""
    _all_said: bool = False  # but for what parts us
    _parting: bool = False  # whether QUIT was sent

    def connect(self) -> Step:
        """Connect and read the greeting; the wait counts from the established connection on."""
        return self._take(Stage.CONNECT, "", self.session.open)

    def ehlo(self, name: str) -> Step:
        """EHLO with `name`."""
        return self._say(Stage.HELO, f"EHLO {name}")

    def helo(self, name: str) -> Step:
        """HELO with `name`."""
        return self._say(Stage.HELO, f"HELO {name}")

    def starttls(self, context: ssl.SSLContext, name: str) -> Step:
        """STARTTLS and the handshake."""
        return self._take(Stage.TLS, "STARTTLS", lambda: self.session.start_tls(context, name))

    def auth_plain(self, user: str, password: Secret | str, *, initial: bool = True) -> Step:
        """AUTH PLAIN, with the credentials at once or after the prompt."""
        return self._take(
            Stage.AUTH,
            "AUTH PLAIN",
            lambda: self.session.auth_plain(user, password, initial=initial)[-1],
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
        """DATA and the whole message; a refused DATA command is the answer itself."""

        def send() -> Reply:
            go_ahead = self.session.command("DATA")
            return self.session.send_content(content) if go_ahead.code == 354 else go_ahead

        return self._take(Stage.DATA, "DATA", send)

    def reset(self) -> Reply | None:
        """RSET, which belongs to no stage; None when the connection is gone."""
        return self._aside("RSET")

    def quit(self) -> Attempt:
        """QUIT, close, and look back on the whole dialogue.

        Whether a refusal closed the connection is seen by a NOOP: many a server answers QUIT by closing. A
        server that answers neither has said all the same what there was to say.
        """
        self._all_said = not self.broken
        if self.steps and self.steps[-1].code >= REFUSES:
            self._aside("NOOP")
        if not self.broken:
            self._parting = True
            try:
                self.session.quit_politely()
            except SessionEnded as ended:
                self._note_end(ended)
        self.session.close()
        return self.attempt

    @property
    def took_message(self) -> bool:
        """Whether the server took a message."""
        return any(step.stage is Stage.DATA and step.treatment is Treatment.PASS for step in self.steps)

    @property
    def attempt(self) -> Attempt:
        """The dialogue so far."""
        replies = tuple(self.session.replies)
        return Attempt(
            self.client,
            tuple(self.steps),
            self.session.ending,
            self.broken,
            replies,
            self.recipient,
            self.token,
            self._parting,
            self.may_be_greylisted(),
        )

    @property
    def manner(self) -> Manner:
        """How the client has spoken so far."""
        greeted = [step.command[:4] for step in self.steps if step.stage is Stage.HELO]
        let_in = any(step.treatment is Treatment.PASS for step in self.steps if step.stage is Stage.AUTH)
        return Manner(greeted[-1:] != ["HELO"], self.session.encrypted, let_in)

    @property
    def lost(self) -> str:
        """How the dialogue was lost for no reason that a reply gives; empty when it was not.

        A server that refuses and closes the connection has said why. One that goes away without a word, or
        with a 421, or says what is no reply, has not; neither has a network that fails.
        """
        mangled = next((step for step in self.steps if step.mangled), None)
        if mangled:
            return f"what came at {mangled.stage} is no sound reply ({mangled.mangled})"
        said = next((step for step in reversed(self.steps) if step.reply), None)
        if said and said.code == SERVICE_ENDS:
            return f"at {said.stage} the server said {said}"
        refused = said is not None and said.code >= REFUSES and said.dropped
        tls = self.session.tls
        distrusted = tls is not None and self.session.ending is Ending.TLS_FAILED and bool(tls.verify_error)
        return "" if refused or distrusted or self._all_said else self.broken

    @property
    def tls_fault(self) -> str:
        """Why the TLS handshake failed; empty when it did not."""
        return self.broken if self.session.ending is Ending.TLS_FAILED else ""

    def _aside(self, command: str) -> Reply | None:
        if self.broken:
            return None
        try:
            return self.session.command(command)
        except SessionEnded as ended:
            self._note_end(ended)
            return None

    def _say(self, stage: Stage, command: str) -> Step:
        return self._take(stage, command, lambda: self.session.command(command))

    def _take(self, stage: Stage, command: str, act: Callable[[], Reply]) -> Step:
        began = time.monotonic()
        if self.broken:
            step = Step(stage, command, None, began, 0.0, broken=self.broken)
        else:
            try:
                reply = act()
                step = self._answered(stage, command, reply, began)
            except SessionEnded as ended:
                self._note_end(ended)
                step = Step(stage, command, None, began, time.monotonic() - began, broken=self.broken)
        self.steps.append(step)
        return step

    def _answered(self, stage: Stage, command: str, reply: Reply, began: float) -> Step:
        seconds = self._wait(stage, reply)
        ended = self.session.started + reply.at
        silence = self.silence(ended - seconds, ended) if seconds > SLOW else seconds
        held = self.session.held()
        return Step(stage, command, reply, began, seconds + held, silence=silence + held)

    def _wait(self, stage: Stage, reply: Reply) -> float:
        """Seconds that the server took; a greeting counts from the established connection.

        A lost SYN is sent again after a second by the client's own kernel and must not look like a delay.
        """
        return reply.at - self.session.connected_at if stage is Stage.CONNECT else reply.seconds

    def _note_end(self, ended: SessionEnded) -> None:
        self.broken = ended.reason
        if ended.ending in GONE and self.steps and self.steps[-1].reply and not self._parting:
            self.steps[-1] = replace(self.steps[-1], dropped=True)
