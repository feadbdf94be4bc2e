"""One play of a scenario, with the offence or without: fresh clients, and its fixtures."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from harness.grants.capability import Capability
from harness.grants.mail import MAILBOX
from harness.grants.registry import CAPABILITIES
from harness.outcome import Stage, later
from harness.profile.model import Profile
from harness.rules import Rule
from harness.runs.expect import Expect, UnprovenError
from harness.runs.raw import Raw
from harness.runs.run import Run
from harness.runs.talk import QUIET
from harness.settings.hosts import Network
from harness.verdicts import NotApplicableError, NotTestableError
from harness.world.cast import NothingDescribed
from harness.world.client import Client
from harness.world.conversation import SERVICE_ENDS
from harness.world.internet import Kind
from harness.world.world import World

R = TypeVar("R")


@dataclass
class Play:
    """What a scenario is given is made when it is asked for, and kept as evidence."""

    run: Run
    rule: Rule
    offence: bool = True
    needs: frozenset[str] = frozenset()  # what the case needs, beyond its rule
    spared: bool = True  # whether known hosts are those that the greylist spares by their names
    world: World = field(init=False)
    expect: Expect = field(init=False)
    ended_with: BaseException | None = None
    _tools: dict[Capability[Any, Any], Any] = field(default_factory=dict)  # as this play has them

    def __post_init__(self) -> None:
        """A world and expectations of its own."""
        profile = self.run.profile
        self.world = self.run.world()
        promised = profile.expectation(self.rule)[0]
        self.world.may_end |= {one.stage for one in promised if str(SERVICE_ENDS) in one.codes}
        self.world.goal = Stage.DATA if self.run.to_the_end else goal_of(profile, self.rule)
        judge = replace(self.run.judge, greylist=None if self.rule.about_greylist else profile.greylist)
        mailbox = self.tool(MAILBOX)
        self.expect = Expect(judge, profile, self.run.catalogue, self.rule, self.offence, mailbox)

    def call(
        self, scenario: Callable[..., object], given: Mapping[str, Any], wanted: tuple[str, ...]
    ) -> None:
        """Call the scenario with its fixtures; raises what it raises, or `UnprovenError`."""
        for value in given.values():
            if isinstance(value, NothingDescribed):
                raise (NotTestableError if value.is_missed else NotApplicableError)(value.reason)
        with contextlib.ExitStack() as stack:
            stack.callback(self._undo)
            scenario(**given, **{name: self._fixture(name) for name in wanted})
        if not self.expect.proven:
            raise UnprovenError(
                f"the scenario of {self.rule.id} ended without expect(attempt): it proves nothing"
            )

    def _fixture(self, name: str) -> object:
        return OWN[name](self) if name in OWN else self.tool(CAPABILITIES.fixtures[name])

    def _undo(self) -> None:
        """What was done to the server with the tools of this play does not outlast it."""
        with contextlib.ExitStack() as stack:
            for capability, tool in self._tools.items():
                if capability.tool:
                    stack.callback(capability.tool.undo, tool)

    def new_client(
        self,
        kind: Kind,
        label: str = "client",
        *,
        endpoint: str = "",
        network: Network | None = None,
        pattern: str | None = None,
    ) -> Client:
        """A fresh innocent host of a kind, which comes to the first endpoint or to one of a name.

        `network` and `pattern` are as for `Run.client`. Raises `NotTestableError` where the profile describes
        no endpoint of that name, or it does not show what the scenario needs.
        """
        if kind is Kind.KNOWN and not self.spared and pattern is None:
            kind = Kind.ORDINARY
        if not endpoint:
            return self.run.client(self.world, kind, label, network=network, pattern=pattern)
        there = self.run.endpoints[endpoint]
        for name in sorted(self.rule.needs | self.needs):
            if reason := CAPABILITIES[name].missing_at(there):
                raise NotTestableError(reason, name)
        client = self.run.client(self.world, kind, label, network=network, pattern=pattern)
        client.endpoint = there
        return client

    @property
    def raw(self) -> Raw:
        """Raw dialogues; after what the server may hold a reply back, and a while, there is silence."""
        profile = self.run.profile
        quiet = QUIET + profile.policy.delay + profile.dialect.refusals_take + (profile.server.scan or 0.0)
        return Raw(self.expect, quiet, self.tool(MAILBOX))

    def tool(self, capability: Capability[Any, R]) -> R | None:
        """What a scenario is given of a capability, if the profile grants it; the same each time."""
        if capability not in self._tools:
            made = self.run.tools.recorded(capability, self.world)
            if made is None:
                return None
            self._tools[capability] = made
        tool: R = self._tools[capability]
        return tool


def goal_of(profile: Profile, rule: Rule) -> Stage:
    """How far the dialogues of a rule go: to the stage at which this server tells its verdict."""
    goal = Stage.CONNECT
    for outcome in profile.expectation(rule)[0]:
        goal = later(goal, profile.shows(outcome))
    return goal


OWN: Mapping[str, Callable[[Play], object]] = {
    "client": lambda play: play.new_client(Kind.KNOWN),
    "stranger": lambda play: play.new_client(Kind.STRANGER, "stranger"),
    "trusted_client": lambda play: play.new_client(Kind.TRUSTED, "trusted"),
    "new_client": lambda play: play.new_client,
    "offence": lambda play: play.offence,
    "expect": lambda play: play.expect,
    "raw": lambda play: play.raw,
    "sut": lambda play: play.run.sut,
    "internet": lambda play: play.world.internet,
}
FIXTURES = frozenset((*OWN, *CAPABILITIES.fixtures))  # what a scenario can ask for
TWIN = "offence"  # the fixture by which a scenario says that it has a twin
