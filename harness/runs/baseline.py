"""The baseline: what the server does to innocent clients before any offence.

Every kind of client, every verb, ordinary users and postmasters, up to the end of DATA. What differs from
the profile is a finding of its own; whatever a scenario meets that innocent clients meet as well is the doing
of that finding and of no rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fake_dns import listing_name
from harness.grants.addresses import IPV6
from harness.grants.mail import MAILBOX
from harness.judge import ContradictionError, Fault, MisplacedError, UnclearTimingError
from harness.outcome import DIALOGUE, Outcome, Stage, Treatment
from harness.profile.model import Profile
from harness.profile.tables import RouteName
from harness.runs.steadiness import LATE
from harness.smtp.session import Ending
from harness.verdicts import FailedError, InconclusiveError, NotTestableError
from harness.world.client import Client
from harness.world.conversation import Attempt, Manner, Step
from harness.world.internet import Kind
from harness.world.step import BELONGS

if TYPE_CHECKING:
    from harness.runs.run import Run

MOST_USERS = 40  # of all domains, that are written to
LOOKS = 2  # at what is not as it should be
AGREEING = 2  # clients who met the same, for a finding
MISSED_FROM = (
    2.0  # seconds of pause; a shorter one may have been a look-up that was slow when it was measured
)

KINDS = {
    Kind.KNOWN: "known",
    Kind.STRANGER: "strange",
    Kind.TRUSTED: "relay hosts,",
    Kind.IPV6: "known, IPv6",
    Kind.IPV6_STRANGER: "strange, IPv6",
}


@dataclass(frozen=True)
class Innocent:
    """One way to be innocent."""

    kind: Kind
    recipient: str
    extended: bool = True
    covered: bool = False  # under TLS
    authenticated: bool = False
    goal: Stage = Stage.DATA

    @property
    def who(self) -> str:
        """What a server tells it by: that it has logged in, and else its host."""
        return "account" if self.authenticated else self.kind.name.lower()

    @property
    def manner(self) -> Manner:
        """How it speaks."""
        return Manner(self.extended, self.covered or self.authenticated, self.authenticated)

    def __str__(self) -> str:
        """Who it is, in a report."""
        if self.authenticated:
            return "accounts"
        who = f"{KINDS[self.kind]} innocent clients".replace("hosts, innocent clients", "hosts")
        how = "" if self.extended else " that greet with HELO"
        return f"{who}{how or (' under TLS' if self.covered else '')}"


@dataclass(frozen=True)
class Meeting:
    """What an innocent client met: the dialogue, and in words where it did not go as the profile says."""

    innocent: Innocent
    client: Client
    attempt: Attempt
    deviation: str = ""
    step: Step | None = None  # at which it deviated
    late: bool = False  # whether only the time was wrong there
    lost: bool = False  # whether it ended for no reason that a reply gives

    @property
    def said(self) -> str:
        """What it met instead of what is promised, in short; empty when that was as promised."""
        if not self.deviation:
            return ""
        return f"{self.step.code} at {self.step.stage}" if self.step and not self.late else LATE


@dataclass(frozen=True)
class Finding:
    """Something that innocent clients meet and that the profile does not say."""

    id: str  # such as `baseline.known.rcpt`
    statement: str
    said: str  # by the server
    innocent: Innocent
    step: Step
    only_recipient: bool = False  # whether it is about that recipient, and not about all of them
    in_message: bool = False  # whether it shows in what is delivered, and not in the dialogue
    late: bool = False  # whether only the time is wrong
    spared: frozenset[Manner] = frozenset()  # in which clients of that kind did not meet it
    misses: str = ""  # what nobody meets, by its key in [dialect]: it explains nothing that others meet

    @property
    def lets_through(self) -> bool:
        """Whether strangers are taken who should be greylisted: that explains no offender's success."""
        return self.step.treatment is Treatment.PASS and not self.late

    def explains(self, client: Client, step: Step, manner: Manner, fault: Fault, recipient: str) -> bool:
        """Whether a client of that kind and `manner` met the same when it wrote to a `recipient`.

        What strangers meet others of their IP version may as well. That innocent clients are kept waiting
        explains no other reply, and no reply that came at once.
        """
        known = Fault.LATE if self.late else Fault.REPLY
        if self.in_message or self.misses or step.tag is not self.step.tag or fault is not known:
            return False
        if manner.at(step.stage) in self.spared:
            return False
        by_same_version = client.version == self.innocent.kind.version
        others_too = self.innocent.kind.is_strange and not self.lets_through and by_same_version
        if not (_is_one_of(client.kind, self.innocent.kind) or others_too):
            return False
        to_another = step.tag is Stage.DATA and recipient.lower() != self.innocent.recipient.lower()
        if self.only_recipient and (to_another or step.command != self.step.command):
            return False
        return step.code == self.step.code


@dataclass(frozen=True)
class Baseline:
    """What innocent clients met."""

    meetings: tuple[Meeting, ...] = ()
    findings: tuple[Finding, ...] = ()
    zones_asked: frozenset[tuple[str, int]] = frozenset()  # of lists, about that IP version
    asked_at: Stage | None = Stage.RCPT  # by then the server had asked DNS about a known client; None: never
    unasked: frozenset[str] = frozenset()  # innocents, by `who`, none of whom it asked anything about

    @property
    def plainest(self) -> Meeting:
        """A known client's dialogue, one that was not lost if there is any."""
        known = [one for one in self.meetings if one.innocent.kind is Kind.KNOWN]
        return next((one for one in known if not one.lost), known[0])

    @property
    def nobody_served(self) -> str:
        """That no known client's dialogue came to an end by a reply; empty when one did."""
        known = [one for one in self.meetings if one.innocent.kind is Kind.KNOWN]
        if not known or any(not one.lost for one in known):
            return ""
        reached = known[0].attempt.staged[-1].stage if known[0].attempt.staged else Stage.CONNECT
        return f"an innocent client got no further than {reached}: {known[0].deviation}"

    def has_waited(self, kind: Kind, step: Step) -> bool:
        """Whether clients of a kind were put off as they are at a step, came again, and were let through."""
        return step.treatment is Treatment.DEFER and any(
            one.innocent.kind is kind and not one.deviation and one.client.put_off == (step.stage, step.code)
            for one in self.meetings
        )

    def misses(self, key: str) -> bool:
        """Whether nobody waits as everybody should by that key of [dialect]: `pause`, `refusals_take`."""
        return any(one.misses == key for one in self.findings)

    @property
    def marking(self) -> Finding | None:
        """That messages of innocent clients are marked as those of offenders are; None when they are not."""
        return next((one for one in self.findings if one.in_message), None)

    def greylisting(self, stage: Stage) -> Finding | None:
        """That strangers are not put off at `stage` as the profile says; None when they are."""
        about = (one for one in self.findings if one.innocent.kind is Kind.STRANGER)
        return next((one for one in about if one.step.stage is stage), None)

    def explains(
        self, client: Client, step: Step, manner: Manner, recipient: str, fault: Fault = Fault.REPLY
    ) -> Finding | None:
        """The finding that a client's step shows as well; None when innocent clients met nothing like it.

        `recipient` is the first one of its message.
        """
        explaining = (one for one in self.findings if one.explains(client, step, manner, fault, recipient))
        return next(explaining, None)


def look(run: "Run") -> Baseline:
    """Send innocent clients of every kind, and again those that met something else than the profile says."""
    with run.threads(run.profile.server.jobs, "innocent") as pool:
        meetings = [*filter(None, pool.map(lambda one: _if_possible(run, one), innocents(run.profile)))]
        doubtful = [one.innocent for one in meetings if one.deviation]
        again = [*filter(None, pool.map(lambda one: _if_possible(run, one), doubtful * (LOOKS - 1)))]
    for meeting in (*meetings, *again):
        run.steadiness.dialogue_ended(lost=meeting.lost)
    for innocent in [one.innocent for one in meetings]:
        heard = [one for one in (*meetings, *again) if one.innocent is innocent and not one.lost]
        for meeting in heard if len(heard) > 1 or not any(one.deviation for one in heard) else ():
            run.steadiness.twin_met(innocent, meeting.said)
    findings = (
        *_findings((*meetings, *again)),
        *_marking(run, meetings),
        *_lost_pause(run, meetings),
        *_lost_tarpit(run),
    )
    asked_about = {one.innocent.who for one in meetings if one.client.queries()}
    unasked = frozenset(one.innocent.who for one in meetings if not one.lost) - asked_about
    baseline = Baseline(tuple(meetings), findings, frozenset(_zones_asked(run, meetings)), unasked=unasked)
    return replace(baseline, asked_at=_asked_at(baseline.plainest))


def _if_possible(run: "Run", innocent: Innocent) -> Meeting | None:
    """What an innocent client met; None where there can be none of that kind now, unless it is known.

    Raises `NotTestableError` and `InconclusiveError` for those.
    """
    try:
        return meet(run, innocent)
    except (NotTestableError, InconclusiveError):
        if innocent.kind is Kind.KNOWN:
            raise
        return None


def innocents(profile: Profile) -> Iterator[Innocent]:
    """Every way to be innocent that the profile allows for, the plainest first."""
    ordinary = [f"{user}@{domain.name}" for domain in profile.domain for user in domain.users]
    recipient = ordinary_recipient(profile)
    chooses = bool(profile.clients.networks)
    yield Innocent(Kind.KNOWN, recipient)
    yield Innocent(Kind.KNOWN, recipient, extended=False)
    if chooses:
        yield Innocent(Kind.STRANGER, recipient)
    if profile.clients.trusted:
        yield Innocent(Kind.TRUSTED, recipient)
    if not IPV6.lacking(profile):
        yield Innocent(Kind.IPV6, recipient)
        if profile.greylist:
            yield Innocent(Kind.IPV6_STRANGER, recipient)
    if profile.tls:
        yield Innocent(Kind.KNOWN, recipient, covered=True)
    if profile.auth:
        yield Innocent(Kind.KNOWN, recipient, covered=True, authenticated=True)
    for user in ordinary[:MOST_USERS]:
        if user != recipient:
            yield Innocent(Kind.KNOWN, user, goal=profile.dialect.tells(Stage.RCPT))


def ordinary_recipient(profile: Profile) -> str:
    """The first user who is no postmaster, of the first domain that has one."""
    names = [
        f"{user}@{domain.name}"
        for domain in profile.domain
        for user in domain.users
        if user.lower() != "postmaster"
    ]
    return names[0] if names else f"{profile.domain[0].users[0]}@{profile.domain[0].name}"


def meet(run: "Run", innocent: Innocent, *, patient: bool = True, client: Client | None = None) -> Meeting:
    """One innocent client, and what it met; one that is not `patient` does not come again when put off.

    It is a fresh one, unless it is to be a certain `client`.
    """
    if client is None:
        fresh = run.world()
        client = run.observer(fresh) if innocent.kind is Kind.KNOWN else run.client(fresh, innocent.kind)
    world = client.world
    world.goal = innocent.goal
    try:
        attempt = client.attempt(
            recipient=innocent.recipient,
            extended=innocent.extended,
            covered=innocent.covered,
            authenticated=innocent.authenticated,
            patient=patient,
            label=str(innocent),
        )
    except (InconclusiveError, NotTestableError) as ending:
        return Meeting(innocent, client, _dialogue_of(client), str(ending), lost=True)
    lost = next((talk.lost for _, _, talk in world.conversations if talk.lost), "")
    try:
        _as_promised(run, innocent, attempt, patient=patient)
    except ContradictionError as ending:
        if lost:
            return Meeting(innocent, client, attempt, lost, lost=True)
        return Meeting(innocent, client, attempt, str(ending), ending.step, ending.fault is Fault.LATE)
    except UnclearTimingError as ending:
        return Meeting(innocent, client, attempt, lost or str(ending), lost=bool(lost))
    except MisplacedError as ending:
        step = None if lost else ending.step
        return Meeting(innocent, client, attempt, lost or str(ending), step, lost=bool(lost))
    except InconclusiveError as ending:
        return Meeting(innocent, client, attempt, lost or str(ending), lost=True)
    return Meeting(innocent, client, attempt)


def _dialogue_of(client: Client) -> Attempt:
    """What was said before it broke off, if anything."""
    talks = [talk for _, _, talk in client.world.conversations]
    return talks[-1].attempt if talks else Attempt(client.address, (), Ending.OPEN)


def _as_promised(run: "Run", innocent: Innocent, attempt: Attempt, *, patient: bool) -> None:
    """Raise unless a dialogue went as the profile says an innocent one does.

    A stranger is put off by the greylist, and whoever is known to it only by coming again may be, unless it
    was `patient`. Raises `ContradictionError` or `InconclusiveError`.
    """
    greylist = run.profile.greylist
    may_be_put_off = innocent.kind.is_strange or (attempt.awaits_greylist and not patient)
    if greylist and (greylist.exempts(innocent.recipient) or not may_be_put_off):
        greylist = None
    if attempt.at(Stage.TLS):  # who is refused TLS does not greet again, so nothing after it would tell why
        run.judge.replied(attempt.tls, (BELONGS[Stage.TLS],))
    for stage in DIALOGUE[: DIALOGUE.index(innocent.goal) + 1]:
        if greylist and stage is greylist.stage:
            if not innocent.kind.is_strange and attempt.step(stage).treatment is Treatment.PASS:
                continue  # it is known from before
            codes = tuple(str(code) for code in greylist.codes)
            run.judge.expect(attempt, (Outcome(Treatment.DEFER, stage, codes=codes),))
            break
        if attempt.at(stage) or stage is innocent.goal:
            run.judge.through(attempt, stage)


def _findings(meetings: tuple[Meeting, ...]) -> Iterator[Finding]:
    """What as many clients met alike as makes it certain; one that is about all recipients is told once."""
    told: list[Finding] = []
    for innocent in dict.fromkeys(one.innocent for one in meetings):
        seen = [one for one in meetings if one.innocent == innocent and one.step]
        if len(seen) < AGREEING or len({_met(one) for one in seen}) > 1:
            continue
        met = seen[0]
        step = met.step
        if step is None or any(_same(finding, met) for finding in told):
            continue
        alike = [one for one in meetings if one.innocent.kind is innocent.kind and one.attempt.at(step.stage)]
        hit = {one.innocent.manner.at(step.stage) for one in alike if _met(one) == _met(met)}
        spared = frozenset({one.innocent.manner.at(step.stage) for one in alike} - hit)
        nearest = [one for one in alike if one.innocent.manner == innocent.manner]
        alone = step.stage in (Stage.RCPT, Stage.DATA) and any(not one.deviation for one in nearest)
        found = replace(_finding(innocent, step, alone=alone), late=met.late, spared=spared)
        told.append(found)
        yield found


def _met(meeting: Meeting) -> tuple[Stage, int, bool] | None:
    """What an innocent client met instead of what is promised."""
    return (meeting.step.stage, meeting.step.code, meeting.late) if meeting.step else None


def _same(finding: Finding, met: Meeting) -> bool:
    one_place = not finding.only_recipient or finding.innocent.recipient == met.innocent.recipient
    same = _met(met) == (finding.step.stage, finding.step.code, finding.late)
    return same and one_place and _is_one_of(met.innocent.kind, finding.innocent.kind)


def _is_one_of(kind: Kind, known: Kind) -> bool:
    """Whether clients of a kind are among those of whom something is known.

    All strangers are strange, and an ordinary host that has waited is known.
    """
    among_strangers = known is Kind.STRANGER and kind.is_strange
    return kind is known or among_strangers or (known is Kind.KNOWN and kind is Kind.ORDINARY)


def _finding(innocent: Innocent, step: Step, *, alone: bool) -> Finding:
    where = f" when they write to {innocent.recipient}" if alone else ""
    name = f"baseline.{innocent.who}.{step.stage}" + (f".{innocent.recipient}" if alone else "")
    statement = f"{innocent} are {met_with(innocent, step)} at {step.stage}{where}: {step}"
    if step.misplaced:
        statement = f"{statement}, {step.misplaced}"
    return Finding(name, statement, str(step), innocent, step, alone)


def met_with(innocent: Innocent, step: Step) -> str:
    """What became of innocent clients at a step, as a participle behind «they are»."""
    if step.misplaced:
        return "told what is no answer"
    late_ones = (Stage.RCPT, Stage.DATA)
    if innocent.kind.is_strange and step.treatment is Treatment.PASS and step.stage in late_ones:
        return "not greylisted"
    return {
        Treatment.PASS: "kept waiting",
        Treatment.DEFER: "deferred",
        Treatment.DENY: "refused",
        Treatment.DROP: "refused, and the connection is closed,",
    }[step.treatment or Treatment.DENY]


def _marking(run: "Run", meetings: list[Meeting]) -> Iterator[Finding]:
    """That the messages of the first innocent clients are marked, where this server marks those of others."""
    dialect, mailbox = run.profile.dialect, run.tools.get(MAILBOX)
    marks = run.sut.marks_listed or any(answer.marked for answer in dialect.answers.values())
    taken = [
        one
        for one in meetings
        if one.innocent.goal is Stage.DATA and one.attempt.data.treatment is Treatment.PASS
    ]
    if mailbox is None or not marks or len(taken) < AGREEING:
        return
    try:
        found = [mailbox.find(one.attempt.recipient, one.attempt.token) for one in taken[:AGREEING]]
    except (FailedError, InconclusiveError):
        return  # that mail does not come is for the rules about delivery to say
    said = [message.headers(dialect.mark) for message in found]
    if all(said):
        statement = f"messages of innocent clients are marked: {dialect.mark}: {said[0][0]}"
        one = taken[0]
        yield Finding("baseline.mark", statement, said[0][0], one.innocent, one.attempt.data, in_message=True)


def _lost_pause(run: "Run", meetings: list[Meeting]) -> Iterator[Finding]:
    """That no client was kept waiting for the greeting when it came first, where everybody should be.

    A client that comes again may be known, and so may the address of all where none can be chosen. By XCLIENT
    a client is introduced behind the greeting. Relay hosts wait for nothing at many a server.
    """
    profile = run.profile
    shows = profile.clients.networks and profile.clients.route is not RouteName.XCLIENT
    if profile.dialect.pause < MISSED_FROM or not shows:
        return
    first = [
        (one.innocent, talk.steps[0])
        for one in meetings
        for _, _, talk in one.client.world.conversations[:1]
        if one.innocent.kind is not Kind.TRUSTED and talk.steps[0].reply
    ]
    if len(first) < AGREEING or not all(run.judge.is_before_the_pause(step) for _, step in first):
        return
    innocent, slowest = max(first, key=lambda one: one[1].seconds)
    statement = (
        "innocent clients are not kept waiting for the greeting, for which everybody waits "
        f"{profile.dialect.pause:g} s by dialect.pause; the slowest that came: {slowest}"
    )
    yield Finding("baseline.pause", statement, str(slowest), innocent, slowest, misses="pause")


def _lost_tarpit(run: "Run") -> Iterator[Finding]:
    """That refusals come at once, of which each should take a while: of mail for others, and for nobody.

    Whom the server relays for is not refused the first, so where no address can be chosen little may be seen.
    """
    take = run.profile.dialect.refusals_take
    if take < MISSED_FROM:
        return
    asked = [for_others for for_others in (True, False) for _ in range(AGREEING)]
    with run.threads(len(asked), "refused") as pool:
        refused = [*filter(None, pool.map(lambda for_others: _refusal(run, for_others=for_others), asked))]
    if len(refused) < AGREEING or not all(map(run.judge.is_before_refusals, refused)):
        return
    slowest = max(refused, key=lambda step: step.seconds)
    statement = (
        "who is refused is not kept waiting for that, which takes everybody "
        f"{take:g} s by dialect.refusals_take; the slowest that came: {slowest}"
    )
    innocent = Innocent(Kind.KNOWN, ordinary_recipient(run.profile))
    yield Finding("baseline.refusals", statement, str(slowest), innocent, slowest, misses="refusals_take")


def _refusal(run: "Run", *, for_others: bool) -> Step | None:
    """Where one is refused who writes to somebody elsewhere, or to nobody; None when that was not seen."""
    world = run.world()
    try:
        elsewhere = f"friend@{world.internet.foreign_domain()}"
        attempt = run.observer(world).attempt(
            recipient=elsewhere if for_others else run.sut.unknown_recipient,
            upto=run.profile.dialect.tells(Stage.RCPT),
            patient=False,
            label=f"mail for {'others' if for_others else 'nobody'}, to see how long a refusal takes",
        )
    except (InconclusiveError, NotTestableError):
        return None
    last = attempt.staged[-1] if attempt.staged else None  # a greylist's word may be another program's
    return last if last and last.treatment in (Treatment.DENY, Treatment.DROP) else None


def _asked_at(met: Meeting) -> Stage | None:
    """The stage by which the server had asked DNS about a client; None when it never did."""
    asked = min((entry.at for entry in met.client.queries()), default=None)
    if asked is None:
        return None
    return next((one.stage for one in met.attempt.staged if one.ended >= asked), Stage.DATA)


def _zones_asked(run: "Run", meetings: list[Meeting]) -> Iterator[tuple[str, int]]:
    """The block lists' zones that were asked about one of the clients, and the IP version of that."""
    for blocklist in run.profile.dnsbl:
        for zone in blocklist.zones:
            for one in meetings:
                if run.internet.dns.queries(under=listing_name(one.client.address, zone)):
                    yield zone, one.client.version
