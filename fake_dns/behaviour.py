"""What a scripted name server can do wrong (or differently) when it is asked.

Every class is a fact that `FakeDns.script` attaches to a name and a type; `answer` knows how to act on it.
"""

import collections.abc
import math
from dataclasses import dataclass
from typing import TypeAlias

from fake_dns.names import RecordError

MAX_DELAY = 3600.0  # seconds; no resolver waits as long


@dataclass(frozen=True)
class NxDomain:
    """There is no such name (RFC 1035 rcode 3), whatever is published."""


@dataclass(frozen=True)
class ServFail:
    """The server failed (rcode 2)."""


@dataclass(frozen=True)
class Refused:
    """The server refuses to answer (rcode 5)."""


@dataclass(frozen=True)
class FormErr:
    """The server cannot read the question (rcode 1), as one that knows no EDNS: the reply is without OPT."""


@dataclass(frozen=True)
class NoAnswer:
    """Silence. Over TCP the connection stays open."""


@dataclass(frozen=True)
class Truncated:
    """Over UDP an empty reply with the TC flag; over TCP the published answer."""


@dataclass(frozen=True)
class WrongId:
    """The published answer under another query's id, as a forger guesses it; the right one never comes."""


@dataclass(frozen=True)
class Lame:
    """A lame delegation (RFC 1912 section 2.8): no authority, no answer, a referral back up to the root."""


@dataclass(frozen=True)
class Published:
    """What is published: undoes a script, and stands for the normal answer in a `Sequence`."""


@dataclass(frozen=True, init=False)
class Answer:
    """These records of the type asked for, in master-file text, not the published ones; none is NODATA."""

    data: tuple[str, ...]
    ttl: int  # seconds

    def __init__(self, *data: str, ttl: int = 60) -> None:
        """`data` is checked when it is scripted, for then its type is known."""
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "ttl", ttl)


@dataclass(frozen=True)
class Late:
    """Another step (the published answer by default), sent `seconds` after the question came."""

    seconds: float
    then: "Step" = Published()

    def __post_init__(self) -> None:
        """Raises `RecordError` for a delay outside 0 … 3600 s, and for a `Late` within a `Late`."""
        if not (math.isfinite(self.seconds) and 0 <= self.seconds <= MAX_DELAY):
            raise RecordError(f"a delay of {self.seconds} s cannot be; give 0 to {MAX_DELAY:.0f} seconds")
        if isinstance(self.then, Late):
            raise RecordError("a late answer cannot be late again; add the seconds up")


Step: TypeAlias = (
    NxDomain
    | ServFail
    | Refused
    | FormErr
    | NoAnswer
    | Truncated
    | WrongId
    | Lame
    | Published
    | Answer
    | Late
)


@dataclass(frozen=True, init=False)
class Sequence:
    """A different step with each query; the last one stays, or all begin anew when `again` is set.

    A string stands for `Answer` with that one record.
    """

    steps: tuple[Step, ...]
    again: bool

    def __init__(self, steps: collections.abc.Iterable[Step | str], *, again: bool = False) -> None:
        """Raises `RecordError` when there is no step."""
        chosen = tuple(Answer(step) if isinstance(step, str) else step for step in steps)
        if not chosen:
            raise RecordError("a Sequence needs at least one step")
        object.__setattr__(self, "steps", chosen)
        object.__setattr__(self, "again", again)


Behaviour: TypeAlias = Step | Sequence
