"""Who gets mail there: the users that were named, the postmaster, somebody who was made up, and strangers."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.discovery.dialogues import Dialogues
from harness.discovery.facts import Deferral, GreylistSeen, HostedDomain
from harness.discovery.greylist import look_at_deferral
from harness.discovery.place import Telling
from harness.outcome import Stage, Verdict
from harness.world.conversation import Attempt, Step

INVENTED = "nobody-of-that-name"
ELSEWHERE = "elsewhere.example"
POSTMASTER = "postmaster"


@dataclass(frozen=True)
class Welcome:
    """What became of innocent mail to those that were named."""

    recipient: str = ""  # the first ordinary user to whom a message got through
    users: tuple[str, ...] = ()  # all of them
    deferral: Deferral | None = None
    notes: tuple[str, ...] = ()


def look_at_users(dialogues: Dialogues, users: Iterable[str], wait: float, telling: Telling) -> Welcome:
    """Send each of the named users a message, as far as the server takes it."""
    taken: list[str] = []
    notes: list[str] = []
    deferral: Deferral | None = None
    for user in users:
        greylist = passed_in_time(deferral)
        writing = replace(dialogues, recipient=user, goal=Stage.DATA, greylist=greylist)
        attempt = writing.attempt()
        if deferral is None and (put_off := _deferred(attempt)):
            deferral = look_at_deferral(writing, put_off, wait, telling)
            if greylist := passed_in_time(deferral):
                attempt = replace(writing, greylist=greylist).attempt()
        if attempt.data.verdict is Verdict.PASS:
            taken.append(user)
            telling.say(f"a message to {user} was taken: {attempt.data}")
        else:
            last = attempt.steps[-1]
            notes.append(f"mail of an innocent client to {user} did not get through: {last.stage}: {last}")
            telling.say(notes[-1])
    ordinary = [user for user in taken if user.partition("@")[0].lower() != POSTMASTER]
    return Welcome(ordinary[0] if ordinary else "", tuple(taken), deferral, tuple(notes))


def passed_in_time(deferral: Deferral | None) -> GreylistSeen | None:
    """A greylist that lets a retry through after a delay that is known."""
    return deferral.greylist if deferral and deferral.greylist and deferral.greylist.delay else None


def _deferred(attempt: Attempt) -> Step | None:
    """Where a client was put off at a recipient or at the end of the message."""
    stages = (Stage.RCPT, Stage.DATA)
    put_off = [one for one in attempt.steps if one.verdict is Verdict.DEFER and one.stage in stages]
    return put_off[0] if put_off and put_off[0].code != 421 else None


def look_at_domains(
    dialogues: Dialogues, names: Iterable[str], users: Iterable[str], telling: Telling
) -> tuple[list[HostedDomain], list[str]]:
    """The domains for which it takes mail, and what to note of the others.

    That the postmaster of a domain is taken says that the domain is hosted only where that of a foreign
    domain is refused; and it says nothing of other users there.
    """
    foreign = _at_rcpt(dialogues, f"{POSTMASTER}@{ELSEWHERE}")
    distinguishes = foreign.verdict in (Verdict.DENY, Verdict.DROP)
    named: dict[str, list[str]] = {name.lower(): [] for name in names}
    for user in users:
        local_part, _, domain = user.rpartition("@")
        named.setdefault(domain.lower(), []).append(local_part)

    def look(name: str) -> tuple[HostedDomain | None, str]:
        return _look_at_domain(
            dialogues, name, named[name], distinguishes=distinguishes, foreign=str(foreign)
        )

    looks = telling.over("domains", look, list(named))
    hosted = [domain for domain, _ in looks if domain]
    for name, (found, note) in zip(named, looks, strict=True):
        telling.say(f"{name}: {'takes ' + ', '.join(found.users) if found else note}")
    hosted.sort(key=lambda domain: not domain.ordinary)
    return hosted, [f"{name}: {note}" for name, (_, note) in zip(named, looks, strict=True) if note]


def _look_at_domain(
    dialogues: Dialogues, name: str, users: list[str], *, distinguishes: bool, foreign: str
) -> tuple[HostedDomain | None, str]:
    postmaster = _at_rcpt(dialogues, f"{POSTMASTER}@{name}")
    known = list(users)
    if postmaster.verdict is Verdict.PASS and (users or distinguishes):
        known += [POSTMASTER] if POSTMASTER not in (user.lower() for user in users) else []
    if not known:
        if postmaster.verdict is Verdict.PASS:
            return (
                None,
                f"its postmaster is taken, and so is that of {ELSEWHERE} ({foreign}): nothing follows",
            )
        if postmaster.verdict is Verdict.DEFER:
            return None, f"its postmaster is put off, which is neither yes nor no: {postmaster}"
        return None, f"its postmaster is not taken: {postmaster}"
    invented = dialogues.attempt(recipient=f"{INVENTED}@{name}")
    last = invented.steps[-1]
    catch_all: bool | None = None
    if last.stage in (Stage.RCPT, Stage.DATA) and last.verdict in (Verdict.DENY, Verdict.DROP):
        catch_all = False
    elif last.stage is Stage.DATA and last.verdict is Verdict.PASS:
        catch_all = True
    bounce = _bounce(dialogues if users else replace(dialogues, goal=Stage.RCPT), f"{known[0]}@{name}")
    return HostedDomain(name, tuple(known), catch_all, str(last), bounce), ""


def _at_rcpt(dialogues: Dialogues, recipient: str) -> Step:
    """What is said to RCPT; nobody gets a message."""
    return replace(dialogues, goal=Stage.RCPT).attempt(recipient=recipient).step(Stage.RCPT)


def _bounce(dialogues: Dialogues, recipient: str) -> str:
    """How mail without a sender is refused; empty when it is not."""
    attempt = dialogues.attempt(sender="", recipient=recipient)
    refused = [one for one in attempt.steps if one.verdict in (Verdict.DENY, Verdict.DROP)]
    return f"{refused[0].stage}: {refused[0]}" if refused else ""
