"""Suites: each a folder whose `suite.toml` says what its rules are about, and into which groups they fall."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from harness import settings

SUITE = "suite.toml"
RULES = "rules.toml"  # or GROUP.rules.toml, where the rules of a suite are spread over several files
SCENARIOS = "scenarios"  # the folder, and the package, in which suites are installed

Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]*$")]


class _GroupTable(settings.Settings):
    title: str = Field(min_length=1)
    must_describe: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    drawn: bool = False


class _SuiteFile(settings.Settings):
    name: Name
    title: str = Field(min_length=1)
    about: str = Field(min_length=1)
    claimed_by_default: bool = True
    chapters: Literal["stages", "groups"] = "stages"
    group: dict[Name, _GroupTable] = Field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """The rules of a suite whose ids begin alike, as in `helo.` and what follows it.

    A profile that claims one of them `must_describe` these keys of its own, such as `greylist`. `needs` are
    names of capabilities that each of them needs. Those that are `drawn` are about things that servers drawn
    at random differ in (`smtp-harness truth`).
    """

    prefix: str = ""
    title: str = ""
    must_describe: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    drawn: bool = False


@dataclass(frozen=True)
class Suite:
    """Rules of one source.

    A profile claims the rules of one that is `claimed_by_default` unless it says otherwise. Reports have
    `chapters`: the stages of the dialogue, or the titles of the suite's groups. A suite without a
    `suite.toml` has no groups but those that the ids of its rules make.
    """

    name: str
    title: str
    about: str = ""
    claimed_by_default: bool = True
    chapters: Literal["stages", "groups"] = "stages"
    groups: Mapping[str, Group] = field(default_factory=dict)
    file: Path | None = None  # its `suite.toml`

    @classmethod
    def read(cls, file: Path) -> "Suite":
        """That of a `suite.toml`; raises `settings.SettingsError`."""
        read = settings.read(file, _SuiteFile)
        groups = {prefix: Group(prefix, **dict(table)) for prefix, table in read.group.items()}
        return cls(read.name, read.title, read.about, read.claimed_by_default, read.chapters, groups, file)

    def group_of(self, rule_id: str) -> Group | None:
        """The group of a rule; None when the suite has groups, and none of that prefix."""
        prefix = rule_id.partition(".")[0]
        return Group(prefix, prefix) if self.file is None else self.groups.get(prefix)

    def mend(self, rule_id: str) -> str:
        """What to do about a rule that is of no group."""
        return settings.nearest(rule_id.partition(".")[0], list(self.groups)) or "add a [group] with a title"

    def chapter_of(self, rule_id: str, stage: str) -> str:
        """Under which heading reports have a rule."""
        group = self.group_of(rule_id)
        return group.title if self.chapters == "groups" and group else stage


def has_rules(file: Path) -> bool:
    """Whether a file is one with rules, by its name."""
    return file.name == RULES or file.name.endswith(f".{RULES}")


def rules_files(folder: Path) -> list[Path]:
    """Every file with rules in and below a folder."""
    return sorted(file for file in folder.rglob(f"*{RULES}") if has_rules(file))


def suite_file(place: Path) -> Path | None:
    """The `suite.toml` beside or above a file; None where there is none."""
    return next((one / SUITE for one in place.parents if (one / SUITE).is_file()), None)


def files_for(scenario: Path) -> tuple[Path, ...]:
    """All files with rules of the suite that a file of scenarios belongs to.

    Where no `suite.toml` lies beside or above it, that is the nearest `rules.toml`.
    """
    if of := suite_file(scenario):
        return tuple(file for file in rules_files(of.parent) if suite_file(file) == of)
    nearest = next((one / RULES for one in scenario.parents if (one / RULES).is_file()), None)
    return (nearest,) if nearest else ()


def folders_of(files: Iterable[Path]) -> frozenset[Path]:
    """The folders of the suites of some files with rules."""
    return frozenset((suite_file(file) or file).parent for file in files)


def installed() -> Path | None:
    """The folder of the suites of the working directory, or else of those installed with the harness."""
    here = Path(SCENARIOS)
    if here.is_dir() and rules_files(here):
        return here
    found = find_spec(SCENARIOS)
    return Path(found.origin).parent if found and found.origin else None
