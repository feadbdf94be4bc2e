"""One try of a scenario: played with its offence and without, and what follows from the two together."""

import contextlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from enum import Enum

from harness.judge import ContradictionError, Fault, GreylistWordError, MisplacedError, UnclearTimingError
from harness.outcome import DIALOGUE, Stage, Treatment, later
from harness.results.model import Status, Try
from harness.rules import Rule
from harness.runs.baseline import Finding, Innocent
from harness.runs.evidence import Evidence, aftermath, clock_zero
from harness.runs.expect import EndedError, MarkedInnocentError
from harness.runs.play import Play
from harness.runs.run import Run
from harness.runs.steadiness import LATE
from harness.verdicts import (
    EndedAsDocumentedError,
    FailedError,
    InconclusiveError,
    MisfiledError,
    NeverCameError,
    NotApplicableError,
    NotTestableError,
    ScenarioEnd,
    UnreadableMailError,
)
from harness.world.client import Client
from harness.world.conversation import Conversation, Step
from harness.world.host import SKIPS_LOOPBACK
from harness.world.refusal import Refusal, refusal_of

UNSAID = "an assertion of the scenario does not hold"


@dataclass(frozen=True)
class Plan:
    """A scenario as the scheduler knows it."""

    rule: Rule
    needs: frozenset[str]  # of this case, beyond those of the rule
    play: Callable[[Play], None]
    has_twin: bool = True  # whether it is played without its offence, too

    @property
    def all_needs(self) -> frozenset[str]:
        """Of the case and of its rule."""
        return self.rule.needs | self.needs


@dataclass(frozen=True)
class Vote:
    """What one try says of a rule: passed, failed, or nothing; `error` is what a debugger wants to see."""

    status: Status
    reason: str = ""
    error: BaseException | None = None
    final: bool = False  # it would be the same however often it were tried
    blocked_by: str = ""  # the finding that keeps the rule from being told
    lost: bool = False  # whether it says nothing because a dialogue, or the server, was lost
    troubled_by: str = ""  # the id of the finding about how innocents are refused by now, if it is one
    late_at: Stage | None = None  # where a reply was held back that should not be, if that is all
    hits_innocents: bool = False  # whether it failed because of what the innocent twin met
    sort: Hashable = None  # of failure: who met what, and at which stage
    by_absence: bool = False  # whether it passed because nothing came, or the connection ended
    by_ending: bool = False  # whether it passed or failed by how the connection ended, as a bad network may
    spared: bool = True  # whether its known hosts are those that the greylist spares by their names


class Came(Enum):
    """How one play ended."""

    KEPT = "as promised"
    BROKEN = "against the promise"
    NOTHING = "nothing follows from it"
    FINAL = "it cannot be played here"


@dataclass(frozen=True)
class _End:
    came: Came
    reason: str = ""
    error: BaseException | None = None


def try_once(run: Run, plan: Plan, *, spared: bool = True) -> tuple[Vote, list[Play]]:
    """Play a scenario on fresh clients, with the offence and, where it has a twin, without.

    Known hosts are `spared` by the greylist for their names, where there are such names, or wait.
    """
    plays = [
        Play(run, plan.rule, offence, plan.needs, spared)
        for offence in ((True, False) if plan.has_twin else (True,))
    ]
    # What disturbs the server may be why it refuses the offence: then it refuses the twin behind it as well.
    if run.side_by_side and len(plays) > 1 and not plan.rule.disturbs:
        with run.threads(1, "twin") as pool:
            twin = pool.submit(_end_of, run, plays[1], plan)
            ends = [_end_of(run, plays[0], plan), twin.result()]
    else:
        ends = [_end_of(run, play, plan) for play in plays]
    vote = replace(_voted(run, plan, plays, ends), spared=spared)
    for play, end in zip(plays, ends, strict=True):
        play.ended_with = end.error
        talks = [talk for _, _, talk in play.world.conversations]
        for talk in talks:
            run.steadiness.dialogue_ended(lost=bool(talk.lost))
        run.severed.note(plan.rule.id, [talk.severed_at for talk in talks if talk.severed_at])
        if not play.offence and end.came in (Came.KEPT, Came.BROKEN):
            well = end.came is Came.KEPT or bool(vote.blocked_by)  # what all meet is steady
            run.steadiness.twin_met(plan, "" if well else _met(end))
        tells_of_innocents = (not play.offence or not plan.has_twin) and not _may_wait(run, plan)
        if tells_of_innocents and not vote.blocked_by and not _explaining(run, play, end.error):
            reached = {step.stage for talk in talks for step in talk.staged}
            run.steadiness.timed(plan.rule.id, reached, _late_at(end.error))
    return vote, plays


def _may_wait(run: Run, plan: Plan) -> bool:
    """Whether innocent clients of a scenario may be kept waiting, by what it plays with all of them."""
    return not plan.has_twin and any(one.late for one in run.profile.expectation(plan.rule)[0])


def _late_at(error: BaseException | None) -> Stage | None:
    """Where a reply was late that should not be, or may have been."""
    if isinstance(error, UnclearTimingError):
        return error.step.stage if error.step else None
    if isinstance(error, ContradictionError) and error.fault is Fault.LATE:
        return error.step.stage
    return None


def _met(end: _End) -> str:
    """What a twin met instead of what was promised, in short."""
    if isinstance(end.error, ContradictionError):
        same = end.error.fault is not Fault.REPLY
        return LATE if same else f"{end.error.step.code} at {end.error.step.name}"
    return type(end.error).__name__


def evidence_of(run: Run, vote: Vote, plays: list[Play]) -> Try:
    """What a try leaves behind for the report."""
    if run.lean:
        return Try(vote.status, vote.reason, ())
    zero = clock_zero(plays)
    left = [Evidence(play, zero) for play in plays]
    return Try(
        vote.status,
        vote.reason,
        tuple(line for one in left for line in one.dialogues),
        tuple(mail for one in left for mail in one.deliveries),
        events=tuple(sorted((event for one in left for event in one.events), key=lambda event: event.at)),
    )


def observed_in(plays: list[Play]) -> str:
    """What the offence came to, in a line."""
    return "; ".join(filter(None, (plays[0].expect.observed, aftermath(plays[0].world))))


def refusals_in(play: Play) -> set[Refusal]:
    """What its clients were refused with."""
    steps = (step for _, _, talk in play.world.conversations for step in talk.staged)
    return {found for step in steps if (found := refusal_of(step))}


def came_in(plays: list[Play]) -> str:
    """What the offence came to, in a profile's words; empty where its twin did not get through either."""
    return plays[0].expect.came if all(play.expect.proven for play in plays[1:]) else ""


def _end_of(run: Run, play: Play, plan: Plan) -> _End:
    try:
        with play.world.place(), run.taking_part():
            _play(plan, play)
    except (FailedError, AssertionError) as ending:
        return _held_against(play, plan, ending)
    except InconclusiveError as ending:
        return _nothing_seen(play, ending)
    except (NotTestableError, NotApplicableError) as ending:
        lost = play.world.unheard or play.world.lost
        if lost and not isinstance(ending, EndedAsDocumentedError):
            reason = f"{ending}; but a dialogue was lost, so nothing follows: {lost}"
            return _End(Came.NOTHING, reason, InconclusiveError(reason))
        return _End(Came.FINAL, str(ending), ending)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a scenario raises is told at its pytest item
        if lost := play.world.lost:
            reason = f"a dialogue was lost, so nothing follows: {lost}"
            return _End(Came.NOTHING, reason, InconclusiveError(reason))
        return _End(Came.FINAL, f"the scenario itself is broken: {type(error).__name__}: {error}", error)
    if lost := play.world.lost:
        reason = f"a dialogue was lost, so nothing follows: {lost}"
        return _End(Came.NOTHING, reason, InconclusiveError(reason))
    return _End(Came.KEPT)


def _held_against(play: Play, plan: Plan, ending: FailedError | AssertionError) -> _End:
    """A play in which something else came than is promised, and whether that says anything of the rule."""
    if unheard := play.world.unheard:
        return _End(Came.NOTHING, unheard, InconclusiveError(unheard))
    lost = play.world.lost
    if lost and not isinstance(ending, EndedError):
        reason = f"{_sentence(ending)}; but a dialogue was lost, so nothing follows: {lost}"
        return _End(Came.NOTHING, reason, InconclusiveError(reason))
    if isinstance(ending, MisfiledError) and not plan.rule.about_storage:
        return _End(Came.NOTHING, str(ending), UnreadableMailError(str(ending)))
    if isinstance(ending, NeverCameError) and not (play.offence and plan.has_twin):
        reason = f"{ending}; nothing shows that what an innocent client sends comes there"
        return _End(Came.NOTHING, reason, InconclusiveError(reason, ending))
    return _End(Came.BROKEN, _sentence(ending), ending)


def _nothing_seen(play: Play, ending: InconclusiveError) -> _End:
    """A play that proves nothing, and whether a client of it was put off at last by the greylist's words."""
    last = {client.address: talk for _, client, talk in play.world.conversations}
    put_off = (
        play.expect.judge.says_the_greylist(step, talk.attempt)
        for talk in last.values()
        for step in talk.staged[-1:]
    )
    if ending.seen is None and any(put_off):
        ending.seen = GreylistWordError(str(ending))
    return _End(Came.NOTHING, str(ending), ending)


def _play(plan: Plan, play: Play) -> None:
    """Play it; a message that did not come because it was never taken is no matter of delivery."""
    try:
        plan.play(play)
    except NeverCameError as ending:
        talks = [talk for _, _, talk in play.world.conversations if talk.token == ending.token]
        if talks and not any(talk.took_message for talk in talks):
            play.expect.judge.accepts(talks[-1].attempt, Stage.DATA)
        raise


def _sentence(ending: FailedError | AssertionError) -> str:
    """Its reason; what pytest adds to an assertion below its first line shows in its own traceback."""
    text = str(ending)
    return (text.partition("\n")[0] if isinstance(ending, AssertionError) else text) or UNSAID


def _voted(run: Run, plan: Plan, plays: list[Play], ends: list[_End]) -> Vote:
    """The vote; where nobody can be sent to see how the server is, nothing, however often it is tried."""
    try:
        return _vote(run, plan, plays, ends)
    except (InconclusiveError, NotTestableError) as ending:
        seen = "; ".join(end.reason for end in ends if end.reason)
        reason = f"{seen}; but whether innocent clients were served cannot be told: {ending}"
        return Vote(Status.INCONCLUSIVE, reason, InconclusiveError(reason), final=True)


def _vote(run: Run, plan: Plan, plays: list[Play], ends: list[_End]) -> Vote:
    finals = [end for end in ends if end.came is Came.FINAL]
    if finals:
        return _set_aside(run, plays, min(finals, key=lambda end: isinstance(end.error, ScenarioEnd)))
    broken = [(play, end) for play, end in zip(plays, ends, strict=True) if end.came is Came.BROKEN]
    for play, end in zip(plays, ends, strict=True):
        if blocked := _blocked(run, plan, play, end):
            return blocked
    for play, end in zip(plays, ends, strict=True):
        if end.came is Came.NOTHING:
            reason = f"{'' if play.offence else 'the innocent twin: '}{end.reason}"
            if play.world.lost:
                trouble, finding = _trouble(run, plays)
                said = f"{reason}; afterwards {trouble}" if trouble else reason
                nothing = _nothing(said, None if trouble else end.error)
                return replace(nothing, lost=True, troubled_by=finding)
            hindrance = _hindrance(run, play, end)
            return replace(_nothing(reason, end.error), blocked_by=hindrance.id if hindrance else "")
    if not broken:
        return Vote(
            Status.PASSED,
            by_absence=any(play.expect.by_absence for play in plays),
            by_ending=any(play.expect.by_ending for play in plays),
        )
    return _against(run, plays, broken)


def _set_aside(run: Run, plays: list[Play], final: _End) -> Vote:
    """It cannot be played here: for certain where that was known before, and else if it is so again.

    What a server in trouble says tells nothing of what can be played.
    """
    held = any(talk.staged for play in plays for _, _, talk in play.world.conversations)
    by_what_was_met = held and isinstance(final.error, NotTestableError | NotApplicableError)
    trouble = finding = ""
    if by_what_was_met:
        with contextlib.suppress(InconclusiveError, NotTestableError):  # nobody can be sent to see
            trouble, finding = _trouble(run, plays)
    if trouble:
        return replace(_nothing(f"{final.reason}; afterwards {trouble}"), lost=True, troubled_by=finding)
    return Vote(status_of(final.error), final.reason, final.error, final=not by_what_was_met)


def _blocked(run: Run, plan: Plan, play: Play, end: _End) -> Vote | None:
    """What innocent clients meet as well is nothing that the rule does, unless it is about them.

    A twin is one of them, whatever the rule is about.
    """
    finding = _explaining(run, play, end.error)
    if isinstance(end.error, MarkedInnocentError):
        finding = run.baseline.marking
    if finding is None or (play.offence and _is_about(run, plan.rule, finding)):
        return None
    reason = f"{end.reason}; this is what innocent clients meet: {finding.statement}"
    if finding.lets_through and _come_from_loopback(run):
        reason += f"; {SKIPS_LOOPBACK}"
    return Vote(Status.INCONCLUSIVE, reason, InconclusiveError(reason), True, finding.id)


def _explaining(run: Run, play: Play, error: BaseException | None) -> Finding | None:
    """The finding by which innocent clients meet what a play ended with as well; None where they do not."""
    shown = error if isinstance(error, ContradictionError | UnclearTimingError | MisplacedError) else None
    if not (shown and shown.step and shown.step.tag and (met := _who_met(play, shown.step))):
        return None
    client, talk = met
    return run.baseline.explains(client, shown.step, talk.manner, talk.recipient, shown.fault)


def _hindrance(run: Run, play: Play, end: _End) -> Finding | None:
    """What innocent clients meet as well, and why nothing follows from a play."""
    for _, client, talk in play.world.conversations:
        for step in talk.staged:
            hindered = step.misplaced or step.treatment not in (None, Treatment.PASS)
            if hindered and (found := run.baseline.explains(client, step, talk.manner, talk.recipient)):
                return found
    greylist = run.profile.greylist
    if greylist and isinstance(end.error, GreylistWordError):
        return run.baseline.greylisting(greylist.stage)
    return None


def _is_about(run: Run, rule: Rule, finding: Finding) -> bool:
    """Whether what innocent clients meet is what a rule about them promises, told where it promises it.

    A rule that promises to let them through speaks of its own stage only: what refuses them later, be it a
    refusal that was kept until then, may be any other rule's. That clients of loopback are not greylisted may
    be said of these alone.
    """
    if finding.lets_through and _come_from_loopback(run):
        return False
    promised, _ = run.profile.expectation(rule)
    told = {one.stage for one in promised if one.treatment is not Treatment.PASS}
    return rule.about_innocents and finding.step.stage in (told or {rule.stage})


def _come_from_loopback(run: Run) -> bool:
    """Whether all clients are in 127.0.0.0/8, or are ::1, where servers look for nobody but themselves."""
    networks = run.profile.clients.networks
    return bool(networks) and all(network.is_loopback for network in networks)


def _who_met(play: Play, step: Step) -> tuple[Client, Conversation] | None:
    for _, client, talk in play.world.conversations:
        if any(one is step for one in talk.steps):
            return client, talk
    return None


def _against(run: Run, plays: list[Play], broken: list[tuple[Play, _End]]) -> Vote:
    """It was not as documented: is it this rule, or is the server in trouble as a whole?"""
    play, end = broken[-1]  # the twin's, if that was hit
    reason = end.reason if play.offence else f"it hits the innocent twin, too: {end.reason}"
    trouble, finding = _trouble(run, plays, end.error)
    if trouble:
        return replace(_nothing(f"{reason}; afterwards {trouble}"), lost=True, troubled_by=finding)
    sort = _sort_of(play, end.error)
    if isinstance(end.error, EndedError):
        reason = f"{reason}, while an innocent client was served right after it"
    if isinstance(end.error, AssertionError) and play.offence:
        return Vote(Status.FAILED, reason, end.error, sort=sort)  # pytest shows what it compared
    error = FailedError(reason, seen=end.error).with_traceback(end.error.__traceback__ if end.error else None)
    late = _late_at(end.error) if isinstance(end.error, ContradictionError) else None
    ended, hits = isinstance(end.error, EndedError), not play.offence
    return Vote(Status.FAILED, reason, error, late_at=late, hits_innocents=hits, sort=sort, by_ending=ended)


def _sort_of(play: Play, error: BaseException | None) -> Hashable:
    """What two clients have met alike of whom a failure says the same.

    Codes may differ within a class, as some servers vary them.
    """
    if isinstance(error, ContradictionError):
        return play.offence, error.fault, error.step.tag, error.step.treatment
    if isinstance(error, EndedError) and play.world.conversations:
        return play.offence, len(play.world.conversations[-1][2].steps)  # the same ending at the same place
    return play.offence, type(error)


def _trouble(run: Run, plays: list[Play], error: BaseException | None = None) -> tuple[str, str]:
    """What keeps innocent clients of the servers of these plays from being served, if anything.

    They come as whoever met the `error` did. Behind it stands the id of the finding that there is about it,
    or will be.
    """
    servers = dict.fromkeys(server for play in plays for server in play.world.servers)
    like = _nearest_innocent(run, plays, error)
    for server in servers or {run.endpoints.first: None}:
        if trouble := run.trouble(server, like):
            return trouble, run.refused_with(like) if server == run.endpoints.first else ""
    times = _came_before(run, plays, error)
    return (run.wearied(like, times) if like and times else ""), ""


def _came_before(run: Run, plays: list[Play], error: BaseException | None) -> int:
    """How often whoever met an error had come before, where that was a reply that says something else."""
    if not isinstance(error, ContradictionError) or error.fault is not Fault.REPLY:
        return 0
    for play in plays:
        talks = [(client, talk) for _, client, talk in play.world.conversations]
        for number, (client, talk) in enumerate(talks):
            if error.step in talk.steps:
                there = client.reached_at == run.endpoints.first
                before = [other for other, _ in talks[:number] if other.address == client.address]
                return len(before) if there else 0
    return 0


def _nearest_innocent(run: Run, plays: list[Play], error: BaseException | None) -> Innocent | None:
    """The innocent client of the baseline that is most like whoever met an error, up to that stage.

    Before all else it logs in where that one did, or tried to: an account may be out of use for a while.
    """
    talks = [(client, talk) for play in plays for _, client, talk in play.world.conversations if talk.staged]
    step = error.step if isinstance(error, ContradictionError | UnclearTimingError) else None
    met = [one for one in talks if step in one[1].steps] if step else talks[:1]
    if not met or not run.baseline.meetings:
        return None
    client, talk = met[0]
    reached = (step and step.tag) or max((one.stage for one in talk.staged), key=DIALOGUE.index)
    known = [one.innocent for one in run.baseline.meetings]
    nearest = max(
        known,
        key=lambda one: (
            one.authenticated == talk.at_auth,
            one.kind is client.kind,
            one.manner == talk.manner,
            one.recipient == talk.recipient,
        ),
    )
    return replace(nearest, goal=later(Stage.RCPT, reached))


def _nothing(reason: str, error: BaseException | None = None) -> Vote:
    return Vote(Status.INCONCLUSIVE, reason, error or InconclusiveError(reason))


def status_of(ending: BaseException | None) -> Status:
    """The status of a scenario that cannot be played."""
    if isinstance(ending, NotApplicableError):
        return Status.NOT_APPLICABLE
    return Status.NOT_TESTABLE if isinstance(ending, NotTestableError) else Status.INCONCLUSIVE
