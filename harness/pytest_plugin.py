"""The pytest plugin: finds the scenarios, and hands them to `harness.plugin`.

A scenario is a test function marked with `harness.scenario.rule`. Tests without that mark are left alone: in
a run without scenarios next to nothing of the harness is even read.
"""

import inspect
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from harness.plugin import workers
from harness.plugin.keys import LEFT, SELECTION, SESSION
from harness.plugin.marks import MARKS
from harness.plugin.options import add_options, by_own_names

SEEN = "_seen_by_pytest"  # what a function is marked with that is collected in place of a scenario's


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of a run."""
    add_options(parser)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    """When all plugins have said which options they have: the older names of ours that are left."""
    result = yield
    args[:] = by_own_names(parser, args, early_config.option)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """What ends a session in a sentence may quote files of others: it is told visibly."""
    try:
        return (yield)
    except pytest.UsageError as error:
        from harness.printable import LINES, printable

        raise pytest.UsageError(*(printable(str(text), keep=LINES) for text in error.args)) from None


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
    """Scenarios can be chosen by their rules."""
    if not any(workers.is_scenario(item) for item in items):
        return
    from harness.plugin.scenarios import name_scenarios, without_other_levels, without_other_rules
    from harness.plugin.selection import Selection

    config.stash[SELECTION] = Selection.of(config, items)
    try:
        if patterns := config.option.smtp_rule:
            items[:], others = without_other_rules(items, patterns)
            config.hook.pytest_deselected(items=others)
        if file := config.option.smtp_only:
            items[:], others = _without_others(items, Path(file))
            config.hook.pytest_deselected(items=others)
        if levels := config.option.smtp_level:
            items[:], others = without_other_levels(items, levels)
            config.hook.pytest_deselected(items=others)
        name_scenarios(items)
    except pytest.UsageError:
        if not workers.is_worker(config):
            raise
        workers.leave_mistake(config)


def _without_others(items: list[pytest.Item], file: Path) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The items that a file lists by their ids, and those that it does not; raises `pytest.UsageError`."""
    try:
        wanted = {*file.read_text("utf-8").splitlines()}
    except (OSError, UnicodeError) as error:
        raise pytest.UsageError(f"--smtp-only {file}: {error}; name a file of pytest ids") from None
    listed = [item for item in items if item.nodeid in wanted]
    return listed, [item for item in items if item.nodeid not in wanted]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """When all others have chosen: where there are scenarios, the session is theirs as well."""
    if workers.is_worker(config):
        workers.leave_scenarios(config, items)
    elif config.stash.get(LEFT, False):
        items[:] = [item for item in items if workers.is_scenario(item)]
    if any(workers.is_scenario(item) for item in items):
        from harness.plugin.session import ScenarioPlugin

        plugin = ScenarioPlugin(config)
        plugin.find(items)
        config.pluginmanager.register(plugin, SESSION)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """A worker of pytest-xdist is done with its tests."""
    config = getattr(node, "config", None)
    if isinstance(config, pytest.Config):
        workers.hear_of_scenarios(config, node)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """When workers are done with all other tests: the scenarios that they have left."""
    result = yield
    if session.config.stash.get(LEFT, False):
        workers.run_scenarios_here(session, entry=sys.modules[__name__])
    return result
