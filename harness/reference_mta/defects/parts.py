"""How a part of the server is broken: another one takes its place, made of the sound one.

A sound server that notes its parts notes a defect where it would show, which is often less than everywhere
that the part is at work.
"""

import inspect
import operator
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from harness.reference_mta.defects.kinds import Mutant
from harness.reference_mta.policy import Policy

Part = Callable[..., Any]
Shows = Callable[..., bool]  # what the sound part came to, then what it was given


def always(found: object, *given: object) -> bool:
    """Wherever the part is at work."""
    return True


def exchanged(
    rule: str,
    kind: str,
    description: str,
    part: str,
    other: Callable[[Part], Part],
    shows: Shows | None = None,
) -> Mutant:
    """What `other` makes of a part takes its place; `part` is its path in the policy, as in "lists.enough".

    `shows` says where the defect would: by what the sound part came to, and what it was given. Without it
    that is wherever the other part comes to something else. It is asked as well then, beside the sound one,
    so that is for parts that neither change anything nor wait.
    """
    name = f"{rule}:{kind}"

    def change(policy: Policy) -> Policy:
        return _with(policy, part, other(_found(policy, part)))

    def watch(policy: Policy) -> Policy:
        there = _found(policy, part)
        watched = there if isinstance(there, _Watched) else _Watched(there, policy.note)
        changed = other(watched.sound)

        def differs(found: object, *given: object) -> bool:
            return bool(changed(*given) != found)

        return _with(policy, part, replace(watched, watchers=(*watched.watchers, (name, shows or differs))))

    return Mutant(rule, kind, description, change, parts=(name,), watch=watch)


@dataclass(frozen=True)
class _Watched:
    """A sound part, and who is noted when it is at work."""

    sound: Part
    note: Callable[[str], None]
    watchers: tuple[tuple[str, Shows], ...] = ()

    def __call__(self, *given: Any) -> Any:
        try:
            found = self.sound(*given)
        except BaseException:
            self._fail()
            raise
        if inspect.isawaitable(found):
            return self._awaited(found, given)
        self._look(found, given)
        return found

    async def _awaited(self, found: Awaitable[Any], given: tuple[Any, ...]) -> Any:
        try:
            result = await found
        except BaseException:
            self._fail()
            raise
        self._look(result, given)
        return result

    def _fail(self) -> None:
        """The sound part came to nothing: who knows what another one would have."""
        for name, _ in self.watchers:
            self.note(name)

    def _look(self, found: Any, given: tuple[Any, ...]) -> None:
        for name, shows in self.watchers:
            if shows(found, *given):
                self.note(name)


def _found(policy: Policy, part: str) -> Part:
    found: Part = operator.attrgetter(part)(policy)
    return found


def _with(policy: Policy, part: str, other: Part) -> Policy:
    room, _, name = part.rpartition(".")
    changed: Any = replace(getattr(policy, room), **{name: other}) if room else other
    return replace(policy, **{room or name: changed})
