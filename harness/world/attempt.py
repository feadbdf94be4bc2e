"""A whole dialogue as it went, to look back on."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from harness.outcome import Stage, Treatment
from harness.smtp.ending import Ending
from harness.smtp.reply import Reply
from harness.world.step import Step, telling


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
    steps: tuple[Step, ...]  # every one in order, those that are about no stage as well
    ending: Ending
    broken: str = ""
    recipient: str = ""  # the first one; by that and the token a message is found that was accepted
    token: str = ""
    parted: bool = False  # whether the connection was there when QUIT was sent
    awaits_greylist: bool = False  # whether the greylist may have had its say, and nobody waited for it

    @cached_property
    def staged(self) -> tuple[Step, ...]:
        """The steps that tell of a stage, in order."""
        return tuple(telling(self.steps))

    @property
    def replies(self) -> tuple[Reply, ...]:
        """Every reply, in order."""
        return tuple(reply for step in self.steps for reply in step.replies)

    @property
    def said(self) -> str:
        """The words of the last reply to a command about the message or before it, in one line."""
        return self.reached.prose if self.reached else ""

    @property
    def reached(self) -> Step | None:
        """The last stage's step that was answered."""
        return next((step for step in reversed(self.staged) if step.reply), None)

    @property
    def taken(self) -> int:
        """How many recipients were taken."""
        return sum(step.tag is Stage.RCPT and step.treatment is Treatment.PASS for step in self.staged)

    @property
    def refused_for_good(self) -> bool:
        """Whether a step was refused, and not only for now."""
        return any(step.treatment in (Treatment.DENY, Treatment.DROP) for step in self.staged)

    @property
    def bounces(self) -> bool:
        """Whether its sender was the null sender."""
        return self.mail.command.upper().startswith("MAIL FROM:<>")

    def at(self, stage: Stage) -> Step | None:
        """The last step of a stage; None when the dialogue did not get there."""
        return next((step for step in reversed(self.staged) if step.tag is stage), None)

    def step(self, stage: Stage) -> Step:
        """The last step of a stage; a step without a reply when the dialogue did not get there."""
        return self.at(stage) or Step(stage, "", (), 0.0, 0.0, broken=f"the dialogue did not get to {stage}")

    def shown_at(self, stage: Stage) -> str:
        """What came at a stage; where the dialogue did not get there, what it ended with."""
        step = self.at(stage) or (self.staged[-1] if self.staged else self.step(stage))
        return f"{step.name}: {step}"

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
