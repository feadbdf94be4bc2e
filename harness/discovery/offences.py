"""What odd clients meet, beside innocent ones that differ from them in nothing else.

Each does one thing that a server may hold against it, and goes on as far as innocent clients get; nothing is
said to pass that was not heard out to there.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fake_dns import ServFail, reverse_name
from harness.discovery.dialogues import Dialogues
from harness.discovery.facts import Sighting
from harness.discovery.place import Telling
from harness.discovery.reach import FOREIGN
from harness.offence import Offence
from harness.outcome import Outcome, Stage, Verdict
from harness.world.client import Client, message
from harness.world.conversation import Attempt, Step
from harness.world.made_up import made_up

HELD_FROM = 0.4  # seconds by which an odd client must wait longer than the slowest innocent one
INNOCENTS = 4  # clients, for a comparison
AGREEING = 2  # odd clients that met the same
CHANCES = 4  # odd clients at most
SERVICE_ENDS = 421
BROKEN = "<broken@@example..com"  # no address under any reading of RFC 5322


_Came = tuple[Outcome | None, Step | None, float]  # what came, the step that shows it, seconds of waiting


@dataclass(frozen=True)
class Usual:
    """What innocent clients met: how far they got, and how long each stage took at most, in seconds."""

    reached: Stage | None
    seconds: Mapping[Stage, float] = field(default_factory=dict)
    least: Mapping[Stage, float] = field(default_factory=dict)
    stop: Step | None = None  # where they got no further
    broken: str = ""  # why there is nothing to compare with

    @property
    def pause(self) -> float:
        """What everybody waits for the greeting, in seconds."""
        return self.least.get(Stage.CONNECT, 0.0)

    @property
    def stopped(self) -> str:
        """What keeps them from getting through; empty when nothing does."""
        return f"{self.stop.stage}: {self.stop}" if self.stop else self.broken

    def late(self, step: Step) -> float:
        """How long a step was held back, in seconds; 0 unless that is more than for the slowest innocent."""
        others = [seconds for stage, seconds in self.seconds.items() if stage is not Stage.CONNECT]
        slowest = self.seconds.get(step.stage, max(others, default=0.0))
        held = min(step.seconds - self.least.get(step.stage, 0.0), step.silence)
        return held if min(held, step.seconds - slowest) >= HELD_FROM else 0.0

    def includes(self, step: Step) -> bool:
        """Whether innocent clients are told the same at the same stage."""
        return self.stop is not None and (step.stage, step.code) == (self.stop.stage, self.stop.code)


@dataclass(frozen=True)
class Oddity:
    """One thing to do, and what it is meant to be."""

    offence: Offence
    did: str
    play: Callable[[Dialogues, Client], Attempt]
    by_name: bool = False  # whether it shows in DNS only


def look_at_innocents(dialogues: Dialogues, telling: Telling) -> Usual:
    """How far innocent clients get, and how long it takes."""
    attempts = telling.over("innocent clients", lambda _: dialogues.attempt(), list(range(INNOCENTS)))
    whole = [one for one in attempts if all(_says(step) for step in one.steps)]
    if not whole:
        return Usual(None, broken=attempts[0].broken or str(attempts[0].steps[-1]))
    stop = next((step for one in whole for step in one.steps if step.verdict is not Verdict.PASS), None)
    reached = [step.stage for one in whole for step in one.steps[-1:]]
    last = min(reached, key=list(Stage).index)
    stages = {step.stage for one in whole for step in one.steps}
    times = {stage: [one.step(stage).seconds for one in whole if one.at(stage)] for stage in stages}
    usual = Usual(
        last,
        seconds={stage: max(seconds) for stage, seconds in times.items()},
        least={stage: min(seconds) for stage, seconds in times.items()},
        stop=stop,
    )
    telling.say(
        f"innocent clients are stopped at {usual.stopped}"
        if stop
        else f"innocent clients get through to {last} (it greets after {usual.pause:.1f} s)"
    )
    return usual


def look_at_oddities(
    dialogues: Dialogues,
    oddities: Sequence[Oddity],
    usual: Usual,
    telling: Telling,
    *,
    by_time: bool,
    wait: float | None = None,
) -> list[Sighting]:
    """What became of each, on clients enough to be certain; without `by_time` lateness is not looked at.

    Who was put off tries again after so many seconds of `wait`: a greylist may know the innocent ones.
    Without time for that nothing follows from a deferral; None: the greylist is known, and has passed them.
    """

    def play(oddity: Oddity) -> _Came:
        return _came_out(oddity.play(dialogues, dialogues.client()), usual, by_time=by_time)

    first = telling.over("odd clients", play, [one for one in oddities for _ in range(AGREEING)])
    pairs = [first[at : at + AGREEING] for at in range(0, len(first), AGREEING)]
    sightings = []
    for oddity, seen in zip(oddities, pairs, strict=True):
        while (sighting := _agreed(oddity, seen)) is None and len(seen) < CHANCES:
            seen.append(play(oddity))
        sightings.append(sighting or Sighting(oddity.offence, oddity.did, None, _words(seen[-1][1])))
    if wait is not None:
        sightings = _after_a_while(dialogues, oddities, sightings, usual, telling, wait)
    for one in sightings:
        telling.say(f"  {one.did}: {one.outcome or 'nothing follows'}; «{one.said}»")
    return sightings


def oddities(
    dialogues: Dialogues, hostname: str, domains: Sequence[str], strict: Sequence[str]
) -> list[Oddity]:
    """What can be tried on a server of that name and those domains; `strict` ones refuse unknown users."""
    found = [
        *_about_addresses(),
        *_about_greetings(hostname, domains),
        Oddity(Offence.NO_GREETING, "sent MAIL without a greeting", _mail_without_greeting),
        Oddity(Offence.RELAYING, f"wrote to {FOREIGN}", _to(FOREIGN)),
    ]
    if domains and dialogues.goal is Stage.DATA:
        user = dialogues.recipient.partition("@")[0]
        odd = {"put a % into the recipient": f"{user}%x", "put a dot in front of the recipient": f".{user}"}
        for did, local_part in odd.items():
            found.append(Oddity(Offence.ILLEGAL_RECIPIENT, did, _to(f"{local_part}@{domains[0]}")))
    if strict:
        found.append(
            Oddity(Offence.UNKNOWN_USER, "wrote to an invented user", _to(f"{dialogues.nobody}@{strict[0]}"))
        )
    if dialogues.goal is Stage.DATA:
        found.append(Oddity(Offence.BROKEN_HEADER, "sent a broken header", _broken_header))
    return [one for one in found if dialogues.chooses_addresses or not one.by_name]


def _about_addresses() -> list[Oddity]:
    return [
        Oddity(Offence.UNVERIFIED_HOST, "has no PTR record", _nameless, by_name=True),
        Oddity(Offence.UNVERIFIED_HOST, "has a PTR name without an address", _unresolvable, by_name=True),
        Oddity(Offence.UNVERIFIED_HOST, "has a PTR name with another address", _mismatching, by_name=True),
        Oddity(Offence.FAILED_LOOKUP, "has a PTR record that cannot be looked up", _failing, by_name=True),
        Oddity(Offence.UNCONFIRMED_GREETING, "greets with a name that is not in DNS", _nowhere, by_name=True),
        Oddity(Offence.BORROWED_GREETING, "greets with another host's name", _borrowed, by_name=True),
    ]


def _about_greetings(hostname: str, domains: Sequence[str]) -> list[Oddity]:
    found = [
        Oddity(Offence.UNQUALIFIED_GREETING, "greets without a dot", _greeting(lambda client: "localbox")),
        Oddity(
            Offence.BARE_ADDRESS_GREETING,
            "greets with its bare address",
            _greeting(lambda client: client.address),
        ),
        Oddity(
            Offence.ADDRESS_LITERAL_GREETING,
            "greets with its address in brackets",
            _greeting(lambda client: f"[{client.address}]"),
        ),
    ]
    if domains:
        found += [
            Oddity(Offence.OWN_NAME_GREETING, f"greets as {domains[0]}", _greeting(lambda _: domains[0])),
            Oddity(
                Offence.OWN_HOST_GREETING,
                f"greets as a host in {domains[0]}",
                _greeting(lambda _: f"{made_up()}.{domains[0]}"),
            ),
        ]
    if hostname:
        found.append(
            Oddity(Offence.OWN_NAME_GREETING, f"greets as {hostname}", _greeting(lambda _: hostname))
        )
    return found


# What they do


def _greeting(name: Callable[[Client], str]) -> Callable[[Dialogues, Client], Attempt]:
    return lambda dialogues, client: dialogues.attempt(client, helo=name(client))


def _to(recipient: str) -> Callable[[Dialogues, Client], Attempt]:
    return lambda dialogues, client: dialogues.attempt(client, recipient=recipient, upto=Stage.RCPT)


def _nameless(dialogues: Dialogues, client: Client) -> Attempt:
    client.without_ptr()
    return dialogues.attempt(client)


def _unresolvable(dialogues: Dialogues, client: Client) -> Attempt:
    client.ptr_names(client.name("nowhere"))
    return dialogues.attempt(client)


def _mismatching(dialogues: Dialogues, client: Client) -> Attempt:
    elsewhere = client.name("elsewhere")
    client.publish(elsewhere, "A", dialogues.internet.spare_address())
    client.ptr_names(elsewhere)
    return dialogues.attempt(client)


def _failing(dialogues: Dialogues, client: Client) -> Attempt:
    client.script(reverse_name(client.address), "PTR", ServFail())
    return dialogues.attempt(client)


def _nowhere(dialogues: Dialogues, client: Client) -> Attempt:
    return dialogues.attempt(client, helo=client.name("nowhere"))


def _borrowed(dialogues: Dialogues, client: Client) -> Attempt:
    name, elsewhere = client.name("borrowed"), dialogues.internet.spare_address()
    client.publish(name, "A", elsewhere)
    dialogues.dns.publish_ptr(elsewhere, name)
    return dialogues.attempt(client, helo=name)


def _mail_without_greeting(dialogues: Dialogues, client: Client) -> Attempt:
    with client.conversation() as talk:
        if talk.connect().verdict is Verdict.PASS:
            client.carry_on(talk)
        return talk.quit()


def _broken_header(dialogues: Dialogues, client: Client) -> Attempt:
    return dialogues.attempt(client, message=message(client, dialogues.recipient, to=BROKEN))


def _after_a_while(
    dialogues: Dialogues,
    oddities: Sequence[Oddity],
    sightings: Sequence[Sighting],
    usual: Usual,
    telling: Telling,
    wait: float,
) -> list[Sighting]:
    """The same, with what came of it when clients that were put off tried again: some are only greylisted."""
    put_off = [
        (oddity, one)
        for oddity, one in zip(oddities, sightings, strict=True)
        if one.outcome
        and one.outcome.verdict is Verdict.DEFER
        and one.outcome.stage in (Stage.RCPT, Stage.DATA)
    ]
    if not put_off:
        return list(sightings)
    if not wait:
        untold = [(pair, replace(pair[1], outcome=None)) for pair in put_off]
        return [dict(untold).get(pair, pair[1]) for pair in zip(oddities, sightings, strict=True)]
    telling.say(
        f"{len(put_off)} odd clients were put off; they try again after {wait:g} s, as a greylist wants it"
    )

    def again(pair: tuple[Oddity, Sighting]) -> Sighting:
        oddity, before = pair
        client = dialogues.client()
        oddity.play(dialogues, client)
        telling.clock(wait).advance(client.address, wait)
        outcome, step, waited = _came_out(oddity.play(dialogues, client), usual, by_time=True)
        if outcome is None or outcome == before.outcome:
            return before
        told = f"{_words(step)} (when it tried again after {wait:g} s; at first {before.said})"
        return Sighting(before.offence, before.did, outcome, told, waited)

    later = dict(zip(put_off, telling.over("retries", again, put_off, lasts=wait), strict=True))
    return [later.get(pair, pair[1]) for pair in zip(oddities, sightings, strict=True)]


# What became of them


def _says(step: Step) -> bool:
    """Whether there is a reply that speaks of what was asked."""
    return step.reply is not None and not step.mangled and step.code != SERVICE_ENDS


def _agreed(oddity: Oddity, seen: Sequence[_Came]) -> Sighting | None:
    """What clients enough met alike, and more than met anything else; None when there is no such thing."""
    votes = Counter(outcome for outcome, _, _ in seen)
    outcome, count = votes.most_common(1)[0]
    if count < AGREEING or count <= len(seen) - count:
        return None
    step, waited = next((step, waited) for one, step, waited in seen if one == outcome)
    return Sighting(oddity.offence, oddity.did, outcome, _words(step), waited)


def _came_out(attempt: Attempt, usual: Usual, *, by_time: bool) -> _Came:
    """In the words of a profile, with the step that shows it, and how much longer that took than usual."""
    held: tuple[Step, float] | None = None
    for step in attempt.steps:
        if not _says(step) or usual.includes(step):
            return None, step, 0.0
        waited = usual.late(step) if by_time else 0.0
        if step.verdict is not Verdict.PASS:
            return Outcome(step.verdict or Verdict.DENY, step.stage, late=waited > 0), step, waited
        if waited and held is None:
            held = (step, waited)
    shown, waited = held or (attempt.steps[-1], 0.0)
    if attempt.steps[-1].stage is not Stage.DATA:  # it may be refused where it was not heard out to
        return None, shown, waited
    return Outcome(Verdict.PASS, shown.stage, late=waited > 0), shown, waited


def _words(step: Step | None) -> str:
    return f"{step.stage}: {step}" if step else ""
