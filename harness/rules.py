"""The catalogue: every documented rule, read from the `rules.toml` that lies beside its scenarios."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from harness import settings
from harness.offence import Offence
from harness.outcome import Outcome, Stage


class Level(StrEnum):
    """How binding a rule is, and by whose word."""

    DOCUMENTED = "documented"  # the administrator's own document promises it
    OPTIONAL = "optional"  # described by the document and left off


def _outcomes(value: object) -> object:
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list | tuple):
        return tuple(Outcome.parse(text) if isinstance(text, str) else text for text in texts)
    return value


Expectation = Annotated[tuple[Outcome, ...], BeforeValidator(_outcomes), Field(min_length=1)]


def spell(expectation: tuple[Outcome, ...]) -> str:
    """An expectation in words; several outcomes are alternatives."""
    return " or ".join(str(outcome) for outcome in expectation)


class _Entry(settings.Settings):
    stage: Stage
    source: str = Field(min_length=1)
    statement: str = Field(min_length=1)
    expect: Expectation
    level: Level = Level.DOCUMENTED
    needs: frozenset[str] = frozenset()
    offence: Offence | None = None
    rests_on: tuple[str, ...] = ()
    about_innocents: bool = False
    about_greylist: bool = False
    about_storage: bool = False
    disturbs: bool = False
    borrowed: bool = False
    weakness: str = ""


class _RulesFile(settings.Settings):
    suite: str
    rule: dict[str, _Entry]


@dataclass(frozen=True)
class Rule:
    """One documented, testable statement about a mail server.

    `needs` are the names of capabilities without which it cannot be tested (`harness/grants`). `offence` is
    the kind of thing that the server holds against a client by this rule, if it does.
    `rests_on` are the ids of the rules that its scenarios take for granted: while one of those is broken,
    this one cannot be told. A rule `about_innocents` promises what every innocent client meets. In one
    `about_greylist` the greylist's word counts, and in one `about_storage` how messages are kept; elsewhere
    that is none of the rule's. One that `disturbs` may change what the server does with everybody for a
    while, so it is played when all others are done. A `borrowed` offence is another rule's: where nothing is
    held against that, this one does not show.
    """

    id: str
    suite: str
    stage: Stage
    level: Level
    source: str
    statement: str
    expect: tuple[Outcome, ...]
    needs: frozenset[str]
    offence: Offence | None = None
    rests_on: tuple[str, ...] = ()
    about_innocents: bool = False
    about_greylist: bool = False
    about_storage: bool = False
    disturbs: bool = False
    borrowed: bool = False
    weakness: str = ""


@dataclass(frozen=True)
class Catalogue:
    """All rules of a run, by id, in the order of their files."""

    rules: dict[str, Rule] = field(default_factory=dict)

    @classmethod
    def load(cls, files: Iterable[Path], capabilities: Collection[str] | None = None) -> "Catalogue":
        """Read the given `rules.toml` files; `capabilities` are all names that may stand under `needs`.

        Without them whatever is needed is taken; a run refuses what it does not know. Raises
        `settings.SettingsError` when a file does not fit or an id stands in two of them.
        """
        rules: dict[str, Rule] = {}
        for file in files:
            content = settings.read(file, _RulesFile)
            if capabilities is not None:
                _check_needs(file, content, capabilities)
            for rule_id, entry in content.rule.items():
                if rule_id in rules:
                    raise settings.SettingsError(
                        file, [f"rule.{rule_id}: already defined by suite {rules[rule_id].suite}; rename one"]
                    )
                rules[rule_id] = Rule(id=rule_id, suite=content.suite, **dict(entry))
            _check_foundations(file, content, rules)
        return cls(rules)

    @classmethod
    def below(cls, folder: Path, capabilities: Collection[str] | None = None) -> "Catalogue":
        """The catalogue of every `rules.toml` in and below `folder`, as `load` reads them."""
        return cls.load(sorted(folder.rglob("rules.toml")), capabilities)

    def __iter__(self) -> Iterator[Rule]:
        """The rules in catalogue order."""
        return iter(self.rules.values())

    def __getitem__(self, rule_id: str) -> Rule:
        """The rule of that id; raises `UnknownRuleError` that names the nearest."""
        try:
            return self.rules[rule_id]
        except KeyError:
            raise UnknownRuleError(rule_id, list(self.rules)) from None

    def foundations(self, rule: Rule) -> tuple[str, ...]:
        """The ids of all rules that a rule rests on, those that it names first."""
        found: dict[str, None] = dict.fromkeys(rule.rests_on)
        for other in rule.rests_on:
            if other in self.rules:
                found |= dict.fromkeys(self.foundations(self.rules[other]))
        return tuple(found)

    def documented(self, offence: Offence) -> Outcome | None:
        """What the documents have for an offence: the first rule about it tells; None where none does."""
        told = (outcome for rule in self for outcome in rule.expect if rule.offence is offence)
        return next(told, None)

    @property
    def suite(self) -> str:
        """The name of the suites that the rules come from."""
        return "+".join(dict.fromkeys(rule.suite for rule in self))


def _check_needs(file: Path, content: _RulesFile, capabilities: Collection[str]) -> None:
    """Whatever a rule needs is something that a profile can grant."""
    problems = [
        f"rule.{rule_id}.needs: unknown capability {need!r}; {settings.nearest(need, list(capabilities))}"
        for rule_id, entry in content.rule.items()
        for need in sorted(entry.needs.difference(capabilities))
    ]
    if problems:
        raise settings.SettingsError(file, problems)


def _check_foundations(file: Path, content: _RulesFile, rules: dict[str, Rule]) -> None:
    """Every rule that another rests on is there, and none rests on itself by whatever detour."""
    problems = [
        f"rule.{rule_id}.rests_on: unknown rule {other!r}; {settings.nearest(other, list(rules))}"
        for rule_id, entry in content.rule.items()
        for other in entry.rests_on
        if other not in rules
    ]
    if not problems:
        problems = [
            f"rule.{rule_id}.rests_on: {' rests on '.join([*circle, circle[0]])}; leave one of these out"
            for rule_id in content.rule
            if (circle := _circle(rules, (rule_id,)))
        ][:1]
    if problems:
        raise settings.SettingsError(file, problems)


def _circle(rules: dict[str, Rule], path: tuple[str, ...]) -> tuple[str, ...]:
    for other in rules[path[-1]].rests_on:
        if other in path:
            return path[path.index(other) :]
        if found := _circle(rules, (*path, other)):
            return found
    return ()


class UnknownRuleError(Exception):
    """A rule id that no catalogue knows."""

    def __init__(self, rule_id: str, known: list[str]) -> None:
        """`known` are the ids to suggest from."""
        super().__init__(f"unknown rule {rule_id!r}; {settings.nearest(rule_id, known)}")
