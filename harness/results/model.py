"""What a run came to, as plain facts: every report is made from these, and nothing else.

All times are seconds. Texts that came from the server are as the server chose them, bounded by whoever
recorded them: each writer makes them harmless for its own medium.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict  # pydantic reads this one on every Python, and brings it

from harness.outcome import Stage


class Status(StrEnum):
    """What a rule, a case or a try came to; in the order in which a reader wants to know."""

    FAILED = "failed"  # the server did something else than it documents
    STALE = "stale"  # it is listed as a known deviation, and holds
    INCONCLUSIVE = "inconclusive"  # what was seen proves nothing, one way or the other
    KNOWN_DEVIATION = "known_deviation"  # it failed as the profile's list of known deviations has it
    PASSED = "passed"
    NOT_TESTABLE = "not_testable"  # the profile does not grant what the scenario needs
    NOT_APPLICABLE = "not_applicable"  # the profile does not claim the rule

    @property
    def words(self) -> str:
        """The status as readers see it, such as `not testable`."""
        return self.value.replace("_", " ")


LEFT_OPEN = "the run ended before this case was decided"  # the reason of a case that nobody has tried
WORST_FIRST = (
    Status.FAILED,
    Status.STALE,
    Status.INCONCLUSIVE,
    Status.KNOWN_DEVIATION,
    Status.NOT_TESTABLE,
    Status.NOT_APPLICABLE,
    Status.PASSED,
)
LISTED = (Status.STALE, Status.KNOWN_DEVIATION)  # what only a profile with a list of deviations leads to
DECIDED = (Status.FAILED, Status.STALE, Status.KNOWN_DEVIATION, Status.PASSED)
BAD = (Status.FAILED, Status.STALE, Status.INCONCLUSIVE)  # after which a run does not end with 0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a dialogue, or one event of its connection."""

    at: float  # since the connection attempt began
    direction: Annotated[str, Field(pattern=r"^[CS*]$")]  # client, server, or an event
    text: str  # without line end; secrets masked


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same DNS question once more, and what it was answered with then."""

    at: float
    answer: str
    transport: str


@dataclass(frozen=True, slots=True)
class Query:
    """One DNS question of the server, on the clock of the dialogue that it belongs to.

    The server may have asked it several `times`: the first of the others are in `again`.
    """

    at: float
    name: str
    type: str
    answer: str
    transport: str
    times: int = 1
    again: tuple[Repeat, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplyFact:
    """One reply, in a form in which two runs can be compared.

    `text` has placeholders for what differs from run to run: addresses, host names, dates, queue ids.
    """

    code: int
    enhanced: str | None  # RFC 3463, such as 5.7.1
    text: str
    seconds: float  # from the end of the command, or of the connecting, to the end of the reply
    late: bool | None  # held back by the server's delay; None where it has none
    missed: float | None = None  # seconds that it had to take at least, or to stay below, and did not
    line: int | None = None  # its first one among the lines of the dialogue; None in files of older harnesses


@dataclass(frozen=True, slots=True)
class StepFact:
    """One exchange of a dialogue: what was sent at once, and the replies that it got."""

    stage: str  # that it is about; empty: it is about none, as RSET, NOOP and QUIT are
    sent: str  # secrets masked; empty: the server spoke without being asked
    at: float | None  # when it was sent, on the clock of the dialogue; None in files of older harnesses
    replies: tuple[ReplyFact, ...]  # empty: none came

    @property
    def reply(self) -> ReplyFact | None:
        """The last reply, which tells what became of it; None when none came."""
        return self.replies[-1] if self.replies else None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One connection of one client, from connect to its end."""

    label: str  # the part it plays: "client", "retry", ...
    client_address: str
    client_name: str
    outcome: str
    lines: tuple[Line, ...]
    queries: tuple[Query, ...]
    steps: tuple[StepFact, ...]  # in order; none of a dialogue that the server held with another mail host
    ending: str
    began: float | None = None  # on the clock of its try; None in files of older harnesses
    is_of_twin: bool = False  # whether it was held in the play without the offence
    called: str = ""  # the mail host, played by the harness, that the server called; empty: a client called

    @property
    def told(self) -> tuple[StepFact, ...]:
        """The steps that tell of a stage: not those after which the server waited for more, and got it."""
        tagged = [step for step in self.steps if step.stage]
        return tuple(
            step
            for step, following in itertools.zip_longest(tagged, tagged[1:])
            if not (_waits(step) and following and following.stage == step.stage)
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was found where the server had delivered it."""

    recipient: str  # whose mailbox it is
    folder: str  # empty for the inbox
    where: str  # the file, or the IMAP folder and number
    headers: tuple[tuple[str, str], ...]  # names and values, in order
    content: str  # the beginning of the whole message; secrets masked


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done, or happened, within a try beside its dialogues."""

    at: float  # on the clock of the try: seconds since the first thing that happened in it
    who: str  # in what part: clock, DNS, operator, outage, mail host, mailbox, server
    text: str
    shown: str = ""  # what was seen, if the act is to see something; secrets masked
    is_of_twin: bool = False  # whether it was in the play without the offence


@dataclass(frozen=True, slots=True)
class OperatorAct:
    """Something that was done or looked up as the server's operator, in files of older harnesses."""

    at: float  # seconds since the try's first connection began; 0 before any
    act: str
    shown: str  # what the operator saw, if the act is to see something; secrets masked


@dataclass(frozen=True, slots=True)
class Try:
    """One run of a scenario on fresh clients; a failure counts only when a second try confirms it."""

    status: Status
    reason: str
    dialogues: tuple[Dialogue, ...]  # those of the clients, then those of the server with other mail hosts
    deliveries: tuple[Delivery, ...] = ()
    operator: tuple[OperatorAct, ...] = ()  # in files of older harnesses; now they are among the events
    events: tuple[Event, ...] = ()  # in order of time


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario of a rule, or one variant of it; the last try is the telling one."""

    name: str
    test: str  # pytest's node id
    status: Status
    reason: str
    expected: str
    observed: str
    seconds: float
    tries: tuple[Try, ...]
    blocked_by: str = ""  # the finding, or the rule, because of which nothing can be told
    came: str = (
        ""  # what the offence came to in a profile's words, such as "deny at rcpt"; empty: no evidence
    )
    lacks: str = ""  # the capability that is not granted, because of which it was not tried


@dataclass(frozen=True, slots=True)
class Finding:
    """What innocent clients met that the profile does not say."""

    id: str
    statement: str
    said: str  # the server's own words
    blocks: tuple[str, ...]  # ids of rules that cannot be told because of it


class CaveatKind(StrEnum):
    """Why a run says less of a server than one that tried all its rules."""

    INTERRUPTED = "interrupted"  # it ended before all was decided
    GIVEN_UP = "given_up"  # innocent clients were not served, or not any more
    UNTRIED = "untried"  # nothing at all was tried
    PART = "part"  # not all scenarios were selected
    MUTANT = "mutant"  # the server was broken on purpose


@dataclass(frozen=True, slots=True)
class Caveat:
    """What must be known before a run is held against another one."""

    kind: CaveatKind
    said: str  # what happened, as a clause about the run: "it was interrupted"
    rules: tuple[str, ...] = ()  # ids of those of which a case has no verdict because of it


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One documented rule, what it says, what was expected of this server, and what came of it."""

    id: str
    stage: str
    level: str
    source: str
    statement: str
    expectation: str  # such as "delay+deny at helo"
    expectation_from: Literal["catalogue", "profile"]
    expectation_reason: str  # the profile's, when it overrides the catalogue
    status: Status
    reason: str
    cases: tuple[Case, ...]
    weakness: str = ""  # what is wrong with the documented rule itself
    blocked_by: str = ""  # the finding, or the rule that failed, because of which this one cannot be told
    suite: str = ""  # the name of its suite; empty in files of older harnesses
    group: str = ""  # the title of its group
    chapter: str = ""  # under which heading reports have it; empty: under its stage


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the server says of itself to an innocent client."""

    greeting: str
    keywords: tuple[str, ...]  # EHLO keywords with their parameters, in clear
    keywords_tls: tuple[str, ...]  # the same after STARTTLS
    tls: dict[str, str]  # version, cipher, subject, names, not_after, issuer, key, fingerprint
    varying: tuple[str, ...] = ()  # what differed on a second connection: "greeting", "ehlo", "tls.names"


class Suite(TypedDict):
    """A suite that a run is of, with the ids of all its rules, run or not."""

    name: str
    title: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run: who was judged, when, by what, and every rule that was looked at."""

    name: str
    started: str  # ISO 8601, UTC
    seconds: float
    harness_version: str
    sut_name: str
    sut_address: str
    route: str  # how the clients came by their addresses
    delay: float  # the server's configured delay; 0 when it has none
    suites: tuple[Suite, ...]
    server: ServerFacts
    rules: tuple[RuleResult, ...]
    notes: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    caveats: tuple[Caveat, ...] = ()  # empty: all was tried that the profile allows, on a server as it is

    def caveat(self, kind: CaveatKind) -> Caveat | None:
        """The caveat of a kind; None when there is none."""
        return next((one for one in self.caveats if one.kind is kind), None)

    @property
    def counts(self) -> dict[Status, int]:
        """How many rules came to each status; every status is there."""
        return count(self.rules)

    @property
    def all_rules(self) -> tuple[str, ...]:
        """The ids of the rules of its suites, run or not."""
        return tuple(rule for suite in self.suites for rule in suite["rules"])

    @property
    def chapters(self) -> list["Chapter"]:
        """The rules under the headings of reports: suite by suite, the stages of the dialogue first."""
        stages = [stage.value for stage in Stage]
        made: list[Chapter] = []
        titles = {suite["name"]: suite["title"] for suite in self.suites}
        for suite in dict.fromkeys((*titles, *(rule.suite for rule in self.rules))):
            of = [rule for rule in self.rules if rule.suite == suite]
            headings = [rule.chapter or rule.stage for rule in of]
            known = [stage for stage in stages if stage in headings]
            for heading in dict.fromkeys((*known, *headings)):
                rules = tuple(rule for rule in of if (rule.chapter or rule.stage) == heading)
                made.append(Chapter(titles.get(suite, suite), heading, rules))
        return made


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of a report."""

    suite: str  # its title
    heading: str
    rules: tuple[RuleResult, ...]


def _waits(step: StepFact) -> bool:
    """Whether the server waits for more before it tells anything (3yz, RFC 5321 §4.2.1)."""
    return step.reply is not None and step.reply.code // 100 == 3


def count(rules: Iterable[RuleResult]) -> dict[Status, int]:
    """How many of `rules` came to each status; every status is there."""
    counts = dict.fromkeys(Status, 0)
    for rule in rules:
        counts[rule.status] += 1
    return counts


def aggregate(cases: Iterable[Case]) -> Status:
    """What the cases make of their rule: the worst among them, so that it passes only if every one did.

    A variant that does not apply to this server says nothing while others do. A rule without cases is
    not testable.
    """
    present = {case.status for case in cases}
    telling = present - {Status.NOT_APPLICABLE} or present
    return next((status for status in WORST_FIRST if status in telling), Status.NOT_TESTABLE)
