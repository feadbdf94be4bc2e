"""Who gets mail there: the users that were named, the postmaster, somebody who was made up, and strangers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.discovery.comparison import words
from harness.discovery.dialogues import Dialogues
from harness.discovery.evidence import heard, says, wants_more
from harness.discovery.facts import Deferral, GreylistSeen, HostedDomain
from harness.discovery.greylist import look_at_deferral
from harness.discovery.place import Telling
from harness.outcome import Stage, Treatment
from harness.world.conversation import Attempt, Step

ELSEWHERE = "elsewhere.example"
POSTMASTER = "postmaster"
BOUNCE = ""  # mail without a sender


@dataclass(frozen=True)
class Welcome:
    """What became of innocent mail to those that were named."""

    recipient: str = ""  # the first ordinary user to whom a message got through
    users: tuple[
        str, ...
    ] = ()  # all of them, and those who are there by their owner's word: they were put off
    deferral: Deferral | None = None
    notes: tuple[str, ...] = ()
    closed: str = ""  # the stage and the reply by which one was to have TLS or an account first


def look_at_users(dialogues: Dialogues, users: Iterable[str], wait: float, telling: Telling) -> Welcome:
    """Send each of the named users a message, as far as the server takes it."""
    taken: list[str] = []
    put_off: list[str] = []
    notes: list[str] = []
    deferral: Deferral | None = None
    closed = ""
    for user in users:
        greylist = passed_in_time(deferral)
        writing = replace(dialogues, recipient=user, goal=Stage.DATA, greylist=greylist)
        attempt = heard(writing.attempt)
        if deferral is None and (deferred_at := _deferred(attempt)):
            deferral = look_at_deferral(writing, deferred_at, wait, telling)
            if greylist := passed_in_time(deferral):
                attempt = heard(replace(writing, greylist=greylist).attempt)
        if attempt.data.treatment is Treatment.PASS and says(attempt.data):
            taken.append(user)
            telling.say(f"a message to {user} was taken: {attempt.data}")
        else:
            last = attempt.staged[-1]
            closed = closed or (words(last) if wants_more(last) else "")
            put_off += [user] if last.treatment is Treatment.DEFER or not says(last) else []
            unsent = " (the answer to DATA itself)" if last.command == "DATA" else ""
            notes.append(f"mail of an innocent client to {user} did not get through: {words(last)}{unsent}")
            telling.say(notes[-1])
    ordinary = [user for user in taken if user.partition("@")[0].lower() != POSTMASTER]
    return Welcome(ordinary[0] if ordinary else "", (*taken, *put_off), deferral, tuple(notes), closed)


def passed_in_time(deferral: Deferral | None) -> GreylistSeen | None:
    """A greylist that lets a retry through after a delay that is known."""
    return deferral.greylist if deferral and deferral.greylist and deferral.greylist.delay else None


def verified_first_unless_shown(
    deferral: Deferral | None, domains: Iterable[HostedDomain]
) -> Deferral | None:
    """A greylist comes before recipients are looked for only where one that was invented is refused later."""
    if deferral is None or deferral.greylist is None:
        return deferral
    written_to = deferral.recipient.rpartition("@")[2].lower()
    strict = any(one.name.lower() == written_to and one.catch_all is False for one in domains)
    first = deferral.greylist.before_verification and strict
    return replace(deferral, greylist=replace(deferral.greylist, before_verification=first))


def _deferred(attempt: Attempt) -> Step | None:
    """Where a client was put off at a recipient or at the end of the message."""
    stages = (Stage.RCPT, Stage.DATA)
    put_off = [one for one in attempt.staged if one.treatment is Treatment.DEFER and one.stage in stages]
    return put_off[0] if put_off and says(put_off[0]) else None


def look_at_domains(
    dialogues: Dialogues, names: Iterable[str], users: Iterable[str], telling: Telling
) -> tuple[list[HostedDomain], list[str]]:
    """The domains for which it takes mail, and what to note of the others.

    That the postmaster of a domain is taken says that the domain is hosted only where that of a foreign
    domain is refused; and it says nothing of other users there.
    """
    named: dict[str, list[str]] = {name.lower(): [] for name in names}
    for user in users:
        local_part, _, domain = user.rpartition("@")
        named.setdefault(domain.lower(), []).append(local_part)
    at_rcpt, invented = replace(dialogues, goal=Stage.RCPT), dialogues.nobody

    def write(letter: tuple[str, str]) -> Attempt:
        return heard(lambda: write_once(letter))

    def write_once(letter: tuple[str, str]) -> Attempt:
        name, to = letter
        further = dialogues if named.get(name) else at_rcpt  # nobody else may get a message
        if to == BOUNCE:
            return further.attempt(sender="", recipient=f"{[*named[name], POSTMASTER][0]}@{name}")
        return (further if to == invented else at_rcpt).attempt(recipient=f"{to}@{name}")

    letters = [
        (ELSEWHERE, POSTMASTER),
        *((name, to) for name in named for to in (POSTMASTER, invented, BOUNCE)),
    ]
    once_more = [(name, invented) for name in named]  # that everybody is taken is not said of one
    attempts = telling.over("domains", write, [*letters, *once_more], at_once=len(letters))
    came = dict(zip(letters, attempts[: len(letters)], strict=True))
    again = dict(zip(named, attempts[len(letters) :], strict=True))
    foreign = _at_rcpt(came[ELSEWHERE, POSTMASTER])
    hosted: list[HostedDomain] = []
    notes: list[str] = []
    for name, known in named.items():
        postmaster = _at_rcpt(came[name, POSTMASTER])
        note = _doubt(known, postmaster, foreign)
        if note:
            notes.append(f"{name}: {note}")
        else:
            taken = _users(known, postmaster)
            hosted.append(_hosted(name, taken, (came[name, invented], again[name]), came[name, BOUNCE]))
        telling.say(f"{name}: {note or 'its users are ' + ', '.join(hosted[-1].users)}")
    hosted.sort(key=lambda domain: not domain.ordinary)
    return hosted, notes


def _at_rcpt(attempt: Attempt) -> Step:
    """The answer to RCPT, or what ended the dialogue before that."""
    return attempt.at(Stage.RCPT) or attempt.staged[-1]


def _tells(step: Step) -> bool:
    """Whether it is an answer to RCPT that says something."""
    return step.stage is Stage.RCPT and says(step)


def _doubt(users: list[str], postmaster: Step, foreign: Step) -> str:
    """Why a domain is not said to be hosted; empty when it is."""
    if not users and not _tells(postmaster):
        return f"what becomes of mail to its postmaster was not to be seen: {words(postmaster)}"
    if not users and postmaster.treatment is Treatment.PASS and not _tells(foreign):
        unseen = f"whether that of {ELSEWHERE} is was not to be seen: {words(foreign)}"
        return f"its postmaster is taken, and {unseen}"
    if users or (
        postmaster.treatment is Treatment.PASS and foreign.treatment in (Treatment.DENY, Treatment.DROP)
    ):
        return ""
    if postmaster.treatment is Treatment.PASS and foreign.treatment is Treatment.DEFER:
        return f"its postmaster is taken, and that of {ELSEWHERE} is put off ({foreign}): nothing follows"
    if postmaster.treatment is Treatment.PASS:
        return f"its postmaster is taken, and so is that of {ELSEWHERE} ({foreign}): nothing follows"
    if postmaster.treatment is Treatment.DEFER:
        return f"its postmaster is put off, which is neither yes nor no: {postmaster}"
    return f"its postmaster is not taken: {postmaster}"


def _users(known: list[str], postmaster: Step) -> tuple[str, ...]:
    """Those that were named, and the postmaster where that one is taken."""
    has_him = POSTMASTER in (user.lower() for user in known)
    is_taken = _tells(postmaster) and postmaster.treatment is Treatment.PASS
    return (*known, *([POSTMASTER] if is_taken and not has_him else []))


def _hosted(name: str, users: tuple[str, ...], invented: Sequence[Attempt], bounce: Attempt) -> HostedDomain:
    last = [attempt.staged[-1] for attempt in invented]
    catch_all: bool | None = None
    if all(_refuses(step) and step.stage in (Stage.RCPT, Stage.DATA) for step in last):
        catch_all = False
    elif all(says(step) and step.stage is Stage.DATA and step.treatment is Treatment.PASS for step in last):
        catch_all = True
    refused = next((step for step in bounce.staged if _refuses(step)), None)
    return HostedDomain(name, users, catch_all, words(last[0]), words(refused))


def _refuses(step: Step) -> bool:
    return says(step) and step.treatment in (Treatment.DENY, Treatment.DROP)
