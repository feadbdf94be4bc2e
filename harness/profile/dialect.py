"""The dialect: how a server speaks. What an offence earns, where refusals are told, what everybody waits for.

The catalogue's outcomes are those of the documents that its rules come from. A dialect says in a few lines in
what a server differs from them, and the outcomes of all rules follow.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from harness import settings
from harness.offence import AT_ONCE, Offence
from harness.outcome import Answer, Outcome, Stage, Treatment, later
from harness.profile.values import FieldName
from harness.settings.notation import written

TOLD_THERE = (Stage.TLS, Stage.AUTH)  # what is earned at these is told at these, wherever all else is


class Told(StrEnum):
    """Where a refusal is told that was earned before."""

    AT_ONCE = "at once"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"  # after the end of the message


class Asks(StrEnum):
    """How a server asks its block lists."""

    IN_ORDER = "in order"  # and no more of them once the threshold is reached
    AT_ONCE = "at once"


class Dialect(settings.Settings):
    """How the server speaks, where it differs from the documents that the rules come from."""

    told: Told = Told.AT_ONCE
    pause: float = Field(default=0.0, ge=0, le=600)  # seconds that everybody waits for the greeting
    refusals_take: float = Field(default=0.0, ge=0, le=600)  # seconds that it holds each 4xx and 5xx back
    threshold: float = Field(default=2.0, gt=0)  # of the weights of lists that name a client
    asks: Asks = Asks.IN_ORDER
    mark: FieldName = "X-DNSbl-Warning"  # the header field of what is only marked
    names_lists: bool = True  # whether a refusal names the client, the lists that name it, and their texts
    max_errors: int = Field(default=0, ge=0)  # refused commands that end a connection; 0: any number may
    answers: dict[Offence, Annotated[Answer, written(Answer, Answer.parse)]] = Field(default_factory=dict)

    def tells(self, stage: Stage) -> Stage:
        """The stage at which a client learns the verdict that it has earned at `stage`."""
        if self.told is Told.AT_ONCE or stage in TOLD_THERE:
            return stage
        return later(stage, Stage(self.told))

    def outcome(self, offence: Offence | None, documented: Outcome) -> Outcome:
        """What this server does where a document has `documented` for an offence (None: an innocent act).

        A delay is imposed where it is earned; a refusal, and whether there is none, shows where it is told.
        """
        answer = self.answers.get(offence, documented.answer) if offence else documented.answer
        if offence in AT_ONCE or (answer.treatment is Treatment.PASS and answer.late):
            return Outcome.of(answer, documented.stage)
        return Outcome.of(answer, self.tells(documented.stage))
