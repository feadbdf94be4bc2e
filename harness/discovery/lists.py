"""The DNS lists that a server asks about its clients, and what being on them comes to.

Clients are put on one list, on two, on all of them. The weights are the smallest that say the same; what they
do not explain is a question.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from fake_dns import reverse_name
from harness.discovery.dialogues import Dialogues
from harness.discovery.facts import ListSeen, ListsSeen, Sighting
from harness.discovery.offences import Oddity, Usual, look_at_oddities
from harness.discovery.place import Telling
from harness.offence import Offence
from harness.outcome import Verdict
from harness.profile.dialect import Asks
from harness.world.client import Client
from harness.world.conversation import Attempt

MOST = 8  # lists that are tried in pairs
TEXT = "listed for testing"
OTHER_ANSWERS = tuple(f"127.0.{third}.{last}" for third in (0, 1) for last in (2, 3, 4, 5, 9, 10, 11, 14))


def zones_asked(dialogues: Dialogues, client: Client, attempt: Attempt) -> list[str]:
    """The zones that were asked about a client in a dialogue, in the order of the first questions."""
    labels = reverse_name(client.address).removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
    zones: dict[str, None] = {}
    for entry in dialogues.dns.queries(since=attempt.steps[0].began):
        if entry.name.startswith(f"{labels}.") and not entry.name.endswith(".arpa"):
            zones[entry.name.removeprefix(f"{labels}.")] = None
    return list(zones)


@dataclass(frozen=True)
class _Trial:
    """Clients on some lists, and what became of them."""

    on: frozenset[str]
    sighting: Sighting
    asked: tuple[str, ...]
    said: str
    address: str

    @property
    def refused(self) -> bool:
        """Whether they were turned away."""
        outcome = self.sighting.outcome
        return outcome is not None and outcome.verdict is not Verdict.PASS

    @property
    def noticed(self) -> bool:
        """Whether they met anything else than innocent clients."""
        return self.refused or bool(self.sighting.waited)


class _Trials:
    """Makes trials, each combination of lists once."""

    def __init__(self, dialogues: Dialogues, usual: Usual, telling: Telling) -> None:
        self._dialogues, self._usual, self._telling = dialogues, usual, telling
        self._done: dict[frozenset[str], _Trial] = {}

    def of(self, *combinations: Iterable[str], answers: Sequence[str] = ("127.0.0.2",)) -> list[_Trial]:
        """What became of clients on each combination of zones."""
        wanted = [frozenset(one) for one in combinations]
        new = [one for one in dict.fromkeys(wanted) if one not in self._done or len(answers) > 1]
        notes: dict[frozenset[str], tuple[Client, Attempt]] = {}

        def listed(zones: frozenset[str]) -> Callable[[Dialogues, Client], Attempt]:
            def play(dialogues: Dialogues, client: Client) -> Attempt:
                for zone in zones:
                    dialogues.dns.list_address(zone, client.address, answers[0], text=f"{TEXT} on {zone}")
                    for answer in answers[1:]:
                        client.publish(f"{_labels(client)}.{zone}", "A", answer)
                attempt = dialogues.attempt(client)
                notes[zones] = client, attempt
                return attempt

            return play

        oddities = [
            Oddity(Offence.LISTED, f"is on {' and '.join(sorted(zones))}", listed(zones)) for zones in new
        ]
        sightings = look_at_oddities(self._dialogues, oddities, self._usual, self._telling, by_time=True)
        trials = {}
        for zones, sighting in zip(new, sightings, strict=True):
            client, attempt = notes[zones]
            asked = tuple(zones_asked(self._dialogues, client, attempt))
            trials[zones] = _Trial(zones, sighting, asked, attempt.said, client.address)
        if len(answers) == 1:
            self._done |= trials
        return [trials.get(one) or self._done[one] for one in wanted]

    @property
    def all(self) -> list[_Trial]:
        """Every one that was made with the usual answer."""
        return list(self._done.values())


def look_at_lists(dialogues: Dialogues, zones: Sequence[str], usual: Usual, telling: Telling) -> ListsSeen:
    """How being on the lists counts; `zones` in the order in which they were asked."""
    if not zones:
        return ListsSeen()
    telling.say(f"it asks {', '.join(zones)} about its clients; trying what being listed there comes to")
    trials = _Trials(dialogues, usual, telling)
    alone = dict(zip(zones, trials.of(*([zone] for zone in zones)), strict=True))
    decisive = [zone for zone in zones if alone[zone].refused]
    rest = [zone for zone in zones if zone not in decisive][:MOST]
    pairs = {frozenset(one): one for one in itertools.combinations(rest, 2)}
    together = {trial.on for trial in trials.of(*pairs.values()) if trial.refused} if pairs else set()
    counting = [zone for zone in rest if any(zone in pair for pair in together)]
    noticed = [zone for zone in rest if alone[zone].noticed]
    threshold = 2.0 if together or not decisive else 1.0 + len(noticed)
    if not together and len(rest) > 2 and (needed := _fewest(rest, trials)):
        threshold, counting = float(needed), list(rest)
    groups = _groups(counting, together) if threshold == 2.0 else [[zone] for zone in counting]
    enough = _refusing(decisive, together, threshold, counting)
    lists = [ListSeen((zone,), threshold) for zone in decisive]
    lists += [ListSeen(tuple(group), 1.0) for group in groups]
    silent = [zone for zone in rest if zone not in counting]
    lists += [_silent(zone, alone[zone], enough, threshold, trials) for zone in silent]
    lists.sort(key=lambda one: zones.index(one.zones[0]))
    seen = ListsSeen(tuple(lists), threshold)
    return _how_they_are_asked(seen, zones, enough, trials)


def _fewest(zones: Sequence[str], trials: _Trials) -> int:
    """How many lists are enough where two are not; 0 where all of them are not."""
    refused = trials.of(*(zones[:number] for number in range(3, len(zones) + 1)))
    return next((number for number, trial in enumerate(refused, 3) if trial.refused), 0)


def _groups(zones: Sequence[str], together: set[frozenset[str]]) -> list[list[str]]:
    """Zones that are not enough together while each is with every other: they count once."""
    groups: list[list[str]] = []
    for zone in zones:
        group = next((one for one in groups if all({zone, other} not in together for other in one)), None)
        if group is None:
            groups.append([zone])
        else:
            group.append(zone)
    return groups


def _refusing(
    decisive: Sequence[str], together: set[frozenset[str]], threshold: float, counting: Sequence[str]
) -> frozenset[str]:
    """A combination that is just enough to be turned away."""
    if decisive:
        return frozenset(decisive[:1])
    if together:
        return min(together, key=sorted)
    return frozenset(counting[: int(threshold)]) if threshold > 2 else frozenset()


def _silent(zone: str, alone: _Trial, enough: frozenset[str], threshold: float, trials: _Trials) -> ListSeen:
    """A list of which nothing comes: a white list, one that counts other answers, or one that only marks."""
    if alone.noticed:
        return ListSeen((zone,), 1.0)
    if enough:
        (beside,) = trials.of([zone, *enough])
        if not beside.refused:
            return ListSeen((zone,), -threshold, "how much does it weigh")
    (other,) = trials.of([zone], answers=OTHER_ANSWERS)
    if other.noticed:
        weight = threshold if other.refused else 1.0
        return ListSeen((zone,), weight, "which answers count: 127.0.0.2 alone did not")
    return ListSeen((zone,), 0.0, "nothing came of being on it: what does it count for")


def _how_they_are_asked(
    seen: ListsSeen, zones: Sequence[str], enough: frozenset[str], trials: _Trials
) -> ListsSeen:
    """In order or at once, what a refusal says of the lists, and whether the weights explain every trial."""
    sightings = []
    for trial in trials.all:
        offence = Offence.LISTED_ENOUGH if trial.refused else Offence.LISTED
        if _weight(seen, trial.on) > 0:
            sightings.append(replace(trial.sighting, offence=offence))
    if not any(one.offence is Offence.LISTED for one in sightings):  # then one hit earns as much as many
        sightings += [replace(one, offence=Offence.LISTED) for one in sightings]
    asks, names = seen.asks, True
    refused = [trial for trial in trials.all if trial.refused]
    if enough and refused:
        (everywhere,) = trials.of([one.zones[0] for one in seen.lists if one.weight > 0])
        asks = (
            Asks.AT_ONCE
            if set(zones) <= set(everywhere.asked) and len(zones) > len(enough)
            else Asks.IN_ORDER
        )
        names = all(
            trial.address in trial.said
            and all(zone in trial.said and TEXT in trial.said for zone in trial.on)
            for trial in refused
            if trial.on == enough
        )
    unexplained = [
        trial for trial in trials.all if trial.refused != (_weight(seen, trial.on) >= seen.threshold)
    ]
    question = "; ".join(
        f"a client on {' and '.join(sorted(trial.on))} was {'' if trial.refused else 'not '}refused, which "
        "these weights do not explain"
        for trial in unexplained
    )
    return replace(seen, asks=asks, names_lists=names, question=question, sightings=tuple(sightings))


def _weight(seen: ListsSeen, on: frozenset[str]) -> float:
    return sum(one.weight for one in seen.lists if on.intersection(one.zones))


def _labels(client: Client) -> str:
    return reverse_name(client.address).removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
