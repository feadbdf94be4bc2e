"""All capabilities: every `Capability` that a module of this room has."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness import grants, settings
from harness.grants.capability import Capability, Site, Tools
from harness.settings.hosts import twice

Some = Capability[Any, Any]


class UnknownCapabilityError(ValueError):
    """A name that no capability has; the text names the nearest."""

    def __init__(self, name: str, known: list[str]) -> None:
        """`known` are the names to suggest from."""
        super().__init__(f"unknown capability {name!r}; {settings.nearest(name, known)}")


@dataclass(frozen=True)
class Capabilities:
    """A closed set of capabilities, by their names."""

    by_name: Mapping[str, Some]

    @classmethod
    def of(cls, found: Iterable[Some]) -> "Capabilities":
        """Those that are given; raises `ValueError` when two have one name or one fixture."""
        ordered = sorted(found, key=lambda one: one.name)
        named = [one.name for one in ordered]
        given = [one.tool.fixture for one in ordered if one.tool and one.tool.fixture]
        if name := twice(named) or twice(given):
            raise ValueError(f"two capabilities have the name or the fixture {name!r}; rename one")
        return cls({one.name: one for one in ordered})

    def __iter__(self) -> Iterator[Some]:
        """All of them, by name."""
        return iter(self.by_name.values())

    def __getitem__(self, name: str) -> Some:
        """The one of that name; raises `UnknownCapabilityError`."""
        try:
            return self.by_name[name]
        except KeyError:
            raise UnknownCapabilityError(name, list(self.by_name)) from None

    @property
    def names(self) -> frozenset[str]:
        """What may stand under `needs`."""
        return frozenset(self.by_name)

    @property
    def fixtures(self) -> dict[str, Some]:
        """Those that give a scenario something, by what it asks for."""
        return {one.tool.fixture: one for one in self if one.tool and one.tool.fixture}

    def tools(self, site: Site) -> Tools:
        """The tools that are granted there."""
        made = {one: one.tool.make(site) for one in self if one.tool}
        return Tools({one: tool for one, tool in made.items() if tool is not None})


def _found() -> Iterator[Some]:
    for module in pkgutil.iter_modules(grants.__path__, f"{grants.__name__}."):
        if module.name != __name__:
            content = vars(importlib.import_module(module.name)).values()
            yield from (one for one in content if isinstance(one, Capability))


CAPABILITIES = Capabilities.of(dict.fromkeys(_found()))  # one that a module imports is there once
