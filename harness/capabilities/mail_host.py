"""A mail host of somebody else: takes mail or refuses it as it is told, and notes all that is said."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email import policy
from email.message import Message
from email.parser import BytesParser
from functools import cached_property

from harness.outcome import Stage
from harness.settings.secret import Secret
from harness.smtp.transcript import RecordedLine, Transcript
from harness.verdicts import BrokenOffError, CameLateError, NeverCameError
from harness.wording import counted

PATIENCE = 20.0  # seconds within which a server must have come
SLACK = 0.05  # seconds
MOST_BYTES = 1 << 18  # of a dialogue that are recorded
MOST_DIALOGUES = 200  # of a host
MOST_TURNS = 200  # of its manner that are kept
STAGES = (Stage.CONNECT, Stage.HELO, Stage.MAIL, Stage.RCPT, Stage.DATA)


@dataclass(frozen=True)
class Arrival:
    """A message that the host has taken."""

    at: float  # time.monotonic()
    sender: str  # envelope sender; empty for the null sender
    recipients: tuple[str, ...]
    content: bytes
    client: str  # address that it came from
    helo: str

    @cached_property
    def message(self) -> Message:
        """The message as parsed, the values of its header as they stand there."""
        return BytesParser(policy=policy.compat32).parsebytes(self.content)


@dataclass(frozen=True)
class Manner:
    """What the host does at a stage instead of going on: it says something, hangs, or closes."""

    stage: Stage
    says: str = ""  # a reply with its code; empty: hangs or closes
    closes: bool = False
    about: str = ""  # only when the caller has mentioned this in the transaction

    def __post_init__(self) -> None:
        """Only the stages of a dialogue have manners, and nothing is mentioned before the greeting."""
        if self.stage not in STAGES or (self.about and self.stage is Stage.CONNECT):
            raise ValueError(f"a mail host has no such manner: {self}")

    def __str__(self) -> str:
        """Such as `says «451 4.3.0 Later» at rcpt`."""
        does = f"says «{self.says}»" if self.says else "closes without a word" if self.closes else "hangs"
        return f"{does} at {self.stage}" + (f" to who mentions {self.about}" if self.about else "")


@dataclass(frozen=True)
class Turn:
    """A change of what a mail host does."""

    at: float  # time.monotonic()
    text: str
    about: str = ""  # only for who mentions this


@dataclass(eq=False)
class Call:
    """One dialogue with the host, from the host's side."""

    client: str
    transcript: Transcript
    helo: str = ""
    outcome: str = "nothing was taken"
    ended: bool = False
    _bytes: int = 0

    @property
    def started(self) -> float:
        """When the connection was there, time.monotonic()."""
        return self.transcript.started

    @property
    def record(self) -> tuple[RecordedLine, ...]:
        """Everything that was said, to the byte; the caller is the client."""
        return self.transcript.lines

    def mentions(self, word: str, *, now: bool = False) -> bool:
        """Whether the caller has said a word, in any letter case; `now`: in the transaction that goes on."""
        said = [line.data.lower() for line in self.record if line.direction.value == "C"]
        if now:
            begun = [number for number, line in enumerate(said) if line.startswith(b"mail from:")]
            said = said[begun[-1] :] if begun else said
        return any(word.lower().encode() in line for line in said)

    def note(self, write: Callable[[float, bytes], None], data: bytes) -> None:
        """Record what went over the line, within reason."""
        at, before = time.monotonic() - self.started, self._bytes
        self._bytes += len(data)
        if self._bytes <= MOST_BYTES:
            write(at, data)
        elif before <= MOST_BYTES:
            self.transcript.event(at, "what comes from here on is not recorded")


@dataclass(eq=False)
class MailHost:
    """A mail host with an address and a name of its own; its manner may change while it runs."""

    domain: str
    name: str
    address: str
    secrets: tuple[Secret, ...] = ()
    shared: bool = False  # by all scenarios of a run
    patience: float = PATIENCE  # seconds, unless a scenario has another
    _manners: tuple[Manner, ...] = ()
    _turns: list[Turn] = field(default_factory=list)
    _calls: list[Call] = field(default_factory=list)
    _arrivals: list[Arrival] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _over: bool = False

    # Its manner

    def takes_mail(self, *, about: str = "") -> None:
        """From now on whatever comes is taken; `about`: only the manner that was about that is forgotten."""
        self._manners = tuple(one for one in self._manners if about and one.about != about)
        self._turn(f"takes mail{f' of who mentions {about}' if about else ''} from now on", about)

    def says(self, stage: Stage, reply: str, *, about: str = "") -> None:
        """From now on answer so at a stage, such as `554 No reverse DNS`; `about`: who mentions that."""
        self._add(Manner(stage, says=reply, about=about))

    def hangs(self, stage: Stage, *, about: str = "") -> None:
        """From now on say nothing any more when it is at a stage."""
        self._add(Manner(stage, about=about))

    def closes(self, stage: Stage, *, about: str = "") -> None:
        """From now on close the connection when it is at a stage, without a word."""
        self._add(Manner(stage, closes=True, about=about))

    def _add(self, manner: Manner) -> None:
        self._manners = (manner, *self._manners)
        self._turn(f"{manner} from now on", manner.about)

    def _turn(self, text: str, about: str) -> None:
        if len(self._turns) < MOST_TURNS:
            self._turns.append(Turn(time.monotonic(), text, about))

    @property
    def turns(self) -> tuple[Turn, ...]:
        """How its manner changed, in order of time."""
        return tuple(self._turns)

    # What it has seen

    @property
    def dialogues(self) -> tuple[Call, ...]:
        """All that have begun, in order of time."""
        with self._changed:
            return tuple(self._calls)

    def about(self, word: str) -> tuple[Call, ...]:
        """The dialogues in which the caller has mentioned a word."""
        return tuple(call for call in self.dialogues if call.mentions(word))

    def arrived(self, token: str) -> tuple[Arrival, ...]:
        """The messages with a token in them that were taken until now."""
        with self._changed:
            return tuple(one for one in self._arrivals if token.encode() in one.content)

    def reached_by(self, token: str, patience: float | None = None) -> bool:
        """Whether a message with a token in it is taken until now or comes in time.

        Raises `BrokenOffError` when the run is broken off before.
        """
        return self._wait_for(lambda: bool(self.arrived(token)), patience or self.patience)

    def arrival(self, token: str, patience: float | None = None, *, runs: int = 1) -> Arrival:
        """The first message with a token in it.

        `runs` is how many times the server's queue may have to be run until it is there. Raises
        `NeverCameError` when it does not come, and `CameLateError` when it comes late: it is waited for
        twice as long, because a slow queue proves nothing.
        """
        began, patience = time.monotonic(), (patience or self.patience) * runs
        self.reached_by(token, 2 * patience)
        found = self.arrived(token)
        if not found:
            raise NeverCameError(
                f"no such message came to {self.name}, the mail host of {self.domain}, within "
                f"{2 * patience:g} s ({counted(len(self.dialogues), 'dialogue')} in all)",
                token,
            )
        self._in_time(found[0].at - began, patience, "the message")
        return found[0]

    def dialogue(self, number: int = 1, patience: float | None = None, *, about: str = "") -> Call:
        """Wait for the end of so many dialogues (about something); the last of them.

        Raises `NeverCameError` when they do not come, and `CameLateError` when they come late.
        """

        def ended() -> list[Call]:
            return [call for call in self._calls if call.ended and (not about or call.mentions(about))]

        began, patience = time.monotonic(), patience or self.patience
        self._wait_for(lambda: len(ended()) >= number, 2 * patience)
        with self._changed:
            found = ended()
        if len(found) < number:
            raise NeverCameError(
                f"{number} dialogues were to be held with {self.name}, the mail host of {self.domain}, "
                f"and within {2 * patience:g} s there were {len(found)}"
            )
        self._in_time(time.monotonic() - began, patience, f"dialogue {number}")
        return found[number - 1]

    def _wait_for(self, come: Callable[[], bool], patience: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._over or come(), patience)
            if self._over and not come():
                raise BrokenOffError
            return come()

    def stop(self) -> None:
        """The run is over: nobody waits any more for what may come."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _in_time(self, seconds: float, patience: float, what: str) -> None:
        if seconds > patience + SLACK:
            raise CameLateError(
                f"{what} took {seconds:.1f} s to {self.name}, the mail host of {self.domain}, and "
                f"may take {patience:g} s"
            )

    # For its dialogues

    def begin(self, client: str) -> Call | None:
        """A dialogue begins; None when there are too many."""
        with self._changed:
            if len(self._calls) >= MOST_DIALOGUES:
                return None
            call = Call(client, Transcript(self.secrets))
            self._calls.append(call)
            return call

    def end(self, call: Call) -> None:
        """A dialogue has ended."""
        with self._changed:
            call.ended = True
            self._changed.notify_all()

    def take(self, call: Call, arrival: Arrival) -> None:
        """A message is there."""
        with self._changed:
            call.outcome = f"a message for {', '.join(arrival.recipients)} was taken"
            self._arrivals.append(arrival)
            self._changed.notify_all()

    def manner(self, stage: Stage, call: Call) -> Manner | None:
        """What it does at a stage in a dialogue, if anything unusual."""
        fitting = (one for one in self._manners if one.stage is stage)
        return next((one for one in fitting if not one.about or call.mentions(one.about, now=True)), None)
