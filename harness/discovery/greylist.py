"""A deferral is no greylist until a retry of the same client was taken after some time, and no other's."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.discovery.dialogues import Dialogues
from harness.discovery.evidence import heard
from harness.discovery.facts import Deferral, GreylistSeen
from harness.discovery.place import Telling
from harness.outcome import Stage, Treatment
from harness.world.client import GREYLIST_SLACK, Client
from harness.world.conversation import Step
from harness.world.internet import Identity

CALLED_SO = re.compile(r"gr[ea]y-?\s?list", re.IGNORECASE)
FIRST_RETRY = 0.4  # seconds
STEP = 1.1  # of the time before: as close as the delay is found
ROUND = (3600, 1800, 900, 600, 300, 60, 30, 10, 5, 2, 1, 0.5, 0.1)  # seconds, as people choose them
FIRST_CONTACTS = 20  # at once
AGREEING = 2  # clients that must meet the same
TAKEN, DEFERRED = 200, 400  # reply codes from which on
COURTESIES = ("postmaster", "abuse")  # whom many greylists leave alone


@dataclass(frozen=True)
class _Retry:
    first: Step | None
    again: Step | None

    @property
    def after(self) -> float:
        """Seconds from being put off to asking again."""
        if self.first is None or self.again is None:
            return 0.0
        return self.again.began - self.first.ended


def look_at_deferral(dialogues: Dialogues, put_off: Step, wait: float, telling: Telling) -> Deferral:
    """Whether a deferral is that of a greylist; retries go on for `wait` seconds at most."""
    recipient, said = dialogues.recipient, str(put_off)
    telling.say(f"an innocent client that writes to {recipient} is put off at {put_off.stage}: {said}")
    called = CALLED_SO.search(put_off.prose) is not None
    bare = GreylistSeen(put_off.code, said, str(put_off.stage)) if called else None
    times = list(_times(wait))
    if not times:
        telling.say("whether that is a greylist shows only when time passes (--wait SECONDS)")
        return Deferral(recipient, said, bare)
    telling.say(f"clients try again after up to {wait:g} s, to see whether that is a greylist (--wait)")
    clock = telling.clock(wait + GREYLIST_SLACK)

    def retry(seconds: float) -> _Retry:
        client = dialogues.client()
        first = dialogues.attempt(client).at(put_off.stage)
        clock.advance(client.address, seconds)
        return _Retry(first, dialogues.attempt(client).at(put_off.stage))

    tries = telling.over("retries", retry, times, at_once=len(times), lasts=wait)
    delay = _delay_of([one for one in tries if one.first and one.first.code == put_off.code], put_off.code)
    fresh = heard(dialogues.attempt).at(put_off.stage)
    if not delay or fresh is None or fresh.code != put_off.code:
        telling.say(f"no retry was taken within {wait:g} s while newcomers were put off; so nobody can tell")
        return Deferral(recipient, said, bare)
    telling.say(f"a retry is taken after {delay:g} s, while newcomers are put off: a greylist")
    seen = GreylistSeen(put_off.code, said, str(put_off.stage), delay)
    return Deferral(recipient, said, _in_detail(dialogues, seen, telling))


def introduce(dialogues: Dialogues, number: int, telling: Telling) -> None:
    """Let so many clients be put off and wait, all together, so that those who come next need not."""
    if dialogues.greylist is None or not dialogues.chooses_addresses:
        return
    seconds = dialogues.greylist.delay + GREYLIST_SLACK
    clients = "1 client introduces itself" if number == 1 else f"{number} clients introduce themselves"
    telling.say(f"{clients} to the greylist; that takes {seconds:g} s")

    def first_contact(_: int) -> Identity:
        client = dialogues.client()
        dialogues.attempt(client, patient=False)
        return client.identity

    identities = telling.over("first contacts", first_contact, list(range(number)), at_once=FIRST_CONTACTS)
    _wait(seconds, telling)
    dialogues.introduced.extend(identities)


def _wait(seconds: float, telling: Telling) -> None:
    """Let real time pass, and say how much is left."""
    clock = telling.clock(seconds)
    telling.over("waiting", lambda one: clock.advance(one, seconds), ["everybody"], lasts=seconds)


def _times(wait: float) -> Iterator[float]:
    seconds = FIRST_RETRY
    while seconds < wait:
        yield seconds
        seconds *= STEP
    if wait > 0:
        yield wait


def _delay_of(tries: list[_Retry], code: int) -> float:
    """The time from which on every retry was taken; 0 when there is none, or no such order.

    Refused are those that met the same `code` again; what else became of a retry says nothing about time.
    """
    taken = [one.after for one in tries if one.again and one.again.treatment is Treatment.PASS]
    refused = [one.after for one in tries if one.again and one.again.code == code]
    if not taken or (refused and max(refused) > min(taken)):
        return 0.0
    return _round(max(refused, default=0.0), min(taken))


def _round(above: float, upto: float) -> float:
    """The roundest number of seconds in an interval."""
    for unit in ROUND:
        number = round(upto / unit // 1 * unit, 3)
        if above < number <= upto:
            return number
    return upto


def _in_detail(dialogues: Dialogues, seen: GreylistSeen, telling: Telling) -> GreylistSeen:
    """Whom it takes for one client, whom it leaves alone, and what it looks at first."""
    domain = dialogues.recipient.rpartition("@")[2]

    def met(local_part: str) -> set[int]:
        """The codes that strangers met who wrote there."""
        at_rcpt = replace(dialogues, goal=Stage.RCPT)
        attempts = [
            heard(lambda: at_rcpt.attempt(recipient=f"{local_part}@{domain}")) for _ in range(AGREEING)
        ]
        return {attempt.step(Stage.RCPT).code for attempt in attempts}

    if seen.at == Stage.RCPT:  # further nobody may get a message but the users that were named
        *courtesies, invented = telling.over("greylist", met, [*COURTESIES, dialogues.nobody])
        exempt = [
            name
            for name, codes in zip(COURTESIES, courtesies, strict=True)
            if all(TAKEN <= code < DEFERRED for code in codes)
        ]
        if exempt and heard(dialogues.attempt).step(Stage.RCPT).code != seen.code:
            exempt = []  # by now nobody is put off, whoever the recipient is
        seen = replace(seen, exempt=tuple(exempt), before_verification=invented == {seen.code})
    return replace(seen, key=_key(dialogues, seen, telling))


def seen_stage(seen: GreylistSeen) -> Stage:
    """Where it puts clients off."""
    return Stage(seen.at)


def _key(dialogues: Dialogues, seen: GreylistSeen, telling: Telling) -> str:
    """Whether a neighbour of a client that has waited is taken at once; empty when that was not seen.

    Two pairs of neighbours must agree, and newcomers must be put off all the while.
    """
    if not dialogues.chooses_addresses:
        return ""
    stage = seen_stage(seen)
    pairs = [dialogues.client().neighbours() for _ in range(AGREEING)]
    for one, _ in pairs:
        dialogues.attempt(one)
    telling.say(
        f"waiting {seen.delay + GREYLIST_SLACK:g} s more, to see whether neighbours count as one client"
    )
    _wait(seen.delay + GREYLIST_SLACK, telling)
    met = {_code_of_neighbour(dialogues, pair, stage) for pair in pairs}
    if met == {seen.code}:
        return "address"
    put_off = heard(dialogues.attempt).step(stage).code == seen.code
    return "network" if put_off and all(TAKEN <= code < DEFERRED for code in met) else ""


def _code_of_neighbour(dialogues: Dialogues, pair: tuple[Client, Client], stage: Stage) -> int:
    """What the neighbour of a client that is taken by now was told; 0 when that one is not taken."""
    one, other = pair
    if heard(lambda: dialogues.attempt(one)).step(stage).treatment is not Treatment.PASS:
        return 0
    return heard(lambda: dialogues.attempt(other, sender=one.sender)).step(stage).code
