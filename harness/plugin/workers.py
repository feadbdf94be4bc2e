"""Scenarios beside pytest-xdist: its workers leave them to the process that started the workers.

They wait side by side anyway, know of each other how steady the server is, and make one report; so when the
workers are done with all other tests, the scenarios are collected and run where there is one process of them.
"""

import pytest

from harness.plugin.keys import LEFT

LEFT_HERE = "smtp_harness_scenarios"  # in what a worker hands back: that it has left some
DISTRIBUTION = "dsession"  # as pytest-xdist calls its plugin in the process that started the workers


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist."""
    return hasattr(config, "workerinput")


def is_scenario(item: pytest.Item) -> bool:
    """Whether it tests a rule."""
    return item.get_closest_marker("rule") is not None


def leave_scenarios(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker: everything but scenarios is its own."""
    if any(is_scenario(item) for item in items):
        _hand_back(config)
    items[:] = [item for item in items if not is_scenario(item)]


def leave_mistake(config: pytest.Config) -> None:
    """In a worker: what is wrong with the rules is told by whoever collects the scenarios after it."""
    _hand_back(config)


def _hand_back(config: pytest.Config) -> None:
    handed_back: dict[str, object] = config.workeroutput  # type: ignore[attr-defined] # of pytest-xdist
    handed_back[LEFT_HERE] = True


def hear_of_scenarios(config: pytest.Config, node: object) -> None:
    """A worker is done: has it left scenarios?"""
    if getattr(node, "workeroutput", {}).get(LEFT_HERE):
        config.stash[LEFT] = True


def run_scenarios_here(session: pytest.Session, entry: object) -> None:
    """Collect them and run them; `entry` is the plugin that calls this in its `pytest_runtestloop`."""
    failed, collected = session.testsfailed, session.testscollected
    session.testsfailed = 0  # what failed in workers did not fail in this collection
    manager = session.config.pluginmanager
    try:
        if reporter := manager.get_plugin("terminalreporter"):
            reporter.ensure_newline()
        session.perform_collect()
        session.testscollected += collected
        without = [manager.get_plugin(DISTRIBUTION), entry]
        manager.subset_hook_caller("pytest_runtestloop", remove_plugins=without)(session=session)
    finally:
        session.testsfailed += failed
