"""What a check of the doctor comes to, and what it looks at."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from harness.runs.run import Run
from harness.world.client import Client
from harness.world.conversation import SERVICE_ENDS, Attempt


class State(Enum):
    """What a check came to."""

    GOOD = "good"
    BAD = "wrong"
    SKIPPED = "not asked for"  # the profile does not grant it, so nothing rests on it
    UNKNOWN = "not looked at"  # something that it rests on is wrong
    UNTOLD = "cannot be told"  # there was no occasion to see it


@dataclass(frozen=True)
class Finding:
    """What a check saw; `mend` is the key of the advice in `mends.toml`.

    `without` is the capability, by its name, that the server cannot be judged by as long as it is wrong:
    rules that need that are blocked.
    """

    state: State
    saw: str
    mend: str = ""
    without: str = ""


@dataclass(frozen=True)
class Check:
    """A foundation: what must be true, and how that is found out."""

    title: str
    look: Callable[["Patient"], Finding]
    basic: bool = False  # without it nothing else can be looked at
    asks_nobody: bool = False  # the profile alone tells, whatever is wrong with the server


@dataclass
class Patient:
    """The server of a run; what an innocent client meets is looked at once."""

    run: Run

    @property
    def innocent(self) -> tuple[Client, Attempt]:
        """An innocent client, and its dialogue."""
        met = self.run.baseline.plainest
        return met.client, met.attempt

    def unsaid(self, client: Client, attempt: Attempt, otherwise: Finding) -> Finding:
        """What to say of an innocent dialogue that was stopped, unless it is the concern of the check."""
        step = attempt.staged[-1] if attempt.staged else None
        if step is None or step.reply is None or step.code == SERVICE_ENDS:
            said = str(step) if step and step.reply else attempt.broken or "nothing was said"
            return Finding(State.UNTOLD, f"a dialogue was lost: {said}")
        _, _, talk = client.world.conversations[-1]
        if found := self.run.baseline.explains(client, step, talk.manner, talk.recipient):
            return Finding(State.UNKNOWN, f"it rests on what is wrong above: {found.statement}")
        return otherwise
