"""A system: a real mail server as one folder describes it, with its files, services and profile."""

import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from harness import settings
from harness.settings.secret import Secret

FOLDER = Path(__file__).parent
TABLE = re.compile(r"^(?=\[)", re.MULTILINE)  # where one begins
KEY = re.compile(r"^[\w.-]+ *=", re.MULTILINE)
DEVIATION = "[deviation"  # the name of a known one in a profile
PLACE = re.compile(r"@([a-z]+)@")  # in the files of a system: a parameter of the run


class Own(settings.Settings):
    """Who a file belongs to, and its mode in octal digits."""

    path: str = Field(pattern="^/")
    user: str = "root"
    group: str = "root"
    mode: str = Field(default="0644", pattern="^[0-7]{3,4}$")


class Command(settings.Settings):
    """A command that runs inside, as root."""

    command: tuple[str, ...] = Field(min_length=1)


class Ready(settings.Settings):
    """How a service shows that it is up: a TCP or Unix socket that can be connected to, or a command."""

    tcp: str = Field(default="", pattern=r"^([0-9.]+:\d+)?$")
    socket: str = Field(default="", pattern="^(/.*)?$")
    command: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(map(bool, (self.tcp, self.socket, self.command))) != 1:
            raise ValueError("give one of tcp, socket and command")
        return self


class Service(Command):
    """A program that stays in the foreground for as long as the sandbox lasts."""

    name: str = Field(min_length=1)
    user: str = "root"
    environment: dict[str, str] = Field(default_factory=dict)
    ready: Ready
    within: float = Field(default=20.0, gt=0, le=300)  # seconds


class Description(settings.Settings):
    """What `system.toml` says, and for another set-up `system-NAME.toml` in place of some of it."""

    about: str = Field(min_length=1)
    packages: tuple[str, ...] = Field(min_length=1)
    root: tuple[str, ...] = Field(default=("root",), min_length=1)  # folders, each laid over those before it
    own: tuple[Own, ...] = ()
    prepare: tuple[Command, ...] = ()
    service: tuple[Service, ...] = Field(min_length=1)


class UnknownSystemError(Exception):
    """There is no system, or no profile, of that name; the text names those that there are."""


@dataclass(frozen=True)
class System:
    """One folder: a description, the files that go over the root file system, a profile, its mutants.

    A profile may have a set-up of its own: `system-NAME.toml` beside `profile-NAME.toml`. Its keys take the
    place of those of `system.toml`, but for the packages, which are the system's.
    """

    name: str
    folder: Path
    description: Description
    setup: str = ""  # the name of the profile whose set-up this is; empty: the usual one

    @classmethod
    def named(cls, name: str, profile: str = "") -> "System":
        """The system of that name, set up as a profile needs it.

        Raises `UnknownSystemError`, or `settings.SettingsError` for its files.
        """
        known = names()
        if name not in known:
            raise UnknownSystemError(f"there is no system {name!r}; {settings.nearest(name, known)}")
        folder = FOLDER / name
        system = cls.at(folder, profile if _setup(folder, profile).is_file() else "")
        system.profile(profile)  # a wrong name is told before anything is started
        return system

    @classmethod
    def at(cls, folder: Path, setup: str = "") -> "System":
        """The one in a folder, set up as usual or as a profile needs it; raises `settings.SettingsError`."""
        usual = folder / "system.toml"
        file = _setup(folder, setup) if setup else usual
        content = settings.read_toml(usual)
        if setup:
            own = settings.read_toml(file)
            if "packages" in own:
                raise settings.SettingsError(file, [f"packages: all set-ups share them; add to {usual.name}"])
            content |= own
        description = settings.check(file, content, Description)
        for name in description.root:
            if not (folder / name).is_dir():
                raise settings.SettingsError(file, [f"root: there is no folder {name} beside it"])
        return cls(folder.name, folder, description, setup)

    @property
    def roots(self) -> list[Path]:
        """The folders whose files go over the root file system, in this order."""
        return [self.folder / name for name in self.description.root]

    def file(self, name: str) -> Path:
        """Where a file of the root file system comes from; the last folder's when several have it."""
        found = [folder / name for folder in self.roots if (folder / name).is_file()]
        return found[-1] if found else self.roots[-1] / name

    @property
    def variants(self) -> dict[str, str]:
        """Its profiles beside the usual one: name and what the first line says."""
        files = sorted(self.folder.glob("profile-*.toml"))
        return {
            file.stem.removeprefix("profile-"): settings.read_text(file).partition("\n")[0].lstrip("# ")
            for file in files
        }

    def profile(self, variant: str = "") -> str:
        """A profile, with places that a run fills in; raises `UnknownSystemError` or `SettingsError`.

        A variant has the tables that take the place of the usual profile's, with all below them; one without
        a key is left out. A known deviation is one more, or takes the place of the usual one of the same rule
        and case; one that names a rule and nothing else takes out all of that rule.
        """
        usual = settings.read_text(self.folder / "profile.toml")
        if not variant:
            return usual
        if variant not in self.variants:
            mend = settings.nearest(variant, list(self.variants)) if self.variants else "it has the usual one"
            raise UnknownSystemError(f"{self.name} has no profile {variant!r}; {mend}")
        head, *own = TABLE.split(settings.read_text(self.folder / f"profile-{variant}.toml"))
        kept = [one for one in TABLE.split(usual)[1:] if not any(_replaces(table, one) for table in own)]
        return "".join([head, *kept, *(table for table in own if not _only_takes_out(table))])


def names() -> list[str]:
    """All systems."""
    return sorted(file.parent.name for file in FOLDER.glob("*/system.toml"))


def _setup(folder: Path, name: str) -> Path:
    """The file with the set-up that belongs to a profile, where there is one."""
    return folder / f"system-{name}.toml"


def _header(table: str) -> str:
    """Of a table the name; that of one in an array, as `[[domain]]`, has a bracket in front."""
    return table.partition("]")[0].removeprefix("[")


def _deviation(table: str) -> dict[str, str]:
    """What a table says of a known deviation; empty where it is another table, or says nothing."""
    return tomllib.loads(table)["deviation"][0] if _header(table) == DEVIATION else {}


def _replaces(own: str, usual: str) -> bool:
    """Whether a table of a variant takes the place of a usual one, or takes it out."""
    name, here = _header(own), _header(usual)
    if deviation := _deviation(own):
        same = ("rule",) if _only_takes_out(own) else ("rule", "case")
        other = _deviation(usual)
        return bool(other) and all(deviation.get(key) == other.get(key) for key in same)
    return here == name or here.startswith(f"{name}.")


def _only_takes_out(own: str) -> bool:
    """Whether a table of a variant is none of its profile."""
    return _deviation(own).keys() == {"rule"} or not KEY.search(own)


@dataclass(frozen=True)
class Parameters:
    """What is filled in where the files of a system say `@delay@`, `@password@` and `@hash@`."""

    delay: int = 1  # seconds
    password: Secret = field(default_factory=lambda: Secret(secrets.token_urlsafe(12)))
    hash: Secret = field(default=Secret(""))  # the password, hashed as `crypt` does it

    @classmethod
    def noted(cls, note: Mapping[str, Any]) -> "Parameters":
        """Those that `to_note` wrote down."""
        return cls(note["delay"], Secret(note["password"]), Secret(note["hash"]))

    def to_note(self) -> dict[str, Any]:
        """In clear, for a pipe or a file that nobody else can read."""
        return {"delay": self.delay, "password": self.password.reveal(), "hash": self.hash.reveal()}

    def fill(self, text: str, more: Mapping[str, str] | None = None) -> str:
        """`text` with its places filled in; a place that nobody knows stays as it is."""
        known = {name: str(value) for name, value in self.to_note().items()} | dict(more or {})
        return PLACE.sub(lambda place: known.get(place[1], place[0]), text)
