"""A capability: something that a scenario needs and a profile grants or not."""

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Generic, TypeVar

from fake_dns import FakeDns
from harness.embedded.process import ReferenceMta
from harness.profile.model import Profile
from harness.profile.tables import RouteName
from harness.smtp.command import Command
from harness.smtp.endpoint import Endpoint
from harness.world.world import World

T = TypeVar("T")  # the tool of a run
R = TypeVar("R")  # what a scenario is given of it

DRY_RUN = "clients.route is command, a dry run that delivers nothing; name another route"


class Absent(Enum):
    """What it means that a server's profile does not grant a capability."""

    NOT_TESTABLE = auto()  # it may be there all the same
    RULE_DOES_NOT_APPLY = auto()  # a server without it has nothing to be judged for
    CASE_DOES_NOT_APPLY = auto()  # the rule is tested without it


@dataclass
class Site:
    """What tools are made from: the server's profile, and what the run has brought up."""

    profile: Profile
    dns: FakeDns = field(default_factory=FakeDns)
    over: threading.Event = field(default_factory=threading.Event)  # set when nothing counts any more
    stack: ExitStack = field(default_factory=ExitStack)  # what ends with the run
    mta: ReferenceMta | None = None  # the embedded server, where that is judged
    heavy: bool = False  # whether the user allows what strains a shared server


def _nothing(_: Any) -> None:
    """Nothing has to be done."""


def _everywhere(_: Endpoint) -> bool:
    return True


def _nobody_else(_: Any) -> bool:
    return False


@dataclass(frozen=True)
class Tool(Generic[T, R]):
    """What the run can do beyond talking to the server, and what a scenario is given of it.

    `make` returns None where it is not granted. `record` makes the tool of one play, which keeps what is done
    as evidence; a scenario asks for that by the name `fixture`, and `undo` is called when the play is over.
    `stop` is called when the run is over: nobody waits any more. `hits_all` says whether every client feels
    what is done with it, so that nobody else may be played meanwhile.
    """

    make: Callable[[Site], T | None]
    record: Callable[[T, World], R]
    fixture: str = ""
    undo: Callable[[R], object] = _nothing
    stop: Callable[[T], object] = _nothing
    hits_all: Callable[[T], bool] = _nobody_else


@dataclass(frozen=True, eq=False)
class Capability(Generic[T, R]):
    """All that is known of one capability.

    `name` stands under `needs` of a rule, `granted` says whether a profile grants it, and `without` is the
    sentence of a rule that is not testable, with the mend. What shows only when mail is delivered, or other
    mail hosts are asked, is not seen `in_a_dry_run`. What a profile grants may not be `shown_at` each of its
    further endpoints.
    """

    name: str
    granted: Callable[[Profile], bool]
    without: str
    tool: Tool[T, R] | None = None
    absent: Absent = Absent.NOT_TESTABLE
    in_a_dry_run: bool = True
    shown_at: Callable[[Endpoint], bool] = _everywhere

    def lacking(self, profile: Profile) -> str:
        """Why a profile does not grant it, with the mend; empty when it does."""
        if not self.in_a_dry_run and profile.clients.route is RouteName.COMMAND:
            return DRY_RUN
        return "" if self.granted(profile) else self.without

    def missing_at(self, endpoint: Endpoint) -> str:
        """Why a profile that grants it does not do so at a further endpoint; empty when it does."""
        if not self.in_a_dry_run and isinstance(endpoint.transport, Command):
            return f"the endpoint {endpoint.name} is a command, a dry run that delivers nothing"
        if self.shown_at(endpoint):
            return ""
        return (
            f"{self.name} is not to be had at the endpoint {endpoint.name}, by route {endpoint.identity.name}"
        )


Plain = Capability[None, None]  # that has no tool


@dataclass(frozen=True)
class Tools:
    """The tools of a run, by their capabilities; those that are not granted are not there."""

    made: Mapping[Capability[Any, Any], Any] = field(default_factory=dict)

    def get(self, capability: Capability[T, Any]) -> T | None:
        """The tool of a capability; None when it is not granted."""
        tool: T | None = self.made.get(capability)
        return tool

    def recorded(self, capability: Capability[Any, R], world: World) -> R | None:
        """The tool of a capability as one play has it; None when it is not granted."""
        tool = self.made.get(capability)
        return capability.tool.record(tool, world) if capability.tool and tool is not None else None

    def hits_all(self, names: frozenset[str]) -> bool:
        """Whether every client feels what is done by one of the capabilities of these names."""
        return any(
            one.tool.hits_all(tool) for one, tool in self.made.items() if one.tool and one.name in names
        )

    def stop(self) -> None:
        """The run is over: whoever waits for one of them stops doing so."""
        for capability, tool in self.made.items():
            if capability.tool:
                capability.tool.stop(tool)
