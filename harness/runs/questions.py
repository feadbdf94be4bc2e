"""The server's DNS questions in a play: each belongs to one dialogue, or to none, and is told once."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fake_dns import QueryEntry, reverse_name
from harness.results.model import Query, Repeat
from harness.world.client import Client
from harness.world.conversation import Conversation
from harness.world.host import asked_below, is_below
from harness.world.world import World

SETTLE = 0.5  # seconds after the last line within which a question still belongs to the dialogue
MOST_QUESTIONS = 1000  # of one dialogue that are told
MOST_REPEATS = 20  # of one question that are told one by one


@dataclass(frozen=True)
class _Talk:
    """A dialogue, and whose it is."""

    client: Client
    conversation: Conversation
    places: frozenset[str]

    @property
    def began(self) -> float:
        return self.conversation.session.started

    @property
    def ended(self) -> float:
        lines = self.conversation.session.transcript.lines
        return self.began + (lines[-1].at if lines else 0.0)

    def is_about(self, name: str) -> bool:
        """Whether a question for a name is about its client."""
        return any(name == place or is_below(name, place) for place in self.places)

    def waited(self, at: float) -> bool:
        """Whether the client waited for a reply then."""
        return any(step.began <= at <= step.ended for step in self.conversation.steps)


@dataclass(frozen=True)
class Asked:
    """The questions of a play."""

    by_dialogue: dict[int, list[QueryEntry]]  # by the id of the conversation
    beside: list[QueryEntry]  # while no dialogue was held that they could belong to

    def of(self, talk: Conversation) -> list[QueryEntry]:
        """Those of one dialogue, in order of time."""
        return self.by_dialogue.get(id(talk), [])


def questions(world: World, since: float) -> Asked:
    """What the server asked about the clients and mail hosts of a play since a `time.monotonic()`.

    A question belongs to the dialogue in which its client waited for a reply at the time; else to one that
    was open, or had just ended; of several, to the one that began last. What is asked before a dialogue
    begins is never about it.
    """
    talks = [_Talk(client, talk, client.places) for _, client, talk in world.conversations]
    places = {place for talk in talks for place in talk.places}
    for host in world.hosts:
        if not host.shared:
            places |= {host.domain.lower(), host.name.lower(), reverse_name(host.address)}
    asked = Asked(defaultdict(list), [])
    ends = {id(talk): talk.ended for talk in talks}
    for entry in asked_below(world.internet.dns, places):
        if entry.at < since:
            continue
        about = [talk for talk in talks if talk.began <= entry.at and talk.is_about(entry.name)]
        owner = _owner(about, ends, entry.at)
        if owner:
            asked.by_dialogue[id(owner.conversation)].append(entry)
        else:
            asked.beside.append(entry)
    return asked


def _owner(talks: list[_Talk], ends: dict[int, float], at: float) -> _Talk | None:
    tests: Iterable[Callable[[_Talk], bool]] = (
        lambda talk: talk.waited(at),
        lambda talk: at <= ends[id(talk)],
        lambda talk: at <= ends[id(talk)] + SETTLE,
    )
    for test in tests:
        if fitting := [talk for talk in talks if test(talk)]:
            return max(fitting, key=lambda talk: talk.began)
    return None


def told(entries: Iterable[QueryEntry], began: float) -> Iterator[Query]:
    """Each question once, with the moments at which it was asked again, in seconds since `began`."""
    by_question: dict[tuple[str, str], list[QueryEntry]] = defaultdict(list)
    for entry in entries:
        by_question[entry.name, entry.type].append(entry)
    for (name, kind), (first, *others) in list(by_question.items())[:MOST_QUESTIONS]:
        again = tuple(
            Repeat(round(one.at - began, 4), one.answer, one.transport) for one in others[:MOST_REPEATS]
        )
        at = round(first.at - began, 4)
        yield Query(at, name, kind, first.answer, first.transport, 1 + len(others), again)
