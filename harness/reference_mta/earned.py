"""What a client has earned and does not have yet: refusals that are told later, fields for its message."""

from dataclasses import dataclass, field
from enum import IntEnum


class Stage(IntEnum):
    """The stages of a dialogue, in their order."""

    CONNECT = 0
    GREETING = 1
    SENDER = 2
    RECIPIENT = 3
    MESSAGE = 4  # the end of DATA


TOLD = {"now": Stage.CONNECT, "mail": Stage.SENDER, "rcpt": Stage.RECIPIENT, "message": Stage.MESSAGE}


@dataclass(frozen=True)
class Refusal:
    """A refusal as it is told: the whole reply, its share of the delay, whether the connection ends.

    `rule` is the id of the documented rule that it rests on, empty where there is none.
    """

    reply: str
    delay: float = 0.0
    close: bool = False
    rule: str = ""


@dataclass
class Earned:
    """By the stage at which it was earned, in the order in which it was."""

    _refusals: dict[Stage, list[Refusal]] = field(default_factory=dict)
    _lines: dict[Stage, dict[str, None]] = field(default_factory=dict)

    def remember(self, stage: Stage, refusal: Refusal) -> None:
        """Keep a refusal until it is told, and afterwards: it is told again with the next command."""
        self._refusals.setdefault(stage, []).append(refusal)

    def note(self, stage: Stage, line: str) -> None:
        """Keep a header line for the message; the same one counts once."""
        self._lines.setdefault(stage, {})[line] = None

    def forget(self, stage: Stage) -> None:
        """Forget what was earned at a stage and at those after it."""
        for kept in (self._refusals, self._lines):
            for other in Stage:
                if other >= stage:
                    kept.pop(other, None)

    def refusal(self, since: Stage = Stage.CONNECT) -> Refusal | None:
        """The first refusal that was earned at that stage or later."""
        return next(
            (refusal for stage in Stage if stage >= since for refusal in self._refusals.get(stage, ())), None
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """The header lines for the message."""
        return tuple(dict.fromkeys(line for stage in Stage for line in self._lines.get(stage, ())))
