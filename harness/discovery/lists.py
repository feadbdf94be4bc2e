"""The DNS lists that a server asks about its clients, and what being on them comes to.

Clients are put on one list, on two, on three, on all of them: with the usual answer, and where a list does
not count by that, with every answer that lists are known to give, which a resolver without TCP never sees.
`weights` finds what explains what they met; then it is looked for an answer of each list that counts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from fake_dns import listing_name, reverse_name
from harness.discovery.comparison import Usual
from harness.discovery.dialogues import Dialogues
from harness.discovery.evidence import CHANCES, says_all
from harness.discovery.facts import ListSeen, ListsSeen, Sighting
from harness.discovery.offences import Oddity, look_at_oddities
from harness.discovery.place import Telling
from harness.discovery.weights import Group, Met, Weights, companies, differences, weigh
from harness.offence import Offence
from harness.outcome import Treatment
from harness.profile.dialect import Asks
from harness.settings.hosts import is_domain_name
from harness.world.client import Client
from harness.world.conversation import Attempt

MOST = 7  # lists that are tried in company; more would take too many clients
TEXT = "listed for testing"
USUAL = "127.0.0.2"  # RFC 5782 §2.1
ANSWERS = (
    *(f"127.0.0.{last}" for last in range(2, 12)),
    *(f"127.0.{third}.{last}" for third in range(1, 11) for last in (1, 2, 3)),  # white lists' among them
)
NO_ANSWER = "no one of its answers was seen to count by itself; which do"
SILENT = "nothing came of being on it: what does it count for"


@dataclass(frozen=True)
class _Trial:
    """A client on some lists, and what became of it."""

    on: frozenset[str]
    sighting: Sighting
    asked: tuple[str, ...]
    named: bool  # whether the replies had the client, the lists and their texts in them

    @property
    def met(self) -> Met | None:
        """In a word; None when it was not the same each time."""
        outcome = self.sighting.outcome
        if outcome is None:
            return None
        if outcome.treatment is not Treatment.PASS:
            return Met.REFUSAL
        return Met.NOTICE if outcome.late else Met.NOTHING


@dataclass
class _Trials:
    """Plays clients that are on lists, each company of them once."""

    dialogues: Dialogues
    usual: Usual
    telling: Telling
    wait: float | None  # seconds after which who was put off tries again, as `look_at_oddities` has it
    answers: Sequence[str] = ANSWERS  # of each list
    done: dict[frozenset[str], _Trial] = field(default_factory=dict)

    def of(self, wanted: Sequence[frozenset[str]]) -> list[_Trial]:
        """What became of clients on each of these companies, with all of these answers."""
        new = [on for on in dict.fromkeys(wanted) if on not in self.done]
        self.done |= dict(
            zip(new, self.with_answers([dict.fromkeys(on, self.answers) for on in new]), strict=True)
        )
        return [self.done[on] for on in wanted]

    def with_answers(self, listings: Sequence[dict[str, Sequence[str]]]) -> list[_Trial]:
        """What became of clients of whom these zones say these answers."""
        notes: dict[int, list[tuple[Client, Attempt]]] = {number: [] for number in range(len(listings))}

        def listed(number: int) -> Callable[[Dialogues, Client], Attempt]:
            def play(dialogues: Dialogues, client: Client) -> Attempt:
                for zone, answers in listings[number].items():
                    dialogues.dns.list_address(zone, client.address, answers[0], text=f"{TEXT} on {zone}")
                    for answer in answers[1:]:
                        client.publish(listing_name(client.address, zone), "A", answer)
                attempt = dialogues.attempt(client)
                notes[number].append((client, attempt))
                return attempt

            return play

        oddities = [
            Oddity(Offence.LISTED, f"is on {' and '.join(sorted(listing))}", listed(number))
            for number, listing in enumerate(listings)
        ]
        sightings = look_at_oddities(
            self.dialogues, oddities, self.usual, self.telling, by_time=True, wait=self.wait
        )
        trials = []
        for number, sighting in enumerate(sightings):
            played = [one for one in notes[number] if says_all(one[1])] or notes[number]
            named = any(_names(client, attempt, listings[number]) for client, attempt in played)
            # A retry may be told from memory.
            asked = max((tuple(zones_asked(self.dialogues, *one)) for one in played), key=len)
            trials.append(_Trial(frozenset(listings[number]), sighting, asked, named))
        return trials


def _names(client: Client, attempt: Attempt, zones: Iterable[str]) -> bool:
    said = attempt.said
    return client.address in said and all(zone in said and TEXT in said for zone in zones)


def zones_asked(dialogues: Dialogues, client: Client, attempt: Attempt) -> list[str]:
    """The zones that were asked about a client in a dialogue, in the order of the first questions."""
    labels = reverse_name(client.address).removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
    zones: dict[str, None] = {}
    for entry in dialogues.dns.queries(since=attempt.staged[0].began):
        if entry.name.startswith(f"{labels}.") and not entry.name.endswith(".arpa"):
            zones[entry.name.removeprefix(f"{labels}.")] = None
    return [zone for zone in zones if is_domain_name(zone)]  # others no profile can name


def look_at_lists(
    dialogues: Dialogues, zones: Sequence[str], usual: Usual, telling: Telling, *, wait: float | None = None
) -> ListsSeen:
    """How being on the lists counts; `zones` in the order in which they were asked.

    Who is put off for it tries again after so many seconds of `wait`: some servers greylist no others.
    Without time for that nothing follows from a deferral; None: the greylist is known, and has passed them.
    """
    if not zones:
        return ListsSeen()
    telling.say(f"it asks {', '.join(zones)} about its clients; trying what being listed there comes to")
    trials = _Trials(dialogues, usual, telling, wait, (USUAL,))
    tried, met, weights = _weighed(trials, zones)
    if _counted(weights) < len(zones):
        telling.say("not all of them count by the usual answer; trying every other one")
        every = _Trials(dialogues, usual, telling, wait)
        found = _weighed(every, zones)
        if weights is None or _counted(found[2]) > _counted(weights):
            trials, (tried, met, weights) = every, found
    untold = next((trial for trial in tried if trial.met is None), None)
    if weights is None:
        question = (
            f"nothing follows from what a client met that {untold.sighting.did} ({untold.sighting.said})"
            if untold
            else "what clients on these lists met is not explained by weights"
        )
        lists = [ListSeen((zone,)) for zone in zones]
        return ListsSeen(tuple(lists), question=f"{question}: how do they count")
    lists = [
        _described(group, weight, _counting_answer(group[0], met, trials), zones, weights)
        for group, weight in weights.of.items()
    ]
    counted = {zone for group, weight in weights.of.items() if weight for zone in group}
    lists += [ListSeen((zone,), question=SILENT) for zone in zones if zone not in counted]
    lists.sort(key=lambda one: zones.index(one.zones[0]))
    if doubtful := [one for one in lists if one.question.startswith(NO_ANSWER)]:
        question = f"which answer of {doubtful[0].name} counts is not known: how do they count"
        return ListsSeen(tuple(lists), float(weights.threshold), question=question)
    seen = ListsSeen(tuple(lists), float(weights.threshold), sightings=tuple(_sightings(weights, tried)))
    return _how_they_are_asked(seen, zones, tried)


def _weighed(
    trials: _Trials, zones: Sequence[str]
) -> tuple[list[_Trial], dict[frozenset[str], Met], Weights | None]:
    """The trials, what clients met in them, and the weights that explain that, where each trial tells."""
    tried = trials.of([*companies(zones[:MOST]), *(frozenset({zone}) for zone in zones[MOST:])])
    met = {trial.on: trial.met for trial in tried if trial.met}
    return tried, met, weigh(met) if len(met) == len(tried) else None


def _counted(weights: Weights | None) -> int:
    """How many zones count for something."""
    return sum(len(group) for group, weight in weights.of.items() if weight) if weights else 0


def _described(
    group: Group, weight: int, answer: str | None, zones: Sequence[str], weights: Weights
) -> ListSeen:
    """A list as a profile has it; whether a weight might as well be another is a question."""
    questions = []
    if answer is None:
        questions.append(NO_ANSWER)
    elif answer != USUAL:
        questions.append(f"{USUAL} does not count; which others do")
    if weight < 0 or weight > 1 or len([one for one in weights.of.values() if one]) < 2:
        questions.append("the least weight that explains what was seen; is it that")
    ordered = tuple(sorted(group, key=zones.index))
    return ListSeen(
        ordered, float(weight), "; ".join(questions), () if answer in (USUAL, None) else (answer,)
    )


def _counting_answer(zone: str, met: dict[frozenset[str], Met], trials: _Trials) -> str | None:
    """One answer of a list that makes the difference that all of them make; the usual one where it does.

    None: no answer was seen to make it alone, or clients came to nothing again and again.
    """
    company = next(differences(met, zone), None)
    if company is None or trials.answers == (USUAL,):
        return USUAL
    wanted = met[company | {zone}]

    def suffice(answers: Sequence[str]) -> bool | None:
        for _ in range(CHANCES):
            (trial,) = trials.with_answers([{**dict.fromkeys(company, ANSWERS), zone: answers}])
            if trial.met:
                return trial.met is wanted
        return None  # it came to nothing, which is no no

    usual = suffice([USUAL])
    if usual is not False:
        return USUAL if usual else None
    left = list(ANSWERS)
    while len(left) > 1:
        half = left[: len(left) // 2]
        enough = suffice(half)
        if enough is None:
            return None
        left = half if enough else left[len(half) :]
    return left[0] if suffice(left) else None


def _sightings(weights: Weights, tried: Sequence[_Trial]) -> list[Sighting]:
    """What lists earn: below the threshold, and from it on."""
    found = [
        replace(
            trial.sighting,
            offence=Offence.LISTED_ENOUGH if trial.met is Met.REFUSAL else Offence.LISTED,
        )
        for trial in tried
        if weights.sum(trial.on) > 0
    ]
    if not any(one.offence is Offence.LISTED for one in found):  # then one hit earns as much as many
        found += [replace(one, offence=Offence.LISTED) for one in found]
    return found


def _how_they_are_asked(seen: ListsSeen, zones: Sequence[str], tried: Sequence[_Trial]) -> ListsSeen:
    """In order or at once, and what a refusal says of the lists."""
    refused = [trial for trial in tried if trial.met is Met.REFUSAL]
    if not refused:
        return seen
    most = max(refused, key=lambda trial: len(trial.on))
    asks = Asks.AT_ONCE if set(zones) <= set(most.asked) else Asks.IN_ORDER
    least = min(refused, key=lambda trial: len(trial.on))
    asks = asks if len(zones) > len(least.on) else seen.asks
    return replace(seen, asks=asks, names_lists=all(trial.named for trial in refused))
