"""A trial: one drawn server, sound or broken in one respect, and what the scenarios make of it."""

import contextlib
import fnmatch
import secrets
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import settings
from harness.embedded.forked import WaitingMta, waiting_mta
from harness.embedded.process import ReferenceMta
from harness.profile import claims
from harness.profile.model import Profile
from harness.pytest_runs.here import cpu, play
from harness.reference_mta.passwords import hash_password
from harness.results.model import RunResult
from harness.rules import Catalogue
from harness.settings.secret import Secret
from harness.truth.draw import Draw
from harness.truth.profile import Reach, profile
from harness.truth.server import Site, configuration
from harness.world.sut import Sut

HASH_COST = 16  # of a password that lives as long as a trial
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
    """Plugs a drawn server into a run of pytest."""

    def __init__(
        self, bench: Bench, drawn: Draw, mutants: Sequence[str], folder: Path, waiting: WaitingMta
    ) -> None:
        self._bench = bench
        self._drawn = drawn
        self._mutants = mutants
        self._folder = folder
        self._waiting = waiting
        self._password = Secret(secrets.token_urlsafe(12))
        self.described = Sut(settings.read(self._write_profile(UNKNOWN_PORT, UNKNOWN_DNS), Profile))

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
        yield claims.load(self._write_profile(mta.port, where), self._bench.catalogue), mta

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Only the rules that are to be tried."""
        items[:] = [item for item in items if self._is_tried(item)]

    def _is_tried(self, item: pytest.Item) -> bool:
        mark = item.get_closest_marker("rule")
        return mark is not None and self._bench.tries(mark.args[0])

    def _write_profile(self, port: int, dns: str) -> Path:
        state = self._folder / "state"
        reach = Reach(port, dns, self._password, state / "mail", state / "ca.pem")
        file = self._folder / "profile.toml"
        file.write_text(profile(self._drawn, reach), "utf-8")
        return file


def try_out(bench: Bench, drawn: Draw, mutants: Sequence[str], folder: Path, *, lean: bool = True) -> Trial:
    """Run the scenarios against one server, in this process, which has one thread and no other use.

    What pytest says goes to `output.txt` in the folder, where the server's and the profile's files lie too.
    """
    began = time.monotonic()
    result: RunResult | None = None
    try:
        with waiting_mta() as waiting:
            server = _DrawnServer(bench, drawn, mutants, folder, waiting)
            options = ["--smtp-skip-heavy", *(["--smtp-lean"] if lean else [])]
            result, trouble = play(
                [*bench.files, *options],
                folder,
                server.embedded,
                described=server.described,
                plugins=[server],
            )
    except settings.SettingsError as error:
        trouble = str(error)
    except Exception:  # noqa: BLE001 - whatever went wrong belongs to this trial, and the others go on
        trouble = traceback.format_exc(limit=-4)
    return Trial(result, trouble, time.monotonic() - began, cpu())
