"""A pytest plugin for runs whose server breaks down in the middle: right after the first report."""

import json
import subprocess

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault", default="[]", help="a JSON list of commands")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Fault(json.loads(config.getoption("--fault"))))


class Fault:
    """What happens once; the next item is not collected before the commands have ended."""

    def __init__(self, commands: list[list[str]]) -> None:
        self.pending = commands

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            while self.pending:
                subprocess.run(self.pending.pop(0), check=True, timeout=60)
