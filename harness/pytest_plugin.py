"""The pytest plugin: finds the scenarios, and hands them to `harness.plugin`.

A scenario is a test function marked with `harness.scenario.rule`. Tests without that mark are left alone: in
a run without scenarios next to nothing of the harness is even read.
"""

import inspect
from collections.abc import Callable

import pytest

from harness.plugin.keys import SESSION
from harness.plugin.marks import MARKS
from harness.plugin.options import add_options

SEEN = "_seen_by_pytest"  # what a function is marked with that is collected in place of a scenario's


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of a run."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """The marks of a scenario."""
    for line in MARKS:
        config.addinivalue_line("markers", line)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> list[pytest.Item | pytest.Collector] | None:
    """A scenario is collected without what the harness gives it, which is no fixture of pytest's."""
    function = getattr(obj, "__func__", obj)
    if not inspect.isfunction(function) or hasattr(function, SEEN) or not _has_rule(collector, function):
        return None
    from harness.plugin.scenarios import without_ours

    seen = without_ours(function)
    setattr(seen, SEEN, True)
    items: list[pytest.Item | pytest.Collector] | None
    items = collector.ihook.pytest_pycollect_makeitem(collector=collector, name=name, obj=seen)
    return items


def _has_rule(collector: pytest.Module | pytest.Class, function: Callable[..., object]) -> bool:
    own = getattr(function, "pytestmark", ())
    marks = own if isinstance(own, list | tuple) else (own,)
    return collector.get_closest_marker("rule") is not None or any(one.name == "rule" for one in marks)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A case for each thing that the profile describes, where a scenario is to try all of them."""
    if metafunc.definition.get_closest_marker("rule") is None:
        return
    names = [name for mark in metafunc.definition.iter_markers("each") for name in mark.args]
    if not names:
        return
    from harness.plugin.described import described
    from harness.world.cast import each_of

    sut = described(metafunc.config)
    for name in names:
        things = each_of(name, sut) if sut else [("unknown", None)]
        metafunc.parametrize(name, [thing for _, thing in things], ids=[text for text, _ in things])


@pytest.hookimpl(tryfirst=True, specname="pytest_collection_modifyitems")
def pytest_name_scenarios(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where there are scenarios, the session is theirs as well; they can be chosen by their rules."""
    if any(item.get_closest_marker("rule") for item in items):
        from harness.plugin.session import ScenarioPlugin

        plugin = ScenarioPlugin(config)
        config.pluginmanager.register(plugin, SESSION)
        plugin.name(items)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """When all others have chosen and put in order: those scenarios are run."""
    plugin = config.pluginmanager.get_plugin(SESSION)
    if plugin is not None:
        plugin.find(items)
