"""A run of pytest in this process, which has no other use; nothing of it shows on the terminal."""

import contextlib
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness.plugin.keys import EMBEDDED, SESSION, SUT
from harness.plugin.session import ScenarioPlugin
from harness.results.model import RunResult
from harness.runs.assembly import Embedded
from harness.world.sut import Sut

# What pytest need not do for a result that nobody reads on a terminal; the last is half a second of looking
# through all of the memory.
QUIETLY = [
    f"-pno:{plugin}" for plugin in ("cacheprovider", "terminal", "threadexception", "unraisableexception")
]
OUTPUT = "output.txt"  # what it said, in its folder


class _Judged:
    """Has a server judged in place of the one that comes with the harness, and takes the result."""

    def __init__(self, embedded: Embedded, described: Sut | None) -> None:
        self.result: RunResult | None = None
        self._embedded = embedded
        self._described = described

    def pytest_configure(self, config: pytest.Config) -> None:
        """It is judged."""
        config.stash[EMBEDDED] = self._embedded
        if self._described:
            config.stash[SUT] = self._described

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """All of it has been decided, and nothing is forgotten yet."""
        plugin = session.config.pluginmanager.get_plugin(SESSION)
        if isinstance(plugin, ScenarioPlugin) and plugin.result_builder and plugin.run:
            self.result = plugin.result_builder.result(plugin.run)


def play(
    arguments: Sequence[str],
    folder: Path,
    embedded: Embedded,
    *,
    described: Sut | None = None,
    plugins: Sequence[object] = (),
) -> tuple[RunResult | None, str]:
    """The scenarios that the arguments name; the result, or None and the reason why there is none.

    `embedded` starts the server, `described` is what is known of it before, where that is not the one that
    comes with the harness.
    """
    judged = _Judged(embedded, described)
    with written_to(folder / OUTPUT):
        status = pytest.main([*arguments, *QUIETLY, f"--smtp-reports={folder}"], plugins=[*plugins, judged])
    if judged.result and status != pytest.ExitCode.INTERNAL_ERROR:  # or what was decided is not all of it
        return judged.result, ""
    said = (folder / OUTPUT).read_text("utf-8", "replace").strip()[-500:]
    return None, f"pytest ended with {status!s}: {said}"


def read_modules(files: Sequence[str]) -> None:
    """Read all modules that a run of these files needs, so that what is forked from here has them."""
    with written_to(Path(os.devnull)):
        pytest.main([*files, "-q", "-p", "no:cacheprovider", "--collect-only"])


@contextlib.contextmanager
def written_to(file: Path) -> Iterator[None]:
    """What this process writes to its terminal goes to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = [os.dup(number) for number in (1, 2)]
    try:
        with file.open("a") as output:
            for number in (1, 2):
                os.dup2(output.fileno(), number)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, kept in zip((1, 2), before, strict=True):
            os.dup2(kept, number)
            os.close(kept)


def cpu() -> float:
    """Seconds of processor time that this process has had, and its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
