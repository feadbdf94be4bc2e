"""A real server, broken on purpose: its files changed in one place, or a service of it not started."""

import fnmatch
import functools
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from harness import settings
from harness.mutants.subject import Defect, Order, side_by_side
from harness.pytest_runs.commanded import BrokenRunError, run_pytest
from harness.results.model import RunResult
from harness.runs.reach import Reach
from harness.systems import sandbox
from harness.systems.image import Image, mount_point
from harness.systems.sandbox import SandboxError
from harness.systems.system import Parameters, System
from harness.wording import counted


class Edit(settings.Settings):
    """One place of one file: `find` stands there once; both texts count to the last blank."""

    model_config = ConfigDict(str_strip_whitespace=False)

    file: str = Field(min_length=1)
    find: str = Field(min_length=1)
    replace: str


class Mutant(settings.Settings):
    """One way to break the server, the rules that must fail by it, and who else may notice and why."""

    name: str = Field(min_length=1)
    about: str = Field(min_length=1)
    profile: str = ""  # whose set-up it breaks; empty: the usual one
    rules: tuple[str, ...] = Field(min_length=1)
    also: dict[str, str] = Field(default_factory=dict)  # pattern of rule ids -> reason
    edit: tuple[Edit, ...] = ()
    without: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _breaks_something(self) -> Self:
        if bool(self.edit) == bool(self.without):
            raise ValueError(f"{self.name}: give either edits or services to do without")
        return self


class Mutants(settings.Settings):
    """The content of a system's `mutants.toml`."""

    mutant: tuple[Mutant, ...] = Field(min_length=1)


@dataclass(frozen=True)
class BrokenSystem:
    """A system whose mutants of one profile are run, each in a sandbox of its own."""

    system: System
    parameters: Parameters
    scenarios: Path
    profile: str = ""  # empty: the usual one

    @property
    def title(self) -> str:
        """As the matrix calls it."""
        return f"{self.system.name} {self.profile}".strip()

    @property
    def defects(self) -> list[Defect]:
        """Of its `mutants.toml`, those of the profile."""
        return [Defect(one.name, one.rules, one.about) for one in self._mutants.values()]

    def reach(self, folder: Path) -> Reach | None:
        """No real server tells which of its parts are at work."""
        return None

    def sound(self, folder: Path) -> RunResult:
        """As its files have it."""
        return self._play((), folder, heavy=True)

    def play_all(
        self, orders: Sequence[Order], parallel: int
    ) -> Iterator[tuple[Order, RunResult | BrokenRunError]]:
        """Each in a sandbox of its own."""
        return side_by_side(
            lambda order: self._play(order.defects, order.folder, heavy=order.heavy), orders, parallel
        )

    def expects(self, defect: Defect, rule: str) -> bool:
        """By what the mutant says of itself."""
        return any(fnmatch.fnmatchcase(rule, pattern) for pattern in self._mutants[defect.name].also)

    def fits(self, defects: Sequence[Defect]) -> bool:
        """Unless they change the same place."""
        try:
            self._edited([self._mutants[defect.name] for defect in defects])
        except settings.SettingsError:
            return len(defects) == 1  # which is told when it is run
        return True

    def _play(self, defects: Sequence[Defect], folder: Path, *, heavy: bool) -> RunResult:
        """Start it with these defects, and run the scenarios, all of them."""
        folder.mkdir(parents=True)
        mutants = [self._mutants[defect.name] for defect in defects]
        root = folder / "root"
        for layer in self.system.roots:
            shutil.copytree(layer, root, symlinks=True, dirs_exist_ok=True)
        for file, content in self._edited(mutants).items():
            (root / file).write_text(content, "utf-8")
        without = [service for mutant in mutants for service in mutant.without]
        place = mount_point(self.system.name)
        try:
            with sandbox.running(
                self.system, Image(self.system).archive, place, self.parameters, without, root
            ) as box:
                profile = folder / "profile.toml"
                profile.touch(mode=0o600)
                profile.write_text(box.profile(self.profile), "utf-8")
                options = [f"--smtp-sut={profile}", *(["--smtp-allow-heavy"] if heavy else [])]
                return run_pytest(self.scenarios, folder, options, box.beside, progress=not defects)
        except SandboxError as error:
            raise BrokenRunError(str(error)) from error

    def _edited(self, mutants: Sequence[Mutant]) -> dict[str, str]:
        files: dict[str, str] = {}
        for mutant in mutants:
            for edit in mutant.edit:
                if edit.file not in files:
                    files[edit.file] = settings.read_text(self.system.file(edit.file))
                found = files[edit.file].count(edit.find)
                if found != 1:
                    times = counted(found, "time")
                    told = f"{edit.file} has {edit.find!r} {times}; give text that is there once"
                    source = self.system.folder / "mutants.toml"
                    raise settings.SettingsError(source, [f"{mutant.name}: {told}"])
                files[edit.file] = files[edit.file].replace(edit.find, edit.replace)
        return files

    @functools.cached_property
    def _mutants(self) -> dict[str, Mutant]:
        known = settings.read(self.system.folder / "mutants.toml", Mutants).mutant
        return {one.name: one for one in known if one.profile == self.profile}
