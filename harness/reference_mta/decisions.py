"""What the server decides about its clients, for whoever watches: each decision is a record of the log."""

import logging
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any

from harness.reference_mta.earned import Refusal
from harness.reference_mta.replies import escaped

LONGEST_SAID, LONGEST_REPLY = 200, 400  # characters that are shown
STAGES = {"EHLO": "helo", "HELO": "helo", "MAIL": "mail", "RCPT": "rcpt", "DATA": "data", "BDAT": "data"}
STAGES |= {verb: verb.lower() for verb in ("AUTH", "STARTTLS", "RSET", "NOOP", "QUIT", "VRFY", "HELP")}
UNKNOWN = "command"  # the stage of what is none of these
SECRET = "AUTH"  # noqa: S105 - the command whose argument is nobody's business
CLIENT: ContextVar[str] = ContextVar("client", default="")  # on whose behalf this task is at work
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """One reply, and what led to it. What the client said is as it came, but for its length."""

    client: str
    stage: str
    said: str
    rules: tuple[str, ...]  # ids of documented rules that the case was sorted under, in order
    delay: float  # seconds for which the reply was held back
    reply: str
    later: str = ""  # the reply of a refusal that was earned here and is told at a later stage

    def words(self) -> dict[str, str]:
        """What a line has of it, in order, fit for the eye; what is empty is left out there."""
        return {
            "client": f"{self.client:<15}",
            "stage": f"{self.stage:<8}",
            "said": escaped(self.said),
            "rules": ", ".join(self.rules) or "-",
            "delay": f"{self.delay:g} s",
            "reply": escaped(self.reply.replace("\r\n", " / ")),
            "later": f"(told later: {escaped(self.later)})" if self.later else "",
        }

    def __str__(self) -> str:
        """One line."""
        return "  ".join(word for word in self.words().values() if word)

    def facts(self) -> dict[str, Any]:
        """The same for other programs; the delay in seconds."""
        return {key: value for key, value in asdict(self).items() if key != "later" or value}


class Deciding:
    """The decision about what one client has said last; its lines are written where somebody reads them."""

    def __init__(self) -> None:
        """The client has connected."""
        self._wanted = log.isEnabledFor(logging.INFO)
        self._client = "-"
        self._begin("connect", "")

    def _begin(self, stage: str, said: str) -> None:
        self._stage, self._said = stage, said
        self._rules: dict[str, None] = {}
        self._delay = 0.0
        self._later = ""

    def meet(self, client: str) -> None:
        """The client is known by that address from now on, also to what else is logged for it."""
        self._client = client
        CLIENT.set(client)

    def hear(self, line: bytes) -> None:
        """The client's command."""
        if self._wanted:
            text = line[: LONGEST_SAID + 1].decode("utf-8", "surrogateescape").rstrip("\r\n")
            verb, _, argument = text.partition(" ")
            stage = STAGES.get(verb.upper(), UNKNOWN)
            secret = verb.upper() == SECRET
            said = f"{verb} {argument.partition(' ')[0]}" if secret else text
            self._begin(stage, _shortened(said, LONGEST_SAID))

    def rests_on(self, rule: str) -> None:
        """The case is one of that documented rule; the empty id stands for none."""
        if rule:
            self._rules[rule] = None

    def held(self, seconds: float) -> None:
        """The reply is held back for so long, which adds to what it was already."""
        self._delay += seconds

    def kept(self, refusal: Refusal) -> None:
        """A refusal is told at a later stage."""
        self.rests_on(refusal.rule)
        self._later = self._later or refusal.reply

    def told(self, reply: str) -> None:
        """The client is told so: the decision has been made. What asks for more is none."""
        if not self._wanted or reply[:1] == "3":
            return
        rules, shown = tuple(self._rules), _shortened(reply, LONGEST_REPLY)
        decision = Decision(
            self._client, self._stage, self._said, rules, self._delay, shown, self._later[:LONGEST_REPLY]
        )
        log.info("%s", decision, extra={"decision": decision})
        self._begin(self._stage, self._said)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]} …"
