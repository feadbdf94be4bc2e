"""A trial: one drawn server, sound or broken in one respect, and what the scenarios make of it."""

import contextlib
import fnmatch
import os
import resource
import secrets
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import settings
from harness.embedded.forked import WaitingMta, waiting_mta
from harness.embedded.process import ReferenceMta
from harness.plugin.keys import EMBEDDED, SESSION, SUT
from harness.plugin.session import ScenarioPlugin
from harness.profile import model as profiles
from harness.profile.model import Profile
from harness.reference_mta.passwords import hash_password
from harness.results.model import RunResult
from harness.rules import Catalogue
from harness.settings.secret import Secret
from harness.truth.draw import Draw
from harness.truth.profile import Reach, profile
from harness.truth.server import Site, configuration
from harness.world.sut import Sut

# What pytest need not do for a result that nobody reads on a terminal; the last is half a second of looking
# through all of the memory.
QUIETLY = [
    f"-pno:{plugin}" for plugin in ("cacheprovider", "terminal", "threadexception", "unraisableexception")
]
HASH_COST = 16  # of a password that lives as long as a trial
OUTPUT = "output.txt"
UNKNOWN_PORT = 25  # stands in the profile until the server listens
UNKNOWN_DNS = "127.0.0.1:53"


@dataclass(frozen=True)
class Bench:
    """What all trials have in common."""

    scenarios: Path
    catalogue: Catalogue
    rules: tuple[str, ...] = ("*",)  # patterns of those that are tried

    @property
    def files(self) -> list[str]:
        """The files of scenarios in which one of the rules is named."""
        wanted = [rule.id for rule in self.catalogue if self.tries(rule.id)]
        found = sorted(self.scenarios.rglob("test_*.py"))
        return [str(file) for file in found if any(f'"{rule}"' in file.read_text("utf-8") for rule in wanted)]

    def tries(self, rule: str) -> bool:
        """Whether a rule is one of those that are tried."""
        return any(fnmatch.fnmatchcase(rule, pattern) for pattern in self.rules)


@dataclass(frozen=True)
class Trial:
    """What became of one server; without a result `trouble` says why there is none."""

    result: RunResult | None
    trouble: str = ""
    seconds: float = 0.0
    cpu: float = 0.0  # seconds, of all its processes


class _DrawnServer:
    """Plugs a drawn server into a run of pytest, and takes the result out of it."""

    def __init__(
        self, bench: Bench, drawn: Draw, mutants: Sequence[str], folder: Path, waiting: WaitingMta
    ) -> None:
        self.result: RunResult | None = None
        self._bench = bench
        self._drawn = drawn
        self._mutants = mutants
        self._folder = folder
        self._waiting = waiting
        self._password = Secret(secrets.token_urlsafe(12))
        self._described = Sut(self._profile(UNKNOWN_PORT, UNKNOWN_DNS))

    @contextlib.contextmanager
    def embedded(
        self, dns: tuple[str, int], mutants: Sequence[str] = ()
    ) -> Iterator[tuple[Profile, ReferenceMta]]:
        """The server and its profile, each as its writer has them."""
        where = f"{dns[0]}:{dns[1]}"
        hashed = Secret(hash_password(self._password.reveal(), cost=HASH_COST))
        site = Site(self._folder / "state", where, hashed)
        config = self._folder / "server.toml"
        config.write_text(configuration(self._drawn, site, self._mutants), "utf-8")
        mta = self._waiting.begin(config)
        yield self._profile(mta.port, where), mta

    def pytest_configure(self, config: pytest.Config) -> None:
        """The server is judged in place of the one that comes with the harness."""
        config.stash[SUT] = self._described
        config.stash[EMBEDDED] = self.embedded

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Only the rules that are to be tried."""
        items[:] = [item for item in items if self._is_tried(item)]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """The result, before everything is forgotten."""
        plugin = session.config.pluginmanager.get_plugin(SESSION)
        if isinstance(plugin, ScenarioPlugin) and plugin.result_builder and plugin.run:
            self.result = plugin.result_builder.result(plugin.run)

    def _is_tried(self, item: pytest.Item) -> bool:
        mark = item.get_closest_marker("rule")
        return mark is not None and self._bench.tries(mark.args[0])

    def _profile(self, port: int, dns: str) -> Profile:
        state = self._folder / "state"
        reach = Reach(port, dns, self._password, state / "mail", state / "ca.pem")
        file = self._folder / "profile.toml"
        file.write_text(profile(self._drawn, reach), "utf-8")
        return profiles.load(file, self._bench.catalogue)


def try_out(bench: Bench, drawn: Draw, mutants: Sequence[str], folder: Path, *, lean: bool = True) -> Trial:
    """Run the scenarios against one server, in this process, which has one thread and no other use.

    What pytest says goes to `output.txt` in the folder, where the server's and the profile's files lie too.
    """
    began = time.monotonic()
    server: _DrawnServer | None = None
    trouble = ""
    try:
        with waiting_mta() as waiting, _written_to(folder / OUTPUT):
            server = _DrawnServer(bench, drawn, mutants, folder, waiting)
            options = [*QUIETLY, "--smtp-skip-heavy", f"--smtp-reports={folder}"]
            options += ["--smtp-lean"] if lean else []
            status = pytest.main([*bench.files, *options], plugins=[server])
            trouble = "" if server.result else f"pytest ended with {status!s}: {_last_words(folder)}"
    except settings.SettingsError as error:
        trouble = str(error)
    except Exception:  # noqa: BLE001 - whatever went wrong belongs to this trial, and the others go on
        trouble = traceback.format_exc(limit=-4)
    return Trial(server.result if server else None, trouble, time.monotonic() - began, _cpu())


def _last_words(folder: Path) -> str:
    return (folder / OUTPUT).read_text("utf-8", "replace").strip()[-500:]


def warm_up(bench: Bench) -> None:
    """Read all modules once, so that every trial that is forked from here has them."""
    with _written_to(Path(os.devnull)):
        pytest.main([*bench.files, "-q", "-p", "no:cacheprovider", "--collect-only"])


@contextlib.contextmanager
def _written_to(file: Path) -> Iterator[None]:
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


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
