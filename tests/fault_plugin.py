"""A pytest plugin for runs whose server breaks down in the middle: right after the first try has ended."""

import json
import subprocess
import threading
from typing import Any

import pytest

from harness.runs import course, trial


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault", default="[]", help="a JSON list of commands")


def pytest_configure(config: pytest.Config) -> None:
    commands = json.loads(config.getoption("--fault"))
    if commands:
        config.add_cleanup(_break_down(commands).undo)


def _break_down(commands: list[list[str]]) -> pytest.MonkeyPatch:
    """What happens once; whoever came to the end of its try waits until the commands have ended."""
    happening = threading.Lock()

    def try_once(*arguments: Any, **words: Any) -> Any:
        tried = once(*arguments, **words)
        with happening:
            while commands:
                subprocess.run(commands.pop(0), check=True, timeout=60)
        return tried

    once = trial.try_once
    patch = pytest.MonkeyPatch()
    patch.setattr(course, "try_once", try_once)
    return patch
