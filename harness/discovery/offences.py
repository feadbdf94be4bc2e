"""What odd clients meet, beside innocent ones that differ from them in nothing else.

Each does one thing that a server may hold against it, and goes on as far as innocent clients get; nothing is
said to pass that was not heard out to there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fake_dns import ServFail, reverse_name
from harness.discovery.comparison import AGREEING, Came, Usual, agreed, came_out, nothing_follows, words
from harness.discovery.dialogues import Dialogues
from harness.discovery.evidence import says
from harness.discovery.facts import Sighting
from harness.discovery.place import Telling
from harness.discovery.reach import FOREIGN
from harness.offence import Offence
from harness.outcome import Stage, Treatment
from harness.world.client import Client, message
from harness.world.conversation import Attempt
from harness.world.made_up import made_up

INNOCENTS = 4  # clients, for a comparison
CHANCES = 4  # odd clients at most
BROKEN = "<broken@@example..com"  # no address under any reading of RFC 5322


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
    whole = [one for one in attempts if all(says(step) for step in one.staged)]
    if not whole:
        return Usual(None, broken=attempts[0].broken or str(attempts[0].staged[-1]))
    stop = next((step for one in whole for step in one.staged if step.treatment is not Treatment.PASS), None)
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

    def play(oddity: Oddity | None) -> Came:
        attempt = oddity.play(dialogues, dialogues.client()) if oddity else dialogues.innocent_attempt()
        return came_out(attempt, usual, by_time=by_time)

    order = [one for oddity in oddities for one in (oddity, None, oddity)]
    first = telling.over("odd clients, and innocent ones beside them", play, order)
    sightings = []
    for number, oddity in enumerate(oddities):
        odd, beside, another = first[3 * number : 3 * number + 3]
        seen, innocent = [odd, another], [beside]
        blank = Sighting(oddity.offence, oddity.did, None, "")
        while (sighting := agreed(blank, seen, innocent, usual)) is None and len(seen) < CHANCES:
            innocent.append(play(None))
            seen.append(play(oddity))
        sightings.append(sighting or nothing_follows(blank, seen, innocent, usual))
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
        return came_out(oddity.play(dialogues, client), usual, by_time=True)

    def in_the_end(before: Sighting, retries: Sequence[Came]) -> Sighting:
        (outcome, step, waited), *others = retries
        if outcome and outcome == before.outcome and all(one == outcome for one, _, _ in others):
            return before
        told = f"{words(step)} (when it tried again after {wait:g} s; at first {before.said})"
        alike = all(one == outcome for one, _, _ in others)
        return Sighting(before.offence, before.did, outcome if alike else None, told, waited)

    tries = [pair for pair in put_off for _ in range(AGREEING)]
    came = telling.over("retries", again, tries, at_once=max(1, len(tries)), lasts=wait)
    later = {
        pair: in_the_end(pair[1], came[AGREEING * at : AGREEING * (at + 1)])
        for at, pair in enumerate(put_off)
    }
    return [later.get(pair, pair[1]) for pair in zip(oddities, sightings, strict=True)]
