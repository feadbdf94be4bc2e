"""A run of pytest as a command of its own: where another network or another time-out is wanted."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.results.model import RunResult
from harness.results.store import ResultFileError, load, newest

PATIENCE = 600.0  # seconds that one run may take


class BrokenRunError(Exception):
    """A run that left no result; the text has what it said."""


def run_pytest(
    scenarios: Path,
    folder: Path,
    options: Sequence[str],
    before: Sequence[str] = (),
    *,
    patience: float = PATIENCE,
    progress: bool = False,
) -> RunResult:
    """One run of the scenarios, verdicts only; raises `BrokenRunError` when it leaves no result.

    `before` are words that go before the command. It may take `patience` seconds. With `progress` our
    standard error tells how far it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *before,
        sys.executable,
        "-m",
        "pytest",
        str(scenarios),
        "-q",
        "-p",
        "no:cacheprovider",
        "--smtp-lean",
        "--tb=line",
    ]
    command += [f"--smtp-reports={folder}", *options]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    with (folder / "output.txt").open("w") as output, os.fdopen(os.dup(2), "w") as told:
        passed = [told.fileno()] if progress else []
        command += [f"--smtp-progress-to={number}" for number in passed]
        try:
            subprocess.run(  # noqa: S603 - pytest on our own scenarios
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=patience,
                env=environment,
                check=False,
                pass_fds=passed,
            )
        except subprocess.TimeoutExpired:
            raise BrokenRunError(f"the run was not over after {patience:.0f} s") from None
    try:
        return load(newest(folder))
    except ResultFileError as error:
        said = (folder / "output.txt").read_text("utf-8", "replace")[-600:]
        raise BrokenRunError(f"{error}; the run said: {said}") from error
