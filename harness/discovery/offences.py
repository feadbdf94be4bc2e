"""What odd clients meet, beside innocent ones that differ from them in nothing else.

Each does one thing that a server may hold against it, and goes on as far as innocent clients get; nothing is
said to pass that was not heard out to there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fake_dns import ServFail, reverse_name
from harness.discovery.comparison import AGREEING, Came, Usual, agreed, came_out, nothing_follows, words
from harness.discovery.dialogues import Dialogues
from harness.discovery.evidence import says, wants_more
from harness.discovery.facts import Sighting
from harness.discovery.place import AT_ONCE, WAITING_AT_ONCE, Telling
from harness.discovery.reach import FOREIGN
from harness.offence import Offence
from harness.outcome import Stage, Treatment
from harness.world.client import Client, message
from harness.world.conversation import Attempt, Step
from harness.world.made_up import made_up

INNOCENTS = 4  # clients, for a comparison
CHANCES = 6  # odd clients at most
LONG_PAUSE = 2.0  # seconds of waiting for a greeting, which cost nobody any work
BROKEN = "<broken@@example..com"  # no address under any reading of RFC 5322


@dataclass(frozen=True)
class Oddity:
    """One thing to do, and what it is meant to be."""

    offence: Offence
    did: str
    play: Callable[[Dialogues, Client], Attempt]
    by_name: bool = False  # whether it shows in DNS only
    at: Stage = (
        Stage.CONNECT
    )  # where it is done; a server that knows it by DNS may know it from the beginning


@dataclass(frozen=True)
class _Look:
    """What came of an oddity so far, and of innocent clients beside it."""

    blank: Sighting
    oddity: Oddity
    seen: list[Came]
    innocent: list[Came]

    def agreed(self, usual: Usual) -> Sighting | None:
        """What clients enough met alike, if anything."""
        return agreed(self.blank, self.seen, self.innocent, usual)


def look_at_innocents(dialogues: Dialogues, telling: Telling) -> Usual:
    """How far innocent clients get, and how long it takes."""
    attempts = telling.over("innocent clients", lambda _: dialogues.attempt(), list(range(INNOCENTS)))
    whole = [one for one in attempts if _is_whole(one)]
    if not whole:
        return Usual(None, broken=words(attempts[0].staged[-1]))
    if any(map(_stop_of, whole)) and not all(map(_stop_of, whole)):  # one may have come at a bad moment
        more = telling.over("innocent clients once more", lambda _: dialogues.attempt(), attempts, at_once=1)
        whole += [one for one in more if _is_whole(one)]
    stopped = [one for one in whole if _stop_of(one)]
    if 2 * len(stopped) >= len(whole):
        stop = next(filter(None, map(_stop_of, stopped)), None)
    else:
        stop, whole = None, [one for one in whole if one not in stopped]
    reached = [step.stage for one in whole for step in one.staged[-1:]]
    last = min(reached, key=list(Stage).index)
    stages = {step.stage for one in whole for step in one.staged}
    times = {stage: [one.step(stage).seconds for one in whole if one.at(stage)] for stage in stages}
    usual = Usual(
        last,
        seconds={stage: max(seconds) for stage, seconds in times.items()},
        least={stage: min(seconds) for stage, seconds in times.items()},
        stop=stop,
    )
    if not stop:
        telling.say(f"innocent clients get through to {last} (it greets after {usual.pause:.1f} s)")
    return usual


def _is_whole(attempt: Attempt) -> bool:
    """Whether every step of a dialogue says something, if only that more is wanted first."""
    return all(says(step) or wants_more(step) for step in attempt.staged)


def _stop_of(attempt: Attempt) -> Step | None:
    """Where an innocent client got no further."""
    return next((step for step in attempt.staged if step.treatment is not Treatment.PASS), None)


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

    def play(oddity: Oddity | None) -> Came:
        attempt = oddity.play(dialogues, dialogues.client()) if oddity else dialogues.innocent_attempt()
        return came_out(attempt, usual, by_time=by_time, since=oddity.at if oddity else Stage.CONNECT)

    order = [one for oddity in oddities for one in (oddity, None, oddity)]
    is_awaited = usual.pause >= LONG_PAUSE
    crowd = WAITING_AT_ONCE if is_awaited else AT_ONCE
    first = telling.over("odd clients, and innocent ones beside them", play, order, at_once=crowd)
    looks = [
        _Look(Sighting(oddity.offence, oddity.did, None, ""), oddity, [odd, another], [beside])
        for oddity, odd, beside, another in zip(oddities, first[::3], first[1::3], first[2::3], strict=True)
    ]
    at_once = AT_ONCE if is_awaited else 1  # it may have been too many at once
    for _ in range(CHANCES - AGREEING):
        open_still = [one for one in looks if one.agreed(usual) is None]
        order = [one for look in open_still for one in (None, look.oddity)]
        more = telling.over("those of which nothing followed, once more", play, order, at_once=at_once)
        for look, beside, odd in zip(open_still, more[::2], more[1::2], strict=True):
            look.innocent.append(beside)
            look.seen.append(odd)
    sightings = [
        one.agreed(usual) or nothing_follows(one.blank, one.seen, one.innocent, usual) for one in looks
    ]
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
        Oddity(Offence.NO_GREETING, "sent MAIL without a greeting", _mail_without_greeting, at=Stage.MAIL),
        _writing(Offence.RELAYING, f"wrote to {FOREIGN}", FOREIGN),
    ]
    if domains and dialogues.goal is Stage.DATA:
        user = dialogues.recipient.partition("@")[0]
        odd = {"put a % into the recipient": f"{user}%x", "put a dot in front of the recipient": f".{user}"}
        for did, local_part in odd.items():
            found.append(_writing(Offence.ILLEGAL_RECIPIENT, did, f"{local_part}@{domains[0]}"))
    if strict:
        invented = f"{dialogues.nobody}@{strict[0]}"
        found.append(_writing(Offence.UNKNOWN_USER, "wrote to an invented user", invented))
    if dialogues.goal is Stage.DATA:
        found.append(Oddity(Offence.BROKEN_HEADER, "sent a broken header", _broken_header, at=Stage.DATA))
    return [one for one in found if dialogues.chooses_addresses or not one.by_name]


def _about_addresses() -> list[Oddity]:
    return [
        Oddity(Offence.UNVERIFIED_HOST, "has no PTR record", _nameless, by_name=True),
        Oddity(Offence.UNVERIFIED_HOST, "has a PTR name without an address", _unresolvable, by_name=True),
        Oddity(Offence.UNVERIFIED_HOST, "has a PTR name with another address", _mismatching, by_name=True),
        Oddity(Offence.FAILED_LOOKUP, "has a PTR record that cannot be looked up", _failing, by_name=True),
        Oddity(
            Offence.UNCONFIRMED_GREETING,
            "greets with a name that is not in DNS",
            _nowhere,
            by_name=True,
            at=Stage.HELO,
        ),
        Oddity(
            Offence.BORROWED_GREETING,
            "greets with another host's name",
            _borrowed,
            by_name=True,
            at=Stage.HELO,
        ),
    ]


def _about_greetings(hostname: str, domains: Sequence[str]) -> list[Oddity]:
    found = [
        _greeting(Offence.UNQUALIFIED_GREETING, "without a dot", lambda client: "localbox"),
        _greeting(Offence.BARE_ADDRESS_GREETING, "with its bare address", lambda client: client.address),
        _greeting(
            Offence.ADDRESS_LITERAL_GREETING,
            "with its address in brackets",
            lambda client: f"[{client.address}]",
        ),
    ]
    if domains:
        found += [
            _greeting(Offence.OWN_NAME_GREETING, f"as {domains[0]}", lambda _: domains[0]),
            _greeting(
                Offence.OWN_HOST_GREETING, f"as a host in {domains[0]}", lambda _: f"{made_up()}.{domains[0]}"
            ),
        ]
    if hostname:
        found.append(_greeting(Offence.OWN_NAME_GREETING, f"as {hostname}", lambda _: hostname))
    return found


# What they do


def _greeting(offence: Offence, how: str, name: Callable[[Client], str]) -> Oddity:
    def play(dialogues: Dialogues, client: Client) -> Attempt:
        return dialogues.attempt(client, helo=name(client))

    return Oddity(offence, f"greets {how}", play, at=Stage.HELO)


def _writing(offence: Offence, did: str, recipient: str) -> Oddity:
    def play(dialogues: Dialogues, client: Client) -> Attempt:
        return dialogues.attempt(client, recipient=recipient, upto=Stage.RCPT)

    return Oddity(offence, did, play, at=Stage.RCPT)


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
    client.be_known(dialogues.recipient)
    with client.conversation() as talk:
        if talk.connect().treatment is Treatment.PASS:
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
        and one.outcome.treatment is Treatment.DEFER
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

    def again(pair: tuple[Oddity, Sighting]) -> Came:
        oddity, _ = pair
        client = dialogues.client()
        oddity.play(dialogues, client)
        telling.clock(wait).advance(client.address, wait)
        return came_out(oddity.play(dialogues, client), usual, by_time=True, since=oddity.at)

    def in_the_end(before: Sighting, retries: Sequence[Came]) -> Sighting:
        (outcome, step, waited, _), *others = retries
        if outcome and outcome == before.outcome and all(one.outcome == outcome for one in others):
            return before
        told = f"{words(step)} (when it tried again after {wait:g} s; at first {before.said})"
        alike = all(one.outcome == outcome for one in others)
        return Sighting(before.offence, before.did, outcome if alike else None, told, waited)

    tries = [pair for pair in put_off for _ in range(AGREEING)]
    came = telling.over("retries", again, tries, at_once=max(1, len(tries)), lasts=wait)
    later = {
        pair: in_the_end(pair[1], came[AGREEING * at : AGREEING * (at + 1)])
        for at, pair in enumerate(put_off)
    }
    return [later.get(pair, pair[1]) for pair in zip(oddities, sightings, strict=True)]
