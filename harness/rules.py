"""The catalogue: every documented rule, read from the `rules.toml` that lies beside its scenarios."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from harness import settings
from harness.outcome import Outcome, Stage


class Level(StrEnum):
    """How binding a rule is, and by whose word."""

    DOCUMENTED = "documented"  # the administrator's own document promises it
    OPTIONAL = "optional"  # described by the document and left off


class Capability(StrEnum):
    """Something that a scenario needs and a profile grants or not."""

    ADDRESS = "address"
    IPV6 = "ipv6"
    DNS = "dns"
    REVERSE_LOOKUP = "reverse-lookup"
    TRUSTED_ADDRESS = "trusted-address"
    TLS = "tls"
    CREDENTIALS = "credentials"
    CLOCK = "clock"
    GREYLIST_OPERATOR = "greylist-operator"
    GREYLIST_OUTAGE = "greylist-outage"
    MAILBOX = "mailbox"
    SINK = "sink"
    QUEUE = "queue"
    QUEUE_OPERATOR = "queue-operator"
    FILTER = "filter"
    SMARTHOST = "smarthost"
    LOCAL_ONLY = "local-only"
    FORWARD = "forward"
    SRS = "srs"
    SPAM = "spam"
    SPF = "spf"
    DKIM = "dkim"
    HEAVY = "heavy"


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
    needs: frozenset[Capability] = frozenset()
    weakness: str = ""


class _RulesFile(settings.Settings):
    suite: str
    rule: dict[str, _Entry]


@dataclass(frozen=True)
class Rule:
    """One documented, testable statement about a mail server."""

    id: str
    suite: str
    stage: Stage
    level: Level
    source: str
    statement: str
    expect: tuple[Outcome, ...]
    needs: frozenset[Capability]
    weakness: str = ""


@dataclass(frozen=True)
class Catalogue:
    """All rules of a run, by id, in the order of their files."""

    rules: dict[str, Rule] = field(default_factory=dict)

    @classmethod
    def load(cls, files: Iterable[Path]) -> "Catalogue":
        """Read the given `rules.toml` files.

        Raises `settings.SettingsError` when one does not fit or an id stands in two of them.
        """
        rules: dict[str, Rule] = {}
        for file in files:
            content = settings.read(file, _RulesFile)
            for rule_id, entry in content.rule.items():
                if rule_id in rules:
                    raise settings.SettingsError(
                        file, [f"rule.{rule_id}: already defined by suite {rules[rule_id].suite}; rename one"]
                    )
                rules[rule_id] = Rule(id=rule_id, suite=content.suite, **dict(entry))
        return cls(rules)

    @classmethod
    def below(cls, folder: Path) -> "Catalogue":
        """The catalogue of every `rules.toml` in and below `folder`."""
        return cls.load(sorted(folder.rglob("rules.toml")))

    def __iter__(self) -> Iterator[Rule]:
        """The rules in catalogue order."""
        return iter(self.rules.values())

    def __getitem__(self, rule_id: str) -> Rule:
        """The rule of that id; raises `UnknownRuleError` that names the nearest."""
        try:
            return self.rules[rule_id]
        except KeyError:
            raise UnknownRuleError(rule_id, list(self.rules)) from None

    @property
    def suite(self) -> str:
        """The name of the suites that the rules come from."""
        return "+".join(dict.fromkeys(rule.suite for rule in self))


class UnknownRuleError(Exception):
    """A rule id that no catalogue knows."""

    def __init__(self, rule_id: str, known: list[str]) -> None:
        """`known` are the ids to suggest from."""
        super().__init__(f"unknown rule {rule_id!r}; {settings.nearest(rule_id, known)}")
