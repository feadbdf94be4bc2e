"""What innocent clients are refused with in the middle of a run, told once when enough are refused alike.

An account that is locked by then, or a network that is banned, is met by every scenario that comes that way.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.outcome import DIALOGUE, Stage
from harness.runs.baseline import Finding, Innocent, Meeting, met_with
from harness.world.conversation import Step

ALIKE = 4  # canaries in a row that are told the same: two at each of two moments


@dataclass(frozen=True)
class _Way:
    """Those innocent clients who can be expected to be told the same at a stage."""

    who: str
    manner: tuple[bool, ...]
    recipient: str  # empty before it is named
    stage: Stage

    @classmethod
    def of(cls, innocent: Innocent, stage: Stage) -> "_Way":
        """Those who come as an innocent client does."""
        named = DIALOGUE.index(stage) >= DIALOGUE.index(Stage.RCPT)
        return cls(innocent.who, tuple(innocent.manner.at(stage)), innocent.recipient if named else "", stage)


_Said = tuple[int, str | None]  # reply code, and enhanced code


@dataclass
class Refusals:
    """Counts how often in a row canaries of a kind were told what they were not at first; thread-safe.

    Only a whole reply that says something counts: not a lost dialogue, a 421, or a reply that was late. Who
    comes further, or is told something else, ends the row. Those who are out at the same moment count once.
    """

    _rows: dict[_Way, tuple[_Said, int, float]] = field(default_factory=dict)
    _findings: dict[str, Finding] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def canary_met(self, met: Meeting, *, usual: bool) -> str:
        """The id that a finding about what it was told has, if there is one or will be; empty otherwise.

        `usual`: it met what such clients met at the beginning.
        """
        step = met.step
        if usual and not met.lost:
            self._end_rows(met.innocent, met.attempt.staged)
            return ""
        if met.lost or met.late or step is None:
            return ""
        way, said = _Way.of(met.innocent, step.stage), _said(step)
        name = f"during.{way.who}.{way.stage}.{step.code}"
        with self._lock:
            before, count, counted_at = self._rows.get(way, (said, 0, 0.0))
            if before != said:
                count = 1
            elif met.attempt.steps[0].began >= counted_at:
                count += 1
            else:
                return name
            self._rows[way] = (said, count, time.monotonic())
            if count >= ALIKE:
                self._findings.setdefault(name, _finding(name, met.innocent, step))
        return name

    def _end_rows(self, innocent: Innocent, reached: Sequence[Step]) -> None:
        with self._lock:
            for step in reached:
                self._rows.pop(_Way.of(innocent, step.stage), None)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was seen often enough."""
        with self._lock:
            return tuple(self._findings.values())

    def finding(self, name: str) -> Finding | None:
        """The finding of an id; None where that was not seen often enough."""
        with self._lock:
            return self._findings.get(name)


def _said(step: Step) -> _Said:
    return step.code, step.reply.enhanced if step.reply else None


def _finding(name: str, innocent: Innocent, step: Step) -> Finding:
    statement = (
        f"in the middle of the run {innocent} are {met_with(innocent, step)} at {step.stage}, other "
        f"than at the beginning: {step}"
    )
    return Finding(name, statement, str(step), innocent, step)
