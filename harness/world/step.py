"""One exchange of a dialogue: what was sent, the replies that it got, and when."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.outcome import Stage, Treatment
from harness.smtp.reply import Reply, parse_keywords

GOES_ON_TO_CONTENT = 354
BELONGS = {  # to a stage, where not every 2yz does (RFC 5321 §4.3.2, RFC 3207 §4, RFC 4954 §6)
    Stage.CONNECT: 220,
    Stage.TLS: 220,
    Stage.AUTH: 235,
}
REFUSALS = (4, 5)  # first digits of replies that any command may have (RFC 5321 §4.2.1)

MANGLED = (
    "NUL byte",
    "control character",
    "bare CR",
    "codes differ between lines",
)  # flaws of what no server says


@dataclass(frozen=True)
class Step:
    """What was sent at once, and what the server did then: its replies, or why there is none.

    A greeting, or a 421 that nothing asked for, is a step in which nothing was sent. Several commands in one
    write have several replies; the last of them is the one that tells.
    """

    tag: Stage | None  # the stage that it is about, for the judge and for reports; None: it is about none
    command: str  # what was sent, for the eye, without credentials; of content no more than that it is some
    replies: tuple[Reply, ...]
    began: float  # time.monotonic()
    seconds: float  # that the server took for the last reply, a greeting since the connection was there
    broken: str = ""
    dropped: bool = False
    silence: float = 0.0  # the longest time within it, seconds, in which the server asked DNS nothing either
    lead: float = 0.0  # seconds from `began` to where `seconds` begin

    @property
    def stage(self) -> Stage:
        """The stage that it is about; raises `ValueError` for one that is about none."""
        if self.tag is None:
            raise ValueError(f"no stage of a dialogue is told at {self.name}")
        return self.tag

    @property
    def name(self) -> str:
        """What reasons and reports call it: its stage, or what was sent."""
        return str(self.tag or self.command or "a reply that nothing asked for")

    @property
    def reply(self) -> Reply | None:
        """The last reply; None when none came."""
        return self.replies[-1] if self.replies else None

    @property
    def code(self) -> int:
        """The code of the last reply; 0 when none came."""
        return self.reply.code if self.reply else 0

    @property
    def ended(self) -> float:
        """When the last reply came, by `time.monotonic`."""
        return self.began + self.lead + self.seconds

    @property
    def at_most(self) -> float:
        """Seconds that the server cannot have taken longer than for the last reply.

        That a connection is there may be seen late: for the server a greeting began to be held back at some
        time since the client set out for it, or was introduced.
        """
        return max(self.seconds, self.reply.seconds if self.reply else 0.0)

    @property
    def text(self) -> str:
        """The text of the last reply, its lines joined by line feeds; empty when none came."""
        return self.reply.text if self.reply else ""

    @property
    def prose(self) -> str:
        """The words of the last reply in one line, without enhanced codes; empty when none came."""
        return self.reply.prose if self.reply else ""

    @property
    def mangled(self) -> str:
        """What of the last reply shows that it did not come as a server says it; empty when nothing does."""
        return next((flaw for flaw in self.reply.flaws if flaw in MANGLED), "") if self.reply else ""

    @property
    def misplaced(self) -> str:
        """Why the last reply is no answer to what was asked, in a clause behind it; empty when it is one.

        Such as a 2yz to DATA, after which no message is sent, or a greeting of 250.
        """
        kind = self.code // 100
        if self.reply is None or kind in REFUSALS:
            return ""
        if kind not in (2, 3):
            return "which is no reply of SMTP"
        if self.tag is Stage.DATA and self.command.strip().upper() == "DATA":
            asks_for_content = self.code == GOES_ON_TO_CONTENT
            return "" if asks_for_content else "to the command DATA, where 354 belongs: no message was sent"
        if self.tag in BELONGS:
            return "" if self.code == BELONGS[self.tag] else f"where {BELONGS[self.tag]} belongs"
        return "where 250 belongs" if self.tag and kind == 3 else ""

    @property
    def completes(self) -> bool:
        """Whether the reply lets through what was asked, by its first digit; DATA alone completes nothing."""
        return self.code // 100 == 2 and self.command.strip().upper() != "DATA"

    @property
    def keywords(self) -> dict[str, str]:
        """The service extensions that an EHLO answer lists, in upper case, with their parameters."""
        return parse_keywords(self.reply) if self.reply else {}

    @property
    def goes_on(self) -> bool:
        """Whether the server waits for more before it tells anything (3yz, RFC 5321 §4.2.1)."""
        return self.code // 100 == 3

    @property
    def treatment(self) -> Treatment | None:
        """What the last reply means; None when none came, or it is no answer to what was asked."""
        if self.reply is None or self.misplaced:
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


def telling(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps that tell of a stage; one that the server lets go on tells nothing when it did go on."""
    tagged = [step for step in steps if step.tag]
    for step, following in itertools.zip_longest(tagged, tagged[1:]):
        if not (step.goes_on and following and following.tag is step.tag):
            yield step
