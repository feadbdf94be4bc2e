"""Which behaviour is due: scripts by name and type, and how far each sequence has come."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, cycle, repeat

from fake_dns.behaviour import Answer, Behaviour, Late, Sequence, Step
from fake_dns.names import Name, RecordError, lineage
from fake_dns.records import make_record
from fake_dns.rrtypes import ANY, type_text
from fake_dns.tree import WILDCARD


@dataclass(frozen=True, slots=True)
class Due:
    """What to do with one query; `lasting` when the next query to the same name and type gets the same."""

    step: Step
    lasting: bool


class Scripts:
    """Scripted behaviours. Not thread-safe: its owner holds the lock.

    A script of "*.k3.example" speaks for every name below k3.example, published or not, that has none of its
    own for the type. A script of one type goes before one of every type.
    """

    def __init__(self) -> None:
        """Nothing is scripted."""
        self._due: dict[Name, dict[int | None, Iterator[Due]]] = {}

    def __bool__(self) -> bool:
        """Whether anything is scripted."""
        return bool(self._due)

    def script(self, name: Name, record_type: int | None, behaviour: Behaviour) -> None:
        """Set the behaviour of a type, or with `None` of every type; it replaces an earlier one.

        Raises `RecordError` when the behaviour gives records that the type cannot have.
        """
        steps = behaviour.steps if isinstance(behaviour, Sequence) else (behaviour,)
        for step in steps:
            _check(step, record_type)
        turns: Iterator[Step] = repeat(steps[0])
        if isinstance(behaviour, Sequence):
            turns = cycle(steps) if behaviour.again else chain(steps, repeat(steps[-1]))
        lasting = not isinstance(behaviour, Sequence)
        self._due.setdefault(name, {})[record_type] = (Due(step, lasting) for step in turns)

    def forget(self, name: Name, record_type: int | None) -> None:
        """Take the script of a type away, or with `None` all of the name."""
        if record_type is None:
            self._due.pop(name, None)
        else:
            self._due.get(name, {}).pop(record_type, None)

    def due(self, name: Name, record_type: int) -> Due | None:
        """What is scripted for this very query, which then counts as one turn of a sequence."""
        for pattern in chain((name,), (WILDCARD + ancestor for ancestor in list(lineage(name))[1:])):
            by_type = self._due.get(pattern)
            if by_type and (turns := by_type.get(record_type) or by_type.get(None)):
                return next(turns)
        return None


def _check(step: Step, record_type: int | None) -> None:
    if isinstance(step, Late):
        _check(step.then, record_type)
    elif isinstance(step, Answer):
        if record_type is None or record_type == ANY:
            raise RecordError("records in a script need a type to be records of; script one type at a time")
        for text in step.data:
            make_record(type_text(record_type), text, step.ttl)
