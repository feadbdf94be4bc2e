"""A scenario among pytest's items: its rule, and how it is called."""

import contextlib
import fnmatch
import functools
import inspect
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from harness import settings
from harness.grants.registry import CAPABILITIES
from harness.plugin.marks import LEVELS, level_mark, stage_mark
from harness.rules import Catalogue, Rule, UnknownRuleError
from harness.runs.play import FIXTURES, TWIN, Play
from harness.runs.trial import Plan
from harness.suites import files_for, installed, rules_files
from harness.verdicts import FailedError, NotTestableError

UNNAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class Scenario:
    """A collected item that tests a rule, and how it is called."""

    item: pytest.Function
    rule: Rule
    wanted: tuple[str, ...]  # of the harness's fixtures
    ahead: bool  # whether it can run before its turn, on a thread of its own

    @property
    def case(self) -> str:
        """The name of this case among those of its rule."""
        callspec = getattr(self.item, "callspec", None)
        function = self.item.originalname.removeprefix("test_").replace("_", " ")
        return f"{function} [{callspec.id}]" if callspec else function

    def plan_ahead(self) -> Plan:
        """The scenario for a thread of its own: all that is given are its parameters."""
        callspec = getattr(self.item, "callspec", None)
        return self.plan(dict(callspec.params) if callspec else {})

    def plan(self, given: dict[str, Any]) -> Plan:
        """The scenario for the scheduler, with what others provide already given."""
        needs = frozenset(need for mark in self.item.iter_markers("needs") for need in mark.args)

        def play(play: Play) -> None:
            with _what_pytest_says():
                play.call(self.item.obj, given, self.wanted)

        return Plan(self.rule, needs, play, has_twin=TWIN in self.wanted)


@contextlib.contextmanager
def _what_pytest_says() -> Generator[None]:
    """A scenario may use pytest's own words: `pytest.fail` for an assertion, `pytest.skip` for no test."""
    try:
        yield
    except pytest.skip.Exception as said:
        raise NotTestableError(str(said)) from said
    except pytest.fail.Exception as said:
        raise FailedError(str(said)).with_traceback(said.__traceback__) from None


def scenario_of(item: pytest.Item, catalogue: Catalogue) -> Scenario | None:
    """The scenario in an item; raises `pytest.UsageError` when its mark names no rule."""
    mark = item.get_closest_marker("rule")
    if mark is None or not isinstance(item, pytest.Function):
        return None
    if len(mark.args) != 1:
        raise pytest.UsageError(f"{item.nodeid}: write @rule('id') with the id of one rule")
    try:
        rule = catalogue[mark.args[0]]
    except UnknownRuleError as error:
        raise pytest.UsageError(f"{item.nodeid}: {error}") from None
    asked = argument_names(item.obj)
    wanted = tuple(name for name in asked if name in FIXTURES)
    around = {name for name in item.fixturenames if name not in asked and _of_installed_plugin(item, name)}
    others = set(item.fixturenames) - _direct_parameters(item) - around
    conditional = any(item.get_closest_marker(name) for name in ("skip", "skipif", "xfail", "usefixtures"))
    return Scenario(item, rule, wanted, ahead=not others and not conditional)


def _of_installed_plugin(item: pytest.Function, name: str) -> bool:
    """Whether a fixture comes with a package of pytest's, such as a loop around each test."""
    packages = {
        getattr(plugin, "__name__", "") for plugin, _ in item.config.pluginmanager.list_plugin_distinfo()
    }
    known = item._fixtureinfo.name2fixturedefs.get(name, ())
    return bool(known) and known[-1].func.__module__ in packages


def argument_names(function: Callable[..., object]) -> tuple[str, ...]:
    """What a scenario's function asks for: ours, and what pytest is to provide."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(one.name for one in parameters if one.default is one.empty and one.kind not in UNNAMED)


def without_ours(function: Callable[..., object]) -> Callable[..., object]:
    """The function as pytest is to see it: it does not ask for what the harness gives it.

    So pytest looks for no fixture of that name: nobody else has ours, and ours is nobody else's.
    """

    @functools.wraps(function)
    def seen(*arguments: object, **named: object) -> object:
        return function(*arguments, **named)

    whole = inspect.signature(function)
    theirs = [one for one in whole.parameters.values() if one.name not in FIXTURES]
    seen.__signature__ = whole.replace(parameters=theirs)  # type: ignore[attr-defined]
    return seen


def _direct_parameters(item: pytest.Function) -> set[str]:
    """Parameters whose values come with the item itself, not from a fixture."""
    direct: set[str] = set()
    for mark in item.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs["argnames"]
        names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
        indirect = mark.kwargs.get("indirect", mark.args[2] if len(mark.args) > 2 else False)
        if indirect is not True:
            direct |= set(names) - set(indirect or ())
    for mark in item.iter_markers("each"):
        direct |= set(mark.args)
    return direct


def catalogue_of(items: Sequence[pytest.Item]) -> Catalogue:
    """The rules of the suites of all scenarios, beside those that are installed.

    Raises `pytest.UsageError`.
    """
    places = dict.fromkeys(item.path for item in items if item.get_closest_marker("rule"))
    others = installed()
    try:
        return Catalogue.load(
            (file for place in places for file in files_for(place)),
            rules_files(others) if others else (),
            CAPABILITIES.names,
        )
    except settings.SettingsError as error:
        raise pytest.UsageError(str(error)) from None


def without_other_rules(
    items: Sequence[pytest.Item], patterns: Sequence[str]
) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The items that are no scenarios of other rules than these, and those that are.

    Raises `pytest.UsageError` for a pattern that no rule fits, collected or not: what is misspelt would be
    tested by nobody.
    """
    if problems := settings.misfits(patterns, list(catalogue_of(items).known), "rule"):
        raise pytest.UsageError("\n".join(f"--smtp-rule {problem}" for problem in problems))

    def fits(item: pytest.Item) -> bool:
        rule = _rule_of(item)
        return rule is None or any(fnmatch.fnmatchcase(rule, pattern) for pattern in patterns)

    return _parted(items, fits)


def without_other_levels(
    items: Sequence[pytest.Item], levels: Sequence[str]
) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The items that are no scenarios of rules of other levels than these, and those that are.

    Raises `pytest.UsageError` for what is no level.
    """
    for level in levels:
        if level not in LEVELS:
            raise pytest.UsageError(f"--smtp-level {level}: {settings.nearest(level, list(LEVELS))}")
    rules = catalogue_of(items).rules

    def fits(item: pytest.Item) -> bool:
        rule = rules.get(_rule_of(item) or "")
        return rule is None or rule.level in levels

    return _parted(items, fits)


def _parted(
    items: Sequence[pytest.Item], fits: Callable[[pytest.Item], bool]
) -> tuple[list[pytest.Item], list[pytest.Item]]:
    chosen: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        (chosen if fits(item) else others).append(item)
    return chosen, others


def _rule_of(item: pytest.Item) -> str | None:
    mark = item.get_closest_marker("rule")
    return str(mark.args[0]) if mark and mark.args else None


def name_scenarios(items: Sequence[pytest.Item]) -> None:
    """Let each be chosen by what reports say of it: its rule by -k, its stage and its level by -m.

    Raises `pytest.UsageError`.
    """
    catalogue = catalogue_of(items)
    for item in items:
        mark = item.get_closest_marker("rule")
        if mark and mark.args:
            item.extra_keyword_matches.add(str(mark.args[0]))
            if rule := catalogue.rules.get(mark.args[0]):
                item.add_marker(stage_mark(rule.stage))
                item.add_marker(level_mark(rule.level))
