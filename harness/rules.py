"""The catalogue: every documented rule, read from the `rules.toml` that lies beside its scenarios."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from harness import settings
from harness.offence import Offence
from harness.outcome import Outcome, Stage
from harness.settings.notation import written
from harness.suites import Group, Suite, rules_files, suite_file


class Level(StrEnum):
    """How binding a rule is, and by whose word."""

    MUST = "must"  # RFC 2119: an absolute requirement
    SHOULD = "should"  # RFC 2119: there may be good reasons to do otherwise
    MAY = "may"  # RFC 2119: it is up to the server
    SECURITY = "security"  # whoever does otherwise can be abused, whatever a document says
    DOCUMENTED = "documented"  # the administrator's own document promises it
    OPTIONAL = "optional"  # described by the document and left off


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


OneOutcome = Annotated[Outcome, written(Outcome, Outcome.parse)]
Expectation = Annotated[tuple[OneOutcome, ...], BeforeValidator(_listed), Field(min_length=1)]


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
    about_recipients: bool = False
    about_storage: bool = False
    about_certificate: bool = False
    disturbs: bool = False
    borrowed: bool = False
    weakness: str = ""
    must_describe: tuple[str, ...] | None = None


class _RulesFile(settings.Settings):
    suite: str | None = None
    rule: dict[str, _Entry]


@dataclass(frozen=True)
class Rule:
    """One documented, testable statement about a mail server.

    `needs` are the names of capabilities without which it cannot be tested (`harness/grants`). `offence` is
    the kind of thing that the server holds against a client by this rule, if it does.
    `rests_on` are the ids of the rules that its scenarios take for granted: while one of those is broken,
    this one cannot be told. A rule `about_innocents` promises what every innocent client meets. In one
    `about_greylist` the greylist's word counts, in one `about_recipients` who is a recipient, and whose
    mailbox that is, and in one `about_storage` how messages are kept; elsewhere that is none of the
    rule's. One `about_certificate` is broken where the server's certificate is not trusted. One that
    `disturbs` may change what the server does with everybody for a while, so it is played when all others
    are done. A `borrowed` offence is another rule's: where nothing is held against that, this one does not
    show.

    `must_describe` are the keys that a profile must have to claim it, where they are not those of its group.
    Its suite is `claimed_by_default` or not. Reports have it in a `chapter`, which is its stage when empty.
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
    about_recipients: bool = False
    about_storage: bool = False
    about_certificate: bool = False
    disturbs: bool = False
    borrowed: bool = False
    weakness: str = ""
    must_describe: tuple[str, ...] | None = None
    group: Group = field(default_factory=Group)
    claimed_by_default: bool = True
    chapter: str = ""

    @property
    def lets_its_clients_through(self) -> bool:
        """Whether it is about clients of whom nothing is held: by the document they get through at once."""
        return self.offence is None and not any(outcome.is_felt for outcome in self.expect)

    @property
    def described(self) -> tuple[str, ...]:
        """The keys that a profile must have to claim it, such as `greylist`."""
        return self.group.must_describe if self.must_describe is None else self.must_describe


@dataclass(frozen=True)
class Catalogue:
    """All rules of a run, by id, in the order of their files; beside them those that are installed."""

    rules: dict[str, Rule] = field(default_factory=dict)
    suites: dict[str, Suite] = field(default_factory=dict)
    beside: dict[str, Rule] = field(default_factory=dict)  # of installed suites that are not of the run
    beside_suites: dict[str, Suite] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        files: Iterable[Path],
        installed: Iterable[Path] = (),
        capabilities: Collection[str] | None = None,
    ) -> "Catalogue":
        """Read the given files with rules, and those that are `installed` and may be referred to.

        An installed suite or rule of the same name as one of `files` is taken for that. `capabilities` are
        all names that may stand under `needs`; without them whatever is needed is taken, and a run refuses
        what it does not know. Raises `settings.SettingsError` when a file does not fit or an id stands in two
        of them.
        """
        files = list(dict.fromkeys(files))
        own = _read(files)
        others = _read(file for file in installed if file.resolve() not in {one.resolve() for one in files})
        beside = {
            rule.id: rule
            for rule in others.rules.values()
            if rule.suite not in own.suites and rule.id not in own.rules
        }
        beside_suites = {name: suite for name, suite in others.suites.items() if name not in own.suites}
        if capabilities is not None:
            _check_needs(own, capabilities)
        for file, content in own.contents.items():
            _check_foundations(file, content, beside | own.rules)
        return cls(own.rules, own.suites, beside, beside_suites)

    @classmethod
    def below(cls, folder: Path, capabilities: Collection[str] | None = None) -> "Catalogue":
        """The catalogue of all suites in and below `folder`, as `load` reads them."""
        return cls.load(rules_files(folder), capabilities=capabilities)

    @property
    def known(self) -> dict[str, Rule]:
        """The rules of all suites, of this run or installed, by id."""
        return self.rules | self.beside

    @property
    def known_suites(self) -> dict[str, Suite]:
        """All suites, of this run or installed, by name."""
        return self.suites | self.beside_suites

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
        return tuple(_foundations(rule, self.known))

    def rest_on(self, rules: Iterable[str], others: Iterable[str]) -> bool:
        """Whether one of some rules rests on one of the others, by whatever detour."""
        known = (self.rules[rule] for rule in rules if rule in self.rules)
        return any({*self.foundations(rule)} & {*others} for rule in known)

    def about(self, offence: Offence) -> Rule | None:
        """The rule that says what an offence earns: the first that is about it; None where none is.

        The rules of a suite that profiles claim by default come before others.
        """
        asked = sorted(self, key=lambda rule: not rule.claimed_by_default)
        return next((rule for rule in asked if rule.offence is offence), None)

    def documented(self, offence: Offence) -> Outcome | None:
        """What the documents have for an offence: the first outcome of the rule about it, if any is."""
        rule = self.about(offence)
        return rule.expect[0] if rule else None

    def leads(self, rule: Rule) -> Rule | None:
        """The rule that says, of the same stage, what the offence of another one earns; None without one.

        What a server does otherwise by the first, it does so by the other, which borrows the offence from it
        or rests on it.
        """
        first = self.about(rule.offence) if rule.offence else None
        if first is None or first is rule or first.expect[0].stage is not rule.expect[0].stage:
            return None
        return first if rule.borrowed or first.id in self.foundations(rule) else None


def _foundations(rule: Rule, known: Mapping[str, Rule]) -> dict[str, None]:
    found: dict[str, None] = dict.fromkeys(rule.rests_on)
    for other in rule.rests_on:
        if other in known:
            found |= _foundations(known[other], known)
    return found


@dataclass
class _Read:
    """What some files with rules hold."""

    rules: dict[str, Rule] = field(default_factory=dict)
    suites: dict[str, Suite] = field(default_factory=dict)
    contents: dict[Path, _RulesFile] = field(default_factory=dict)

    def place_of(self, rule: Rule) -> tuple[int, int]:
        """Its suite, and where groups are chapters its group: in this order the rules come."""
        suite = self.suites[rule.suite]
        by_groups = suite.chapters == "groups"
        group = list(suite.groups).index(rule.group.prefix) if by_groups else 0
        return list(self.suites).index(rule.suite), group


def _read(files: Iterable[Path]) -> _Read:
    """Read files with rules, each with its suite; raises `settings.SettingsError`."""
    read = _Read()
    for file in files:
        content = settings.read(file, _RulesFile)
        suite = _suite_of(file, content, read.suites)
        for rule_id, entry in content.rule.items():
            if rule_id in read.rules:
                other = read.rules[rule_id].suite
                raise settings.SettingsError(
                    file, [f"rule.{rule_id}: already defined by suite {other}; rename one"]
                )
            read.rules[rule_id] = _rule(file, rule_id, entry, suite)
        read.contents[file] = content
    read.rules = {rule.id: rule for rule in sorted(read.rules.values(), key=read.place_of)}
    return read


def _suite_of(file: Path, content: _RulesFile, known: dict[str, Suite]) -> Suite:
    """The suite of a file with rules, by the `suite.toml` beside or above it or else by its own word."""
    described = suite_file(file)
    if described is None and content.suite is None:
        raise settings.SettingsError(
            file, ["suite: is required and missing; add it, or a suite.toml beside the file"]
        )
    found = next((one for one in known.values() if described and one.file == described), None)
    suite = found or (Suite.read(described) if described else Suite(str(content.suite), str(content.suite)))
    if content.suite is not None and content.suite != suite.name:
        raise settings.SettingsError(
            file, [f"suite: is {content.suite!r}, and {described} says {suite.name!r}; leave the line out"]
        )
    other = known.setdefault(suite.name, suite)
    if other.file != suite.file:
        where = [str(one.file) for one in (other, suite) if one.file]
        raise settings.SettingsError(
            suite.file or file, [f"name: {suite.name!r} is a suite of {where[0]} already; rename one"]
        )
    return suite


def _rule(file: Path, rule_id: str, entry: _Entry, suite: Suite) -> Rule:
    group = suite.group_of(rule_id)
    if group is None:
        raise settings.SettingsError(
            file, [f"rule.{rule_id}: no group of {suite.file} begins its id; {suite.mend(rule_id)}"]
        )
    facts = dict(entry) | {"needs": entry.needs.union(group.needs)}
    return Rule(
        id=rule_id,
        suite=suite.name,
        group=group,
        claimed_by_default=suite.claimed_by_default,
        chapter=suite.chapter_of(rule_id, entry.stage),
        **facts,
    )


def _check_needs(read: _Read, capabilities: Collection[str]) -> None:
    """Whatever a rule or a group needs is something that a profile can grant."""
    for file, content in read.contents.items():
        problems = [
            f"rule.{rule_id}.needs: unknown capability {need!r}; {settings.nearest(need, list(capabilities))}"
            for rule_id, entry in content.rule.items()
            for need in sorted(entry.needs.difference(capabilities))
        ]
        if problems:
            raise settings.SettingsError(file, problems)
    for suite in read.suites.values():
        problems = [
            f"group.{group.prefix}.needs: unknown capability {need!r}; "
            f"{settings.nearest(need, list(capabilities))}"
            for group in suite.groups.values()
            for need in group.needs
            if need not in capabilities
        ]
        if problems:
            raise settings.SettingsError(suite.file or Path(suite.name), problems)


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
